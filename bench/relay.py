"""Relaying: CPU time per million deliveries and latency, ours beside two designs of tutorials, by turns."""

import asyncio
import re
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.rig import cpu_s, publisher, redis, running_job, server, spread
from progress.commands import Claim
from progress.connect import RedisExecutor
from progress.publisher import Committer

DESIGNS = ("jobcast", "shared", "per_client")
STAMP = re.compile(rb"t=(\d+);")
SCENARIOS = {
    "fan-out, 1 job × 300 readers × 50/s": (1, 300, 50),
    "one-to-one, 150 jobs × 1 reader × 20/s": (150, 1, 20),
}


@dataclass
class Counts:
    """What the readers of one measurement got."""

    deliveries: int = 0
    latencies_ms: list[float] = field(default_factory=list)


async def read(url: str, job_id: str, counts: Counts, ready: asyncio.Semaphore) -> None:
    """One reader: counts deliveries and how old each is."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET /v1/jobs/{job_id}/events?after=-1 HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        ready.release()
        while data := await reader.read(65536):
            now = time.monotonic_ns()
            stamps = STAMP.findall(data)
            counts.deliveries += len(stamps)
            counts.latencies_ms += [(now - int(stamp)) / 1e6 for stamp in stamps[:1]]
    finally:
        writer.close()


def speak(jobs: Sequence[Claim], committer: Committer, rate: float, stop: threading.Event) -> None:
    """Publishes to every job ``rate`` times a second, spread evenly."""
    publishers = [publisher(committer, claim, flush_ms=0) for claim in jobs]
    step, due, at = 1 / (rate * len(jobs)), time.monotonic(), 0
    while not stop.is_set():
        publishers[at % len(jobs)].token(f"t={time.monotonic_ns()};")
        at += 1
        due += step
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)


async def measure(
    url: str, pid: int, plan: tuple[Sequence[Claim], int, float, float], committer: Committer
) -> list[float]:
    """CPU seconds per million deliveries, share delivered, median and 99th percentile of latency in ms."""
    jobs, readers, rate, seconds = plan
    counts, ready, stop = Counts(), asyncio.Semaphore(0), threading.Event()
    tasks = [asyncio.create_task(read(url, job.job_id, counts, ready)) for job in jobs for _ in range(readers)]
    for _ in tasks:
        await ready.acquire()
    speaker = threading.Thread(target=speak, args=(jobs, committer, rate, stop))
    speaker.start()
    await asyncio.sleep(0.5)
    before, cpu, began = counts.deliveries, cpu_s(pid), time.monotonic()
    counts.latencies_ms.clear()
    await asyncio.sleep(seconds)
    made, used, took = counts.deliveries - before, cpu_s(pid) - cpu, time.monotonic() - began
    stop.set()
    speaker.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    marks = statistics.quantiles(counts.latencies_ms, n=100)
    return [used / made * 1e6, made / (len(tasks) * rate * took), marks[49], marks[98]]


def run(rounds: int, seconds: float) -> None:
    """Prints a table a scenario."""
    for name, (jobs, readers, rate) in SCENARIOS.items():
        print(f"  {name}")
        figures: dict[str, list[list[float]]] = {design: [] for design in DESIGNS}
        for _ in range(rounds):
            for design in DESIGNS:
                figures[design].append(one(design, jobs, readers, rate, seconds))
        ours = statistics.median(row[0] for row in figures["jobcast"])
        for design, rows in figures.items():
            cpu, share, p50, p99 = (list(column) for column in zip(*rows, strict=True))
            ratio = statistics.median(cpu) / ours
            print(
                f"    {design:<11} CPU s per million {spread(cpu)}, {ratio:.1f} × ours; "
                f"delivered {min(share):.0%}; latency p50 {spread(p50, ' ms')}, p99 {spread(p99, ' ms')}"
            )


def one(design: str, jobs: int, readers: int, rate: float, seconds: float) -> list[float]:
    """One measurement of one design, on a Redis and a server of its own."""
    with redis() as url:
        executor = RedisExecutor(url)
        committer = Committer(executor)
        try:
            running = [running_job(executor) for _ in range(jobs)]
            with server(url, design) as (address, pid):
                return asyncio.run(measure(address, pid, (running, readers, rate, seconds), committer))
        finally:
            committer.close()
            executor.close()
