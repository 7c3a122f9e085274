"""The crash that the other tests let Redis have: it loses what was written last, whole writes, and nothing else."""

import itertools
import threading
from contextlib import suppress

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import aof
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.integration]

# Nothing is ever held back for a sync that is under way, so that what was confirmed is in the file.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "no")
PAIR = "redis.call('RPUSH', 'a', ARGV[1]) redis.call('RPUSH', 'b', ARGV[1])"
TRICK = "*1\r\n$4\r\nEXEC\r\n"
"""A value that looks like the end of a transaction."""


def stored(server: RedisServer, key: str) -> list[int]:
    """The numbers in a list."""
    found = server.command("LRANGE", key, 0, -1)
    assert isinstance(found, list)
    return [int(value) for value in found]


def test_a_crash_loses_what_was_written_since_and_nothing_else() -> None:
    with RedisServer(*PERSISTENT) as server:
        for number in range(3):
            server.command("EVAL", PAIR, 0, number)
        kept = server.written()
        for number in range(3, 8):
            server.command("EVAL", PAIR, 0, number)
        assert server.crash(kept) > 0
        server.start()
        assert stored(server, "a") == stored(server, "b") == [0, 1, 2]
        server.command("RPUSH", "a", 3)
        assert server.crash(server.written()) == 0
        server.start()
        assert stored(server, "a") == [0, 1, 2, 3], "what it writes after a crash is kept"


def test_a_script_is_lost_whole_wherever_the_file_is_cut() -> None:
    with RedisServer(*PERSISTENT) as server:
        server.command("SET", "trick", TRICK)
        before = server.written()
        server.command("EVAL", PAIR, 0, 1)
        middle = server.written()
        server.command("SET", "trick", TRICK * 2)
        log = aof.newest(server.directory).read_bytes()
    found = [aof.boundary(log, limit) for limit in range(len(log) + 1)]
    assert [end for end, _ in itertools.groupby(found)][-3:] == [before, middle, len(log)]
    assert all(end <= limit for limit, end in enumerate(found))


def write_until_it_is_gone(server: RedisServer, done: list[int]) -> None:
    """Writes one number after another, each once, and notes those that were confirmed."""
    with redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client, suppress(redis.ConnectionError):
        for number in itertools.count():
            client.eval(PAIR, 0, str(number))
            done.append(number)


def test_a_crash_in_the_midst_of_writing_loses_the_last_moments() -> None:
    with RedisServer(*PERSISTENT) as server:
        done: list[int] = []
        writing = threading.Thread(target=write_until_it_is_gone, args=(server, done))
        writing.start()
        wait_until(lambda: len(done) > 100)
        before = len(done)
        server.lose_tail(50)
        writing.join()
        server.start()
        left = stored(server, "a")
        assert left == stored(server, "b") == list(range(len(left)))
        assert before <= len(left) < len(done)
