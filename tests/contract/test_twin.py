"""The twin and a real server, given the same commands at random, answer the same."""

import re
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progress import commands
from progress.commands import Claim, Command
from progress.connect import RedisExecutor
from progress.events import Draft, Event
from progress.figures import HISTOGRAMS, Figures
from progress.jobs import Job, NewJob
from progress.testing import Memory
from tests.support.backend import ERROR
from tests.support.redis_server import RedisServer

IDS = ("job-1", "job-2", "job-3")
LIFETIMES = commands.Lifetimes(1000, 1000, max_events=10)
# Times that are over at once, or never within a test: no answer depends on how fast it runs.
AGE_MS = (0, 600_000)

ids = st.sampled_from([*IDS, *IDS[:1] * 10, "nope"])
# 0 becomes the attempt that there is, or the number that is next: random ones are refused nearly always.
numbers = st.sampled_from([0] * 9 + [1, 2, 3])
machines = st.sampled_from(["m", "m", "m", "n", ""])
processes = st.sampled_from(["1.1", "1.2"])
outcomes = st.sampled_from(["retrying", "retrying", "released", "succeeded", "failed", "cancelled"])
claims = st.builds(commands.Claim, ids, numbers, st.sampled_from(["", "", "", "", "other"]))
drafts = st.one_of(
    st.builds(lambda text: Draft.of("token", text=text), st.text(max_size=5)),
    st.builds(lambda part: Draft.of("progress", fraction=part), st.floats(0, 1)),
    st.builds(lambda state: Draft("checkpoint", str(state)), st.integers(0, 9)),
)


def new_jobs() -> st.SearchStrategy[NewJob]:
    return st.builds(
        NewJob,
        kind=st.sampled_from(["generate", "score"]),
        input=st.just({}),
        queue=st.sampled_from(["llm", "cpu"]),
        id=st.sampled_from([*IDS[:1] * 3, *IDS]),
        priority=st.integers(0, 9),
        delay_s=st.sampled_from([0, 0, 600]),
        max_attempts=st.integers(1, 3),
    )


creations = st.builds(
    commands.CreateJob, new_jobs(), st.just(LIFETIMES), st.sampled_from(["", "k"]), st.sampled_from(["f", "g"])
)
attempts: st.SearchStrategy[Command[Any]] = st.one_of(
    st.builds(
        commands.BeginAttempt,
        *(ids, st.just("w"), st.sampled_from(AGE_MS), st.sampled_from("abcdefgh")),
        *(machines, processes, st.none()),
        st.sampled_from([(), (), (("generate", 1),)]),
    ),
    st.builds(
        commands.Append,
        *(claims, numbers, st.sampled_from(AGE_MS)),
        st.lists(drafts, max_size=8).map(tuple),
        st.sampled_from(["", '{"fraction":1}']),
    ),
    st.builds(
        commands.FinishAttempt,
        *(
            claims,
            numbers,
            outcomes,
        ),
        st.just(ERROR),
        st.sampled_from([0, 0, *AGE_MS]),
    ),
)
others: st.SearchStrategy[Command[Any]] = st.one_of(
    creations,
    st.builds(commands.Heartbeat, st.sampled_from(AGE_MS), st.lists(st.tuples(claims, numbers), max_size=3).map(tuple)),
    st.builds(commands.CancelJob, ids, st.text(max_size=3)),
    st.builds(commands.DeleteJob, ids),
    st.builds(
        commands.ListJobs,
        st.sampled_from(["", "generate"]),
        st.sampled_from(["", "queued", "running", "retrying", "failed"]),
        st.sampled_from(["", *IDS]),
        st.integers(1, 3),
    ),
    st.builds(commands.Sweep, st.sampled_from(["a", "a", "b"]), st.just(10_000), st.just(100)),
    st.builds(commands.Bury, machines, st.lists(processes, max_size=2).map(tuple)),
    st.builds(commands.LongWaiting, st.sampled_from(["llm", "cpu"]), st.sampled_from(AGE_MS), st.booleans()),
    st.builds(commands.Age, st.sampled_from(["llm", "cpu"]), st.sampled_from(AGE_MS)),
    st.builds(commands.WorkerSeen, st.just("w"), st.lists(st.sampled_from(["llm", "cpu"]), max_size=2).map(tuple)),
    st.just(commands.ReadHealth(("llm", "cpu"))),
    st.just(commands.ReadFigures(("generate",))),
    st.builds(commands.ReadLog, ids, st.integers(-1, 20), st.integers(0, 20)),
    st.just(commands.ReadHeads((*IDS, "nope"))),
    st.builds(commands.Watched, st.lists(ids, max_size=2).map(tuple), st.just(60_000)),
)
looks = st.builds(commands.ReadJob, ids)


