"""How Celery is set up: what API and workers must agree on."""

from typing import Any

import pytest
from kombu.exceptions import OperationalError

from progress import keys
from progress.errors import InvalidSettings
from server.embedded import free_port
from tasks.app import (
    HOUSEKEEPING,
    configuration,
    default_app,
    load_kinds,
    make_app,
    queue_names,
)
from tasks.broker import transport_options
from tasks.registry import kinds, route
from tests.support.api import settings

REDIS = "redis://localhost:6379/0"
AMQP = "amqp://localhost"


def configured(url: str = REDIS, **fields: Any) -> dict[str, Any]:
    return configuration(settings(broker_url=url, **fields))


def test_a_message_stays_with_the_broker_until_the_work_is_done() -> None:
    found = configured()
    assert found["task_acks_late"]
    assert found["task_reject_on_worker_lost"]
    assert found["worker_prefetch_multiplier"] == 1
    assert not found["worker_cancel_long_running_tasks_on_connection_loss"]


def test_messages_are_json_alone() -> None:
    found = configured()
    assert (found["task_serializer"], found["accept_content"]) == ("json", ["json"])
    assert found["result_backend"] is None


def test_on_redis_unacknowledged_messages_come_back_in_time() -> None:
    options = transport_options(settings(redis_url=REDIS, visibility_timeout_s=42))
    assert options["visibility_timeout"] == 42
    assert options["unacked_restore_interval"] <= 5
    assert options["unacked_mutex_expire"] < 42
    assert options["global_keyprefix"] == keys.BROKER
    assert options["priority_steps"] == list(range(10))


def test_on_another_broker_messages_are_confirmed_and_queues_have_priorities() -> None:
    found = configured(AMQP)
    assert found["broker_transport_options"] == {"confirm_publish": True}
    for queue in found["task_queues"]:
        assert queue.queue_arguments["x-max-priority"] == 9
        # RabbitMQ closes the channel of a consumer that acknowledges later than this.
        assert queue.queue_arguments["x-consumer-timeout"] == found["task_soft_time_limit"] * 1000


@pytest.mark.parametrize(("lease_s", "heartbeat_s"), [(1, 1), (2, 1), (10, 3), (60, 20)])
def test_rabbitmq_takes_back_what_a_hung_worker_has_when_its_leases_are_over(lease_s: float, heartbeat_s: int) -> None:
    assert configured(AMQP, lease_s=lease_s)["broker_heartbeat"] == heartbeat_s


def test_a_worker_outlives_what_closes_its_channel_and_shares_nothing_by_name() -> None:
    found = configured(AMQP)
    assert found["broker_channel_error_retry"]
    assert not found["worker_enable_prefetch_count_reduction"]
    assert not found["worker_enable_remote_control"]
    assert not found["worker_send_task_events"]


def test_on_redis_queues_have_no_arguments() -> None:
    assert [queue.queue_arguments for queue in configured()["task_queues"]] == [None] * len(queue_names())


def test_every_queue_of_a_kind_is_known_and_the_default_one() -> None:
    load_kinds(settings(tasks=("tests.support.kinds",)))
    assert {"cpu", "default", "llm"} <= set(queue_names())
    assert {queue.name for queue in configured()["task_queues"]} == set(queue_names())


def test_the_soft_limit_comes_before_the_hard_one() -> None:
    found = configured()
    assert found["task_soft_time_limit"] < found["task_time_limit"]


def test_a_sweep_that_could_not_run_does_not_pile_up() -> None:
    entry = configured()["beat_schedule"]["housekeeping"]
    assert entry["task"] == HOUSEKEEPING
    assert entry["options"]["expires"] < entry["schedule"]


def test_the_app_has_these_settings() -> None:
    app = make_app(settings(redis_url=REDIS))
    assert app.conf.broker_url == REDIS
    assert app.conf.task_default_queue == "default"
    assert app.conf.timezone == "UTC"


def test_a_broker_that_was_away_for_long_is_found_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _seconds: None)
    app = make_app(settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    for connection in (app.connection_for_read(), app.connection_for_write().clone()):
        with pytest.raises(OperationalError):
            connection.ensure_connection(lambda _error, pause: pauses.append(pause), 20)
    assert len(pauses) == 40
    assert max(pauses) <= 2


def test_the_app_of_a_process_takes_the_settings_of_its_environment(environment: dict[str, str]) -> None:
    assert default_app().conf.broker_url == environment["JOBCAST_REDIS_URL"]


def test_a_module_that_there_is_not_stops_the_start_with_its_name() -> None:
    for name in ("no_such_module_of_ours", "tests.support.no_such_module"):
        with pytest.raises(InvalidSettings, match=name):
            load_kinds(settings(tasks=(name,)))


def test_what_a_module_itself_misses_is_told_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_kinds(settings(tasks=("tests.support.broken_kinds",)))


def test_a_kind_waits_where_the_settings_say() -> None:
    load_kinds(settings())
    before = kinds()["generate"].queue
    try:
        load_kinds(settings(routes={"generate": "batch"}))
        assert kinds()["generate"].queue == "batch"
        assert "batch" in queue_names()
        assert "batch" in {queue.name for queue in configured()["task_queues"]}
    finally:
        route("generate", before)
    with pytest.raises(InvalidSettings, match="JOBCAST_ROUTES: there is no kind 'nope'; there are"):
        load_kinds(settings(routes={"nope": "batch"}))
