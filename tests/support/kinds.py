"""Kinds of job for tests: what they publish, and how they misbehave, stands in their input."""

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import Retry, TaskError
from tasks.fields import FileId
from tasks.progress import Progress
from tasks.registry import job


class SpeakInput(BaseModel):
    """What to say, piece by piece; ``pause_s`` after each. With ``until`` all over again until there is that file."""

    model_config = ConfigDict(extra="forbid")

    pieces: list[str] = Field(default_factory=list)
    repeat: int = Field(1, ge=0)
    pause_s: float = Field(0.0, ge=0)
    until: str = ""


@job("speak", queue="llm")
def speak(task_input: SpeakInput, progress: Progress) -> dict[str, Any]:
    """Publishes its pieces as tokens."""
    characters = said = 0
    while said < task_input.repeat or is_to_go_on(task_input.until):
        said += 1
        for piece in task_input.pieces:
            progress.token(piece)
            characters += len(piece)
            if task_input.pause_s:
                time.sleep(task_input.pause_s)
    return {"characters": characters}


def is_to_go_on(until: str) -> bool:
    """Whether the file is not there yet that a test makes when it has seen enough."""
    return bool(until) and not Path(until).exists()


@job("speak-cpu", queue="cpu")
def speak_cpu(task_input: SpeakInput, progress: Progress) -> dict[str, Any]:
    """The same on a prefork worker."""
    return speak(task_input, progress)  # type: ignore[no-any-return]  # @job gives back the function itself


class CountInput(BaseModel):
    """How far to count, and how long each step takes; with ``until`` the last one takes until there is that file."""

    total: int = Field(10, ge=0)
    pause_s: float = Field(0.0, ge=0)
    until: str = ""


@job("count", queue="cpu")
def count(task_input: CountInput, progress: Progress) -> dict[str, int]:
    """Counts, as a job over many items does."""
    for number in progress.track(range(task_input.total), step="counting"):
        time.sleep(task_input.pause_s)
        while number == task_input.total - 1 and is_to_go_on(task_input.until):
            time.sleep(0.01)
    return {"total": task_input.total}


SILENT_PAUSE_S = 0.02


class SilentInput(BaseModel):
    """How long to say nothing."""

    seconds: float = Field(60.0, ge=0)


@job("silent", queue="llm")
def silent(task_input: SilentInput, progress: Progress) -> dict[str, bool]:
    """Publishes nothing, but looks whether it is to stop. Where the machine stands still, so does its time."""
    for _ in range(round(task_input.seconds / SILENT_PAUSE_S)):
        if progress.cancelled:
            break
        time.sleep(SILENT_PAUSE_S)
    return {"cancelled": progress.cancelled}


class FailInput(BaseModel):
    """How to fail, for how many attempts, and how long before the crash or the next attempt."""

    how: str = "error"
    attempts: int = 100
    after_s: float = 0.05


@job("fail", queue="llm", backoff_s=(0.05, 0.1))
def fail(task_input: FailInput, progress: Progress) -> dict[str, int]:
    """Fails, until it has done so often enough."""
    progress.token(f"attempt {progress.attempt} ")
    if progress.attempt > task_input.attempts:
        return {"attempt": progress.attempt}
    match task_input.how:
        case "retry":
            raise Retry(after_s=task_input.after_s)
        case "final":
            raise TaskError("told_to", "told to fail for good")
        case "result":
            return {"attempt": float("nan")}  # type: ignore[dict-item]  # what a task ought not to return
        case "crash":
            time.sleep(task_input.after_s)
            os._exit(9)
        case _:
            raise RuntimeError("told to fail")


class CopyInput(BaseModel):
    """A file to give back, as two artifacts."""

    model_config = ConfigDict(extra="forbid")

    file: FileId = Field(description="Any text")
    picture: FileId | None = None


@job("copy-file", queue="llm")
def copy_file(task_input: CopyInput, progress: Progress) -> dict[str, Any]:
    """Gives a file back, and a picture beside it."""
    with progress.file(task_input.file) as file:
        progress.artifact("draft ü.txt", b"soon")
        progress.artifact("draft ü.txt", file.path)
    if task_input.picture:
        with progress.file(task_input.picture) as picture:
            progress.artifact("picture.png", picture.path.read_bytes())
    return {"name": file.name, "media_type": file.media_type, "size": file.size}


class NoInput(BaseModel):
    """Nothing."""


@job("tell-time", queue="llm")
def tell_time(_task_input: NoInput, _progress: Progress) -> float:
    """What the clock of its worker says."""
    return time.time()


class GripInput(BaseModel):
    """For how many seconds to hold the interpreter, in how many attempts, once there is a file."""

    file: str
    seconds: int = Field(6, ge=1)
    attempts: int = 1


@job("grip", queue="llm")
def grip(task_input: GripInput, progress: Progress) -> dict[str, int]:
    """Calls into C without letting go of the interpreter's lock: meanwhile no thread of its process runs."""
    while not Path(task_input.file).exists():
        time.sleep(0.01)
    if progress.attempt <= task_input.attempts:
        ctypes.PyDLL(None).sleep(task_input.seconds)
    progress.token("let go")
    return {"attempt": progress.attempt}


class JournalInput(BaseModel):
    """How many pieces to say, how fast, and the file that notes what was really done."""

    file: str
    pieces: int = Field(10, ge=0)
    pause_s: float = Field(0.05, ge=0)
    silent: bool = False
    checkpoint_every: int = Field(0, ge=0)


@job("journal", queue="llm", backoff_s=(0.05, 0.1))
def journal(task_input: JournalInput, progress: Progress) -> dict[str, int]:
    """Writes a line for each attempt, piece and end to a file: what was done, whatever became of the record."""
    first = progress.resumed.state if progress.resumed else 0
    with Path(task_input.file).open("a", buffering=1) as file:
        print(progress.attempt, "begins", file=file)
        for number in range(first, task_input.pieces):
            if number > first and task_input.checkpoint_every and number % task_input.checkpoint_every == 0:
                progress.checkpoint(number)
            if not task_input.silent:
                progress.token(f"{number} ")
            print(progress.attempt, number, file=file)
            time.sleep(task_input.pause_s)
        print(progress.attempt, "ends", file=file)
    return {"pieces": task_input.pieces}
