"""Figures: for people as JSON, for Prometheus as text."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from starlette.requests import Request

from progress import keys
from progress.commands import Health
from progress.events import rfc3339
from server.auth import OwnerDep
from server.errors import responses
from server.state import State, StateDep
from server.stats import NowStats, QueueStats, ReaderStats, SpanStats, Stats
from tasks.queue import JobQueue, QueueUnavailable

router = APIRouter(tags=["service"])
ASK_S = 1.8
"""How long a broker has to say how many messages it has. The figures go without it."""


@router.get("/v1/stats", response_model=Stats, summary="Figures, for people", responses=responses(401, 503))
async def stats(state: StateDep, _owner: OwnerDep) -> Any:
    """Jobs by kind and end, waits, run times, tokens, retries: in the last hour and since ever; and what there is."""
    kinds = tuple(sorted(state.queue.kinds))
    counted, (health, queues) = await asyncio.gather(
        state.store.figures(kinds, parts=keys.FIGURES_PARTS), _queues(state)
    )
    jobs: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
    for (kind, status), count in counted.jobs.items():
        jobs[kind][status] = count
    now = NowStats(
        jobs=jobs,
        delayed=counted.delayed,
        running=health.running,
        workers=_workers(health),
        queues=queues,
        readers=_readers(state),
    )
    return Stats(
        at=rfc3339(time.time_ns() // 1_000_000),
        now=now,
        last_hour=SpanStats.of(dict(counted.recent), counted.recent_s),
        ever=SpanStats.of(dict(counted.ever)),
    )


@router.get("/metrics", summary="Figures, for Prometheus", response_class=Response, responses=responses(401, 503))
async def metrics(request: Request, state: StateDep, _owner: OwnerDep) -> Response:
    """The same as counters, histograms and gauges. With keys set it wants one, as `/health` does."""
    # Of use to nobody who does not scrape, and it takes its time.
    from server.metrics import Snapshot, exposition

    counted, (health, queues) = await asyncio.gather(state.store.figures(tuple(state.queue.kinds)), _queues(state))
    snapshot = Snapshot(counted, queues, _workers(health), _readers(state))
    text, media_type = exposition(snapshot, request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type})


async def _queues(state: State) -> tuple[Health, dict[str, QueueStats]]:
    names = state.queue.queues
    health, depths = await asyncio.gather(state.store.health(names), _depths(state, names))
    return health, {
        name: QueueStats(waiting=queue.waiting, workers=len(queue.workers), messages=depths.get(name))
        for name, queue in health.queues.items()
    }


async def _depths(state: State, names: tuple[str, ...]) -> Mapping[str, int]:
    try:
        async with asyncio.timeout(ASK_S):
            return await state.submissions.beside_loop(_asked, state.queue, names)
    except (QueueUnavailable, TimeoutError):
        return {}


def _asked(queue: JobQueue, names: tuple[str, ...]) -> dict[str, int]:
    return {name: queue.depth(name) for name in names}


def _workers(health: Health) -> int:
    return len({worker for queue in health.queues.values() for worker in queue.workers})


def _readers(state: State) -> ReaderStats:
    hub = state.hub
    return ReaderStats(streams=state.streams, feeds=len(hub.feeds), activity=len(hub.activity_readers))
