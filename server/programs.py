"""Which programs `jobcast up` runs, with which command lines, and how each is known to be up."""

import asyncio
import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import httpx

from progress.errors import StoreUnavailable
from progress.factory import ping
from progress.settings import Settings
from server.embedded import LOOPBACK, find_server, server_command
from server.processes import Program

LLM_STREAMS: Final = 50
"""Generations that one worker has open at once: threads that wait for a model server, so they cost little."""
PROBE_TIMEOUT_S: Final = 2.0
SHORT_GRACE_S: Final = 5.0
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""By default every client reads this system's certificates: 20 ms of work for each probe, and no child speaks TLS."""
_WORKER_UP: Final = re.compile("worker ready")
"""What `tasks.worker` logs once it listens to its queues."""


def redis(port: int, data: Path) -> Program:
    """The embedded server. Its files go under ``data``.

    Raises:
        StartError: there is no server to run; the text names the mend.
    """
    folder = data / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    return Program(
        "redis",
        server_command(find_server(), port, folder.resolve()),
        is_up=lambda: redis_answers(redis_url(port)),
        # A first word of alarm about the kernel helps nobody here; nor do its goodbyes.
        mute=re.compile("overcommit|Received SIGTERM|ready to exit"),
    )


def redis_url(port: int) -> str:
    """The address of the embedded server."""
    return f"redis://{LOOPBACK}:{port}/0"


async def redis_answers(url: str) -> bool:
    """Whether a Redis answers there and has read its data."""
    return await redis_error(url) is None


async def redis_error(url: str) -> str | None:
    """What keeps the Redis at ``url`` from answering."""
    try:
        await asyncio.to_thread(ping, url)
    except StoreUnavailable as error:
        return str(error)
    return None


def model(port: int) -> Program:
    """The bundled model server."""
    return Program(
        "model",
        python("-m", "server.demo_model", "--port", str(port)),
        is_up=http_ok(f"http://{LOOPBACK}:{port}/healthz"),
        grace_s=SHORT_GRACE_S,
    )


def model_url(port: int) -> str:
    """The base address of the bundled model server."""
    return f"http://{LOOPBACK}:{port}/v1"


def model_settings(settings: Settings) -> dict[str, str]:
    """What the others are to know of the bundled model server, where it is used."""
    if settings.llm_base_url:
        return {}
    env = {"JOBCAST_LLM_CONTINUES": "1"}
    for name in ("image", "embed"):
        if not getattr(settings, f"{name}_base_url") and not getattr(settings, f"{name}_model"):
            env[f"JOBCAST_{name.upper()}_MODEL"] = f"demo-{name}"
    return env


def workers(env: Mapping[str, str], data: Path, settings: Settings) -> list[Program]:
    """One worker for generations, which wait; one for everything else, which computes; and the scheduler."""
    # Celery warns whoever is root, at length; in a container everybody is.
    env = {**env, "PYTHONWARNINGS": "ignore:You're running the worker with superuser"}
    up_line = _WORKER_UP if settings.log_level in {"debug", "info"} else None
    return [
        Program(
            "llm",
            jobcast("worker", "--queues", "llm", "--pool", "threads", "--concurrency", str(LLM_STREAMS)),
            env=env,
            up_line=up_line,
        ),
        Program(
            "cpu",
            jobcast("worker", "--except-queues", "llm", "--pool", "prefork"),
            env=env,
            up_line=up_line,
        ),
        Program(
            "beat",
            jobcast("beat", "--schedule", str(data.resolve() / "beat")),
            env=env,
            grace_s=SHORT_GRACE_S,
        ),
    ]


def api(env: Mapping[str, str], url: str) -> Program:
    """The API at ``url``."""
    return Program("api", jobcast("api"), env=env, is_up=http_ok(f"{url}/readyz"), grace_s=SHORT_GRACE_S)


def url_of(settings: Settings, port: int) -> str:
    """Where this machine reaches the API."""
    host = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104  # told, not bound
    return f"http://[{host}]:{port}" if ":" in host and host[0] != "[" else f"http://{host}:{port}"


def python(*arguments: str) -> list[str]:
    """This Python, deaf to what the current directory calls `server` or `progress`."""
    return [sys.executable, "-P", *arguments]


def jobcast(*arguments: str) -> list[str]:
    """This program, called anew."""
    return python("-m", "server.cli", *arguments)


def http_ok(url: str) -> Callable[[], Awaitable[bool]]:
    """A probe: whether a GET there answers 200."""

    async def probe() -> bool:
        # A proxy named in the environment is not on the way to a child of ours.
        async with httpx.AsyncClient(trust_env=False, timeout=PROBE_TIMEOUT_S, verify=_NO_TLS) as client:
            try:
                return (await client.get(url)).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

    return probe
