"""One measurement of streaming: a peer, its publisher and the readers, and what each of them used."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench.build import program
from bench.peers import Peer
from bench.plans import Plan
from bench.processes import (
    OTHER_CORES,
    SERVER_CORES,
    BenchError,
    cpu_s,
    family,
    machine_cpu_s,
    rss_kib,
    running,
    wait_until,
)
from bench.site import Site, listens, site

Figures = dict[str, float]
PATIENCE_S: Final = 90.0


@dataclass
class Snapshot:
    """What processes have used so far."""

    server: float
    redis: float
    publisher: float
    machine: float
    rss: float
    at: float = field(default_factory=time.monotonic)


@dataclass
class Stage:
    """A server that is up, and whoever is to publish to it."""

    peer: Peer
    site: Site
    server_pid: int
    names: Sequence[str]
    publishers: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        """The processes of the server; some start others late."""
        return family(self.server_pid)

    def snapshot(self) -> Snapshot:
        """As of now."""
        publisher = cpu_s(process.pid for process in self.publishers)
        server = self.pids if self.peer.own_process else []
        return Snapshot(cpu_s(server), cpu_s([self.site.redis_pid]), publisher, machine_cpu_s(), rss_kib(self.pids))

    @property
    def port(self) -> int:
        """Where readers connect to."""
        return self.site.port if self.peer.own_process else self.site.redis_port


@contextlib.contextmanager
def stage(peer: Peer, plan: Plan, *, count: int = 0) -> Iterator[Stage]:
    """A Redis, a publisher that knows its streams, and the peer's server.

    Args:
        count: tokens a stream to be published at once, each an event of its own; else as the plan has it.
    """
    cores = _cores(plan)
    with site(cores) as place, contextlib.ExitStack() as stack:
        (place.folder / "credit").write_bytes(bytes(4096))
        names, publishers = [str(at) for at in range(plan.streams)], []
        if peer.speech == "publisher":
            commands = [_speaker(place, plan, count, at) for at in range(plan.publishers)]
            publishers = [stack.enter_context(running(one, cores=cores, talks=True)) for one in commands]
            names = [name for process in publishers for name in json.loads(line(process, "the publisher"))]
        env = {**peer.env(place), "BENCH_RATE": str(plan.rate or 1000)}
        log = place.folder / "server.log"
        server = stack.enter_context(running(peer.command(place), env, cores=SERVER_CORES, log=log))
        if peer.own_process:
            try:
                wait_until(lambda: listens(place.port), peer.name, server)
            except BenchError as error:
                raise BenchError(f"{error}: {log.read_text()[-500:]}") from error
        yield Stage(peer, place, server.pid, names, publishers)


def _cores(plan: Plan) -> frozenset[int]:
    """Where Redis and the publisher run."""
    return OTHER_CORES | SERVER_CORES if plan.shares_core else OTHER_CORES


def _speaker(place: Site, plan: Plan, count: int, at: int) -> list[str | Path]:
    length = plan.warmup_s + plan.seconds + 1
    jobs = plan.streams * (at + 1) // plan.publishers - plan.streams * at // plan.publishers
    options: list[Any] = ["--redis", place.redis_url, "--jobs", jobs, "--seconds", length, "--size", plan.size]
    options += ["--count", count] if count else ["--rate", plan.rate, "--window", plan.window]
    # What has arrived is counted over all streams: each publisher takes its share for its own.
    options += ["--credit", place.folder / "credit", "--fan", plan.fan * plan.streams / jobs]
    if plan.flush_ms is not None or count:
        options += ["--flush-ms", plan.flush_ms or 0]
    return [sys.executable, "-m", "bench.speaker", *map(str, options)]


def _speak(place: Site, peer: Peer, plan: Plan, count: int) -> list[str | Path]:
    """The command that publishes to a peer that has no Publisher."""
    names = place.folder / "names"
    names.write_text("".join(peer.stream.format(s=at) + "\n" for at in range(plan.streams)))
    port = place.port if peer.speech == "http" else place.redis_port
    options: list[Any] = ["--kind", peer.speech, "--port", port, "--names", names, "--size", plan.size]
    if count:
        options += ["--count", count * plan.streams, "--window", count, "--seconds", 60]
    else:
        options += ["--rate", plan.rate, "--window", plan.window, "--fan", plan.fan]
        options += ["--credit", place.folder / "credit", "--seconds", plan.warmup_s + plan.seconds + 1]
    return [program("speak"), *map(str, options)]


def publish_all(found: Stage, plan: Plan, count: int) -> None:
    """Publishes ``count`` tokens to each stream, and returns once they are written."""
    if found.publishers:
        for process in found.publishers:
            _start(process)
        for process in found.publishers:
            line(process, "the publisher")
        return
    with running(_speak(found.site, found.peer, plan, count), talks=True) as process:
        said = json.loads(line(process, "the publisher"))
    if said["answered"] < count * plan.streams or said["refused"]:
        raise BenchError(f"{found.peer.name} has not taken what was published: {said}")


def _start(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def line(process: "subprocess.Popen[str]", whose: str) -> str:
    """The next line that a process says. It ends by itself in any case: nobody waits here for ever."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise BenchError(f"{whose} has ended early")
    return line


