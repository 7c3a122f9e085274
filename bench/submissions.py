"""Submitting: what a POST takes beside live streams, and what a message to the broker costs."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import streaming
from bench.build import program
from bench.peers import PEERS
from bench.plans import Plan
from bench.processes import SERVER_CORES, running
from bench.site import Site, site
from bench.streaming import Figures

STREAMS: Final = Plan(200, 200, 20.0)
JOB: Final = {"kind": "generate", "input": {"prompt": "Once upon a time"}}
PACE: Final = 300.0
BATCH: Final = 100


def posts(place: Site, seconds: float, rate: float) -> list[str | Path]:
    """The command that submits for so long; ``rate`` 0 is as fast as 8 clients can."""
    body = place.folder / "job.json"
    body.write_text(json.dumps(JOB))
    options: dict[str, Any] = {"port": place.port, "body": body, "rate": rate, "seconds": seconds}
    return [program("posts"), *(str(word) for name, value in options.items() for word in (f"--{name}", value))]


def beside(rate: float | None, seconds: float) -> Figures:
    """200 streams, and submissions beside them where there is a rate."""
    plan = STREAMS.lasting(seconds)
    if rate is None:
        return streaming.measure(PEERS["jobcast"], plan)
    figures = streaming.measure(PEERS["jobcast"], plan, beside=lambda place: posts(place, seconds, rate))
    return figures | {"posts": figures["accepted"] / figures["posts_wall_s"]}


def alone(seconds: float) -> Figures:
    """Submissions to an API that does nothing else."""
    with (
        streaming.stage(PEERS["jobcast"], Plan(1, 1)) as found,
        running(posts(found.site, seconds, 0), talks=True) as process,
    ):
        said: Figures = json.loads(streaming.line(process, "the poster"))
    return said | {"posts": said["accepted"] / said["wall_s"]}


def sent(way: str, seconds: float) -> Figures:
    """Messages a second of one process, by one way of sending them."""
    with site() as place:
        command = [sys.executable, "-m", "bench.sender", place.redis_url, way, str(seconds), str(BATCH)]
        with running(command, cores=SERVER_CORES, talks=True) as process:
            said: Figures = json.loads(streaming.line(process, "the sender"))
    return said


POSTED: Final[dict[str, Callable[[float], Figures]]] = {
    "jobcast, 200 streams alone": partial(beside, None),
    f"jobcast, {PACE:.0f} POST/s beside 200 streams": partial(beside, PACE),
    "jobcast, 8 clients beside 200 streams": partial(beside, 0.0),
    "jobcast, 8 clients alone": alone,
}
SENT: Final[dict[str, Callable[[float], Figures]]] = {
    "Celery's apply_async": partial(sent, "apply_async"),
    "jobcast, one by one": partial(sent, "enqueue"),
    f"jobcast, {BATCH} at a time": partial(sent, "enqueue_all"),
}
