"""Jobs: their ids and what a record says of itself."""

import uuid

import pytest

from progress.jobs import ENDED, STATUSES, Job, too_deep, uuid7


def job(**fields: object) -> Job:
    base = {"id": "j", "kind": "k", "status": "queued", "queue": "q", "priority": 5, "attempt": 0, "max_attempts": 3}
    return Job(**{**base, "created_at": 0, "last_seq": 1, "input": {}, "metadata": {}, **fields})  # type: ignore[arg-type]


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert str(made) == str(uuid.UUID(str(made)))


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    stamps = [0, 1, 1_700_000_000_000, 1_700_000_000_001, (1 << 48) - 1]
    assert [int(uuid7(stamp).replace("-", "")[:12], 16) for stamp in stamps] == stamps
    assert sorted(ids := [uuid7(stamp) for stamp in stamps]) == ids


def test_ids_differ() -> None:
    assert len({uuid7(1) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_three_statuses_are_final(status: str) -> None:
    assert job(status=status).ended is (status in ENDED)


def test_void_ranges_are_read_from_the_record() -> None:
    assert job().void_ranges() == []
    assert job(voids="0-4,5-7,").void_ranges() == [(0, 4), (5, 7)]


@pytest.mark.parametrize(
    ("value", "deep"), [(1, False), ([], False), ([[1]], False), ([[[1]]], True), ({"a": [{}]}, True)]
)
def test_values_may_nest_only_so_far(value: object, deep: bool) -> None:
    assert too_deep(value, 2) is deep