@contextlib.contextmanager
def readers(found: Stage, plan: Plan, **options: float) -> Iterator["subprocess.Popen[str]"]:
    """The load generator, at work."""
    peer, targets = found.peer, found.site.folder / "targets"
    template = peer.socket_target if plan.kind == "ws" else peer.replay_target if "storm" in options else peer.target
    if template is None:
        raise BenchError(f"{peer.name} has no such route")
    targets.write_text("".join(template.replace("{s}", name) + "\n" for name in found.names))
    kind = plan.kind if peer.own_process else "resp"
    words: list[Any] = ["--kind", kind, "--port", found.port, "--targets", targets, "--readers", plan.readers]
    words += ["--warmup", plan.warmup_s, "--seconds", plan.seconds, "--credit", found.site.folder / "credit"]
    for name, value in {"timeout": PATIENCE_S / 3, **plan.extra, **options}.items():
        words += [f"--{name.replace('_', '-')}", value]
    with running([program("readers"), *map(str, words)], log=None, talks=True) as process:
        yield process


def measure(peer: Peer, plan: Plan, *, beside: Callable[[Site], Sequence[str | Path]] | None = None) -> Figures:
    """Runs a plan against a peer.

    Args:
        beside: a command that runs during the measured time and says figures of its own.

    Raises:
        BenchError: it could not be measured.
    """
    with stage(peer, plan) as found, readers(found, plan) as process, contextlib.ExitStack() as stack:
        ready, failed = map(int, line(process, "the load generator").split()[1:])
        subscriptions = found.site.subscriptions()
        for publisher in found.publishers:
            _start(publisher)
        if peer.speech not in ("own", "publisher"):
            speak = running(_speak(found.site, peer, plan, 0), cores=_cores(plan), talks=True)
            found.publishers.append(stack.enter_context(speak))
        line(process, "the load generator")
        before = found.snapshot()
        more = stack.enter_context(running(beside(found.site), talks=True)) if beside else None
        line(process, "the load generator")
        after = found.snapshot()
        said = json.loads(line(process, "the load generator"))
        others = json.loads(line(more, "what ran beside")) if more else {}
        figures = {**others, "posts_wall_s": others.get("wall_s", 0.0), **said, **_rates(said, before, after, plan)}
        figures |= {"ready": ready, "failed": failed, "subscriptions": subscriptions}
        return figures


def _rates(said: Figures, before: Snapshot, after: Snapshot, plan: Plan) -> Figures:
    # Each side by its own clock: the two looks are taken a little after the bounds.
    wall, rate = after.at - before.at, said["tokens"] / said["wall_s"]
    used = {name: (getattr(after, name) - getattr(before, name)) / wall for name in ("server", "redis", "publisher")}
    share = said["cpu_s"] / said["wall_s"]
    machine = (after.machine - before.machine) / wall
    per_million = {f"{name}_s_per_million": value / rate * 1e6 if rate else 0.0 for name, value in used.items()}
    return {
        "rate": rate,
        "share": rate / plan.offered if plan.offered else 1.0,
        **{f"{name}_cpu": value for name, value in used.items()},
        **per_million,
        "all_s_per_million": sum(per_million.values()),
        "deliveries_per_cpu_s": rate / used["server"] if used["server"] else 0.0,
        "readers_cpu": share,
        "readers_us": share / rate * 1e6 if rate else 0.0,
        "foreign_cpu": max(0.0, machine - sum(used.values()) - share),
        "grown_kib": after.rss - before.rss,
        "rss_kib": after.rss,
    }


def storm(peer: Peer, plan: Plan, events: int) -> Figures:
    """All readers come at once and want ``events`` events from the log of one stream."""
    with stage(peer, plan, count=events) as found:
        publish_all(found, plan, events)
        before = found.snapshot()
        with readers(found, plan, storm=1, expect=events) as process:
            for _ in ("begin", "end"):
                line(process, "the load generator")
            after = found.snapshot()
            said = json.loads(line(process, "the load generator"))
    wall = said["wall_s"]
    server = after.server - before.server
    return {
        **said,
        "rate": said["tokens"] / wall,
        "share": said["tokens"] / (events * plan.readers),
        "server_s_per_million": server / said["tokens"] * 1e6 if said["tokens"] else 0.0,
        "readers_cpu": said["cpu_s"] / wall,
    }


def _settled(found: Stage, plan: Plan) -> None:
    """Lets a few readers come and go first: what a server loads for its first one is not a reader's share."""
    few = replace(plan, readers=10)
    with readers(found, few, idle=1, warmup=0) as process:
        line(process, "the load generator")
        _start(process)
        process.wait(PATIENCE_S)


def idle(peer: Peer, plan: Plan) -> Figures:
    """Memory of readers who wait: KiB each, and subscriptions to Redis."""
    with stage(peer, plan) as found:
        _settled(found, plan)
        empty = rss_kib(found.pids)
        with readers(found, plan, idle=1, warmup=0) as process:
            ready, failed = map(int, line(process, "the load generator").split()[1:])
            grown = rss_kib(found.pids) - empty
            subscriptions = found.site.subscriptions()
            _start(process)
    figures = {"ready": ready, "failed": failed, "subscriptions": subscriptions, "empty_kib": empty}
    return figures | {"kib_a_reader": grown / max(1, ready)}
