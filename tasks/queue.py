"""The one function that enqueues, behind a protocol: all that the server knows of `tasks`."""

import threading
import time
from typing import Any, Final, Protocol

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from progress.settings import Settings
from tasks.app import RUN, load_kinds, make_app, queue_names
from tasks.broker import is_redis, kombu_url, message_priority, transport_options
from tasks.registry import Kind, kinds

# A hung broker must not hold a submission longer than this.
SOCKET: Final = {"socket_timeout": 2, "socket_connect_timeout": 1}
AT_ONCE_S: Final = 0.3
NOT_FOUND: Final = "404"
IMPATIENT: Final = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class QueueUnavailable(Exception):
    """The broker refuses or does not answer."""


class JobQueue(Protocol):
    """Wakes a worker for a job."""

    @property
    def kinds(self) -> dict[str, Kind]:
        """What can be submitted."""

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue that a kind waits in."""

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        """Sends the message; blocks for 2 s at most. Raises QueueUnavailable."""

    def depth(self, queue: str) -> int:
        """Messages that no worker has taken. Raises QueueUnavailable."""

    def close(self) -> None:
        """Closes the connection."""


class CeleryQueue:
    """A JobQueue over Celery, with a connection of its own that gives up fast. Thread-safe; one message at a time."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Any = None
        self._producer: Any = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "CeleryQueue":
        """With an app of its own. Raises ImportError where a module of tasks cannot be imported."""
        load_kinds(settings)
        return cls(make_app(settings), settings)

    @property
    def kinds(self) -> dict[str, Kind]:
        """See JobQueue."""
        return kinds()

    @property
    def queues(self) -> tuple[str, ...]:
        """See JobQueue."""
        return queue_names()

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        """See JobQueue."""
        self._attempt(lambda: self._send(job_id, queue, priority))

    def depth(self, queue: str) -> int:
        """See JobQueue."""
        return int(self._attempt(lambda: self._declared(queue)))

    def close(self) -> None:
        """See JobQueue."""
        with self._lock:
            self._drop()

    def _send(self, job_id: str, queue: str, priority: int) -> None:
        self._app.send_task(
            RUN,
            args=(job_id,),
            queue=queue,
            priority=message_priority(self._settings.broker, priority),
            producer=self._producer,
            retry=False,
            ignore_result=True,
        )

    def _declared(self, queue: str) -> int:
        # On Redis nothing is made by this, and kombu looks for a passive one's key without the prefix: in vain.
        passive = not is_redis(self._settings.broker)
        try:
            return int(self._producer.channel.queue_declare(queue, passive=passive).message_count)
        except self._connection.channel_errors as error:
            if str(getattr(error, "reply_code", "")) != NOT_FOUND:
                raise
            # RabbitMQ knows no queue that nothing was sent to, and closes the channel with this answer.
            self._drop()
            return 0

    def _attempt(self, operation: Any) -> Any:
        """Runs an operation on the open connection, and once more on a new one if that has died meanwhile."""
        with self._lock:
            started, errors = time.monotonic(), self._errors()
            while True:
                fresh = self._producer is None
                try:
                    self._open()
                    return operation()
                except errors as error:
                    self._drop()
                    # A connection that has died says so at once; a broker that hangs has used up the time.
                    if fresh or time.monotonic() - started > AT_ONCE_S:
                        raise QueueUnavailable(str(error) or type(error).__name__) from error

    def _errors(self) -> tuple[type[BaseException], ...]:
        connection = self._connection or self._connect()
        return (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)

    def _connect(self) -> Any:
        options = transport_options(self._settings)
        if is_redis(self._settings.broker):
            options |= SOCKET
        return Connection(
            kombu_url(self._settings.broker), transport_options={**options, **IMPATIENT}, connect_timeout=1
        )

    def _open(self) -> None:
        if self._producer is None:
            self._connection = self._connect()
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()
