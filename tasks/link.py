"""A connection to the broker that gives up fast: a broker that is away or hangs must hold nobody up."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from celery import Celery
from kombu.exceptions import OperationalError

from progress.settings import Settings
from tasks.broker import Connection, kombu_url, transport, transport_options

T = TypeVar("T")

# A hung broker must not hold a submission longer than this. Each transport takes its own words and ignores the others'.
SOCKET: Final = {"socket_timeout": 2, "socket_connect_timeout": 1, "read_timeout": 2, "write_timeout": 2}
AT_ONCE_S: Final = 0.3
IMPATIENT: Final = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
FULL: Final = "RabbitMQ takes no messages until it has memory and disk again"


class QueueUnavailable(Exception):
    """The broker refuses or does not answer."""


class Link:
    """One connection, opened when it is used, and again when it has died. Thread-safe; one operation at a time."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Any = None
        self._producer: Any = None
        self._is_full = False

    def attempt(self, operation: Callable[[Any], T]) -> T:
        """Runs an operation, which is given a producer, and once more on a new connection if the old one has died.

        Raises:
            QueueUnavailable: it does not succeed within about 2 s.
        """
        with self._lock:
            self._check_room()
            started, errors = time.monotonic(), self._errors()
            while True:
                fresh = self._producer is None
                try:
                    return operation(self._opened())
                except errors as error:
                    if not self._is_full:
                        self._drop()
                    # A connection that has died says so at once; a broker that hangs has used up the time.
                    if self._is_full or fresh or time.monotonic() - started > AT_ONCE_S:
                        raise QueueUnavailable(_told(error)) from error

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._drop(Connection.release)

    def _opened(self) -> Any:
        if self._producer is None:
            self._connection = self._made()
            self._connection.ensure_connection(**IMPATIENT)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        return self._producer

    def _made(self) -> Any:
        heard = {"on_blocked": self._filled, "on_unblocked": self._emptied}
        options = {**transport_options(self._settings), **SOCKET, **IMPATIENT, **heard}
        broker = self._settings.broker
        return Connection(kombu_url(broker), transport=transport(broker), transport_options=options, connect_timeout=1)

    def _errors(self) -> tuple[type[BaseException], ...]:
        made = self._connection or self._made()
        # The recoverable ones hold one that is in no other tuple: RabbitMQ's refusal of a message.
        told = (*made.connection_errors, *made.recoverable_connection_errors, *made.channel_errors)
        return (OperationalError, OSError, *told)

    def _drop(self, how: Callable[[Any], object] = Connection.collect) -> None:
        """Lets go of the connection; by default without a word, since a broker that hangs would not answer."""
        connection, self._connection, self._producer = self._connection, None, None
        self._is_full = False
        if connection is not None:
            how(connection)

    # RabbitMQ with too little memory or disk stops reading from those who send, and says so. It would not even see
    # that they close their connections: one that were opened for each try would stay, and cost it more memory.

    def _filled(self, _reason: str) -> None:
        self._is_full = True
        raise ConnectionRefusedError(FULL)

    def _emptied(self) -> None:
        self._is_full = False

    def _check_room(self) -> None:
        """Hears whether a broker that was full has room again, and takes a new connection then."""
        if not self._is_full:
            return
        try:
            self._connection.drain_events(timeout=0)
        except TimeoutError:
            pass
        except self._errors():
            self._is_full = False
        if self._is_full:
            raise QueueUnavailable(FULL)
        self._drop()


def _told(error: BaseException) -> str:
    """What an error says. kombu puts its own around others, and those of sockets often have no text."""
    return str(error) or type(error.__cause__ or error).__name__
