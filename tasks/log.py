"""The log of a worker's processes."""

import logging

from amqp.exceptions import AMQPError

from progress.settings import current


class WithoutTracebacks(logging.Filter):
    """A broker that has gone away is a line in the log: its messages come again, and do no harm."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        if record.exc_info and isinstance(record.exc_info[1], OSError | AMQPError):
            record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return True


def set_up_log() -> str:
    """Logs as the settings want it; gives the level."""
    level = current().log_level
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # A line for each request to the model server says nothing that the job's log does not.
    logging.getLogger("httpx").setLevel("WARNING")
    for name in ("request", "consumer.consumer", "loops"):
        logging.getLogger(f"celery.worker.{name}").addFilter(WithoutTracebacks())
    # Nor does Celery's warning, with a traceback, of a message that is left with the broker: see tasks/worker.py.
    logging.getLogger("celery.app.trace").addFilter(_is_news)
    return level


def _is_news(record: logging.LogRecord) -> bool:
    data = getattr(record, "data", None)
    return not isinstance(data, dict) or data.get("description") != "rejected"
