"""What the contract suite runs on: the twin or a real server, with the few things it does to both."""

import pickle
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import redis

from progress import commands, keys
from progress.commands import Appended, Begun, FinishAttempt, Finished, Lifetimes, LogPage
from progress.connect import Executor, RedisExecutor
from progress.events import Draft, encode_json
from progress.jobs import Job, NewJob
from progress.testing import Memory
from tests.support.redis_server import RedisServer

R = TypeVar("R")
LEASE_MS = 60_000
LIFETIMES = Lifetimes(events_ttl_s=60, result_ttl_s=120, max_events=100_000)
ERROR = '{"code":"e","message":"m","retryable":true}'


class Backend:
    """Commands in short form. ``name`` is ``memory`` or ``redis``."""

    def __init__(
        self,
        name: str,
        executor: Executor,
        pass_time: Callable[[int], None],
        save: Callable[[], Callable[[], None]],
        settle: Callable[[], object],
    ) -> None:
        self.name = name
        self.executor = executor
        self.pass_time = pass_time
        self._settle = settle
        self.save = save
        """Notes what is on disk; what it returns brings that back, as a crash does, on what seems another server."""
        self._claims: dict[tuple[str, int], commands.Claim] = {}

    def run(self, command: commands.Command[R]) -> R:
        """Runs a command."""
        return self.executor.run(command)

    def create(self, kind: str = "generate", *, lifetimes: Lifetimes = LIFETIMES, **fields: Any) -> str:
        """Makes a job and gives its id."""
        new = NewJob(kind, fields.pop("input", {}), fields.pop("queue", "llm"), **fields)
        return self.run(commands.CreateJob(new, lifetimes)).job_id

    def begin(self, job_id: str, *, lease_ms: int = LEASE_MS, worker: str = "w", **more: Any) -> Begun:
        """Claims a job."""
        begun = self.run(commands.BeginAttempt(job_id, worker, lease_ms, **more))
        if begun.claim:
            self._claims[job_id, begun.claim.attempt] = begun.claim
        return begun

    def started(self, *, lease_ms: int = LEASE_MS, **fields: Any) -> str:
        """Makes a job and begins its first attempt."""
        job_id = self.create(**fields)
        assert self.begin(job_id, lease_ms=lease_ms).answer == "ok"
        return job_id

    def append(self, job_id: str, number: int, *drafts: Draft, attempt: int = 1, **more: Any) -> Appended:
        """Appends to the log."""
        claim = self.claim(job_id, attempt)
        return self.run(commands.Append(claim, number, more.pop("lease_ms", LEASE_MS), drafts, **more))

    def claim(self, job_id: str, attempt: int = 1) -> commands.Claim:
        """The right to write that ``begin`` was given."""
        return self._claims.get((job_id, attempt), commands.Claim(job_id, attempt, "none"))

    def finish(self, job_id: str, number: int, outcome: commands.Outcome, value: str = "", **more: Any) -> Finished:
        """Ends an attempt."""
        claim = self.claim(job_id, more.pop("attempt", 1))
        return self.run(FinishAttempt(claim, number, outcome, value, **more))

    def ended(self, outcome: commands.Outcome = "succeeded", value: str = "1", **fields: Any) -> str:
        """Makes a job that has ended."""
        job_id = self.started(**fields)
        self.finish(job_id, 1, outcome, value)
        return job_id

    def cancel(self, job_id: str, reason: str = "requested") -> str:
        """Asks for a job's end."""
        return self.run(commands.CancelJob(job_id, reason)).answer

    def settle(self) -> None:
        """Passes the time that holders have, after a crash, to write again."""
        self.run(commands.Heartbeat(LEASE_MS, ()))
        self._settle()

    def read(self, job_id: str) -> Job:
        """A job that is there."""
        job = self.run(commands.ReadJob(job_id))
        assert job is not None
        return job

    def log(self, job_id: str, after: int = 0) -> LogPage:
        """What stands in a log."""
        return self.run(commands.ReadLog(job_id, after))

    def shown(self, job_id: str, after: int = 0) -> list[tuple[int, str, int]]:
        """Number, type and attempt of each event."""
        return [(event.seq, event.type, event.attempt) for event in self.log(job_id, after).events]

    def last(self, job_id: str) -> dict[str, Any]:
        """The last event, decoded."""
        return self.log(job_id).events[-1].data

    def swept(self, worker: str = "w") -> list[str] | None:
        """The ids that a sweep finds."""
        found = self.run(commands.Sweep(worker, 10_000))
        return None if found is None else [waiting.job_id for waiting in found]


def token(text: str = "t") -> Draft:
    """A token to append."""
    return Draft.of("token", text=text)


def checkpoint(state: Any) -> Draft:
    """A checkpoint to append."""
    return Draft("checkpoint", encode_json(state))


def on_memory(memory: Memory | None = None) -> Backend:
    """A twin, a fresh one unless it is given."""
    memory = memory or Memory()
    return Backend(
        "memory",
        memory.executor,
        memory.advance,
        lambda: saved(memory),
        lambda: memory.advance(keys.SETTLE_MS),
    )


def saved(memory: Memory) -> Callable[[], None]:
    """See Backend.save."""
    # A good deal faster than a deep copy.
    kept = pickle.dumps({name: value for name, value in vars(memory.space).items() if not callable(value)})

    def crash() -> None:
        vars(memory.space).update(pickle.loads(kept), run_id=f"{int(memory.space.run_id) + 1:08}")  # noqa: S301  # made above

    return crash


def on_redis(executor: RedisExecutor, server: RedisServer) -> Backend:
    """A real server, which a fixture has flushed."""

    def pass_time(ms: int) -> None:
        until = _time_ms(server.own) + ms
        while _time_ms(server.own) < until:
            time.sleep(0.001)

    # It goes by itself after keys.SETTLE_MS.
    return Backend(
        "redis", executor, pass_time, partial(saved_on, server), lambda: server.command("DEL", keys.UNSETTLED)
    )


def saved_on(server: RedisServer) -> Callable[[], None]:
    """See Backend.save."""
    names = list(server.own.scan_iter(count=1_000))
    pipe = server.own.pipeline()
    for name in names:
        pipe.pttl(name)
        pipe.dump(name)
    found = pipe.execute()
    kept = [(name, max(ttl_ms, 0), value) for name, ttl_ms, value in zip(names, found[::2], found[1::2], strict=True)]

    def crash() -> None:
        pipe = server.own.pipeline()
        pipe.flushall()
        for name, ttl_ms, value in kept:
            pipe.restore(name, ttl_ms, value)
        pipe.set(keys.SERVER, "00000000")
        for name, _, _ in kept:
            if name.startswith(keys.JOB.encode()):
                pipe.hset(name, "server", "00000000")
        pipe.execute()

    return crash


def _time_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def keys_without_ttl(server: RedisServer) -> set[str]:
    """Keys that would stay for ever, without the prefix."""
    found = {key.decode() for key in server.own.scan_iter() if server.own.ttl(key) < 0}
    return {key.removeprefix(keys.PREFIX) for key in found}
