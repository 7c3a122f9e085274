"""The kinds of job that come with Jobcast, one a module."""
