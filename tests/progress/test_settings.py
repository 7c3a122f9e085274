"""Settings: typed, and whatever is wrong is one line that names it."""

import os
from pathlib import Path
from typing import Any

import pytest

from progress.errors import InvalidSettings
from progress.settings import Settings, current, load


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine's, and no .env but one that a test writes."""
    for name in [name for name in os.environ if name.startswith("JOBCAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refused(**overrides: Any) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load(**overrides)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_without_settings_the_defaults_hold() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.lease_s, settings.max_attempts) == ("127.0.0.1", 8000, 10, 3)
    assert (settings.flush_ms, settings.events_ttl_s, settings.result_ttl_s) == (20, 86_400, 604_800)
    assert (settings.tasks, settings.api_keys, settings.broker) == ((), {}, "")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCAST_PORT", "9000")
    monkeypatch.setenv("JOBCAST_TASKS", "a.b, c ,")
    monkeypatch.setenv("JOBCAST_API_KEYS", "me:secret,you:other:part")
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", "http://h/v1/")
    monkeypatch.setenv("JOBCAST_FLUSH_MS", "")
    settings = load()
    assert (settings.port, settings.tasks, settings.flush_ms) == (9000, ("a.b", "c"), 20)
    assert settings.api_keys == {"me": "secret", "you": "other:part"}
    assert settings.llm_base_url == "http://h/v1"


def test_settings_come_from_a_file_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("JOBCAST_PORT=9001\nJOBCAST_FLUSH_MS=5\n")
    monkeypatch.setenv("JOBCAST_PORT", "9002")
    assert (load().port, load().flush_ms) == (9002, 5)


def test_other_programs_may_keep_their_variables_in_the_same_file() -> None:
    Path(".env").write_text(
        "DATABASE_URL=x\nHOST=0.0.0.0\nPORT=1\nJOBCAST_PORT=9001\nexport EMPTY=\nJOBCAST_API_KEY=k\n"
    )
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 9001)


def test_a_misspelt_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("JOBCAST_PROT=1\n")
    assert "JOBCAST_PROT" in refused()
    assert ".env" in refused()
    monkeypatch.setenv("JOBCAST_LEASE", "1")
    assert "JOBCAST_LEASE " in refused()
    assert "environment" in refused()


def test_a_file_that_is_no_text_is_said() -> None:
    Path(".env").write_bytes(b"JOBCAST_PORT=\xff\n")
    assert ".env is not UTF-8" in refused()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "x"),
        ("port", "65536"),
        ("lease_s", "0.5"),
        ("visibility_timeout_s", "0"),
        ("max_attempts", "0"),
        ("flush_ms", "1001"),
        ("events_ttl_s", "0"),
        ("max_events", "9"),
        ("redis_url", "http://h"),
        ("redis_url", "redis://h:x"),
        ("redis_url", "redis://h:0"),
        ("broker_url", "kafka://h"),
        ("broker_url", "amqps://h?ssl_ca_certs=/ca.pem"),
        ("llm_base_url", "h:8000"),
        ("api_keys", "nocolon"),
        ("api_keys", "name:"),
        ("api_keys", "a:1,a:2"),
        ("log_level", "loud"),
    ],
)
def test_a_value_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"JOBCAST_{name.upper()}", value)
    assert refused().startswith(f"JOBCAST_{name.upper()}: ")


def test_a_refused_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCAST_API_KEYS", "topsecret")
    assert "topsecret" not in refused()
    assert "topsecret" not in repr(Settings(api_keys={"me": "topsecret"}, llm_api_key="topsecret"))


@pytest.mark.parametrize(
    ("together", "named"),
    [
        ({"events_ttl_s": 2, "result_ttl_s": 1}, ("EVENTS_TTL_S", "RESULT_TTL_S")),
        ({"visibility_timeout_s": 5, "lease_s": 10}, ("VISIBILITY_TIMEOUT_S", "LEASE_S")),
        ({"host": "0.0.0.0"}, ("HOST", "API_KEYS")),
        ({"redis_url": "redis+cluster://h"}, ("REDIS_URL", "BROKER_URL")),
    ],
)
def test_settings_that_contradict_each_other_are_named(together: dict[str, Any], named: tuple[str, ...]) -> None:
    message = refused(**together)
    assert all(name in message for name in named)


@pytest.mark.parametrize(
    "together",
    [
        {"host": "0.0.0.0", "api_keys": {"me": "key"}},
        {"host": "::1"},
        {"redis_url": "redis+cluster://h", "broker_url": "redis://b"},
        {"redis_url": "redis+sentinel://a:1,b:2/0?master=m"},
        {"redis_url": "unix:///tmp/redis.sock", "tasks": ("a", "b")},
    ],
)
def test_settings_that_go_together_are_taken(together: dict[str, Any]) -> None:
    assert load(**together) == Settings(**together)


def test_the_broker_is_redis_unless_another_is_named() -> None:
    assert load(redis_url="redis://r").broker == "redis://r"
    assert load(redis_url="redis://r", broker_url="amqp://b").broker == "amqp://b"


def test_a_process_reads_its_settings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    current.cache_clear()
    try:
        first = current()
        monkeypatch.setenv("JOBCAST_PORT", "9000")
        assert current() is first
    finally:
        current.cache_clear()


def test_secrets_of_webhooks_are_parted_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = "whsec_" + "A" * 44, "whsec_" + "B" * 32
    monkeypatch.setenv("JOBCAST_WEBHOOK_SECRET", f" {new}  {old}")
    monkeypatch.setenv("JOBCAST_WEBHOOK_ALLOW_PRIVATE", "hooks.lan, 10.0.0.0/8,::1")
    settings = load()
    assert settings.webhook_secret == (new, old)
    assert settings.webhook_allow_private == ("hooks.lan", "10.0.0.0/8", "::1")
    assert new not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SECRET", "whsec_short"),
        ("WEBHOOK_SECRET", "whsec_" + "A" * 44 + " other"),
        ("WEBHOOK_ALLOW_PRIVATE", "10.0.0.0/33"),
    ],
)
def test_what_webhooks_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"JOBCAST_{name}", value)
    assert refused().startswith(f"JOBCAST_{name}: ")
