"""Workers, API processes and readers at random, in a world of lost replies, deaths and crashes: the promises hold."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from progress.unsynced import Unsynced
from tests.contract.promises.families import SilentQueue
from tests.contract.promises.play import Play
from tests.contract.promises.sites import MemorySite, RedisSite
from tests.contract.promises.steps import STEPS, Step
from tests.contract.promises.world import Clock, Site
from tests.support.redis_server import RedisServer

CLOCK: Final = Clock()
# Not by `one_of`, which gives each kind of step one chance.
sequences = st.lists(st.sampled_from(STEPS).flatmap(lambda steps: steps), min_size=30, max_size=80)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of those who write; that of Redis moves with it."""
    for module in ("publisher", "healing", "committer", "claims"):
        monkeypatch.setattr(f"progress.{module}.time", CLOCK)
    monkeypatch.setattr("tasks.patience.time", CLOCK)
    monkeypatch.setattr("tasks.family.kinds", lambda: SilentQueue.kinds)
    for module in ("healing", "store"):
        monkeypatch.setattr(f"progress.{module}.Unsynced", partial(Unsynced, CLOCK.monotonic))


def play(steps: list[Step], site: Site) -> None:
    """One run."""
    playing = Play(site, CLOCK)
    try:
        for name, arguments in steps:
            getattr(playing, name)(**arguments)
            playing.check()
        playing.finish()
    finally:
        playing.close()


def play_often(make_site: Callable[[], Site], **options: Any) -> None:
    """Many runs."""

    # The same runs each time, so that a failure is one of the change at hand. PROMISES_RANDOM=1 looks for others.
    same = "PROMISES_RANDOM" not in os.environ

    @settings(deadline=None, database=None, derandomize=same, suppress_health_check=list(HealthCheck), **options)
    @given(sequences)
    def run(steps: list[Step]) -> None:
        play(steps, make_site())

    run()


@pytest.mark.slow
@pytest.mark.usefixtures("uncounted")
def test_the_promises_hold_on_the_twin() -> None:
    play_often(MemorySite, max_examples=45)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("uncounted")
def test_the_promises_hold_on_the_twin_again_and_again() -> None:
    """PROMISES_RUNS=1000 and PROMISES_RANDOM=1 for whoever has changed what is promised, and has the time."""
    play_often(MemorySite, max_examples=int(os.environ.get("PROMISES_RUNS", "125")))


@pytest.fixture(params=["memory", "redis"])
def site(request: pytest.FixtureRequest) -> Site:
    """An empty store."""
    return MemorySite() if request.param == "memory" else RedisSite(request.getfixturevalue("redis_server"))


def test_a_delete_after_a_crash_uses_no_number_that_readers_have_seen(site: Site) -> None:
    begin = ("begin", {"number": 0, "slot": 0, "job": 0, "plan": ()})
    delete = ("delete", {"number": 0, "job": 0, "plan": ()})
    play([("pass_time", {"ms": 2100}), begin, ("crash", {"lost": 1}), delete], site)


def test_a_cancel_between_a_crash_and_the_end_of_an_attempt_ends_the_job(site: Site) -> None:
    begin = ("begin", {"number": 0, "slot": 0, "job": 0, "plan": ()})
    end = ("end", {"number": 0, "outcome": "retrying", "delay_ms": 1000, "plan": ()})
    cancel = ("cancel", {"number": 0, "job": 0, "plan": ()})
    beats = ("freeze", {"beats": 8, "frozen": 2})
    play([begin, end, ("crash", {"lost": 1}), cancel, beats], site)


@pytest.mark.slow
@pytest.mark.usefixtures("uncounted")
def test_the_promises_hold_on_a_server(redis_server: RedisServer) -> None:
    # What fails here is made smaller on the twin.
    play_often(partial(RedisSite, redis_server), max_examples=10, phases=(Phase.generate,))
