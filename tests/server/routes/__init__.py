"""Tests of the routes, over the in-memory twin."""
