"""Reading logs by the page."""

import pytest

from progress.commands import LOG_PAGE_BYTES, Lifetimes, ReadLog
from tests.support.backend import Backend, token


def test_a_page_holds_at_most_what_was_asked_for(backend: Backend) -> None:
    job_id = backend.started()
    backend.append(job_id, 1, *(token() for _ in range(200)))
    page = backend.run(ReadLog(job_id, 10, 150))
    assert [event.seq for event in page.events] == list(range(11, 161))
    assert (page.last_seq, page.ended) == (202, False)
    assert backend.run(ReadLog(job_id, 0, 0)).events == []


def test_pages_join_to_the_whole_log(backend: Backend) -> None:
    job_id = backend.started()
    backend.append(job_id, 1, *(token() for _ in range(200)))
    found: list[int] = []
    while page := backend.run(ReadLog(job_id, found[-1] if found else 0, 64)).events:
        found += [event.seq for event in page]
    assert found == list(range(1, 203))


def test_a_page_ends_once_it_is_large(backend: Backend) -> None:
    job_id = backend.started()
    for number in range(1, 6):
        backend.append(job_id, number, *(token("x" * 30_000) for _ in range(4)))
    first = backend.log(job_id).events
    assert LOG_PAGE_BYTES < sum(len(event.raw) for event in first) < LOG_PAGE_BYTES + 31_000
    assert backend.log(job_id, first[-1].seq).events[0].seq == first[-1].seq + 1


def test_one_event_is_read_however_large_it_is(backend: Backend) -> None:
    job_id = backend.ended(value='"' + "x" * 2 * LOG_PAGE_BYTES + '"')
    assert [event.seq for event in backend.log(job_id, 2).events] == [3]


@pytest.mark.parametrize(("after", "count"), [(-1, 2), (-(10**30), 2), (2, 0), (10**30, 0)])
def test_a_position_outside_the_log_is_no_error(backend: Backend, after: int, count: int) -> None:
    assert len(backend.log(backend.started(), after).events) == count


def test_there_is_no_log_without_a_job(backend: Backend) -> None:
    page = backend.log("nope")
    assert (page.events, page.last_seq, page.ended) == ([], None, False)


@pytest.mark.slow
def test_a_record_outlives_its_log(backend: Backend) -> None:
    job_id = backend.create(lifetimes=Lifetimes(events_ttl_s=1, result_ttl_s=60, max_events=10))
    backend.cancel(job_id)
    backend.pass_time(1001)
    page = backend.log(job_id)
    assert (page.events, page.last_seq, page.ended) == ([], 2, True)
