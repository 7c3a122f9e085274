"""What a server tells of itself."""

from collections.abc import Iterator

import pytest

from progress.errors import StoreUnavailable
from progress.inspect import ServerFacts, inspect
from tests.support.redis_server import RedisServer

REDIS = """# Server
redis_version:6.2.14
tcp_port:6379
# Memory
used_memory:1000
maxmemory:4000
maxmemory_policy:allkeys-lru
total_system_memory:9000
# Persistence
aof_enabled:0
aof_last_write_status:err
rdb_last_bgsave_status:err
aof_last_bgrewrite_status:ok
# Replication
role:slave
"""


def test_the_facts_of_a_redis() -> None:
    facts = ServerFacts.parse(REDIS)
    assert (facts.name, facts.version, facts.protocol) == ("redis", "6.2.14", (6, 2, 14))
    assert (facts.used_bytes, facts.limit_bytes, facts.machine_bytes) == (1000, 4000, 9000)
    assert facts.eviction == "allkeys-lru"
    assert not facts.appendonly
    assert facts.is_replica
    assert facts.failures == ("the last write to its append-only file", "its last snapshot")


def test_a_valkey_tells_its_own_version_and_the_one_of_redis_that_it_equals() -> None:
    facts = ServerFacts.parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0\r\naof_enabled:1\r\n")
    assert (facts.name, facts.version, facts.protocol) == ("valkey", "9.1.0", (7, 2, 4))
    assert facts.appendonly


def test_a_server_that_tells_nothing_is_unknown_and_no_error() -> None:
    facts = ServerFacts.parse("")
    assert (facts.version, facts.eviction, facts.protocol) == ("unknown", "unknown", ())
    assert facts.failures == ()


@pytest.mark.integration
class TestARealServer:
    """Each fact, changed on a server of its own."""

    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        with RedisServer("--appendonly", "yes") as server:
            yield server

    def test_is_told_as_it_is(self, server: RedisServer) -> None:
        facts = inspect(server.url)
        assert facts.appendonly
        assert facts.eviction == "noeviction"
        assert facts.protocol >= (6, 2)
        assert facts.used_bytes > 100_000
        assert facts.failures == ()
        assert not facts.is_replica

    def test_shares_this_machines_clock(self, server: RedisServer) -> None:
        facts = inspect(server.url)
        assert 0 < facts.round_trip_s < 1
        assert abs(facts.ahead_s) < 0.1 + facts.round_trip_s

    def test_changes_are_seen(self, server: RedisServer) -> None:
        server.command("CONFIG", "SET", "appendonly", "no")
        server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        server.command("CONFIG", "SET", "maxmemory", "64mb")
        facts = inspect(server.url)
        assert (facts.appendonly, facts.eviction, facts.limit_bytes) == (False, "volatile-lru", 64 * 1024 * 1024)

    def test_a_replica_is_known(self, server: RedisServer) -> None:
        with RedisServer() as primary:
            server.command("REPLICAOF", "127.0.0.1", primary.port)
            assert inspect(server.url).is_replica

    def test_a_full_one_still_tells(self, server: RedisServer) -> None:
        server.command("CONFIG", "SET", "maxmemory", "1mb")
        facts = inspect(server.url)
        assert facts.used_bytes > 0.5 * facts.limit_bytes

    def test_a_server_that_is_not_there_is_an_error(self, server: RedisServer) -> None:
        server.kill()
        with pytest.raises(StoreUnavailable):
            inspect(server.url)

    def test_a_wrong_password_is_an_error_that_says_so(self) -> None:
        with RedisServer(password="secret") as locked:
            with pytest.raises(StoreUnavailable, match="password"):
                inspect(locked.url.replace("secret", "guess"))
            assert inspect(locked.url).eviction == "noeviction"
