"""The play: two API processes, two workers, a few jobs with readers, and the steps that may happen in any order."""

from typing import Final

from hypothesis import strategies as st

from progress.commands import Outcome
from progress.jobs import Job, NewJob
from tests.contract.promises.apis import Api
from tests.contract.promises.families import Families
from tests.contract.promises.process import Plan, Process
from tests.contract.promises.promises import Promises
from tests.contract.promises.readers import Reader
from tests.contract.promises.steps import ALL, number, outcomes, pick, plans, published, step
from tests.contract.promises.workers import Sweeper, Worker
from tests.contract.promises.world import Clock, Site, World

JOBS: Final = 2
"""At most as many live at a time."""
ROUNDS: Final = 60
"""More than it takes to end every job."""


class Play:
    """What there is, and what may happen to it."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.world = World(site, clock)
        self.promises = Promises(self.world)
        self.families = Families(self.world)
        self.world.is_told = lambda job_id: job_id in self.known
        self.world.is_child = lambda job_id: job_id in self.families.all_children
        self.gone: set[str] = set()
        self.sweeper = Sweeper(self.world, self.gone)
        self.born = 0
        self.workers = [self.new_worker(), self.new_worker()]
        self.apis = [self.new_api(), self.new_api()]
        self.ids: list[str] = []
        self.submit(0, "", 3, 0, ALL)

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

    @property
    def tasks(self) -> list[tuple[Worker, str]]:
        """Those that go on: a worker, and its slot."""
        return [(worker, slot) for worker in self.workers for slot in worker.busy]

    @step(6, number=number, plan=plans)
    def go_on(self, number: int, plan: Plan) -> None:
        """What was put off goes on."""
        if waiting := [(process, thread) for process in self.processes for thread in process.fibers]:
            process, thread = pick(waiting, number)
            process.go_on(thread, plan)

    @step(
        2,
        number=number,
        key=st.sampled_from(["", "", "k"]),
        most=st.integers(1, 3),
        delay_s=st.sampled_from([0, 0, 1]),
        plan=plans,
    )
    def submit(self, number: int, key: str, most: int, delay_s: float, plan: Plan) -> None:
        """A client submits another job."""
        api = pick(self.apis, number)
        if api.is_free("request") and sum(not job.parent for job in self.living) < JOBS:
            self.born += 1
            self.ids.append(f"job-{self.born}")
            self.promises.delays[self.ids[-1]] = delay_s
            api.create(NewJob("k", {}, "llm", id=self.ids[-1], max_attempts=most, delay_s=delay_s), key, plan)

    @step(2, number=number, job=number, plan=plans)
    def cancel(self, number: int, job: int, plan: Plan) -> None:
        """A client cancels one."""
        api = pick(self.apis, number)
        if api.is_free("request"):
            api.cancel(pick(self.ids, job), plan)

    @step(1, number=number, job=number, plan=plans)
    def delete(self, number: int, job: int, plan: Plan) -> None:
        """A client deletes one that it knows of."""
        api = pick(self.apis, number)
        if api.is_free("request") and self.named:
            api.delete(pick(self.named, job), plan)

    @property
    def known(self) -> list[str]:
        """The jobs that clients have been told of."""
        return sorted(set().union(*(one.made for one in self.promises.apis)))

    @property
    def named(self) -> list[str]:
        """Those that they know the ids of: these, and the children that there are."""
        return self.known + [child for child in self.families.all_children if self.world.job(child)]

    @step(3, number=number, plan=plans)
    def audit(self, number: int, plan: Plan) -> None:
        """An API process looks after itself."""
        pick(self.apis, number).audit(plan)

    @step(1, number=number, events=st.integers(1, 3))
    def deafen(self, number: int, events: int) -> None:
        """An API process misses what is published next."""
        pick(self.apis, number).feeds.missed = events

    @step(1, number=number)
    def kill_api(self, number: int) -> None:
        """An API process dies; another one takes its place."""
        self.apis.remove(api := pick(self.apis, number))
        self.apis.append(self.new_api())
        api.die()

    @step(2, job=number, after=st.integers(0, 12), exact=st.booleans())
    def follow(self, job: int, after: int, exact: bool) -> None:
        """A reader comes, with some position."""
        job_id = pick(self.named or [""], job)
        if job_id:
            since = pick([0, -1, *self.world.seen.get(job_id, {})], after)
            self.promises.readers.append(Reader(job_id, since, exact=exact))

    @step(5, number=number, reader=number)
    def read(self, number: int, reader: int) -> None:
        """A reader looks what there is."""
        if self.promises.readers:
            pick(self.promises.readers, reader).read(pick(self.apis, number).feeds)

    @step(8, number=number, slot=number, job=number, plan=plans)
    def begin(self, number: int, slot: int, job: int, plan: Plan) -> None:
        """A message for a job arrives at a worker: at any time, for any job, though mostly for one that waits."""
        worker = pick(self.workers, number)
        if not self.living:
            self.submit(number, "", 3, 0, ALL)
        if worker.idle:
            self.born += 1
            worker.begin(pick(worker.idle, slot), pick([*self.waiting * 4, *self.ids], job), f"w{self.born}", plan)

    @property
    def living(self) -> list[Job]:
        """The jobs that have not ended."""
        jobs = [self.world.job(job_id) for job_id in self.ids]
        return [job for job in jobs if job and not job.ended]

    @property
    def waiting(self) -> list[str]:
        """Those of them that nobody has."""
        return [job.id for job in self.living if job.status != "running" or job.waiting_for == "ready"]

    @step(10, number=number, kinds=published, plan=plans)
    def publish(self, number: int, kinds: list[str], plan: Plan) -> None:
        """A task publishes something."""
        if not self.tasks:
            self.begin(number, 0, number, ALL)
        if self.tasks:
            worker, slot = pick(self.tasks, number)
            for kind in kinds:
                worker.running[slot].publish(kind)
            worker.commit(plan)

    @step(3, number=number, plan=plans)
    def commit(self, number: int, plan: Plan) -> None:
        """A worker writes what it holds."""
        pick(self.workers, number).commit(plan)

    @step(5, number=number, plan=plans)
    def beat(self, number: int, plan: Plan) -> None:
        """A worker says that it lives."""
        pick(self.workers, number).beat(plan)

    @step(5, number=number, outcome=outcomes, delay_ms=st.sampled_from([0, 0, 1000]), plan=plans)
    def end(self, number: int, outcome: Outcome, delay_ms: int, plan: Plan) -> None:
        """A task ends."""
        if not self.tasks:
            self.begin(number, 0, number, ALL)
        if self.tasks:
            worker, slot = pick(self.tasks, number)
            worker.end(slot, outcome, delay_ms, plan)

    @step(6, number=number, count=st.sampled_from([1, 2, 2]), plan=plans)
    def gather(self, number: int, count: int, plan: Plan) -> None:
        """A task that is no child asks for children; or, run again, for the same ones."""
        asking = [(worker, slot) for worker, slot in self.tasks if not worker.running[slot].job.parent]
        if asking:
            self._gather(*pick(asking, number), count, plan)

    def _gather(self, worker: Worker, slot: str, count: int, plan: Plan) -> None:
        parent = worker.running[slot].job_id
        if parent not in self.families.sizes:
            self.families.sizes[parent] = count
            self.promises.delays |= dict.fromkeys(self.families.children(parent), 0.0)
            self.ids += self.families.children(parent)
        worker.gather(slot, self.families.sizes[parent], plan)

    @step(1, number=number)
    def stop(self, number: int) -> None:
        """A worker is told to hand back what it runs."""
        pick(self.workers, number).stop()

    @step(2, number=number)
    def kill_worker(self, number: int) -> None:
        """A worker dies; another one takes its place."""
        self.workers.remove(worker := pick(self.workers, number))
        self.workers.append(self.new_worker())
        worker.die()

    @step(4)
    def sweep(self) -> None:
        """Somebody sweeps; the messages that it sends may come at any time."""
        self.sweeper.sweep()

    @step(5, ms=st.sampled_from([1, 100, 600, 1500, 2100, 3100]))
    def pass_time(self, ms: int) -> None:
        """Nobody does anything for a while, as if Redis were away: delays are over, writes get to the disk."""
        self.world.pass_time(ms)

    @step(3, beats=st.integers(1, 9), frozen=st.integers(0, 2))
    def freeze(self, beats: int, frozen: int) -> None:
        """For some half seconds one worker is stopped, or none, and the others say that they live."""
        for _ in range(beats):
            self.world.pass_time(500)
            for at, worker in enumerate(self.workers):
                if at != frozen:
                    worker.beat(ALL)
            self.sweeper.sweep()

    @step(2, lost=st.sampled_from([0, 1, 1, 2, 3, 5, 8, 20]))
    def crash(self, lost: int) -> None:
        """Redis comes back without its last writes."""
        self.world.crash(lost)
        self.promises.note_crash()
        for api in self.apis:
            api.is_reconnected = True

    def check(self) -> None:
        """The promises hold."""
        if self.world.changed:
            self.world.changed = False
            for worker in self.workers:
                self.promises.attempts |= {(attempt.name, attempt.number): attempt for attempt in worker.begun}
            self.promises.check(self.ids)
            self.families.check()

    def finish(self) -> None:
        """All goes well from here on: everything comes to its end, and of jobs only what the sweeper finds is run."""
        for _ in range(ROUNDS):
            for process in self.processes:
                for thread in tuple(process.fibers):
                    process.go_on(thread, ALL)
            self._do_what_is_to_be_done()
            self.check()
            if self.is_quiet:
                break
            self.world.pass_time(600)
        for reader in self.promises.readers:
            while reader.read(self.apis[0].feeds):
                pass
        self.promises.check_in_the_end(self.ids)
        self.families.check_in_the_end()

    def _do_what_is_to_be_done(self) -> None:
        for api in self.apis:
            api.audit(ALL)
        for worker in self.workers:
            worker.commit(ALL)
            worker.beat(ALL)
        for worker, slot in self.tasks:
            attempt = worker.running[slot]
            if attempt.job_id in self.families.sizes and not attempt.has_gathered:
                self._gather(worker, slot, 0, ALL)
            else:
                worker.end(slot, "succeeded", 0, ALL)
        for found in self.sweeper.sweep():
            idle = [worker for worker in self.workers if worker.idle]
            if idle:
                self.born += 1
                idle[0].begin(idle[0].idle[0], found.job_id, f"w{self.born}", ALL)

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing left to do."""
        return not (self.living or self.tasks or any(process.fibers for process in self.processes))

    def close(self) -> None:
        """Ends it where it is."""
        for process in self.processes:
            process.die()
        self.world.site.close()
