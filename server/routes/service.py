"""The service itself: what can be submitted, whether it works, and the page's session."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from progress.errors import StoreUnavailable
from server.auth import COOKIE, OwnerDep, cookie_of, owner_of
from server.errors import Problem, responses
from server.schemas import KindList, KindView
from server.state import State, StateDep
from tasks.queue import QueueUnavailable

router = APIRouter(tags=["service"])
CHECK_S = 1.8
_started = time.monotonic()


@router.get("/v1/kinds", response_model=KindList, summary="Kinds of job", responses=responses(401))
async def kinds(state: StateDep, _owner: OwnerDep) -> Any:
    """What can be submitted, with the JSON Schema of each input."""
    return KindList(kinds=[KindView.of(kind, state.settings) for _, kind in sorted(state.queue.kinds.items())])


@router.get("/livez", summary="Is the process up")
async def livez() -> dict[str, str]:
    """Asks nobody else."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can it take jobs", responses={503: {"description": "Redis or the broker is away"}})
async def readyz(state: StateDep) -> Response:
    """Asks Redis and the broker; 503 where one does not answer."""
    checks = await check(state)
    ready = all(value == "ok" for value in checks.values())
    return JSONResponse({"status": "ok" if ready else "unavailable", **checks}, 200 if ready else 503)


@router.get("/health", summary="How it goes, for people", responses=responses(401))
async def health(state: StateDep, _owner: OwnerDep) -> dict[str, Any]:
    """Redis, broker, workers, what runs and what waits. Always 200: look at ``status``."""
    checks = await check(state)
    found: dict[str, Any] = {"status": "ok" if set(checks.values()) == {"ok"} else "unavailable", **checks}
    found |= {"uptime_s": round(time.monotonic() - _started), "streams": state.streams}
    found["feeds"] = len(state.hub.feeds)
    if checks["redis"] != "ok":
        return found
    try:
        seen = await state.store.health(state.queue.queues)
    except StoreUnavailable as error:  # it has gone away since it was asked
        return {**found, "status": "unavailable", "redis": str(error)}
    queues = {name: {"waiting": q.waiting, "workers": q.workers} for name, q in seen.queues.items()}
    unserved = [name for name, q in seen.queues.items() if q.waiting and not q.workers]
    if unserved and found["status"] == "ok":
        found["status"] = "degraded"
    return {**found, "running": seen.running, "queues": queues}


async def check(state: State) -> dict[str, str]:
    """``ok`` or what is wrong, for Redis and for the broker; both are asked at once, for CHECK_S at most."""
    redis, broker = await asyncio.gather(_check_redis(state), _check_broker(state))
    return {"redis": redis, "broker": broker}


async def _check_redis(state: State) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await state.store.heads(("-",))
    except (StoreUnavailable, TimeoutError) as error:
        return str(error) or "no answer in time"
    return "ok"


async def _check_broker(state: State) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await state.submissions.beside_loop(state.queue.depth, state.queue.queues[0])
    except (QueueUnavailable, TimeoutError) as error:
        return str(error) or "no answer in time"
    return "ok"


class SessionRequest(BaseModel):
    """A key to sign in with."""

    key: Annotated[str, Field(min_length=1, max_length=1000)]


@router.post("/v1/session", status_code=204, response_class=Response, summary="Sign the page in",
             responses=responses(400, 401, 413, 415, 422))  # fmt: skip
async def sign_in(body: SessionRequest, request: Request, state: StateDep) -> Response:
    """Keeps a key in a cookie that scripts cannot read, since EventSource and WebSocket cannot send headers."""
    if state.settings.api_keys and owner_of(body.key, state.settings) is None:
        raise Problem(401, "unauthorized", "this key is not known here", headers={"WWW-Authenticate": "Bearer"})
    answer = Response(status_code=204)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie_of(body.key), httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.delete("/v1/session", status_code=204, response_class=Response, summary="Sign the page out")
async def sign_out() -> Response:
    """Forgets the cookie."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/")
    return answer
