"""What tutorials build, for comparison: FastAPI, sse-starlette and redis.asyncio, with no log and no resume.

``BENCH_DESIGN`` says which. A: each client looks at a key twice a second. B: each client has a pub/sub connection.
C: one pub/sub connection for all, and a queue a client.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from fastapi import FastAPI, WebSocket
from sse_starlette import EventSourceResponse

DESIGN = os.environ.get("BENCH_DESIGN", "C")
MOST_CONNECTIONS = 20_000
POLL_S = 0.5
queues: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)
client = redis.from_url(
    os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1"), decode_responses=True, max_connections=MOST_CONNECTIONS
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Runs the one reader of design C."""
    task = asyncio.create_task(dispatch()) if DESIGN == "C" else None
    yield
    if task:
        task.cancel()


async def dispatch() -> None:
    """Hands every message to every queue of its stream."""
    pubsub = client.pubsub()
    await pubsub.psubscribe("s:*")
    async for message in pubsub.listen():
        if message["type"] == "pmessage":
            for queue in queues[message["channel"][2:]]:
                queue.put_nowait(message["data"])


app = FastAPI(lifespan=lifespan)


@app.get("/s/{name}")
async def events(name: str) -> EventSourceResponse:
    """New events only: whoever was away has lost what came meanwhile."""
    return EventSourceResponse({"A": polled, "B": own_connection, "C": queued}[DESIGN](name))


@app.websocket("/ws/{name}")
async def messages(socket: WebSocket, name: str) -> None:
    """The same over a socket."""
    await socket.accept()
    async for event in queued(name):
        await socket.send_text(event["data"])


async def polled(name: str) -> AsyncIterator[dict[str, str]]:
    """Design A."""
    last = None
    while True:
        value = await client.get(f"s:{name}")
        if value is not None and value != last:
            last = value
            yield {"data": str(value)}
        await asyncio.sleep(POLL_S)


async def own_connection(name: str) -> AsyncIterator[dict[str, str]]:
    """Design B."""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(f"s:{name}")
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield {"data": message["data"]}


async def queued(name: str) -> AsyncIterator[dict[str, str]]:
    """Design C."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues[name].add(queue)
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        queues[name].discard(queue)
