"""`jobcast doctor`: what is wrong with a deployment, and the mend for each."""

import sys
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import httpx

from progress import factory, keys
from progress.commands import ReadHealth
from progress.errors import Elsewhere, InvalidSettings, StoreUnavailable
from progress.inspect import ServerFacts, inspect, inspect_cluster
from progress.settings import Settings, load
from server.embedded import OLDEST
from server.exits import FAILED, OK
from server.findings import AWAY, Finding, examine_storage, shown, why
from server.model_servers import examine_models
from server.programs import url_of
from tasks.queue import CeleryQueue, JobQueue, QueueUnavailable

TIMEOUT_S: Final = 3.0
SKEW_S: Final = 2.0
"""Clocks further apart than this put jobs in the wrong order and hand messages out again too early or too late."""
FULL: Final = 0.8
_MIB: Final = 1024 * 1024


def run() -> int:
    """Prints the findings; FAILED where there is anything to mend."""
    good = True
    for finding in examine():
        good = good and finding.good
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
    return OK if good else FAILED


def examine() -> Iterator[Finding]:
    """Everything that can be found out, with the settings of this process."""
    try:
        settings = load()
        queue = CeleryQueue.from_settings(settings)
    except InvalidSettings as error:
        yield Finding("settings", str(error), "nothing else can be checked before")
        return
    except (ImportError, TypeError, ValueError) as error:  # the last two from @job
        yield Finding("settings", f"JOBCAST_TASKS: {error}", "mend the module, install it, or start where it lies")
        return
    try:
        yield from examine_settings(settings)
        yield from examine_all(settings, queue)
    finally:
        queue.close()


def examine_all(settings: Settings, queue: JobQueue) -> Iterator[Finding]:
    """The servers that the settings name."""
    if not settings.redis_url:
        yield from examine_through_api(settings)
        return
    reachable = True
    for finding in examine_redis("redis", settings.redis_url):
        reachable = reachable and not finding.text.startswith(AWAY)
        yield finding
    if settings.broker != settings.redis_url and urlsplit(settings.broker).scheme in {"redis", "rediss", "unix"}:
        yield from examine_redis("broker", settings.broker)
    yield from examine_broker(queue)
    if reachable:
        yield from examine_workers(settings, queue)
    yield from examine_storage(settings)
    yield from examine_models(settings)


