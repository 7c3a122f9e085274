"""What every request passes before FastAPI sees it, as plain ASGI: a bound on bodies, and headers for the page."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import Problem, problem_response

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
OTHERS: Final = frozenset({"cross-site", "same-site"})
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


class BodyGuard:
    """Refuses bodies that are too large or not declared as JSON, and what pages of other sites send without one.

    The last two keep out what a browser sends without asking first. The path ``spared`` looks after itself.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, spared: str = "") -> None:
        self._app = app
        self._spared = spared
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in BODY_METHODS or scope["path"] == self._spared:
            await self._app(scope, receive, send)
            return
        problem = self.refusal(Headers(scope=scope))
        if problem is not None:
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def refusal(self, headers: Headers) -> Problem | None:
        """What is wrong with a request as its headers show it."""
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            return self._too_large()
        has_body = (length.isdecimal() and int(length) > 0) or "transfer-encoding" in headers
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and media_type != "application/json" and not media_type.endswith("+json"):
            return Problem(415, "unsupported_media_type", "send JSON, with `Content-Type: application/json`")
        # Said by browsers alone, of whoever made the request. What has a key in it they have asked about.
        if headers.get("sec-fetch-site") in OTHERS and "authorization" not in headers:
            return Problem(403, "forbidden", "this request comes from a page of another origin")
        return None

    def _too_large(self) -> Problem:
        detail = f"the body is larger than {self._max_bytes} bytes (JOBCAST_MAX_INPUT_BYTES)"
        return Problem(413, "payload_too_large", detail, headers={"Connection": "close"})

    def _counted(self, receive: Receive) -> Receive:
        left = self._max_bytes

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            return message

        return counted


class PageHeaders:
    """Adds the security headers to the page's files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                # Asked for anew each time, answered by 304 where nothing has changed: no stale page after an update.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)
