"""The one function that enqueues, behind a protocol: all that the server knows of `tasks`."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Protocol

from celery import Celery

from progress.commands import Waiting
from progress.settings import Settings
from tasks import template
from tasks.app import RUN, load_kinds, make_app, queue_names
from tasks.broker import is_redis, message_priority
from tasks.link import AT_ONCE_S, Link, QueueUnavailable
from tasks.registry import Kind, kinds
from tasks.template import Template

__all__ = ["CeleryQueue", "JobQueue", "QueueUnavailable"]

NOT_FOUND: Final = 404
TEMPLATES: Final = 1_000
"""Most templates that are kept: whoever submits may name any queue."""


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

    def enqueue_all(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        """Sends the messages of several jobs, in order. Those that could not be sent, by the job's id, and why."""

    def depth(self, queue: str) -> int:
        """Messages that no worker has taken. Raises QueueUnavailable."""

    def close(self) -> None:
        """Closes the connection."""


class CeleryQueue:
    """A JobQueue over Celery, with connections of its own that give up fast. Thread-safe; one message at a time."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._broker = settings.broker
        self._sending = Link(app, settings)
        # RabbitMQ with too little memory answers nothing on a connection that has sent a message.
        self._asking = self._sending if is_redis(self._broker) else Link(app, settings)
        self._templates: dict[tuple[str, int], Template] = {}
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
        if self._uses_templates():
            self._sending.attempt(lambda producer: self._push(producer, [Waiting(job_id, queue, priority)]))
        else:
            self._sending.attempt(lambda producer: self._send(producer, job_id, queue, priority))

    def enqueue_all(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        """See JobQueue."""
        if not self._uses_templates():
            return self._one_by_one(jobs)
        try:
            self._sending.attempt(lambda producer: self._push(producer, jobs))
        except QueueUnavailable as error:
            return {job.job_id: error for job in jobs}
        return {}

    def depth(self, queue: str) -> int:
        """See JobQueue."""
        count = _messages_on_redis if is_redis(self._broker) else _messages_on_rabbitmq
        return self._asking.attempt(lambda producer: count(producer, queue))

    def close(self) -> None:
        """See JobQueue."""
        self._sending.close()
        self._asking.close()

    def _one_by_one(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        refused: dict[str, QueueUnavailable] = {}
        hung: QueueUnavailable | None = None
        for job in jobs:
            started = time.monotonic()
            try:
                if hung:
                    raise hung
                self.enqueue(job.job_id, job.queue, job.priority)
            except QueueUnavailable as error:
                refused[job.job_id] = error
                # The others would wait as long each: for nothing, as a rule.
                hung = error if time.monotonic() - started > AT_ONCE_S else hung
        return refused

    def _uses_templates(self) -> bool:
        return is_redis(self._broker) and not template.is_asked_for()

    def _push(self, producer: Any, jobs: Sequence[Waiting]) -> None:
        lists: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            form = self._template(producer, job.queue, job.priority)
            lists[form.key].append(form.message(job.job_id))
        producer.channel.push(lists)

    def _template(self, producer: Any, queue: str, priority: int) -> Template:
        if producer is not self._producer:
            # kombu declares queues anew on each connection.
            self._producer, self._templates = producer, {}
        if (queue, priority) not in self._templates:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            caught = producer.channel.catch(
                lambda: self._send(producer, template.JOB, queue, priority, task_id=template.TASK)
            )
            self._templates[queue, priority] = Template.of(*caught)
        return self._templates[queue, priority]

    def _send(self, producer: Any, job_id: str, queue: str, priority: int, **options: Any) -> None:
        self._app.send_task(
            RUN,
            args=(job_id,),
            queue=queue,
            priority=message_priority(self._broker, priority),
            producer=producer,
            retry=False,
            ignore_result=True,
            **options,
        )


def _messages_on_redis(producer: Any, queue: str) -> int:
    # Nothing is made by this, and kombu looks for a passive one's key without the prefix: in vain.
    return int(producer.channel.queue_declare(queue).message_count)


def _messages_on_rabbitmq(producer: Any, queue: str) -> int:
    # A channel of its own: RabbitMQ knows no queue that nothing was sent to, and closes the channel with that answer.
    channel = producer.connection.channel()
    try:
        count = int(channel.queue_declare(queue, passive=True).message_count)
    except producer.connection.channel_errors as error:
        if error.reply_code != NOT_FOUND:
            raise
        return 0
    channel.close()
    return count
