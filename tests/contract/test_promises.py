"""Workers, API processes and readers at random, in a world of lost replies and crashes: the promises hold."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from progress.commands import Outcome
from progress.jobs import NewJob
from progress.unsynced import Unsynced
from tests.contract.promises.apis import Api
from tests.contract.promises.process import Plan, Process
from tests.contract.promises.promises import Promises
from tests.contract.promises.readers import Reader
from tests.contract.promises.sites import MemorySite, RedisSite
from tests.contract.promises.workers import Sweeper, Worker
from tests.contract.promises.world import Clock, Site, World
from tests.support.redis_server import RedisServer

CLOCK: Final = Clock()
JOBS: Final = 4
ROUNDS: Final = 60
"""More than it takes to end every job."""

ALL: Final[Plan] = ()
PLANS: Final[tuple[Plan, ...]] = (
    *(("lost",), ("unanswered",), ("later",), ("unanswered", "unanswered"), ("lost", "lost")),
    *(("answered", "later"), ("unanswered", "later"), ("answered", "unanswered", "lost"), ("answered", "lost")),
)
number = st.integers(0, 3)
plans = st.sampled_from([*(ALL,) * len(PLANS), *PLANS])
published = st.lists(st.sampled_from(["token", "token", "checkpoint", "progress"]), min_size=1, max_size=4)
outcomes = st.sampled_from(["succeeded", "failed", "retrying", "retrying", "released"])


class Machine(RuleBasedStateMachine):
    """Two API processes and two workers at a time, and what may happen to them."""

    make_site: Callable[[], Site]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.make_site(), CLOCK)
        self.promises = Promises(self.world)
        self.gone: set[str] = set()
        self.sweeper = Sweeper(self.world, self.gone)
        self.born = 0
        self.workers = [self.new_worker(), self.new_worker()]
        self.apis = [self.new_api(), self.new_api()]
        self.ids: list[str] = []

    def new_worker(self) -> Worker:
        """Starts one."""
        self.born += 1
        return Worker(self.world, f"1.{self.born}", self.gone)

    def new_api(self) -> Api:
        """Starts one."""
        self.promises.apis.append(Api(self.world))
        return self.promises.apis[-1]

    @property
    def processes(self) -> list[Process]:
        """All that live."""
        return [*self.workers, *self.apis]

    @precondition(lambda self: any(process.fibers for process in self.processes))
    @rule(number=number, plan=plans)
    def go_on(self, number: int, plan: Plan) -> None:
        """What was put off goes on."""
        waiting = [(process, thread) for process in self.processes for thread in process.fibers]
        process, thread = waiting[number % len(waiting)]
        process.go_on(thread, plan)

    @initialize()
    def submit_first(self) -> None:
        """There is a job."""
        self.submit(0, "", 3, 0, ALL)

    @rule(
        number=number,
        key=st.sampled_from(["", "", "k"]),
        most=st.integers(1, 3),
        delay_s=st.sampled_from([0, 0, 1]),
        plan=plans,
    )
    def submit(self, number: int, key: str, most: int, delay_s: float, plan: Plan) -> None:
        """A client submits another one."""
        api = self.apis[number % 2]
        if api.is_free("request") and len(self.ids) < JOBS:
            self.ids.append(f"job-{len(self.ids) + 1}")
            api.create(NewJob("k", {}, "llm", id=self.ids[-1], max_attempts=most, delay_s=delay_s), key, plan)

    @rule(number=number, job=number, plan=plans)
    def cancel(self, number: int, job: int, plan: Plan) -> None:
        """A client cancels one."""
        api = self.apis[number % 2]
        if api.is_free("request"):
            api.cancel(self.ids[job % len(self.ids)], plan)

    @rule(number=number, job=number, plan=plans)
    def delete(self, number: int, job: int, plan: Plan) -> None:
        """A client deletes one that it knows of."""
        api = self.apis[number % 2]
        known = sorted(set().union(*(one.made for one in self.promises.apis)))
        if api.is_free("request") and known:
            api.delete(known[job % len(known)], plan)

    @rule(number=number, plan=plans)
    def audit(self, number: int, plan: Plan) -> None:
        """An API process looks after itself."""
        self.apis[number % 2].audit(plan)

    @rule(number=number)
    def deafen(self, number: int) -> None:
        """An API process loses its pub/sub connection for a while."""
        self.apis[number % 2].feeds.deaf = True

    @rule(number=number)
    def kill_api(self, number: int) -> None:
        """An API process dies; another one takes its place."""
        self.apis[number % 2].die()
        self.apis[number % 2] = self.new_api()

    @rule(job=number, after=st.integers(-1, 12), exact=st.booleans())
    def follow(self, job: int, after: int, exact: bool) -> None:
        """A reader comes, with some position."""
        job_id = self.ids[job % len(self.ids)]
        numbers = [-1, 0, *self.world.seen.get(job_id, {})]
        self.promises.readers.append(Reader(job_id, numbers[(after + 1) % len(numbers)], exact=exact))

    @rule(number=number, reader=number)
    def read(self, number: int, reader: int) -> None:
        """A reader looks what there is."""
        if self.promises.readers:
            self.promises.readers[reader % len(self.promises.readers)].read(self.apis[number % 2].feeds)

    @rule(number=number, slot=number, job=number, plan=plans)
    def begin(self, number: int, slot: int, job: int, plan: Plan) -> None:
        """A message for a job arrives at a worker: at any time, for any job."""
        worker = self.workers[number % 2]
        if worker.idle:
            self.born += 1
            worker.begin(worker.idle[slot % len(worker.idle)], self.ids[job % len(self.ids)], f"w{self.born}", plan)

    @rule(number=number, slot=number, kinds=published, plan=plans)
    def publish(self, number: int, slot: int, kinds: list[str], plan: Plan) -> None:
        """A task publishes something."""
        worker = self.workers[number % 2]
        if worker.busy:
            for kind in kinds:
                worker.running[worker.busy[slot % len(worker.busy)]].publish(kind)
            worker.commit(plan)

    @rule(number=number, plan=plans)
    def commit(self, number: int, plan: Plan) -> None:
        """A worker writes what it holds."""
        self.workers[number % 2].commit(plan)

    @rule(number=number, plan=plans)
    def beat(self, number: int, plan: Plan) -> None:
        """A worker says that it lives."""
        self.workers[number % 2].beat(plan)

    @rule(number=number, slot=number, outcome=outcomes, delay_ms=st.sampled_from([0, 0, 1000]), plan=plans)
    def end(self, number: int, slot: int, outcome: Outcome, delay_ms: int, plan: Plan) -> None:
        """A task ends."""
        worker = self.workers[number % 2]
        if worker.busy:
            worker.end(worker.busy[slot % len(worker.busy)], outcome, delay_ms, plan)

    @rule(number=number)
    def stop(self, number: int) -> None:
        """A worker is told to hand back what it runs."""
        self.workers[number % 2].stop()

    @rule(number=number)
    def kill_worker(self, number: int) -> None:
        """A worker dies; another one takes its place."""
        self.workers[number % 2].die()
        self.workers[number % 2] = self.new_worker()

    @rule()
    def sweep(self) -> None:
        """Somebody sweeps; the messages that it sends may come at any time."""
        self.sweeper.sweep()

    @rule(ms=st.sampled_from([1, 100, 600, 1500, 2100, 3100]))
    def pass_time(self, ms: int) -> None:
        """Nobody does anything for a while: leases run out, delays are over, writes get to the disk."""
        self.world.pass_time(ms)

    @invariant()
    def check(self) -> None:
        """The promises hold."""
        if self.world.changed:
            self.world.changed = False
            for worker in self.workers:
                self.promises.attempts |= {attempt.name: attempt for attempt in worker.begun}
            self.promises.check()

    def teardown(self) -> None:
        """All goes well from here on, and everything comes to its end."""
        try:
            if sys.exc_info()[0] is None:
                self.finish()
        finally:
            for process in self.processes:
                process.die()
            self.world.site.close()

    def finish(self) -> None:
        """Lets those who live do what is to be done, and only what the sweeper finds."""
        for _ in range(ROUNDS):
            for process in self.processes:
                for thread in tuple(process.fibers):
                    process.go_on(thread, ALL)
            for number in range(2):
                self.audit(number, ALL)
                self.commit(number, ALL)
                self.beat(number, ALL)
                self.end(number, 0, "succeeded", 0, ALL)
            for found in self.sweeper.sweep():
                self.take(found.job_id)
            self.check()
            if self.is_quiet:
                break
            self.world.pass_time(600)
        for reader in self.promises.readers:
            while reader.read(self.apis[0].feeds):
                pass
        self.promises.check_in_the_end()

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing left to do."""
        jobs = [self.world.job(job_id) for job_id in self.ids]
        is_idle = not any(process.fibers for process in self.processes) and not any(w.running for w in self.workers)
        return is_idle and all(job is None or job.ended for job in jobs)

    def take(self, job_id: str) -> None:
        """A message reaches whoever is idle."""
        for number, worker in enumerate(self.workers):
            if worker.idle:
                self.begin(number, 0, self.ids.index(job_id), ALL)
                return


def run(make_site: Callable[[], Site], **options: Any) -> None:
    """Drives the machine on a store."""
    machine: Any = type("Promised", (Machine,), {"make_site": staticmethod(make_site)})
    with pytest.MonkeyPatch.context() as patch:
        for module in ("publisher", "committer", "claims"):
            patch.setattr(f"progress.{module}.time", CLOCK)
        for module in ("publisher", "store"):
            patch.setattr(f"progress.{module}.Unsynced", partial(Unsynced, CLOCK.monotonic))
        health = list(HealthCheck)
        run_state_machine_as_test(
            machine, settings=settings(deadline=None, database=None, suppress_health_check=health, **options)
        )


def test_the_promises_hold_on_the_twin() -> None:
    run(MemorySite, max_examples=150, stateful_step_count=50)


@pytest.mark.slow
def test_the_promises_hold_on_a_server(redis_server: RedisServer) -> None:
    # What fails here is made smaller on the twin.
    run(partial(RedisSite, redis_server), max_examples=15, stateful_step_count=50, phases=(Phase.generate,))
