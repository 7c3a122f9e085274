"""How a worker and the scheduler are started: what Celery is told."""

import logging
import os
from pathlib import Path

import pytest
from amqp.exceptions import RecoverableConnectionError

from progress.errors import InvalidSettings
from progress.settings import current
from tasks import main
from tasks.main import default_concurrency, run_beat, run_flower, run_worker


@pytest.fixture
def started(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that Celery gets, which it would run until it is told to stop."""
    from tasks.worker import app

    lines: list[list[str]] = []
    monkeypatch.setattr(app, "worker_main", lines.append)
    monkeypatch.setattr(app, "start", lines.append)
    return lines


def option(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


def test_model_jobs_run_many_at_once_in_threads(started: list[list[str]]) -> None:
    run_worker(["llm"])
    (line,) = started
    assert (option(line, "--pool"), option(line, "--concurrency")) == ("threads", "50")
    assert option(line, "--hostname") == f"llm-{os.getpid()}@%h"


def test_other_jobs_run_in_processes(started: list[list[str]]) -> None:
    run_worker(["llm", "cpu"])
    (line,) = started
    assert (option(line, "--pool"), option(line, "--queues")) == ("prefork", "llm,cpu")
    assert int(option(line, "--concurrency")) == default_concurrency("prefork") >= 2


def test_a_worker_without_queues_serves_all(started: list[list[str]]) -> None:
    run_worker()
    assert {"cpu", "default", "llm"} <= set(option(started[0], "--queues").split(","))


def test_pool_and_concurrency_may_be_chosen(started: list[list[str]]) -> None:
    run_worker(["llm"], "prefork", 3)
    assert (option(started[0], "--pool"), option(started[0], "--concurrency")) == ("prefork", "3")


def test_workers_do_not_talk_to_each_other(started: list[list[str]]) -> None:
    run_worker(["llm"])
    assert {"--without-gossip", "--without-mingle", "--without-heartbeat"} <= set(started[0])


def test_a_message_that_is_left_with_the_broker_is_no_warning_of_celerys(started: list[list[str]]) -> None:
    run_worker()
    trace = logging.getLogger("celery.app.trace")
    told = [
        bool(trace.filter(trace.makeRecord("n", logging.WARNING, "f", 1, "m", (), None, extra=extra)))
        for extra in ({"data": {"description": "rejected"}}, {"data": {"description": "raised unexpected"}}, {})
    ]
    assert told == [False, True, True]


def test_the_scheduler_keeps_its_times_in_a_directory_that_it_makes(started: list[list[str]], tmp_path: Path) -> None:
    run_beat(tmp_path / "new" / "schedule")
    (line,) = started
    assert line[line.index("beat") :][:1] == ["beat"]
    assert option(line, "--schedule") == str(tmp_path / "new" / "schedule")
    # No file that a crash would leave behind.
    assert option(line, "--pidfile") == ""
    assert (tmp_path / "new").is_dir()


def test_flower_says_what_it_lacks(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWER_BASIC_AUTH", raising=False)
    with pytest.raises(InvalidSettings, match="JOBCAST_CELERY_EVENTS is false"):
        run_flower("127.0.0.1", 0)
    told = current().model_copy(update={"celery_events": True})
    monkeypatch.setattr(main, "current", lambda: told)
    with pytest.raises(InvalidSettings, match="set FLOWER_BASIC_AUTH"):
        run_flower("0.0.0.0", 0)
    run_flower("127.0.0.1", 5555)
    assert started == [["flower", "--address=127.0.0.1", "--port=5555", "--read-only=True"]]
    monkeypatch.setattr(main, "find_spec", lambda _name: None)
    with pytest.raises(InvalidSettings, match=r"pip install 'jobcast\[flower\]'"):
        run_flower("127.0.0.1", 0)


def test_workers_that_are_watched_say_that_they_live(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    told = current().model_copy(update={"celery_events": True})
    monkeypatch.setattr(main, "current", lambda: told)
    run_worker(["llm"])
    assert "--without-heartbeat" not in started[0]


def test_a_broker_that_has_gone_away_is_one_line_in_the_log(
    started: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    run_worker(["llm"])
    logger = logging.getLogger("celery.worker.request")
    for error in (ConnectionResetError("closed"), RecoverableConnectionError("closed"), RuntimeError("our fault")):
        try:
            raise error
        except (OSError, RecoverableConnectionError, RuntimeError) as caught:
            logger.critical("Couldn't ack %r, reason:%r", "tag", caught, exc_info=True)
    *away, ours = (record for record in caplog.records if record.name == logger.name)
    for record, error in zip(away, ("ConnectionResetError('closed')", "RecoverableConnectionError("), strict=True):
        assert (record.levelname, record.exc_info) == ("WARNING", None)
        assert record.getMessage().startswith(f"Couldn't ack 'tag', reason:{error}")
    assert (ours.levelname, bool(ours.exc_info)) == ("CRITICAL", True)
