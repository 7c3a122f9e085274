"""Groups: jobs that are counted together, and the job that waits for them."""

from progress import keys
from progress.commands import CancelJob, FinishAttempt, Heartbeat, Members, OpenGroup, Outcome, ReadGroup
from progress.commands.groups import Group
from progress.jobs import uuid7
from tests.support.backend import ERROR, LEASE_MS, Backend, checkpoint, on_memory, token

STATES = {"queued": 0, "running": 0, "retrying": 0, "succeeded": 0, "failed": 0, "cancelled": 0}


class Family:
    """A job that has made some children, and may wait for them."""

    def __init__(self, backend: Backend, count: int = 2) -> None:
        self.backend = backend
        self.parent = backend.started(kind="workflow", max_attempts=1)
        backend.append(self.parent, 1, token("kept"), checkpoint({"step": 1}))
        self.group = f"{self.parent}.images"
        self.open(count)
        self.children = [self.child(index) for index in range(count)]

    def open(self, count: int, adopt: str = "") -> None:
        """Says how many there will be."""
        command = OpenGroup(self.group, count, "all", 60, self.parent, "images", base=0.5, span=0.25, adopt=adopt)
        self.backend.run(command)

    def child(self, index: int) -> str:
        """Makes one."""
        return self.backend.create(kind="image", group=self.group, member=index, parent=self.parent)

    def wait(self) -> str:
        """Ends the parent's attempt so that it goes on after them."""
        return self.backend.finish(self.parent, 2, "waiting", self.group).answer

    @property
    def now(self) -> Group:
        """How the group is."""
        return group(self.backend, self.group)


def group(backend: Backend, group_id: str, known: int = 0) -> Group:
    found = backend.run(ReadGroup(group_id, known))
    assert found is not None
    return found


def test_a_group_counts_its_jobs_by_their_status(backend: Backend) -> None:
    family = Family(backend, 3)
    one, other, third = family.children
    assert family.now.states == STATES | {"queued": 3}
    for job_id in (one, other):
        backend.begin(job_id)
    assert family.now.states == STATES | {"queued": 1, "running": 2}
    backend.finish(one, 1, "succeeded", "1")
    backend.finish(other, 1, "retrying", ERROR)
    backend.cancel(third)
    now = family.now
    assert now.states == STATES | {"succeeded": 1, "retrying": 1, "cancelled": 1}
    assert (now.expected, now.total, now.ended, now.finished_at) == (3, 3, 2, None)
    backend.begin(other)
    backend.finish(other, 1, "failed", ERROR, attempt=2)
    now = family.now
    assert (now.ended, now.finished_at is None) == (3, False)
    assert [failure["job"] for failure in now.failures] == [other]
    assert now.failures[0] == {"job": other, "kind": "image", "error": {"code": "e", "message": "m", "retryable": True}}
    assert group(backend, family.group, known=1).failures == ()


def test_each_change_has_a_revision(backend: Backend) -> None:
    family = Family(backend, 1)
    before = family.now.revision
    backend.begin(family.children[0])
    assert family.now.revision == before + 1


def test_a_growth_that_is_sent_twice_counts_once(backend: Backend) -> None:
    group_id = uuid7()
    for call in ("a", "a", "b"):
        backend.run(OpenGroup(group_id, 5, call, 60))
    assert group(backend, group_id).expected == 10


def test_a_job_that_is_made_twice_counts_once(backend: Backend) -> None:
    family = Family(backend, 1)
    backend.create(kind="image", id=family.children[0], group=family.group, parent=family.parent)
    assert (family.now.total, family.now.states["queued"]) == (1, 1)


def test_there_is_no_group_that_nobody_opened(backend: Backend) -> None:
    assert backend.run(ReadGroup(uuid7())) is None
    assert backend.run(Members(uuid7())) == []


def test_members_come_in_their_order(backend: Backend) -> None:
    family = Family(backend, 12)
    found = backend.run(Members(family.group, 9, 2, beside=family.parent))
    assert [(place, job and job.id) for place, job in found] == [(9, family.children[9]), (10, family.children[10])]
    job = found[0][1]
    assert job is not None
    assert (job.group, job.parent, job.member, job.status) == (family.group, family.parent, 9, "queued")


def test_a_job_that_waits_runs_on_and_is_held_by_nobody(backend: Backend) -> None:
    family = Family(backend)
    assert family.wait() == "waiting"
    job = backend.read(family.parent)
    assert (job.status, job.waiting_for) == ("running", family.group)
    assert backend.begin(family.parent).answer == "early"
    backend.pass_time(5)
    assert backend.swept() == []


def test_a_worker_that_lets_a_job_wait_holds_it_no_more(backend: Backend) -> None:
    family = Family(backend)
    family.wait()
    claim = backend.claim(family.parent)
    assert backend.run(Heartbeat(LEASE_MS, ((claim, 2),))) == ["stale"]
    assert backend.append(family.parent, 3, token()).answer == "stale"
    assert family.wait() == "waiting", "a reply that was lost"


