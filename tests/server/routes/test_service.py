"""The service itself: kinds, and whether it works."""

import asyncio
import threading
from typing import Any

import pytest

from progress.commands import Command, WorkerSeen
from progress.errors import StoreUnavailable
from server.routes import service
from tests.support.api import Api, FakeQueue, api_with


def away(_command: Command[Any]) -> None:
    raise StoreUnavailable("no connection")


async def asked(api: Api, path: str) -> tuple[int, dict[str, Any]]:
    answer = await api.client.get(path)
    return answer.status_code, answer.json()


async def test_kinds_say_what_can_be_submitted(api: Api) -> None:
    status, found = await asked(api, "/v1/kinds")
    bounded, echo = found["kinds"]
    assert (status, bounded["name"], echo["name"]) == (200, "bounded", "echo")
    assert bounded["limits"] == {
        "max_attempts": 7,
        "timeout_s": 9.0,
        "max_input_bytes": 1_048_576,
        "running": None,
        "rate": None,
    }
    assert echo["limits"] == {
        "max_attempts": 3,
        "timeout_s": None,
        "max_input_bytes": 1_048_576,
        "running": None,
        "rate": None,
    }
    assert echo["input_schema"]["required"] == ["text"]
    assert (echo["title"], echo["description"], echo["queue"]) == ("Echo", "Says it.", "llm")


async def test_a_process_that_is_up_says_so_whatever_is_away(api: Api) -> None:
    api.memory.before = away
    api.queue.broken = "refused"
    assert await asked(api, "/livez") == (200, {"status": "ok"})


async def test_it_is_ready_once_redis_and_broker_answer(api: Api) -> None:
    assert await asked(api, "/readyz") == (200, {"status": "ok", "redis": "ok", "broker": "ok"})


async def test_it_is_not_ready_without_redis(api: Api) -> None:
    api.memory.before = away
    assert await asked(api, "/readyz") == (503, {"status": "unavailable", "redis": "no connection", "broker": "ok"})


async def test_it_is_not_ready_without_a_broker(api: Api) -> None:
    api.queue.broken = "refused"
    assert await asked(api, "/readyz") == (503, {"status": "unavailable", "redis": "ok", "broker": "refused"})


async def test_what_does_not_answer_at_all_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHECK_S", 0.05)
    go = threading.Event()

    class Hanging(FakeQueue):
        def depth(self, queue: str) -> int:
            go.wait(30)
            return 0

    async with api_with(queue=Hanging()) as hung:
        try:
            status, found = await asked(hung, "/readyz")
        finally:
            go.set()
    # Not what it says of Redis: a machine that stands still may keep that back for as long.
    assert (status, found["status"], found["broker"]) == (503, "unavailable", "no answer in time")
    assert found["redis"] in ("ok", "no answer in time")


async def test_health_shows_people_who_works_and_what_waits(api: Api) -> None:
    api.worker.run(WorkerSeen("w", ("llm",)))
    api.job()
    api.worker.started(kind="echo")
    async with api.exchange(f"/v1/jobs/{api.job()}/events") as reader:
        await reader.until_body(b"queued")
        status, found = await asked(api, "/health")
    assert (status, found["status"], found["streams"], found["feeds"], found["running"]) == (200, "ok", 1, 1, 1)
    assert found["queues"] == {"cpu": {"waiting": 0, "workers": []}, "llm": {"waiting": 2, "workers": ["w"]}}
    assert found["uptime_s"] >= 0


async def test_health_is_degraded_where_nobody_serves_what_waits(api: Api) -> None:
    api.job()
    assert (await asked(api, "/health"))[1]["status"] == "degraded"


async def test_health_answers_though_redis_is_away(api: Api) -> None:
    api.memory.before = away
    status, found = await asked(api, "/health")
    assert (status, found["status"], found["redis"]) == (200, "unavailable", "no connection")
    assert "queues" not in found


async def test_health_answers_though_redis_goes_away_in_the_middle(api: Api) -> None:
    def later(command: Command[Any]) -> None:
        if command.script == "health":
            raise StoreUnavailable("gone just now")

    api.memory.before = later
    status, found = await asked(api, "/health")
    assert (status, found["status"], found["redis"]) == (200, "unavailable", "gone just now")


async def test_health_with_the_broker_away_still_shows_the_rest(api: Api) -> None:
    api.queue.broken = "refused"
    api.job()
    found = (await asked(api, "/health"))[1]
    assert (found["status"], found["broker"]) == ("unavailable", "refused")
    assert found["queues"]["llm"]["waiting"] == 1


async def test_many_probes_at_once_are_all_answered(api: Api) -> None:
    found = await asyncio.gather(*(asked(api, "/readyz") for _ in range(20)))
    assert {status for status, _ in found} == {200}
