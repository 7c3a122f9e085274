"""Connections: every kind of address, and failures that are told in time."""

import asyncio
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from progress import factory, keys
from progress.commands import Append, Appends, BeginAttempt, Claim, CreateJob, ListJobs, Part, ReadJob, joined
from progress.commands.attempts import MOST_JOINED
from progress.connect import TIMEOUT_S, Address, AsyncRedisExecutor, RedisExecutor, dialer
from progress.errors import StoreUnavailable
from progress.events import Draft
from progress.factory import ping
from progress.jobs import NewJob
from server.embedded import free_port
from tests.support.backend import LEASE_MS, LIFETIMES
from tests.support.machine import Stalls
from tests.support.redis_server import RedisServer
from tests.support.waiting import turns, until, wait_until

CERTIFICATE = Path(__file__).parents[1] / "support" / "loopback.pem"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h:1/2", Address("redis://h:1/2")),
        ("unix:///tmp/x.sock?db=1", Address("unix:///tmp/x.sock?db=1")),
        ("rediss+cluster://u:p@h:7000", Address("rediss://u:p@h:7000", "cluster", nodes=(("h", 7000),))),
        (
            "redis+cluster://:p@a,[::1]:7001",
            Address("redis://:p@a:6379", "cluster", nodes=(("a", 6379), ("::1", 7001))),
        ),
        (
            "redis+sentinel://:pw@a:1,b,[::1]:3/4?master=m&ssl_cert_reqs=none",
            Address("redis://:pw@m/4?ssl_cert_reqs=none", "sentinel", (("a", 1), ("b", 26379), ("::1", 3)), "m"),
        ),
        ("redis+sentinel://a", Address("redis://mymaster", "sentinel", (("a", 26379),), "mymaster")),
    ],
)
def test_an_address_says_where_and_how(url: str, address: Address) -> None:
    assert Address.parse(url) == address


def test_an_address_keeps_what_is_beside_the_place() -> None:
    address = Address.parse("rediss+sentinel://u:p@a/4?ssl_cert_reqs=none")
    assert address.tls
    assert address.options == {"username": "u", "password": "p", "db": 4, "ssl_cert_reqs": "none"}


async def assert_works(url: str) -> None:
    """Writes, reads and listens."""
    new = NewJob("generate", {}, "llm")
    blocking, asynchronous = factory.executor(url), factory.async_executor(url)
    listener = factory.listener(url)
    heard: list[bytes] = []
    listener.start(lambda batch: heard.extend(payload for _, payload in batch), lambda: None)
    try:
        await listener.subscribe("{jobcast}:live:" + new.id)
        # In a thread: what stands before the server may run on this loop.
        await asyncio.to_thread(blocking.ping)
        assert (await asyncio.to_thread(blocking.run, CreateJob(new, LIFETIMES))).outcome == "created"
        job = await asynchronous.run(ReadJob(new.id))
        assert job is not None
        assert await asyncio.to_thread(blocking.run_many, [ReadJob(new.id)] * 2) == [job, job]
        await until(lambda: bool(heard))
    finally:
        await listener.close()
        await asynchronous.close()
        blocking.close()


async def test_a_server_over_tcp(redis_url: str) -> None:
    await assert_works(redis_url)


