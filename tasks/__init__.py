"""Kinds of job and the Celery app that runs them."""
