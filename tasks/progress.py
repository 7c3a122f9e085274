"""Progress: what a task function reports through. It knows neither Celery nor Redis nor HTTP."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

from progress.collections import Collection, Collections
from progress.errors import AttemptOver
from progress.events import MAIN_CHANNEL, Draft, encode_json
from progress.publisher import progress_draft
from progress.storage import Storage, add_artifact, artifact_url, find_artifact, find_file
from tasks.children import Child, Family
from tasks.errors import TaskError
from tasks.pace import Pace, rate_text

T = TypeVar("T")
Level = Literal["debug", "info", "warning", "error"]
MESSAGE_CHARS = 4000
_STEP: Final = re.compile("[A-Za-z0-9_-]{1,64}")


class Sink(Protocol):
    """Where reports go: a Publisher, or whatever a script or test has instead."""

    over: AttemptOver | None
    on_over: Callable[[], None] | None

    def token(self, text: str, channel: str = MAIN_CHANNEL) -> None:
        """A piece of text."""

    def event(self, draft: Draft) -> None:
        """Any other event."""

    def checkpoint(self, state: str) -> None:
        """A state, as JSON, for the next attempt."""


@dataclass(frozen=True)
class Resumed:
    """What earlier attempts have left: the state of the last checkpoint, and the text that still counts."""

    state: Any
    text: str


@dataclass(frozen=True)
class InputFile:
    """An uploaded file; ``size`` is in bytes. ``path`` is for reading, while the ``with`` lasts.

    ``media_type`` was told from its bytes, so a text that is called ``.pdf`` is ``text/plain``.
    """

    name: str
    media_type: str
    size: int
    path: Path


class Progress:
    """How a task tells what happens. All methods but the properties raise AttemptOver once the task is to stop.

    Args:
        sink: where the reports go.
        resumed: what earlier attempts have left.
        files: where files and artifacts are kept. A worker gives its own; a script that needs some gives one, too.
        job_id: whose artifacts these are.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        resumed: Resumed | None = None,
        attempt: int = 1,
        max_attempts: int = 1,
        files: Storage | None = None,
        job_id: str = "script",
    ) -> None:
        self._sink = sink
        self._storage = files
        self.job_id = job_id
        self.pace = Pace()
        self.family: Family | None = None
        """Where children run, for ``gather``: a worker gives one; a script that needs one sets it."""
        self.collections: Collections | None = None
        """Where vectors are kept; the same."""
        self._state = resumed.state if resumed else None
        self.told = False
        self.resumed = resumed
        self.attempt = attempt
        self.max_attempts = max_attempts

    def token(self, text: str, channel: str = MAIN_CHANNEL) -> None:
        """Publishes a piece of text.

        Args:
            channel: tells parallel outputs of one job apart.
        """
        self._sink.token(text, channel)

    def update(
        self,
        fraction: float | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        step: str | None = None,
        message: str | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Publishes how far the job is: a fraction (0–1), or ``current`` of ``total``.

        A count has its rate for a message and its ``eta_s`` where none is given, and many counts in a short time are
        not all published: some ten a second, the last of ``total``, and whatever has a new step or a message.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        if current is not None:
            is_new = self.pace.count(current, step)
            if not (is_new or message or current == total or self.pace.is_due()):
                return
            message = message or rate_text(self.pace.rate)
            eta_s = self.pace.eta_s(total) if eta_s is None else eta_s
            if fraction is None and total:
                fraction = current / total
        self._sink.event(
            progress_draft(fraction, step=step, message=message, current=current, total=total, eta_s=eta_s)
        )

    def log(self, message: str, level: Level = "info") -> None:
        """Publishes a line for people."""
        self._sink.event(Draft.of("log", level=level, message=message[:MESSAGE_CHARS]))

    def checkpoint(self, state: Any) -> None:
        """Keeps a JSON value, and the text so far, for the next attempt, should there be one: see ``resumed``.

        Raises:
            TypeError, ValueError: the state has no form in JSON.
        """
        self._sink.checkpoint(encode_json(state))
        self._state = state

    def track(self, items: Iterable[T], total: int | None = None, *, step: str | None = None) -> Iterator[T]:
        """Yields each item and counts those that are done, as tqdm does.

        Args:
            total: how many there are, where ``len`` cannot tell.
        """
        if total is None and isinstance(items, Sized):
            total = len(items)
        self.update(current=0, total=total, step=step)
        for done, item in enumerate(items, 1):
            yield item
            self.update(current=done, total=total, step=step)

    def artifact(self, name: str, data: bytes | Path, media_type: str = "") -> None:
        """Stores something that the job has made, then publishes where it is.

        One of the same name takes the place of the one before, also of one that an earlier attempt made.

        Args:
            name: 1 to 128 characters, no ``/`` and no control characters.
            data: the bytes, or a file that has them.
            media_type: told from the bytes and the name where empty.

        Raises:
            ValueError: the name is none.
            progress.errors.StorageUnavailable: it could not be stored.
        """
        # What a stale attempt makes, nobody is told of: so it is not to be found either.
        self._check()
        stored = add_artifact(self.storage, self.job_id, self.attempt, name, data, media_type)
        self._sink.event(
            Draft.of(
                "artifact",
                name=stored.name,
                media_type=stored.media_type,
                size=stored.size,
                url=artifact_url(self.job_id, stored.name),
            )
        )

    @contextmanager
    def file(self, file_id: str) -> Iterator[InputFile]:
        """A file that the input names, for reading.

        Raises:
            TaskError: there is none (``file_gone``): it was deleted, or has expired.
            progress.errors.StorageUnavailable: it cannot be read just now.
        """
        stored = find_file(self.storage, file_id)
        if stored is None:
            raise TaskError("file_gone", f"the file {file_id[:40]} is not there any more: upload it again")
        with self.storage.local(stored) as path:
            yield InputFile(stored.name, stored.media_type, stored.size, path)

    @contextmanager
    def made_by(self, step: str, place: int, name: str) -> Iterator[InputFile]:
        """An artifact of a child, for reading.

        Args:
            step: that of ``gather``.
            place: the child's, from 0.
            name: the artifact's.

        Raises:
            TaskError: there is none (``artifact_gone``).
            progress.errors.StorageUnavailable: it cannot be read just now.
        """
        job_id = self.family.job_of(step, place) if self.family else ""
        stored = find_artifact(self.storage, job_id, name)
        if stored is None:
            raise TaskError("artifact_gone", f"step {step}: its job {place} has no artifact {name!r}, or none any more")
        with self.storage.local(stored) as path:
            yield InputFile(stored.name, stored.media_type, stored.size, path)

    @property
    def storage(self) -> Storage:
        """Where files and artifacts are kept. Raises LookupError where a script has given none."""
        if self._storage is None:
            raise LookupError(
                "there is nowhere to keep files here: give one, as in "
                "Progress(sink, files=LocalStorage(Path('files'))) with LocalStorage from progress.storage"
            )
        return self._storage

    def gather(self, step: str, children: Sequence[Child], *, share: tuple[float, float] = (0.0, 1.0)) -> list[Any]:
        """Runs jobs side by side and gives their results, in order, once all of them have ended.

        Each is a job of its own, with its own log, attempts and retries. This one waits for them without a worker: the
        call raises, the attempt ends, and another one begins the function anew once they have ended. ``resumed`` then
        has what ``checkpoint`` has kept and the text so far, and the same call gives the results. So what comes before
        it has to come to the same call again: keep with ``checkpoint`` what is dear to make.

        Args:
            step: a name within this job: 1 to 64 letters, digits, ``_`` and ``-``.
            share: what of this job's progress lies before the step, and what of it the step is.

        Raises:
            ChildFailed: one of them has failed or was cancelled. Others have run to their ends.
            ValueError: no name, or no place for children: a script sets ``progress.family``.
        """
        if not _STEP.fullmatch(step):
            raise ValueError(f"{step!r} is no name of a step: use 1 to 64 letters, digits, '_' and '-'")
        if self.family is None:
            raise ValueError("there is no place for children: set progress.family, to tasks.family.InProcess() say")
        # The text so far stays, whatever becomes of this attempt.
        self.checkpoint(self._state)
        return self.family.gather(step, children, share)

    def collection(self, name: str) -> Collection:
        """A collection of vectors, also one that is not there yet. Its methods wait while Redis is away."""
        if self.collections is None:
            raise LookupError(
                "there is nowhere to keep vectors here: give some, as in "
                "progress.collections = Collections(…) with Collections from progress.collections"
            )
        return self.collections.open(name, self._check)

    def _check(self) -> None:
        if self._sink.over:
            raise self._sink.over.with_traceback(None)

    @property
    def cancelled(self) -> bool:
        """Whether the task is to stop: the job was cancelled, or another attempt has taken over."""
        self.told = self.told or self._sink.over is not None
        return self.told

    def on_over(self, stop: Callable[[], None]) -> None:
        """Calls ``stop``, from another thread, once the task is to stop: to end a wait that nothing else would."""
        self._sink.on_over = stop
        if self._sink.over:
            stop()


class PrintSink:
    """Reports to standard output, for a task that is run from a script."""

    over: AttemptOver | None = None
    on_over: Callable[[], None] | None = None

    def token(self, text: str, channel: str = MAIN_CHANNEL) -> None:
        """Prints the text."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def event(self, draft: Draft) -> None:
        """Prints the event as JSON."""
        self.token(encode_json({"type": draft.type, **json.loads("{" + draft.fields + "}")}) + "\n")

    def checkpoint(self, state: str) -> None:
        """A script has no next attempt."""
