"""Submitting: how long a POST takes, on an idle API and beside 200 streams."""

import asyncio
import contextlib
import statistics
import threading
import time

import httpx

from bench.relay import Counts, read, speak
from bench.rig import redis, running_job, server
from progress.connect import RedisExecutor
from progress.publisher import Committer

STREAMS = 200
RATE = 20.0


def run(rounds: int, seconds: float) -> None:
    """Prints the percentiles of both."""
    with redis() as url, contextlib.ExitStack() as stack:
        executor = RedisExecutor(url)
        stack.callback(executor.close)
        committer = Committer(executor)
        stack.callback(committer.close)
        address, _ = stack.enter_context(server(url, "jobcast"))
        jobs = [running_job(executor) for _ in range(STREAMS)]
        for _ in range(rounds):
            print(f"    idle                {asyncio.run(post_for(address, seconds))}")
            stop = threading.Event()
            speaker = threading.Thread(target=speak, args=(jobs, committer, RATE, stop))
            speaker.start()
            try:
                busy = asyncio.run(beside(address, [job.job_id for job in jobs], seconds))
                print(f"    beside {STREAMS} streams  {busy}")
            finally:
                stop.set()
                speaker.join()


async def beside(address: str, job_ids: list[str], seconds: float) -> str:
    """Posts while each job has a reader."""
    counts, ready = Counts(), asyncio.Semaphore(0)
    tasks = [asyncio.create_task(read(address, job_id, counts, ready)) for job_id in job_ids]
    for _ in tasks:
        await ready.acquire()
    try:
        return await post_for(address, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def post_for(address: str, seconds: float) -> str:
    """Posts one after the other, and says how long each took."""
    took_ms: list[float] = []
    body = {"kind": "generate", "input": {"prompt": "bench"}}
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=10) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            (await client.post("/v1/jobs", json=body)).raise_for_status()
            took_ms.append((time.perf_counter() - began) * 1000)
    marks = statistics.quantiles(took_ms, n=100)
    return f"{len(took_ms) / seconds:,.0f}/s, p50 {marks[49]:.1f} ms, p99 {marks[98]:.1f} ms"
