"""A kind of job for the bench: tokens at an even pace, and nothing else."""

import time

from pydantic import BaseModel

from tasks.progress import Progress
from tasks.registry import job

PAUSE_S = 0.02


class StreamInput(BaseModel):
    """For how long."""

    seconds: float


@job("bench-stream")
def bench_stream(task_input: StreamInput, progress: Progress) -> None:
    """Says a token 50 times a second."""
    for _ in range(round(task_input.seconds / PAUSE_S)):
        progress.token(" token")
        time.sleep(PAUSE_S)
