"""The cost model: from what one event and one reader cost to processes, shards and memory. No I/O."""

import math
from dataclasses import dataclass, replace
from typing import Final

FULL: Final = 0.5
"""How busy a core is planned to be, so that a peak and a lost neighbour fit."""
DAY_S: Final = 86_400
PARTITIONS: Final = 16
"""Parts of a Redis Cluster that jobs are spread over: more shards than these do not help."""


@dataclass(frozen=True)
class Cost:
    """CPU that one event takes of a process, in microseconds.

    A process that is little busy is woken by each event; a busy one takes several at a time. ``alone_us`` is what one
    costs up to ``alone_s`` events a second in that process, ``busy_us`` from ``busy_s`` on.
    """

    alone_us: float
    busy_us: float
    alone_s: float
    busy_s: float

    def at(self, rate: float) -> float:
        """The cost at ``rate`` events a second in one process; in between by the logarithm of the rate."""
        if rate <= self.alone_s:
            return self.alone_us
        way = min(1.0, math.log(rate / self.alone_s) / math.log(self.busy_s / self.alone_s))
        return self.alone_us + way * (self.busy_us - self.alone_us)


@dataclass(frozen=True)
class Units:
    """What was measured. Microseconds of CPU, KiB of resident memory.

    ``delivery_us``: an event to one more reader. ``message``: an event that comes to an API process.
    ``append``: Redis writes an event and sends it to one API process. ``copy_us``: to one more.
    ``publish``: the worker's process, an append. ``event_kib``: an event in the memory of an API process.
    ``stored_bytes``: an event in the log.
    """

    delivery_us: float
    message: Cost
    append: Cost
    copy_us: float
    publish: Cost
    base_kib: float
    reader_kib: float
    job_kib: float
    event_kib: float
    stored_bytes: float


@dataclass(frozen=True)
class Load:
    """Jobs at work, their readers, and tokens a second of each job.

    ``kept_s``: how long an ended job's log stays. ``publishers``: worker processes that the jobs are spread over.
    """

    name: str
    jobs: float
    readers: float
    rate: float
    flush_ms: float = 20.0
    by_job: bool = False
    """Whether readers of a job are led to the same API process."""
    kept_s: float = DAY_S
    publishers: int = 1

    @property
    def appends(self) -> float:
        """Events a second: tokens that follow within the flush time are one."""
        return self.jobs * min(self.rate, max(1000 / self.flush_ms, 1.0) if self.flush_ms else self.rate)

    @property
    def deliveries(self) -> float:
        """Events times readers, a second."""
        return self.appends * self.readers / self.jobs


@dataclass(frozen=True)
class Need:
    """What a load takes: cores (of one CPU second a second), processes at FULL, memory."""

    api_cores: float
    message_cores: float
    redis_cores: float
    worker_cores: float
    api_processes: int
    shards: int
    api_mib: float
    redis_gib: float

    @property
    def first(self) -> str:
        """What gives way first, as the load grows: whatever is the furthest beyond one core or one machine."""
        demands = {
            "Redis's CPU": self.redis_cores / FULL,
            "Redis's memory": self.redis_gib / 64,
            "CPU of the API, for messages": self.message_cores / FULL,
            "CPU of the API, for deliveries": (self.api_cores - self.message_cores) / FULL,
        }
        # An API process more is a line of configuration, and one Redis more is not.
        weighed = {what: demand / (10 if "API" in what else 1) for what, demand in demands.items()}
        return max(weighed, key=lambda what: weighed[what])


def copies(readers_a_job: float, processes: int, *, by_job: bool) -> float:
    """API processes that follow a job, on average, with readers spread at random."""
    if by_job or processes <= 1:
        return 1.0
    return processes * (1 - math.pow(1 - 1 / processes, readers_a_job))


def need(units: Units, load: Load, kept_events: float = 0.0) -> Need:
    """What a load takes; the number of API processes and what they cost depend on each other."""
    processes = 1
    for _ in range(50):
        found = _need(units, load, processes, kept_events)
        if found.api_processes <= processes:
            break
        processes = found.api_processes
    return replace(found, api_processes=processes)


def _need(units: Units, load: Load, processes: int, kept_events: float) -> Need:
    copied = copies(load.readers / load.jobs, processes, by_job=load.by_job)
    messages = load.appends * copied
    message_cores = units.message.at(messages / processes) * messages / 1e6
    api_cores = message_cores + units.delivery_us * load.deliveries / 1e6
    redis_cores = (units.append.at(load.appends) + units.copy_us * (copied - 1)) * load.appends / 1e6
    each = units.base_kib * processes + units.reader_kib * load.readers
    each += (units.job_kib * load.jobs + units.event_kib * kept_events) * copied
    return Need(
        api_cores,
        message_cores,
        redis_cores,
        units.publish.at(load.appends / load.publishers) * load.appends / 1e6,
        max(1, math.ceil(api_cores / FULL)),
        max(1, math.ceil(redis_cores / FULL)),
        each / 1024,
        load.appends * load.kept_s * units.stored_bytes / 1024**3,
    )
