"""Jobs longer than the broker's visibility timeout: their messages do not come again, and would do nothing."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from progress import keys
from tests.faults.following import Audience, spoken
from tests.support.beside import side_by_side
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TIMEOUT_S = 2
"""Of visibility, and of a lease."""
SHORT: dict[str, Any] = {"LEASE_S": str(TIMEOUT_S), "VISIBILITY_TIMEOUT_S": str(TIMEOUT_S)}
LONGER_S = 2 * TIMEOUT_S
"""A timeout that a busy machine does not miss to renew a message within."""
RENEWED_S = LONGER_S / 4
"""How often it is renewed."""
UNACKED = f"{keys.BROKER}unacked"
LONG_S = 5 * TIMEOUT_S
PAUSE_S = 0.05
PIECES = round(LONG_S / PAUSE_S)
FEWER = PIECES // 2
DROPPED = "nothing to run"
"""What a worker logs of a message that it does not need."""
CONNECTED = "Connected to"


def cut_all(live: Live) -> None:
    """Cuts every connection to Redis but the one that says so."""
    for kind in ("normal", "pubsub"):
        live.redis.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


class Repeating:
    """Does something again and again until it is left. A context manager."""

    def __init__(self, action: Callable[[], None], every_s: float) -> None:
        self._action = action
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.times = 0

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self._action()
            self.times += 1

    def __enter__(self) -> "Repeating":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)


def stood_still(live: Live, since: float) -> bool:
    """Whether the machine did for so long that messages were not renewed in time: that they came again is right."""
    return live.stalls.longest(since) > LONGER_S - 2 * RENEWED_S


def ran_once(live: Live, job_id: str, file: Path, pieces: int = PIECES) -> None:
    """A job has had one attempt, which has done each thing once."""
    job = live.job(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert file.read_text().splitlines() == ["1 begins", *(f"1 {number}" for number in range(pieces)), "1 ends"]


def run_long_jobs(live: Live, directory: Path, pieces: int) -> int:
    """Runs a job of each sort, each of which must run once; how often a message came again."""
    live.start_api()
    workers = [
        live.start_worker(queue, pool, 3)
        for queue, pool in (("llm", "threads"), ("llm", "threads"), ("cpu", "prefork"), ("cpu", "prefork"))
    ]
    files = {
        live.submit("journal", {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S, **more}, queue=queue): file
        for queue, more, file in (
            ("llm", {}, directory / "threads"),
            ("cpu", {}, directory / "prefork"),
            ("llm", {"silent": True}, directory / "silent-threads"),
            ("cpu", {"silent": True}, directory / "silent-prefork"),
        )
    }
    for job_id, file in files.items():
        live.job(job_id, LONG_S * 3)
        ran_once(live, job_id, file, pieces)
    wait_until(lambda: live.redis.command("HLEN", UNACKED) == 0)
    return sum(worker.output().count(DROPPED) for worker in workers)


def test_a_job_of_many_visibility_timeouts_runs_once(tmp_path: Path) -> None:
    """Where its message is renewed, and where it comes again."""
    for name in ("renewed", "again"):
        (tmp_path / name).mkdir()
    side_by_side(lambda: messages_are_renewed(tmp_path / "renewed"), lambda: messages_come_again(tmp_path / "again"))


def messages_are_renewed(tmp_path: Path) -> None:
    """By the worker that has them: none comes again."""
    with Live(model=False, LEASE_S=str(TIMEOUT_S), VISIBILITY_TIMEOUT_S=str(LONGER_S)) as live:
        begun = time.monotonic()
        again = run_long_jobs(live, tmp_path, round(3 * LONGER_S / PAUSE_S))
        assert again == 0 or stood_still(live, begun)


def messages_come_again(tmp_path: Path) -> None:
    """As they did without that: they are of no use."""
    modules = "tests.support.kinds,tests.support.no_renewal"
    with Live(model=False, TASKS=modules, **SHORT) as live:
        again = run_long_jobs(live, tmp_path, PIECES)
        assert again >= 4, "no message came again, so this has shown nothing"


def test_cut_connections_make_no_job_run_twice(tmp_path: Path) -> None:
    """Neither once, before it began, nor all the time."""
    side_by_side(lambda: before_the_job(tmp_path), lambda: all_the_time(tmp_path))


def before_the_job(tmp_path: Path) -> None:
    """Messages are renewed over the new connection as well."""
    with Live(model=False, LEASE_S=str(TIMEOUT_S), VISIBILITY_TIMEOUT_S=str(LONGER_S)) as live:
        live.start_api()
        worker = live.start_worker()
        assert live.job(live.submit("speak", {"pieces": ["fine"]}), 10)["status"] == "succeeded"
        # A message whose acknowledgement is cut off comes again, and rightly so.
        wait_until(lambda: live.redis.command("HLEN", UNACKED) == 0)
        connected = worker.output().count(CONNECTED)
        cut_all(live)
        wait_until(lambda: worker.output().count(CONNECTED) > connected)
        begun = time.monotonic()
        file = tmp_path / "notes"
        pieces = round(2 * LONGER_S / PAUSE_S)
        job_id = live.submit("journal", {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S})
        live.job(job_id, LONG_S * 3)
        ran_once(live, job_id, file, pieces)
        assert f"{job_id}: {DROPPED}" not in worker.output() or stood_still(live, begun)


def all_the_time(tmp_path: Path) -> None:
    """Once a second."""
    with (
        Live(model=False, **SHORT) as live,
        Audience(live) as audience,
    ):
        live.start_api()
        files: dict[str, Path] = {}
        for queue, pool in (("llm", "threads"), ("cpu", "prefork")):
            for _ in range(2):
                live.start_worker(queue, pool, 3)
            file = tmp_path / pool
            task_input = {"file": str(file), "pieces": FEWER, "pause_s": PAUSE_S}
            job_id = live.submit("journal", task_input, queue=queue)
            files[job_id] = file
            spoken(audience.follow(job_id), 1)
            audience.follow(job_id, exact=False)
        with Repeating(lambda: cut_all(live), 1.0) as cutting:
            audience.wait(LONG_S * 3)
        assert cutting.times > 2
        audience.check()
        for job_id, file in files.items():
            ran_once(live, job_id, file, FEWER)
        assert {reader.text for reader in audience.readers} == {"".join(f"{number} " for number in range(FEWER))}
        for queue in ("llm", "cpu"):
            assert live.job(live.submit("speak", {"pieces": ["fine"]}, queue=queue), 20)["status"] == "succeeded"
