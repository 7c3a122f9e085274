"""Publishing: tokens a second of one worker process, what a call costs its task, and what a token costs Redis."""

import json
import sys
from functools import partial
from typing import Final

from bench.processes import SERVER_CORES, cpu_s, running
from bench.site import site
from bench.streaming import Figures, line

WAYS: Final = {
    "jobcast, the Publisher": "joined",
    "a script a token": "script",
    "XADD and PUBLISH a token": "pipeline",
    "PUBLISH a token, no log": "publish",
}


def published(way: str, seconds: float) -> Figures:
    """One way, for so long."""
    with site() as place:
        command = [sys.executable, "-m", "bench.publisher", place.redis_url, way, str(seconds)]
        before = cpu_s([place.redis_pid])
        with running(command, cores=SERVER_CORES, talks=True) as process:
            said: Figures = json.loads(line(process, "the publisher"))
            used = cpu_s([place.redis_pid]) - before
    return said | {"redis_us": used / said["tokens"] * 1e6}


VARIANTS: Final = {name: partial(published, way) for name, way in WAYS.items()}
