"""The way of a submission: validate, make the record, send the message."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from progress.commands import Waiting
from progress.events import encode_json
from progress.jobs import Job, Json, NewJob, uuid7
from progress.settings import Settings
from progress.store import Store, Submitted
from progress.targets import RefusedTarget, Targets
from server.errors import invalid, invalid_input
from server.filing import Filing
from server.schemas import JobRequest, Webhook, Work
from server.sender import Sender
from tasks.queue import JobQueue

T = TypeVar("T")
CLOSE_S: Final = 1.0
Files = list[tuple[str, str]]
"""The files that an input names: (dotted path of the field, id) of each."""


class Submissions:
    """Makes jobs. The record is made before the answer; the message is sent beside it, by a thread.

    A broker that refuses, or a process that dies in between, leaves the job to the workers' sweeper.
    """

    def __init__(self, store: Store, queue: JobQueue, settings: Settings, files: Filing) -> None:
        self._store = store
        self._files = files
        self._queue = queue
        self._settings = settings
        self._sender = Sender(queue)
        # Whether the broker answers is asked beside the messages that may be stuck behind one another.
        self._checker = ThreadPoolExecutor(1, thread_name_prefix="check-broker")

    async def submit(self, request: JobRequest, *, idempotency_key: str = "", owner: str | None = None) -> Submitted:
        """Makes the job of a request.

        Raises:
            Problem: 422 where the kind or its input is wrong.
            IdempotencyConflict: the key was used with another body.
            StoreUnavailable: nothing was made.
        """
        new, named = await self.validated(request, owner)
        fingerprint = "-"
        if idempotency_key:
            fingerprint = fingerprint_of(request)
        return await self.make(new, named, idempotency_key, fingerprint)

    async def validated(self, request: JobRequest, owner: str | None) -> tuple[NewJob, Files]:
        """The job that a request asks for, and the files that its input names.

        Raises:
            Problem: 422 where its kind, its input or a file is wrong.
        """
        new, named = self._validated(request, owner)
        if named:
            await self._files.expect(named)
        return new, named

    async def again_and_again(self, work: Work, owner: str | None) -> NewJob:
        """The job that a request asks for, to be made later and more than once. Raises Problem, as ``validated``."""
        request = JobRequest.model_validate(work.model_dump(include=set(Work.model_fields)))
        new, named = await self.validated(request, owner)
        for field, _ in named:
            raise invalid(f"input.{field}", "files go when their time is over: no schedule can count on one")
        return new

    async def retry(self, job: Job) -> Submitted:
        """Makes a new job with the input of another one.

        Raises:
            Problem: 422 where a file that the input names is gone.
            StoreUnavailable: nothing was made.
        """
        named = self._files_of(job)
        if named:
            await self._files.expect(named)
        new = NewJob(
            job.kind,
            job.input,
            job.queue,
            # Beside the old one in a cluster: of its children those that have succeeded are taken over.
            id=uuid7()[:-1] + job.id[-1],
            priority=job.priority,
            max_attempts=job.max_attempts,
            timeout_s=job.timeout_s,
            cancel_after_s=job.cancel_after_s,
            webhook=job.webhook,
            webhook_events=job.webhook_events,
            metadata=job.metadata,
            retry_of=job.id,
        )
        return await self.make(new, named)

    def _files_of(self, job: Job) -> Files:
        kind = self._queue.kinds.get(job.kind)
        try:
            return kind.files(kind.validate(job.input)) if kind and kind.takes_files else []
        except ValidationError:
            return []  # its kind has changed since: the worker says so

    async def beside_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a blocking call of the queue where messages are sent from."""
        return await asyncio.get_running_loop().run_in_executor(self._checker, function, *arguments)

    async def close(self) -> None:
        """Sends what waits, for a moment, and ends the threads. What is left then is the sweeper's."""
        await asyncio.to_thread(self._sender.close, CLOSE_S)
        await asyncio.to_thread(self._checker.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._queue.close)

    async def make(self, new: NewJob, named: Files, idempotency_key: str = "", fingerprint: str = "-") -> Submitted:
        """Makes a job that has been validated, and sends its message. Raises as ``submit``."""
        made = await self._store.create(new, idempotency_key=idempotency_key, fingerprint=fingerprint)
        if made.created and made.job.due_at is None:
            self._sender.send(Waiting(made.job.id, made.job.queue, made.job.priority))
        if made.created and named:
            await self._files.keep(named, made.job.id)
        return made

    def _validated(self, request: JobRequest, owner: str | None) -> tuple[NewJob, Files]:
        """What is to be made, and the files that its input names."""
        kind = self._queue.kinds.get(request.kind)
        if kind is None:
            known = ", ".join(sorted(self._queue.kinds))
            raise invalid("kind", f"there is no kind {request.kind!r}; there are {known}", "unknown_kind")
        try:
            task_input = kind.validate(request.input)
        except ValidationError as error:
            raise invalid_input(error, "input") from None
        webhook = self._webhook(request)
        new = NewJob(
            kind.name,
            request.input,
            request.queue or kind.queue,
            priority=request.priority,
            delay_s=request.delay_s,
            max_attempts=request.max_attempts or kind.max_attempts or self._settings.max_attempts,
            timeout_s=request.timeout_s or kind.timeout_s,
            cancel_after_s=request.on_disconnect.cancel_after_s if request.on_disconnect else None,
            webhook=webhook.url if webhook else None,
            webhook_events=",".join(webhook.events) if webhook and webhook.events else None,
            metadata=request.metadata,
            owner=owner,
        )
        return new, kind.files(task_input)

    def _webhook(self, request: JobRequest) -> Webhook | None:
        if request.webhook is None:
            return None
        if not self._settings.webhook_secret:
            raise invalid("webhook", "this server has no JOBCAST_WEBHOOK_SECRET to sign what it would send")
        try:
            Targets.of(self._settings.webhook_allow_private).check(request.webhook.url)
        except RefusedTarget as error:
            raise invalid("webhook.url", str(error)) from None
        return request.webhook


def fingerprint_of(request: BaseModel) -> str:
    """The same for equal requests."""
    return hashlib.sha256(encode_json(sorted_json(request)).encode()).hexdigest()


def sorted_json(request: BaseModel) -> Json:
    """A request in a form in which equal ones are equal, whatever the order of their fields."""

    def ordered(value: object) -> object:
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value)}
        return [ordered(item) for item in value] if isinstance(value, list) else value

    return {"request": ordered(request.model_dump(mode="json"))}
