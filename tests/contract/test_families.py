"""Parents and children when Redis has crashed, or somebody comes late: nobody waits for ever, and nothing is left."""

from progress import keys
from progress.commands import (
    CancelJob,
    CreateJob,
    DeleteJob,
    FinishAttempt,
    Heartbeat,
    Members,
    OpenGroup,
    ReadGroup,
    Sweep,
)
from progress.jobs import NewJob, uuid7
from tests.contract.test_groups import Family
from tests.support.backend import ERROR, LEASE_MS, LIFETIMES, Backend, on_memory


def test_a_child_that_is_deleted_once_more_counts_as_ended(backend: Backend) -> None:
    family = Family(backend, 1)
    family.wait()
    crash = backend.save()
    backend.run(DeleteJob(family.children[0]))
    crash()
    assert backend.run(DeleteJob(family.children[0], again=True)) == "deleted"
    assert (family.now.ended, family.now.states["cancelled"]) == (1, 1)
    assert backend.read(family.parent).waiting_for == "ready"


def test_a_job_that_is_deleted_once_more_takes_its_children_along(backend: Backend) -> None:
    family = Family(backend, 2)
    crash = backend.save()
    backend.finish(family.parent, 2, "failed", ERROR)
    backend.run(DeleteJob(family.parent))
    crash()
    backend.run(DeleteJob(family.parent, again=True))
    backend.settle()
    backend.swept()
    assert [backend.read(job_id).status for job_id in family.children] == ["cancelled"] * 2


def test_a_group_of_which_jobs_never_come_goes_with_all_that_it_has(backend: Backend) -> None:
    group = uuid7()
    backend.run(OpenGroup(group, 2, "all", 1))
    job_id = f"{uuid7()[:-1]}{group[-1]}"
    backend.run(CreateJob(NewJob("image", {}, "llm", id=job_id, group=group), LIFETIMES))
    backend.begin(job_id)
    backend.finish(job_id, 1, "failed", ERROR)
    backend.pass_time(1100)
    assert backend.run(Members(group)) == []
    backend.run(OpenGroup(group, 1, "all", 1))
    opened = backend.run(ReadGroup(group))
    assert opened is not None
    assert opened.failures == ()


def test_one_that_waits_is_cancelled_at_once_also_after_a_pause(backend: Backend) -> None:
    family = Family(backend, 1)
    family.wait()
    backend.run(Sweep("w", 10))
    backend.pass_time(10)
    backend.swept()
    assert backend.cancel(family.parent) == "cancelled"
    backend.swept()
    assert backend.read(family.children[0]).status == "cancelled"


def test_one_that_waits_once_more_is_cancelled_if_that_was_asked_for_meanwhile() -> None:
    backend = on_memory()
    family = Family(backend, 1)
    crash = backend.save()
    command = FinishAttempt(backend.claim(family.parent), 2, "waiting", family.group)
    answer = backend.run(command)
    crash()
    assert backend.cancel(family.parent) == "requested"
    assert backend.run(command.again(answer)).answer == "waiting"
    backend.pass_time(keys.SETTLE_MS)
    for _ in range(2):
        backend.swept()
    assert [backend.read(job_id).status for job_id in (family.parent, *family.children)] == ["cancelled"] * 2


def test_a_child_that_is_made_after_its_parent_has_ended_is_cancelled(backend: Backend) -> None:
    family = Family(backend, 2)
    backend.finish(family.parent, 2, "failed", ERROR)
    backend.swept()
    late = family.child(2)
    backend.swept()
    assert backend.read(late).status == "cancelled"


def test_what_a_lost_wait_has_told_readers_leaves_room(backend: Backend) -> None:
    family = Family(backend, 2)
    backend.begin(family.children[0])
    command = FinishAttempt(
        backend.claim(family.parent), 2, "waiting", family.group, at=backend.read(family.parent).started_at
    )
    crash = backend.save()
    backend.run(command)
    seen = backend.last(family.parent)
    crash()
    # It lives, and does not know yet that it has ended.
    assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(family.parent), 1),))) == ["ok"]
    assert backend.run(command).answer == "waiting"
    assert (seen["seq"], backend.last(family.parent)["seq"]) == (4, 3)
    backend.settle()
    backend.finish(family.children[0], 1, "succeeded", "1")
    told = backend.last(family.parent)
    assert (told["follows"], told["seq"] > keys.ROOM) == (3, True)


def test_a_heartbeat_that_a_wait_has_overtaken_renews_nothing(backend: Backend) -> None:
    family = Family(backend, 1)
    family.wait()
    assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(family.parent), 1),))) == ["stale"]
    backend.run(Sweep("w", 10_000))
    backend.pass_time(5)
    assert backend.read(family.parent).waiting_for == family.group


def test_a_group_that_was_lost_is_opened_anew_by_its_parent(backend: Backend) -> None:
    family = Family(backend, 0)
    group = f"{family.parent}.lost"
    backend.create(kind="image", group=group, parent=family.parent)
    backend.finish(family.parent, 2, "waiting", group)
    assert backend.read(family.parent).waiting_for == "ready"
    assert backend.swept() == [family.parent]


def test_a_cancel_that_comes_back_is_where_it_was_though_children_go_on(backend: Backend) -> None:
    family = Family(backend, 2)
    backend.begin(family.children[0])
    family.wait()
    crash = backend.save()
    command = CancelJob(family.parent)
    answer = backend.run(command)
    seen = backend.last(family.parent)
    crash()
    backend.run(Heartbeat(LEASE_MS, ()))
    backend.finish(family.children[0], 1, "failed", ERROR)
    assert backend.run(command.again(answer)).answer == "cancelled"
    assert backend.last(family.parent) == seen


def test_a_job_that_was_not_there_as_it_opened_its_group_takes_its_children_along(backend: Backend) -> None:
    family = Family(backend, 0)
    group, lost = f"{family.parent}.lost", f"{uuid7()[:-1]}{family.parent[-1]}"
    backend.run(OpenGroup(group, 1, "all", 60, lost, "lost"))
    child = backend.create(kind="image", group=group, parent=family.parent)
    backend.cancel(family.parent)
    assert backend.finish(family.parent, 2, "waiting", group).answer == "cancelled"
    backend.swept()
    assert backend.read(child).status == "cancelled"
