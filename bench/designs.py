"""What tutorials build, for comparison: FastAPI, sse-starlette and redis.asyncio, with no log and no resume.

``per_client``: one pub/sub connection a client. ``shared``: one for all, and a queue a client.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from fastapi import FastAPI
from sse_starlette import EventSourceResponse

from progress import keys

queues: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)
URL = os.environ["JOBCAST_REDIS_URL"]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Runs the one reader of the shared design."""
    task = asyncio.create_task(dispatch()) if os.environ.get("DESIGN") == "shared" else None
    yield
    if task:
        task.cancel()


async def dispatch() -> None:
    """Hands every message to every queue of its job."""
    pubsub = redis.from_url(URL, decode_responses=True).pubsub()
    await pubsub.psubscribe(f"{keys.LIVE}*")
    async for message in pubsub.listen():
        if message["type"] == "pmessage":
            for queue in queues[message["channel"].removeprefix(keys.LIVE)]:
                queue.put_nowait(message["data"])


app = FastAPI(lifespan=lifespan)


@app.get("/livez")
async def livez() -> dict[str, str]:
    """For the rig."""
    return {"status": "ok"}


@app.get("/v1/jobs/{job_id}/events")
async def events(job_id: str) -> EventSourceResponse:
    """New events only: whoever was away has lost what came meanwhile."""
    return EventSourceResponse(shared(job_id) if os.environ.get("DESIGN") == "shared" else per_client(job_id))


async def shared(job_id: str) -> AsyncIterator[dict[str, str]]:
    """From a queue of one's own."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues[job_id].add(queue)
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        queues[job_id].discard(queue)


async def per_client(job_id: str) -> AsyncIterator[dict[str, str]]:
    """From a pub/sub connection of one's own."""
    async with redis.from_url(URL, decode_responses=True) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(f"{keys.LIVE}{job_id}")
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield {"data": message["data"]}
