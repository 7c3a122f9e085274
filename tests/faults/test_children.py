"""Jobs that wait for others: whoever dies meanwhile, none of them is made twice, and the end is that of a calm day."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.crew import Crew
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BESIDE: Final = 6
PIECES: Final = 100


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """A Jobcast without workers."""
    with Live(model=False) as live:
        live.start_api()
        yield live


@pytest.fixture(scope="module")
def crew(house: Live) -> Iterator[Crew]:
    """A worker for parents and one for children, which are started again should they end."""
    with Crew(house, ("default", "prefork", 2), ("llm", "threads", 20)) as workers:
        yield workers


def journals(directory: Path) -> list[dict[str, Any]]:
    """Steps side by side; each notes in a file what it really does."""
    files = [directory / f"{number}" for number in range(BESIDE)]
    return [{"kind": "journal", "input": {"file": str(file), "pieces": PIECES, "pause_s": 0.03}} for file in files]


def submit(house: Live, directory: Path) -> str:
    """A workflow: some jobs side by side, then one that takes a value from the first."""
    steps: list[dict[str, Any]] = [{"name": "beside", "parallel": journals(directory)}]
    steps.append({"kind": "speak", "input": {"pieces": ["after ${beside.0.pieces}"]}})
    return house.submit("workflow", {"steps": steps}, max_attempts=5)


def children(house: Live, parent: str, step: str = "beside") -> list[dict[str, Any]]:
    with house.client() as client:
        found: dict[str, Any] = client.get(f"/v1/jobs/{parent}/children", params={"step": step}).json()
    jobs: list[dict[str, Any]] = found["jobs"]
    return jobs


def all_run(house: Live, parent: str) -> bool:
    return [job["status"] for job in children(house, parent)] == ["running"] * BESIDE


def has_ended_well(house: Live, parent: str) -> None:
    """As on a calm day, and each child once."""
    job = house.job(parent, 60)
    assert job["status"] == "succeeded", job
    assert job["result"]["result"] == {"characters": len(f"after {PIECES}")}
    assert [made["pieces"] for made in job["result"]["steps"]["beside"]] == [PIECES] * BESIDE
    assert [child["status"] for child in children(house, parent)] == ["succeeded"] * BESIDE
    assert len(children(house, parent, "step2")) == 1
    with house.client() as client:
        listed = client.get("/v1/jobs", params={"limit": 200, "kind": "journal"}).json()["jobs"]
    assert len([child for child in listed if child["parent"] == parent]) == BESIDE


def test_children_whose_worker_is_killed_go_on_and_their_parent_after_them(
    house: Live, crew: Crew, tmp_path: Path
) -> None:
    parent = submit(house, tmp_path)
    wait_until(lambda: all_run(house, parent), 20)
    crew.workers[1].kill(group=True)
    has_ended_well(house, parent)
    assert {child["attempt"] for child in children(house, parent)} == {2}
    assert house.job(parent)["attempt"] == 3, "nobody held it, so nothing of it was lost"


def test_a_parent_that_is_killed_while_it_makes_them_makes_the_rest(house: Live, crew: Crew, tmp_path: Path) -> None:
    parent = submit(house, tmp_path)
    wait_until(lambda: house.job(parent)["status"] == "running", 20)
    crew.workers[0].kill(group=True)
    has_ended_well(house, parent)


@pytest.mark.usefixtures("crew")
def test_children_of_a_job_that_is_cancelled_stop(house: Live, tmp_path: Path) -> None:
    parent = submit(house, tmp_path)
    wait_until(lambda: all_run(house, parent), 20)
    with house.client() as client:
        assert client.post(f"/v1/jobs/{parent}/cancel").status_code == 202
    # Its worker may be about to let it wait, and hears of it then.
    wait_until(lambda: house.job(parent)["status"] == "cancelled", 10)
    wait_until(lambda: {child["status"] for child in children(house, parent)} == {"cancelled"}, 10)
    with house.client() as client:
        assert client.post(f"/v1/jobs/{parent}/retry").status_code == 202


@pytest.mark.usefixtures("crew")
def test_what_a_crash_of_redis_loses_of_them_comes_back(house: Live, tmp_path: Path) -> None:
    parent = submit(house, tmp_path)
    wait_until(lambda: all_run(house, parent), 20)
    kept = house.redis.written_before(900)
    assert house.redis.crash(kept) > 0
    house.redis.start()
    has_ended_well(house, parent)
    seqs = [event["seq"] for event in house.events(parent)]
    assert seqs == sorted(set(seqs))