def examine_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that are each allowed but make no sense together."""
    wrong = list(_contradictions(settings))
    yield from wrong
    if not wrong:
        yield Finding("settings", f"kinds beside the built-in ones: {', '.join(settings.tasks) or 'none'}")


def _contradictions(settings: Settings) -> Iterator[Finding]:
    if settings.llm_api_key and not settings.llm_base_url:
        yield Finding(
            "settings", "LLM_API_KEY is set and LLM_BASE_URL is not", "name the server that the key is for, or unset it"
        )
    if settings.redis_url and not settings.llm_base_url:
        yield Finding(
            "settings",
            "LLM_BASE_URL is not set, and only `jobcast up` starts the demo model",
            "set JOBCAST_LLM_BASE_URL for the workers that serve the queue llm",
        )


def examine_redis(subject: str, url: str) -> Iterator[Finding]:
    """One Redis: as it is, or why it cannot be asked."""
    if "+cluster" in urlsplit(url).scheme:
        yield from examine_cluster(url)
        return
    try:
        facts = inspect(url)
    except Elsewhere:
        mend = "use redis+cluster://; Celery's broker cannot be a cluster: name a server of its own"
        yield Finding(subject, f"{AWAY} for all at {shown(url)}: it is one node of a cluster", mend)
        return
    except StoreUnavailable as error:
        yield Finding(subject, f"{AWAY} at {shown(url)}: {why(error)}", "start it, or mend address and password")
        return
    yield from judge(subject, facts, shown(url))


def examine_cluster(url: str) -> Iterator[Finding]:
    """A cluster, and each node that has jobs."""
    try:
        topology, nodes = inspect_cluster(url)
    except StoreUnavailable as error:
        yield Finding("redis", f"{AWAY} at {shown(url)}: {why(error)}", "start it, or mend the address")
        return
    for (host, port), facts in nodes.items():
        if isinstance(facts, StoreUnavailable):
            yield Finding("redis", f"{AWAY} at {host}:{port}: {why(facts)}", "start it; its jobs wait for its replica")
        else:
            yield from judge("redis", facts, f"{host}:{port}")
    if missing := keys.PARTITIONS - len(topology.owners):
        yield Finding(
            "cluster", f"{missing} of {keys.PARTITIONS} parts of all jobs are nowhere", "give out their slots"
        )
    for host, port in sorted(topology.lonely):
        yield Finding("cluster", f"{host}:{port} has no replica", "add one, or its jobs wait for as long as it is away")


def judge(subject: str, facts: ServerFacts, place: str) -> Iterator[Finding]:
    """What the facts of a server mean for jobs."""
    wrong = [Finding(subject, text, mend) for text, mend in _faults(facts)]
    told = f"{facts.name} {facts.version} at {place}, {facts.round_trip_s * 1000:.1f} ms away"
    yield from wrong or [Finding(subject, f"{told}, append-only file on, {facts.eviction}, {_memory(facts)}")]
    if abs(facts.ahead_s) > SKEW_S + facts.round_trip_s / 2:
        side = "behind" if facts.ahead_s > 0 else "ahead of"
        yield Finding(
            "clock",
            f"this machine's is {abs(facts.ahead_s):.1f} s {side} that of the server at {place}",
            "let both follow a time server",
        )
    else:
        yield Finding("clock", f"within {max(abs(facts.ahead_s), 0.001):.3f} s of that of the server at {place}")


def _faults(facts: ServerFacts) -> Iterator[tuple[str, str]]:
    if facts.protocol < OLDEST:
        yield f"it is {facts.name} {facts.version}", "install Redis 6.2 or newer, or Valkey"
    if facts.is_replica:
        yield "it is a replica, which takes no writes", "name the primary, or the Sentinels that know it"
    if not facts.appendonly:
        yield (
            "appendonly is off",
            "a restart would lose jobs; CONFIG SET appendonly yes, and the same in its configuration file",
        )
    if facts.eviction != "noeviction":
        yield (
            f"maxmemory-policy is {facts.eviction}",
            "it would drop jobs and messages; CONFIG SET maxmemory-policy noeviction, and the same in its file",
        )
    for what in facts.failures:
        yield f"{what} failed", "look for a full disk or missing rights in its log; it may refuse writes until then"
    limit = facts.limit_bytes or facts.machine_bytes
    if limit and facts.used_bytes > FULL * limit:
        yield (
            f"it uses {_memory(facts)}",
            "give it more, or shorten JOBCAST_EVENTS_TTL_S; when it is full, submissions answer 503",
        )


def _memory(facts: ServerFacts) -> str:
    used = f"{facts.used_bytes / _MIB:.0f}"
    limit = facts.limit_bytes or facts.machine_bytes
    return f"{used} of {limit / _MIB:.0f} MiB" if limit else f"{used} MiB"


def examine_broker(queue: JobQueue) -> Iterator[Finding]:
    """Whether messages can be sent."""
    try:
        depths = {name: queue.depth(name) for name in queue.queues}
    except QueueUnavailable as error:
        yield Finding(
            "broker", f"{AWAY}: {why(error)}", "start it, or mend JOBCAST_BROKER_URL; jobs wait in Redis until then"
        )
        return
    yield Finding("broker", "messages waiting: " + ", ".join(f"{name} {depth}" for name, depth in depths.items()))


def examine_workers(settings: Settings, queue: JobQueue) -> Iterator[Finding]:
    """Who serves the queue of each kind."""
    executor = factory.executor(settings.redis_url, retries=0)
    try:
        health = executor.run(ReadHealth(queue.queues))
    except StoreUnavailable as error:
        yield Finding("workers", f"Redis refuses to tell: {why(error)}", "see the lines on redis")
        return
    finally:
        executor.close()
    for name, seen in health.queues.items():
        yield judge_queue(name, seen.waiting, len(seen.workers))


def judge_queue(name: str, waiting: int, workers: int) -> Finding:
    """One queue with those who serve it."""
    if not workers:
        return Finding(f"queue {name}", f"no worker, {waiting} waiting", f"start `jobcast worker --queues {name}`")
    return Finding(f"queue {name}", f"{workers} worker{'s' * (workers > 1)}, {waiting} waiting")


def examine_through_api(settings: Settings) -> Iterator[Finding]:
    """Without an address of a Redis: what the API of a `jobcast up` on this machine says."""
    url = url_of(settings, settings.port)
    key = next(iter(settings.api_keys.values()), "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        seen = httpx.get(f"{url}/health", headers=headers, timeout=TIMEOUT_S, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        yield Finding(
            "redis",
            f"JOBCAST_REDIS_URL is not set, and no `jobcast up` answers at {url}",
            "set it to the address of a Redis, or start `jobcast up`, which brings its own",
        )
        return
    for name in ("redis", "broker"):
        yield _said(name, str(seen.get(name, "unknown")), url)
    for name, found in seen.get("queues", {}).items():
        yield judge_queue(name, found["waiting"], len(found["workers"]))


def _said(name: str, state: str, url: str) -> Finding:
    text = f"the one of `jobcast up` at {url}: {state}"
    return Finding(name, text, "" if state == "ok" else "see the lines that `jobcast up` prints")
