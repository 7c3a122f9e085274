"""What the janitor removes, and what it leaves."""

import os
import time
from pathlib import Path

import pytest

from progress.claims import Claims
from progress.commands import Command
from progress.errors import StoreUnavailable
from progress.jobs import uuid7
from progress.storage import (
    LocalStorage,
    add_artifact,
    add_file,
    find_file,
    jobs_with_artifacts,
    note_use,
    part_key,
    put,
)
from progress.testing import Memory
from tasks.janitor import GRACE_S, LEFT_S, Janitor
from tests.support.backend import Backend, on_memory

TTL_S = 3600.0


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def backend(memory: Memory) -> Backend:
    return on_memory(memory)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture
def janitor(memory: Memory, storage: LocalStorage) -> Janitor:
    return Janitor(storage, Claims(memory.executor, lease_ms=10_000), files_ttl_s=TTL_S, result_ttl_s=TTL_S)


@pytest.fixture
def late(memory: Memory, storage: LocalStorage) -> Janitor:
    """One to whom every file and every job is past its time."""
    claims = Claims(memory.executor, lease_ms=10_000)
    return Janitor(storage, claims, files_ttl_s=-GRACE_S - 60, result_ttl_s=-60)


def test_a_file_stays_for_its_time(janitor: Janitor, storage: LocalStorage) -> None:
    file_id = add_file(storage, b"new")
    janitor.clean()
    assert find_file(storage, file_id)


def test_a_file_past_its_time_goes(late: Janitor, storage: LocalStorage) -> None:
    add_file(storage, b"old")
    late.clean()
    assert [path for path in storage.root.rglob("*") if path.is_file()] == []


def test_a_file_stays_while_a_job_needs_it(late: Janitor, storage: LocalStorage, backend: Backend) -> None:
    file_id, job_id = add_file(storage, b"old"), backend.started()
    note_use(storage, file_id, job_id)
    late.clean()
    assert find_file(storage, file_id)
    backend.finish(job_id, 1, "succeeded", "1")
    late.clean()
    assert find_file(storage, file_id) is None


def with_artifacts(storage: LocalStorage) -> list[str]:
    return list(jobs_with_artifacts(storage, 2**47))


def test_artifacts_stay_while_their_job_is_there(late: Janitor, storage: LocalStorage, backend: Backend) -> None:
    job_id = backend.create()
    for made in (job_id, uuid7()):
        add_artifact(storage, made, 1, "a", b"")
    put(storage, part_key(uuid7(), 1, 1), b"", "a part")
    late.clean()
    assert with_artifacts(storage) == [job_id]


def test_artifacts_of_a_young_job_stay_though_this_redis_knows_nothing_of_it(
    janitor: Janitor, storage: LocalStorage
) -> None:
    add_artifact(storage, young := uuid7(), 1, "a", b"")
    add_artifact(storage, uuid7(1), 1, "a", b"")
    janitor.clean()
    assert with_artifacts(storage) == [young]


def test_nothing_goes_while_it_is_not_known_who_needs_it(
    late: Janitor, storage: LocalStorage, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_command: Command[object]) -> None:
        raise StoreUnavailable("no connection")

    add_artifact(storage, "0-0", 1, "a", b"")
    note_use(storage, file_id := add_file(storage, b"old"), "0-0")
    memory.before = away
    late.clean()
    assert (bool(find_file(storage, file_id)), with_artifacts(storage)) == (True, ["0-0"])
    assert "not cleaned up now" in caplog.text


def test_nothing_goes_while_a_crash_may_have_lost_its_job(
    late: Janitor, storage: LocalStorage, backend: Backend
) -> None:
    backend.create()
    crash = backend.save()
    job_id = backend.create()
    add_artifact(storage, job_id, 1, "a", b"")
    crash()
    late.clean()
    assert with_artifacts(storage) == [job_id]
    backend.settle()
    late.clean()
    assert with_artifacts(storage) == []


def test_what_a_dead_process_has_left_goes(janitor: Janitor, storage: LocalStorage) -> None:
    with storage.writer("files/a") as writer:
        writer.write(b"half")
        (left,) = (storage.root / ".tmp").iterdir()
        janitor.clean()
        assert left.exists()
        os.utime(left, (0, time.time() - LEFT_S - 60))
        janitor.clean()
        assert not left.exists()
