"""What `GET /metrics` answers: the same figures for Prometheus.

Counts are kept in Redis, where things happen: every process of the API answers the same ones, and they outlive all of
them. Only what is said of readers, and of the process itself, is that of the process that answers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from progress.commands import Counted
from progress.figures import Figures
from server.stats import QueueStats, ReaderStats

COUNTERS: Final = {
    "submitted": ("jobcast_jobs_submitted", "Jobs that were accepted", ""),
    "ended": ("jobcast_jobs_ended", "Jobs that have ended, by their status", "status"),
    "failed": ("jobcast_jobs_failed", "Jobs that have failed, by the code of their error", "code"),
    "exhausted": ("jobcast_jobs_exhausted", "Jobs that have failed for lack of another attempt, by code", "code"),
    "retried": ("jobcast_attempts_retried", "Attempts that were to be followed by another one, by code", "code"),
    "lost": ("jobcast_attempts_lost", "Attempts whose worker died or stopped answering", ""),
    "redelivered": ("jobcast_messages_redelivered", "Messages whose job was held, or had ended", "found"),
    "tokens": ("jobcast_tokens", "Pieces of text of attempts that have ended: a model server sends one a token", ""),
}
HISTOGRAMS: Final = {
    "wait": ("jobcast_job_wait_seconds", "From when a job could run to its attempt"),
    "run": ("jobcast_attempt_run_seconds", "Attempts, to their end"),
    "first_token": ("jobcast_attempt_first_token_seconds", "From the beginning of an attempt to its first text"),
    "speed": ("jobcast_attempt_tokens_per_second", "Tokens a second of an attempt, after its first one"),
}


@dataclass(frozen=True)
class Snapshot:
    """What is told at one moment."""

    counted: Counted
    queues: Mapping[str, QueueStats]
    workers: int
    readers: ReaderStats


def exposition(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The text of all metrics and its media type, in a format that the ``Accept`` header asks for."""
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot))
    ProcessCollector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collector(Collector):
    """Makes metrics of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._figures = Figures(snapshot.counted.ever)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        yield from (self._counter(name) for name in COUNTERS)
        yield from (self._histogram(name) for name in HISTOGRAMS)
        yield self._jobs()
        yield from self._queues()
        now, readers = self._snapshot, self._snapshot.readers
        yield GaugeMetricFamily("jobcast_jobs_delayed", "Jobs that wait for their time", now.counted.delayed)
        yield GaugeMetricFamily("jobcast_workers", "Workers that serve any queue", now.workers)
        yield GaugeMetricFamily("jobcast_streams", "Event streams and sockets open in this process", readers.streams)
        yield GaugeMetricFamily("jobcast_feeds", "Jobs that this process follows for its readers", readers.feeds)
        yield GaugeMetricFamily("jobcast_activity_readers", "Readers here of what all jobs do", readers.activity)

    def _counter(self, counted: str) -> Metric:
        name, about, label = COUNTERS[counted]
        family = CounterMetricFamily(name, about, labels=["kind", label] if label else ["kind"])
        for kind in self._figures.kinds:
            # From the first: a counter that begins with its first count hides that from rate().
            found = self._figures.labelled(counted, kind) or ({} if label else {"": 0})
            for value, count in found.items():
                family.add_metric([kind, value] if label else [kind], count)
        return family

    def _histogram(self, counted: str) -> Metric:
        name, about = HISTOGRAMS[counted]
        family = HistogramMetricFamily(name, about, labels=["kind"])
        for kind in self._figures.kinds:
            sizes, below = self._figures.histogram(counted, kind), 0
            if not sizes.count:
                continue
            buckets: list[tuple[str, float]] = []
            for bound, here in zip((*map(str, sizes.bounds), "+Inf"), sizes.counts, strict=True):
                below += here
                buckets.append((bound, below))
            family.add_metric([kind], buckets, sizes.total)
        return family

    def _jobs(self) -> Metric:
        family = GaugeMetricFamily("jobcast_jobs", "Jobs that have not ended", labels=["kind", "status"])
        for (kind, status), count in self._snapshot.counted.jobs.items():
            family.add_metric([kind, status], count)
        return family

    def _queues(self) -> Iterable[Metric]:
        told: dict[str, tuple[str, Callable[[QueueStats], int | None]]] = {
            "waiting": ("Jobs that wait for a worker", lambda queue: queue.waiting),
            "workers": ("Workers that serve the queue", lambda queue: queue.workers),
            "messages": ("Messages that no worker has taken", lambda queue: queue.messages),
        }
        for name, (about, value_of) in told.items():
            family = GaugeMetricFamily(f"jobcast_queue_{name}", about, labels=["queue"])
            for queue, found in self._snapshot.queues.items():
                if (value := value_of(found)) is not None:
                    family.add_metric([queue], value)
            yield family
