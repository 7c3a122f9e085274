"""Jobs, their logs and who may write them: everything that knows Redis, and nothing that knows HTTP or Celery."""