def is_runnable(command: commands.CreateJob) -> bool:
    return command.job.id == IDS[0] and not command.job.delay_s and command.job.max_attempts > 1


# A job first, then what attempts do to it more often than the rest. Not by `one_of`, which gives each leaf one chance.
steps = st.sampled_from([*(attempts,) * 6, *(looks,) * 2, others]).flatmap(lambda kind: kind)
sequences = st.builds(
    lambda first, rest: [first, *rest], creations.filter(is_runnable), st.lists(steps, min_size=20, max_size=60)
)

LOOKS: tuple[Command[Any], ...] = (
    *map(commands.ReadJob, IDS),
    *(commands.ReadLog(job_id, 0) for job_id in IDS),
    *map(commands.Holders, "mn"),
    commands.ReadFigures(("generate", "score")),
)
STAMPS = ("at", "granted")
MOMENTS = ("created_at", "started_at", "finished_at", "due_at")


def without_sizes(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts with all sizes of a histogram together, and no speeds: how long things took differs."""
    places = (field.split(" ") for field in counts)
    whole = {(name, kind): name in HISTOGRAMS for name, kind, _ in places}
    found = Figures(counts)
    return {
        f"{name} {kind}": found.histogram(name, kind).count if sized else sum(found.labelled(name, kind).values())
        for (name, kind), sized in whole.items()
        if name != "speed"
    }


def timeless(value: Any) -> Any:
    """A reply without the moments in it, which differ between two stores."""
    match value:
        case Job():
            # Jobs that enter a queue in one millisecond stand in the order of their ids, else in that of time.
            shown = {name: getattr(value, name) for name in Job.__slots__}
            return shown | {name: bool(shown[name]) for name in (*MOMENTS, "queue_position", "queue_score")}
        case Event():
            return re.sub(rb'"at":"[^"]*"', b"", value.raw)
        case list():
            return [timeless(part) for part in value]
        case commands.Counted():
            return [without_sizes(value.ever), without_sizes(value.recent), value.jobs, value.delayed]
        case _ if is_dataclass(value):
            return {name: timeless(part) for name, part in vars(value).items() if name not in STAMPS}
    return value


def shown(command: Command[Any], reply: Any) -> Any:
    """What of a reply must be the same: all but moments, and the order of what was found in one millisecond."""
    if isinstance(command, commands.Sweep | commands.Age | commands.LongWaiting | commands.Bury | commands.Holders):
        return reply and set(reply)
    return timeless(reply)


def aimed(command: Command[Any], memory: Memory) -> Command[Any]:
    """A write with the claim and the numbers that a worker would give it."""
    match command:
        case commands.Append() | commands.FinishAttempt():
            claim, last = aimed_claim(command.claim, memory)
            return replace(command, claim=claim, number=command.number or last + 1)
        case commands.Heartbeat():
            pairs = ((aimed_claim(claim, memory), number) for claim, number in command.attempts)
            return replace(command, attempts=tuple((claim, number or last) for (claim, last), number in pairs))
    return command


def aimed_claim(claim: Claim, memory: Memory) -> tuple[Claim, int]:
    """The claim that holds the job, unless another one was drawn; and the number of its last append."""
    record = memory.space.jobs.get(claim.job_id, {"attempt": "1", "append_number": "0"})
    attempt = claim.attempt or int(record["attempt"])
    return Claim(claim.job_id, attempt, claim.token or record.get("claim", "")), int(record["append_number"])


@settings(
    max_examples=100,
    deadline=None,
    # Each example flushes the server and makes its own twin.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.slow
@given(sequences)
def test_the_twin_answers_like_a_real_server(
    executor: RedisExecutor, redis_server: RedisServer, sequence: list[Command[Any]]
) -> None:
    redis_server.command("FLUSHALL")
    memory = Memory()
    twin = memory.executor
    for drawn in (*sequence, *LOOKS):
        command = aimed(drawn, memory)
        assert shown(command, twin.run(command)) == shown(command, executor.run(command)), command
