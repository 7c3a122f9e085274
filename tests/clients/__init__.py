"""Clients of other people, unmodified, against a whole Jobcast."""