async def test_a_server_over_a_socket_in_the_file_system(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url
    await assert_works(redis_server.unix_url)


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer(password="open sesame/%") as server:
        yield server


async def test_a_server_that_wants_a_password(guarded: RedisServer) -> None:
    await assert_works(guarded.url)
    await assert_works(guarded.url.replace("redis://:", "redis://default:"))


def test_a_wrong_password_is_said(guarded: RedisServer) -> None:
    with pytest.raises(StoreUnavailable, match=r"WRONGPASS|invalid"):
        ping(guarded.url.replace(guarded.login, ":wrong@"))
    ping(guarded.url)


async def test_the_master_that_sentinels_know(tmp_path: Path) -> None:
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer())
        sentinel = stack.enter_context(sentinel_of(master, tmp_path))
        await assert_works(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=jobs")
        with pytest.raises(StoreUnavailable):
            ping(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=unknown")
        with pytest.raises(StoreUnavailable):
            await dialer(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=unknown")(asyncio.Protocol)


@contextmanager
def sentinel_of(master: RedisServer, directory: Path) -> Iterator[RedisServer]:
    config = directory / "sentinel.conf"
    config.write_text(f"sentinel monitor jobs 127.0.0.1 {master.port} 1\n")
    with RedisServer("--sentinel", config=config) as sentinel:
        yield sentinel


@pytest.mark.slow
async def test_a_cluster(tmp_path: Path) -> None:
    # By default its bus takes the port 10,000 above, where the system may just have put somebody's connection.
    bus = f"--cluster-port {free_port()}"
    config = f"--cluster-enabled yes --cluster-config-file {tmp_path}/nodes.conf {bus}".split()
    with RedisServer(*config) as node:
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: "cluster_state:ok" in str(node.command("CLUSTER", "INFO")) or _ok(node))
        await assert_works(node.url.replace("redis://", "redis+cluster://").removesuffix("/0"))


def _ok(node: RedisServer) -> bool:
    return "'cluster_state': 'ok'" in str(node.command("CLUSTER", "INFO"))


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


class TlsProxy:
    """TLS in front of a server, since the embedded one speaks none."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return f"rediss://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(relay(source, sink)))


async def test_a_server_behind_tls(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url
    async with TlsProxy(redis_server.port) as url:
        await assert_works(f"{url}?ssl_ca_certs={CERTIFICATE}")
        await assert_works(f"{url}?ssl_cert_reqs=none")
        with pytest.raises(ssl.SSLError):
            await dialer(url)(asyncio.Protocol)


async def test_a_client_certificate_is_shown_where_one_is_given(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url
    async with TlsProxy(redis_server.port) as url:
        await assert_works(f"{url}?ssl_ca_certs={CERTIFICATE}&ssl_certfile={CERTIFICATE}&ssl_keyfile={CERTIFICATE}")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_server_that_is_not_there_is_said_at_once(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{closed_port()}"
    with pytest.raises(StoreUnavailable, match=r"refused|connect"):
        ping(url)
    if scheme == "redis":
        asynchronous = AsyncRedisExecutor(url)
        with pytest.raises(StoreUnavailable, match=r"refused|connect"):
            await asynchronous.run(ListJobs())
        await asynchronous.close()


def test_of_commands_sent_together_each_gets_its_error() -> None:
    executor = RedisExecutor(f"redis://127.0.0.1:{closed_port()}")
    answers = executor.run_many([ListJobs(), ListJobs()])
    answers += executor.run_many([ListJobs()])
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    executor.close()


def test_scripts_that_the_server_has_forgotten_are_sent_again(
    executor: RedisExecutor, redis_server: RedisServer
) -> None:
    for commands in ([ListJobs()], [ListJobs(), ListJobs()]):
        redis_server.command("SCRIPT", "FLUSH")
        assert executor.run_many(commands) == [[]] * len(commands)


def ready(executor: RedisExecutor, count: int, texts: int = 1) -> list[Append]:
    """The first appends of so many running jobs."""
    drafts = (Draft.of("token", text="a"),) * texts
    ids = [executor.run(CreateJob(NewJob("generate", {}, "llm"), LIFETIMES)).job_id for _ in range(count)]
    claims = [executor.run(BeginAttempt(job_id, "w", LEASE_MS)).claim for job_id in ids]
    return [Append(claim, 1, LEASE_MS, drafts) for claim in claims if claim]


def calls(server: RedisServer) -> int:
    """How many scripts have been called since the last time."""
    found = re.search(r"cmdstat_evalsha:calls=(\d+)", server.info("commandstats"))
    server.command("CONFIG", "RESETSTAT")
    return int(found[1]) if found else 0


def test_appends_that_are_sent_together_share_a_call(executor: RedisExecutor, redis_server: RedisServer) -> None:
    few, many = ready(executor, 10), ready(executor, 5, MOST_JOINED // 2)
    calls(redis_server)
    for appends, shared in ((few, 1), (many, 3)):
        assert [answer.answer for answer in executor.run_many(appends)] == ["ok"] * len(appends)
        assert calls(redis_server) == shared


def test_an_append_that_fails_takes_none_with_it_that_shared_its_call(
    executor: RedisExecutor, redis_server: RedisServer
) -> None:
    appends = ready(executor, 4)
    spoilt = appends[1].claim.job_id
    redis_server.command("DEL", keys.LOG + spoilt)
    redis_server.command("SET", keys.LOG + spoilt, "no log")
    first, failed, *others = executor.run_many(appends)
    assert isinstance(failed, StoreUnavailable)
    # The first was written before the call broke off, and is written once.
    assert [(answer.answer, answer.last_seq) for answer in (first, *others)] == [("ok", 3)] * 3


def test_appends_whose_script_is_forgotten_are_all_written(executor: RedisExecutor, redis_server: RedisServer) -> None:
    appends = ready(executor, 3)
    redis_server.command("SCRIPT", "FLUSH")
    assert [answer.last_seq for answer in executor.run_many(appends)] == [3] * 3


def test_appends_of_different_partitions_share_no_call() -> None:
    appends = [Append(Claim("job-a", 1, "t"), number, LEASE_MS, ()) for number in range(5)]
    other = ListJobs()
    parts: list[Part] = [
        (1, appends[0]),
        (1, appends[1]),
        (2, appends[2]),
        (2, other),
        (2, appends[3]),
        (2, appends[4]),
    ]
    assert list(joined(parts)) == [
        *((1, Appends(tuple(appends[:2]))), (2, appends[2]), (2, other), (2, Appends(tuple(appends[3:])))),
    ]


def test_a_broken_connection_costs_a_command_nothing(executor: RedisExecutor, redis_server: RedisServer) -> None:
    executor.run(ListJobs())
    for commands in ([ListJobs()], [ListJobs(), ListJobs()]):
        redis_server.command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
        assert executor.run_many(commands) == [[]] * len(commands)


def test_a_server_that_may_not_write_is_unavailable(executor: RedisExecutor, redis_server: RedisServer) -> None:
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        full = [CreateJob(NewJob("generate", {}, "llm"), LIFETIMES)] * 2
        assert [type(answer) for answer in executor.run_many(full)] == [StoreUnavailable] * 2
        with pytest.raises(StoreUnavailable, match="memory"):
            executor.run(full[0])
    finally:
        redis_server.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.slow
async def test_a_server_that_hangs_is_given_up_and_not_asked_again(stalls: Stalls) -> None:
    with RedisServer() as server:
        blocking, asynchronous = RedisExecutor(server.url), AsyncRedisExecutor(server.url)
        await asynchronous.run(ListJobs())
        blocking.run(ListJobs())
        with frozen(server):
            before = time.monotonic()
            waiting = [asyncio.create_task(asynchronous.run(ListJobs())) for _ in range(40)]
            with pytest.raises(StoreUnavailable):
                await asyncio.to_thread(blocking.run, ListJobs())
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(result) for result in results] == [StoreUnavailable] * 40
            assert time.monotonic() - before < 2 * TIMEOUT_S + stalls.since(before)
        new = NewJob("generate", {}, "llm")
        # No connection still holds the answer to another question.
        assert (await asynchronous.run(CreateJob(new, LIFETIMES))).job_id == new.id
        jobs = await asyncio.gather(*(asynchronous.run(ReadJob(new.id)) for _ in range(40)))
        assert {job and job.id for job in jobs} == {new.id}
        await asynchronous.close()
        blocking.close()


async def test_a_caller_that_leaves_takes_its_answer_with_it(async_executor: AsyncRedisExecutor) -> None:
    new = NewJob("generate", {}, "llm")
    await async_executor.run(CreateJob(new, LIFETIMES))
    for _ in range(50):
        task = asyncio.create_task(async_executor.run(ListJobs(limit=1)))
        await turns(2)
        task.cancel()
        job = await async_executor.run(ReadJob(new.id))
        assert job is not None
        assert job.id == new.id
