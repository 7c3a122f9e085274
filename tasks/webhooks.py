"""One message to a webhook: what it says, and the one HTTP request that carries it.

By the Standard Webhooks specification; the request goes to an address that was judged, never to one that a second
look-up of the same name has brought.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from progress import signing
from progress.commands import Tried
from progress.events import encode_json, rfc3339
from progress.jobs import Job
from progress.targets import SETTING, Address, Targets
from tasks.certificates import trusted

TIMEOUT_S: Final = 15.0
"""Of one try, with everything that it does."""
MOST_READ: Final = 64 * 1024
"""Of an answer: nobody looks at it, but one that is read whole lets the connection end in peace."""
MOST_ADDRESSES: Final = 4
LOOK_UPS: Final = 32
ERROR_CHARS: Final = 300


def message_id(job: Job) -> str:
    """The id of the message of a job's end: the same at every try."""
    return f"msg_{job.id}"


def message(job: Job) -> bytes:
    """What is sent: the job as the API shows it, which is without its input."""
    path = f"/v1/jobs/{job.id}"
    same = ("id", "kind", "status", "queue", "priority", "attempt", "max_attempts")
    data: dict[str, Any] = {name: getattr(job, name) for name in same}
    progress = job.progress or {}
    data["progress"] = (
        {name: progress.get(name) for name in ("fraction", "step", "message", "current", "total")}
        if job.progress
        else None
    )
    data |= {"result": job.result, "error": job.error, "metadata": job.metadata}
    data |= {name: _moment(getattr(job, name)) for name in ("created_at", "started_at", "finished_at")}
    data |= {"last_seq": job.last_seq, "retry_of": job.retry_of, "queue_position": None, "hint": None}
    data |= {"parent": job.parent, "batch": None if job.parent else job.group}
    data["links"] = {"self": path, "events": f"{path}/events", "websocket": f"{path}/ws", "cancel": f"{path}/cancel"}
    body = {"type": f"job.{job.status}", "timestamp": _moment(job.finished_at), "data": data}
    return encode_json(body).encode()


def _moment(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else rfc3339(epoch_ms)


class Messenger:
    """Sends messages, several at once. Made on the event loop that it is used on.

    Args:
        secrets: each signs every message.
        targets: where one may go.
    """

    def __init__(self, secrets: Sequence[str], targets: Targets) -> None:
        self._secrets = secrets
        self._targets = targets
        # A connection is told by its address, not by the name that its certificate is for: none is used twice.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            trust_env=False, verify=trusted(trust_env=False), limits=limits, timeout=TIMEOUT_S
        )
        # Of its own: names that take long to look up are not to keep the others waiting.
        self._resolvers = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="webhook-names")

    async def tell(self, job: Job) -> tuple[Tried, float | None]:
        """Sends the message of a job's end once: how that went, and after how many seconds to come again, if told."""
        started = time.monotonic()
        status, error, after_s = None, None, None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._post(str(job.webhook), message_id(job), message(job))
            status, after_s = answer.status_code, retry_after_s(answer.headers.get("retry-after", ""))
        except TimeoutError:
            error = f"no answer within {TIMEOUT_S:g} s"
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as failure:
            error = (str(failure) or type(failure).__name__)[:ERROR_CHARS]
        return Tried(status, error, round((time.monotonic() - started) * 1000)), after_s

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _post(self, url: str, name: str, body: bytes) -> httpx.Response:
        *others, last = await self._addresses(url)
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post_to(address, url, name, body)
        return await self._post_to(last, url, name, body)

    async def _addresses(self, url: str) -> list[Address]:
        """Where a URL's host is now. Raises OSError, or ValueError where no webhook may go there."""
        self._targets.check(url)  # the setting may have changed since the job was submitted
        parsed = httpx.URL(url)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._resolvers, _look_up, parsed.host)
        except socket.gaierror as error:
            raise OSError(f"{parsed.host} has no address: {error.strerror}") from None
        known = dict.fromkeys(map(ipaddress.ip_address, found))
        allowed = [address for address in known if self._targets.admits(url, address)]
        if not allowed:
            raise ValueError(f"{parsed.host} is at {next(iter(known))}, where no webhook may go: see {SETTING}")
        return allowed[:MOST_ADDRESSES]

    async def _post_to(self, address: Address, url: str, name: str, body: bytes) -> httpx.Response:
        parsed = httpx.URL(url)
        headers = signing.headers(self._secrets, name, int(time.time()), body) | {
            "host": parsed.netloc.decode(),
            "content-type": "application/json",
            "user-agent": "Jobcast",
            "accept-encoding": "identity",
        }
        request = self._client.build_request(
            "POST",
            parsed.copy_with(host=str(address)),
            content=body,
            headers=headers,
            extensions={"sni_hostname": parsed.raw_host.decode()},
        )
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            read = 0
            async for chunk in answer.aiter_raw():
                read += len(chunk)
                if read > MOST_READ:
                    break
        finally:
            await answer.aclose()
        return answer


def _look_up(host: str) -> list[str]:
    return [str(place[4][0]) for place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def retry_after_s(text: str) -> float | None:
    """What a ``Retry-After`` asks for (RFC 9110 §10.2.3): seconds, or a date; None where it is neither."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
