"""Publishing: tokens a second of one worker process, and what a call costs the task; ours beside a script a token."""

import statistics
import time

from bench.rig import publisher, redis, running_job, spread
from progress.commands import Append
from progress.connect import RedisExecutor
from progress.events import token_drafts
from progress.publisher import Committer


def run(rounds: int, seconds: float) -> None:
    """Prints both rates and their ratio."""
    joined: list[float] = []
    single: list[float] = []
    calls: list[float] = []
    with redis() as url:
        executor = RedisExecutor(url)
        committer = Committer(executor)
        for _ in range(rounds):
            rate, call_us = through_publisher(executor, committer, seconds)
            joined.append(rate)
            calls.append(call_us)
            single.append(script_a_token(executor, seconds))
        committer.close()
        executor.close()
    print(f"    Publisher         {spread(joined)} tokens/s, {spread(calls, ' µs')} a call")
    print(f"    a script a token  {spread(single)} tokens/s")
    print(f"    ratio             {statistics.median(joined) / statistics.median(single):.1f}")


def through_publisher(executor: RedisExecutor, committer: Committer, seconds: float) -> tuple[float, float]:
    """Tokens a second until all of them are written, and microseconds that the task spent in a call."""
    write = publisher(committer, running_job(executor))
    began = time.perf_counter()
    tokens = 0
    while time.perf_counter() - began < seconds:
        for _ in range(100):
            write.token(" token")
        tokens += 100
    called = time.perf_counter() - began
    write.flush()
    return tokens / (time.perf_counter() - began), called / tokens * 1e6


def script_a_token(executor: RedisExecutor, seconds: float) -> float:
    """The same with one append a token, waited for."""
    claim = running_job(executor)
    (draft,) = token_drafts(" token")
    began = time.perf_counter()
    tokens = 0
    while time.perf_counter() - began < seconds:
        tokens += 1
        executor.run(Append(claim, tokens, 600_000, (draft,)))
    return tokens / (time.perf_counter() - began)