def test_the_last_child_to_end_wakes_it(backend: Backend) -> None:
    family = Family(backend)
    family.wait()
    for job_id in family.children:
        assert backend.begin(family.parent).answer == "early"
        backend.begin(job_id)
        backend.finish(job_id, 1, "succeeded", "1")
    assert backend.swept() == [family.parent]
    begun = backend.begin(family.parent)
    assert begun.job is not None
    assert (begun.answer, begun.job.attempt, begun.job.handed_back, begun.job.waiting_for) == ("ok", 2, 1, None)
    started = backend.last(family.parent)
    assert (started["type"], started["rollback_to"]) == ("started", 3)
    assert backend.append(family.parent, 1, token(), attempt=2).answer == "ok"
    assert backend.finish(family.parent, 2, "succeeded", "1", attempt=2).answer == "succeeded"


def test_its_log_tells_of_each_child(backend: Backend) -> None:
    family = Family(backend)
    family.wait()
    one = family.children[0]
    backend.begin(one)
    backend.finish(one, 1, "failed", ERROR)
    told = [event.data for event in backend.log(family.parent, 3).events]
    assert [event["child"] for event in told] == [
        {"job": one, "kind": "image", "status": status, "index": 0} for status in ("running", "failed")
    ]
    last = told[-1]
    assert (last["fraction"], last["step"], last["current"], last["total"]) == (0.625, "images", 1, 2)
    assert last["children"] == STATES | {"queued": 1, "failed": 1}
    assert backend.read(family.parent).progress == {"fraction": 0.625, "step": "images", "current": 1, "total": 2}


def test_of_a_large_group_it_tells_now_and_then(backend: Backend) -> None:
    family = Family(backend, 120)
    family.wait()
    for job_id in family.children:
        backend.begin(job_id)
    assert len(backend.log(family.parent, 3).events) < 60


def test_one_whose_children_have_all_ended_before_it_waits_is_woken_at_once(backend: Backend) -> None:
    family = Family(backend, 1)
    backend.begin(family.children[0])
    backend.finish(family.children[0], 1, "succeeded", "1")
    family.wait()
    assert backend.swept() == [family.parent]
    assert backend.begin(family.parent).answer == "ok"


def test_of_what_was_before_it_waited_its_log_is_told_then(backend: Backend) -> None:
    family = Family(backend, 3)
    one, other, _ = family.children
    backend.begin(one)
    backend.finish(one, 1, "succeeded", "1")
    backend.begin(other)
    family.wait()
    told = [event.data["child"] for event in backend.log(family.parent, 3).events]
    assert [(child["job"], child["status"]) for child in told] == [(one, "succeeded"), (other, "running")]


def test_one_whose_children_are_lost_is_woken_to_make_them_again(backend: Backend) -> None:
    family = Family(backend, 1)
    family.open(1)
    backend.run(OpenGroup(family.group, 1, "more", 60, family.parent, "images"))
    family.wait()
    assert backend.swept() == [family.parent]


def test_one_that_waits_is_cancelled_at_once_and_its_children_after_it(backend: Backend) -> None:
    family = Family(backend, 3)
    backend.begin(family.children[0])
    family.wait()
    assert backend.cancel(family.parent) == "cancelled"
    assert backend.read(family.parent).status == "cancelled"
    backend.swept()
    statuses = [backend.read(job_id).status for job_id in family.children]
    assert statuses == ["running", "cancelled", "cancelled"]
    assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(family.children[0]), 0),))) == ["cancel"]
    assert backend.last(family.children[1])["reason"] == "parent ended"
    assert backend.run(CancelJob(family.parent)).answer == "again"


def test_one_that_fails_leaves_no_child_behind(backend: Backend) -> None:
    family = Family(backend, 2)
    backend.finish(family.parent, 2, "failed", ERROR)
    backend.swept()
    assert [backend.read(job_id).status for job_id in family.children] == ["cancelled"] * 2


def test_a_cancel_that_comes_while_it_begins_to_wait_wins(backend: Backend) -> None:
    family = Family(backend, 1)
    backend.cancel(family.parent)
    assert family.wait() == "cancelled"


def test_what_has_succeeded_is_taken_over_into_another_group(backend: Backend) -> None:
    family = Family(backend, 3)
    outcomes: tuple[Outcome, ...] = ("succeeded", "failed", "succeeded")
    for job_id, outcome in zip(family.children, outcomes, strict=True):
        backend.begin(job_id)
        backend.finish(job_id, 1, outcome, ERROR)
    other = f"{uuid7()[:-1]}{family.parent[-1]}.images"
    opened = backend.run(OpenGroup(other, 3, "all", 60, family.parent, "images", adopt=family.group))
    assert (opened.expected, opened.total, opened.ended) == (3, 2, 2)
    assert [place for place, _ in backend.run(Members(other, beside=family.parent))] == [0, 2]


def test_a_net_is_under_the_wake_up() -> None:
    backend = on_memory()
    family = Family(backend, 1)
    family.wait()
    backend.pass_time(keys.WAITER_MS - 1000)
    backend.swept()
    assert backend.read(family.parent).waiting_for == family.group
    # The group has expired by then, as if it had been lost.
    backend.pass_time(2000)
    backend.swept()
    assert backend.swept() == [family.parent]


def test_after_a_crash_it_waits_again_by_the_same_end(backend: Backend) -> None:
    family = Family(backend)
    crash = backend.save()
    command = FinishAttempt(backend.claim(family.parent), 2, "waiting", family.group)
    answer = backend.run(command)
    crash()
    assert backend.run(command.again(answer)).answer == "waiting"
    job = backend.read(family.parent)
    assert (job.waiting_for, job.handed_back) == (family.group, 1)
