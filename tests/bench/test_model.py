"""The cost model: what follows from the costs of one event and one reader."""

from dataclasses import replace

import pytest

from bench import scale
from bench.model import DAY_S, Cost, Load, Units, copies, need

UNITS = Units(
    delivery_us=5,
    message=Cost(8, 4, 100, 10_000),
    append=Cost(40, 20, 100, 10_000),
    copy_us=2,
    publish=Cost(30, 10, 100, 10_000),
    base_kib=60_000,
    reader_kib=10,
    job_kib=2,
    event_kib=0.25,
    stored_bytes=100,
)


def test_deliveries_and_messages_make_the_cost_of_the_api() -> None:
    found = need(UNITS, Load("pairs", 1000, 1000, 10))
    assert found.api_cores == pytest.approx(10_000 * (5 + 4) / 1e6)
    assert found.redis_cores == pytest.approx(10_000 * 20 / 1e6)
    assert found.worker_cores == pytest.approx(10_000 * 10 / 1e6)
    assert (found.api_processes, found.shards) == (1, 1)


def test_a_process_that_is_little_busy_pays_more_for_an_event() -> None:
    cost = Cost(40, 20, 100, 10_000)
    assert [cost.at(rate) for rate in (1, 100, 1000, 10_000, 1e6)] == pytest.approx([40, 40, 30, 20, 20])
    few = need(UNITS, Load("few", 10, 10, 10))
    assert few.api_cores == pytest.approx(100 * (5 + 8) / 1e6)
    assert few.redis_cores == pytest.approx(100 * 40 / 1e6)


def test_workers_share_the_appends() -> None:
    spread = need(UNITS, Load("spread", 1000, 1000, 10, publishers=10))
    assert spread.worker_cores == pytest.approx(10_000 * 20 / 1e6)
    assert spread.redis_cores == need(UNITS, Load("spread", 1000, 1000, 10)).redis_cores


def test_tokens_that_come_within_the_flush_time_are_one_event() -> None:
    assert Load("slow", 10, 10, 30, flush_ms=20).appends == 300
    assert Load("fast", 10, 10, 200, flush_ms=20).appends == 500
    assert Load("joined", 10, 10, 30, flush_ms=100).appends == 100
    assert Load("never joined", 10, 10, 200, flush_ms=0).appends == 2000


def test_many_readers_spread_at_random_make_every_process_follow_every_job() -> None:
    assert copies(1, 8, by_job=False) == pytest.approx(1)
    assert copies(1000, 8, by_job=False) == pytest.approx(8)
    assert copies(1000, 8, by_job=True) == 1


def test_leading_readers_by_job_spares_redis_and_the_api() -> None:
    spread = Load("crowd", 3000, 1_000_000, 30)
    random, led = need(UNITS, spread), need(UNITS, replace(spread, by_job=True))
    assert led.redis_cores == pytest.approx(90_000 * 20 / 1e6)
    assert random.redis_cores > 5 * led.redis_cores
    assert random.api_processes > led.api_processes


def test_memory_grows_with_readers_jobs_and_events() -> None:
    found = need(UNITS, Load("idle", 100, 1000, 1), kept_events=4000)
    assert found.api_mib == pytest.approx((60_000 + 10 * 1000 + 2 * 100 + 0.25 * 4000) / 1024)
    assert found.redis_gib == pytest.approx(100 * 100 * DAY_S / 1024**3)


def test_what_gives_way_first_is_what_is_furthest_beyond_one() -> None:
    assert need(UNITS, Load("kept", 3000, 3000, 30)).first == "Redis's memory"
    assert need(UNITS, Load("not kept", 3000, 3000, 30, kept_s=1)).first == "Redis's CPU"
    assert need(UNITS, Load("crowd", 1, 200_000, 10, kept_s=1)).first == "CPU of the API, for deliveries"


def test_an_error_is_relative_to_what_was_measured() -> None:
    assert scale.Check("small", "API, cores", 1.5, 1.0).error == pytest.approx(0.5)
    assert scale.Check("small", "API, cores", 1.5, 0.0).error == 0


def test_the_median_of_a_cost_is_that_of_each_of_its_parts() -> None:
    turns = [replace(UNITS, message=Cost(alone, busy, 1, 2)) for alone, busy in ((1, 30), (3, 10), (2, 20))]
    assert scale.median_units(turns).message == Cost(2, 20, 1, 2)


def test_the_page_has_a_place_for_each_of_its_parts() -> None:
    text = scale.TEXT.read_text("utf-8")
    for name in ("machine", "units", "check", "worst", "sizes", "plans"):
        assert f"@{name}@" in text
