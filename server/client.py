"""A client of the HTTP API for the command line: one call a route, and a reader that reconnects by itself."""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import httpx

Json = dict[str, Any]

PATIENCE_S: Final = 10.0
"""How long a server that has answered before may stay away."""
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 2.0
WAIT_S: Final = 30
ENDS: Final = frozenset({"succeeded", "failed", "cancelled"})
# A reader that hears nothing for a minute asks again from where it is, which costs nothing.
_UPLOAD: Final = httpx.Timeout(60)
CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT: Final = httpx.Timeout(10, read=60)
_AWAY: Final = frozenset({429, 502, 503, 504})


class ApiError(Exception):
    """The server refused a request; the text is its problem's ``detail``."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Unreachable(Exception):
    """No server answers at the address, or none has for too long."""


class Client:
    """Calls one server, with an API key where it asks for one. Close it, or use it in a ``with``."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        patience: "Callable[[], Patience] | None" = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, transport=transport)
        self._patience = patience or Patience
        self._answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def submit(self, body: Json, idempotency_key: str | None = None) -> Json:
        """Submits a job. Raises ApiError and Unreachable, as every method here does."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._call("POST", "/v1/jobs", json=body, headers=headers)

    def upload(self, path: Path | None) -> Json:
        """Uploads a file, or standard input, as it is read."""
        # More than a moment: what goes out may be large, and is on disk before the answer.
        options: Json = {"params": {"name": path.name if path else "stdin"}, "timeout": _UPLOAD}
        options["headers"] = {"Content-Type": "application/octet-stream"}
        if path is None:
            return self._call("POST", "/v1/files", content=_chunks(sys.stdin.buffer), **options)
        with path.open("rb") as file:
            return self._call("POST", "/v1/files", content=file, **options)

    def job(self, job_id: str, wait_s: int = 0) -> Json:
        """The job as it stands, or as it stands when it ends, at most ``wait_s`` later."""
        return self._call("GET", f"/v1/jobs/{job_id}", params={"wait": wait_s} if wait_s else None)

    def jobs(self, filters: Mapping[str, str | int]) -> Json:
        """One page of jobs, newest first."""
        return self._call("GET", "/v1/jobs", params=filters)

    def schedules(self) -> Json:
        """All schedules, the next one first."""
        return self._call("GET", "/v1/schedules")

    def cancel(self, job_id: str) -> Json:
        """Asks a job to stop."""
        return self._call("POST", f"/v1/jobs/{job_id}/cancel")

    def ended(self, job_id: str) -> Json:
        """The job once it has ended, however long that takes."""
        pauses = self._patience()
        while True:
            try:
                job = self.job(job_id, WAIT_S)
            except (Unreachable, ApiError) as error:
                self._wait_or_raise(error, pauses)
                continue
            pauses = self._patience()
            if job["status"] in ENDS:
                return job

    def events(self, job_id: str, after: int = 0) -> Iterator[Json]:
        """Every event after a position, each once, up to the job's last, over any number of connections."""
        position = after
        pauses = self._patience()
        while True:
            began = time.monotonic()
            trouble: Unreachable | ApiError
            try:
                for event in self._stream(job_id, position):
                    pauses = self._patience()
                    if event["type"] != "gap" and event["seq"] <= position:
                        continue
                    position = int(event["lost_to"] if event["type"] == "gap" else event["seq"])
                    yield event
                    if event["type"] in ENDS:
                        return
                if self._is_all(job_id, position):
                    return
                # A server that goes ends its streams at an event; the next one goes on from there.
                trouble = Unreachable(f"{self.url} ends its streams at once")
            except (Unreachable, ApiError) as error:
                trouble = error
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pauses = self._patience()
            self._wait_or_raise(trouble, pauses)

    def _is_all(self, job_id: str, position: int) -> bool:
        """Whether nothing comes after ``position``: a log may be gone, last event and all, and its job still there."""
        job = self.job(job_id)
        return job["status"] in ENDS and job["last_seq"] <= position

    def _stream(self, job_id: str, after: int) -> Iterator[Json]:
        path = f"/v1/jobs/{job_id}/events?format=ndjson&after={after}"
        try:
            with self._http.stream("GET", path) as response:
                self._answered = True
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                yield from _lines(response.iter_bytes())
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _call(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        self._answered = True
        if response.is_error:
            raise _refusal(response)
        answer: Json = response.json()
        return answer

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"no Jobcast server at {self.url}: {error or type(error).__name__}")

    def _wait_or_raise(self, error: Unreachable | ApiError, pauses: "Patience") -> None:
        passing = isinstance(error, Unreachable) or error.status in _AWAY
        if not (passing and self._answered and pauses.wait()):
            raise error


class Patience:
    """Pauses that grow, with jitter, until a total is used up. The first one starts the clock."""

    def __init__(
        self, total_s: float = PATIENCE_S, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S
    ) -> None:
        self._total_s = total_s
        self._pause_s = first_s
        self._longest_s = longest_s
        self._until: float | None = None

    def wait(self) -> bool:
        """Waits a moment; False, at once, when the total is used up."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._total_s
        if now >= self._until:
            return False
        time.sleep(self._pause_s * random.uniform(0.5, 1))
        self._pause_s = min(self._pause_s * 2, self._longest_s)
        return True


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _lines(chunks: Iterator[bytes]) -> Iterator[Json]:
    """NDJSON, by LF alone; a last line without one was cut and comes again."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())


def _refusal(response: httpx.Response) -> ApiError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return ApiError(response.status_code, "", f"{response.status_code} {response.reason_phrase}")
    detail = problem.get("detail") or problem.get("title") or response.reason_phrase
    return ApiError(response.status_code, str(problem.get("code", "")), str(detail))
