"""`python -m bench.speaker`: a worker's write end in a process of its own, which publishes stamped tokens to its jobs.

It makes the jobs and claims them as a worker does, says their ids as a line of JSON, and begins at a line on its
standard input. At the end it says as JSON what it has published.
"""

import argparse
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from progress import collector
from progress.claims import Claims
from progress.commands import CreateJob, Lifetimes
from progress.connect import RedisExecutor
from progress.holder import Holder
from progress.jobs import NewJob
from progress.publisher import Committer, Publisher
from progress.settings import Settings

LEASE_MS = 600_000
AT_ONCE = 512
TICK_S, IDLE_S = 0.000_25, 0.000_1


class Speaker:
    """Some running jobs, and the number of the next token of each."""

    def __init__(self, options: argparse.Namespace) -> None:
        settings = Settings(redis_url=options.redis)
        self.executor = RedisExecutor(options.redis)
        self.committer = Committer(self.executor)
        flush_ms = settings.flush_ms if options.flush_ms is None else options.flush_ms
        kept = Lifetimes(settings.events_ttl_s, settings.result_ttl_s, settings.max_events)
        # No worker sweeps here, and none beats: a lease as long as any measurement.
        claims = Claims(self.executor, lease_ms=LEASE_MS, holder=Holder.here())
        self.publishers = [self._begin(claims, kept, flush_ms) for _ in range(options.jobs)]
        self.numbers = [0] * options.jobs
        self.pad = "x" * options.size
        self.sent = 0
        collector.spare()

    def _begin(self, claims: Claims, kept: Lifetimes, flush_ms: int) -> Publisher:
        job = NewJob("generate", {"prompt": "bench"}, "llm")
        self.executor.run(CreateJob(job, kept))
        begun = claims.begin(job.id, "bench")
        assert begun.claim is not None
        return Publisher(self.committer, begun.claim, lease_ms=LEASE_MS, flush_ms=flush_ms, begun=begun.again)

    def say(self) -> None:
        """One token to the next job in turn."""
        at = self.sent % len(self.publishers)
        self.publishers[at].token(f"~{self.numbers[at]},{time.monotonic_ns()};{self.pad}")
        self.numbers[at] += 1
        self.sent += 1

    def flush(self) -> None:
        """Returns once all is written."""
        for publisher in self.publishers:
            publisher.flush(60)

    def close(self) -> None:
        """Ends the thread and the connections."""
        self.committer.close()
        self.executor.close()


def at_a_rate(speaker: Speaker, rate: float, seconds: float) -> None:
    """``rate`` tokens a second to each job, spread evenly."""
    step, began = 1 / (rate * len(speaker.publishers)), time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed / step) + 1
        for _ in range(min(due - speaker.sent, AT_ONCE)):
            speaker.say()
        wait = speaker.sent * step - (time.monotonic() - began)
        time.sleep(max(wait, TICK_S if len(speaker.publishers) > 1 else 0.0))


def in_a_loop(speaker: Speaker, window: int, arrived: Callable[[], float], seconds: float) -> None:
    """As fast as they arrive: at most ``window`` tokens a job are under way."""
    allowed, until, before = window * len(speaker.publishers), time.monotonic() + seconds, arrived()
    while time.monotonic() < until:
        room = int(arrived() - before) + allowed - speaker.sent
        for _ in range(min(room, AT_ONCE)):
            speaker.say()
        if room <= 0:
            time.sleep(IDLE_S)


def one_event_each(speaker: Speaker, count: int) -> None:
    """``count`` tokens a job, each an event of its own in the log."""
    for _ in range(count * len(speaker.publishers)):
        speaker.say()
        speaker.flush()


def credit(path: Path, fan: float) -> Callable[[], float]:
    """Tokens that have arrived at all of a stream's readers, from the file in which the readers count."""
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 4096)
    return lambda: float(struct.unpack_from("Q", shared)[0] / fan)


def main() -> int:
    """Does what its options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--fan", type=float, default=1.0)
    parser.add_argument("--credit", type=Path)
    parser.add_argument("--flush-ms", type=int)
    options = parser.parse_args()
    speaker = Speaker(options)
    print(json.dumps([publisher.job_id for publisher in speaker.publishers]), flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    if options.count:
        one_event_each(speaker, options.count)
    elif options.rate:
        at_a_rate(speaker, options.rate, options.seconds)
    else:
        in_a_loop(speaker, options.window, credit(options.credit, options.fan), options.seconds)
    speaker.flush()
    wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    print(json.dumps({"sent": speaker.sent, "wall_s": wall_s, "cpu_s": cpu_s}), flush=True)
    speaker.close()
    return 0


if __name__ == "__main__":
    # Threads that wait for Redis would hold a measurement that was given up.
    status = main()
    sys.stdout.flush()
    os._exit(status)
