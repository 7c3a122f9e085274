"""`python -m bench.publisher REDIS WAY SECONDS`: publishes tokens as fast as it goes, and says what that took.

Ways: ``joined`` is a worker's Publisher; ``script`` waits for an append a token; ``pipeline`` is XADD and PUBLISH in
one round trip a token; ``publish`` is PUBLISH alone.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace

import redis

from bench.percentiles import percentile
from bench.speaker import LEASE_MS, Speaker
from progress.commands import Append
from progress.events import token_drafts

TEXT = " token"
SAMPLED = 16
"""One call in so many is timed by itself."""


def joined(speaker: Speaker) -> Callable[[], None]:
    """As a worker publishes."""
    publisher = speaker.publishers[0]
    return lambda: publisher.token(TEXT)


def script(speaker: Speaker) -> Callable[[], None]:
    """One append a token, waited for."""
    claim = speaker.publishers[0].claim
    append = Append(claim, 0, LEASE_MS, tuple(token_drafts(TEXT)))

    def call() -> None:
        nonlocal append
        append = replace(append, number=append.number + 1)
        speaker.executor.run(append)

    return call


def plain(url: str, *, kept: bool) -> Callable[[], None]:
    """What tutorials do, without a fence: an entry and a message, or a message alone."""
    client = redis.Redis.from_url(url)

    def call() -> None:
        pipe = client.pipeline(transaction=False)
        if kept:
            pipe.xadd("bench:log", {"e": TEXT}, maxlen=100_000, approximate=True)
        pipe.publish("bench:live", TEXT)
        pipe.execute()

    return call


def main() -> int:
    """Publishes for a while."""
    url, way, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    speaker = Speaker(Namespace(redis=url, jobs=1, size=0, flush_ms=None))
    ways: dict[str, Callable[[], Callable[[], None]]] = {
        "joined": lambda: joined(speaker),
        "script": lambda: script(speaker),
        "pipeline": lambda: plain(url, kept=True),
        "publish": lambda: plain(url, kept=False),
    }
    call, took_us, tokens = ways[way](), list[float](), 0
    cpu, began = time.process_time(), time.perf_counter()
    while (at := time.perf_counter()) - began < seconds:
        call()
        took_us.append((time.perf_counter() - at) * 1e6)
        for _ in range(SAMPLED - 1):
            call()
        tokens += SAMPLED
    speaker.flush()
    wall = time.perf_counter() - began
    figures = {
        "tokens": tokens,
        "wall_s": wall,
        "rate": tokens / wall,
        "cpu_us": (time.process_time() - cpu) / tokens * 1e6,
    }
    calls = {f"call_p{share}_us": percentile(took_us, share) for share in (50, 99)}
    print(json.dumps(figures | calls), flush=True)
    sys.stdin.readline()
    speaker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
