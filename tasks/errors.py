"""What a task may raise to say how it failed.

TaskError                code, message, and whether another attempt may help
├── Retry                asks for another attempt, after a delay of the task's choosing
├── ChildFailed          a job that this one has asked for has failed, or was cancelled
└── ModelError           the model server refused, failed, or broke off (see tasks/llm.py)
"""

from collections.abc import Mapping
from typing import Any


class TaskError(Exception):
    """A failure that the task itself has understood.

    Args:
        code: stable, snake_case, for programs.
        message: one sentence for people; it ends up in the job's ``error``.
        retryable: whether another attempt may succeed.
        retry_after_s: seconds that whoever refused has asked to be left alone for.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Retry(TaskError):
    """Asks for another attempt of this job.

    Args:
        after_s: seconds to wait; without it the kind's backoff decides.
    """

    def __init__(self, message: str = "the task asked for another attempt", *, after_s: float | None = None) -> None:
        super().__init__("retry", message, retryable=True, retry_after_s=after_s)


class ChildFailed(TaskError):
    """A job that this one has asked for did not succeed. It had its own attempts, so this one has no other.

    Args:
        step: its step in this job.
        what: which of the children it is, for people.
        error: its own ``error``; None where it was cancelled.
    """

    def __init__(self, step: str, what: str, error: Mapping[str, Any] | None) -> None:
        why = f"failed: {error['message']}" if error else "was cancelled"
        super().__init__("step_failed", f"step {step}: {what} {why}")
        self.step = step


class ModelError(TaskError):
    """The model server could not be reached, refused, failed, or broke off in the middle."""
