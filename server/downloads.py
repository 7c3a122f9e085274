"""The way of a download: ranges, validators, and headers that keep what others wrote from running as a page of ours."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from progress.storage import Stored
from server.errors import Problem
from server.filing import Filing

CHUNK_BYTES: Final = 256 * 1024
HARMLESS: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/pdf", "application/json"}
)
"""What a browser may show in its window: it draws these, and runs none of them."""
SANDBOX: Final = "default-src 'none'; sandbox"
FRAMED: Final = "default-src 'none'; object-src 'self'"
_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


@dataclass(frozen=True)
class Span:
    """A part of a file, from ``start`` to before ``end``."""

    start: int
    end: int


def etag(stored: Stored) -> str:
    """The validator of a file's bytes."""
    return f'"{stored.sha256}"'


def is_known(headers: Headers, stored: Stored) -> bool:
    """Whether the client has these bytes already (RFC 9110 §13.1.2)."""
    given = [part.strip().removeprefix("W/") for part in headers.get("if-none-match", "").split(",")]
    return "*" in given or etag(stored) in given


def asked_span(headers: Headers, stored: Stored) -> Span | None:
    """The one range that is asked for, None for all (RFC 9110 §14.2): several at once get all, as it allows.

    Raises:
        Problem: 416, nothing of it is there.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or not any(match.groups()) or headers.get("if-range", etag(stored)) != etag(stored):
        return None
    first, last = match.groups()
    if not first:
        span = Span(max(0, stored.size - int(last)), stored.size)
    else:
        span = Span(int(first), min(stored.size, int(last) + 1) if last else stored.size)
        if last and int(last) < int(first):
            return None
    if span.start >= span.end:
        headers_of_it = {"Content-Range": f"bytes */{stored.size}", "Accept-Ranges": "bytes"}
        raise Problem(416, "range_not_satisfiable", f"it has {stored.size} bytes", headers=headers_of_it)
    return span


def disposition(stored: Stored) -> str:
    """Whether a browser shows or saves it, and under which name (RFC 6266, appendix D)."""
    plain = re.sub(r"[^ !#-$&-\[\]-~]", "_", stored.name)
    how = "inline" if stored.media_type in HARMLESS else "attachment"
    named = f'{how}; filename="{plain}"'
    return named if plain == stored.name else f"{named}; filename*=UTF-8''{quote(stored.name, safe='')}"


def headers_of(stored: Stored) -> dict[str, str]:
    """What every answer about a file's bytes says."""
    media_type = stored.media_type
    return {
        "Content-Type": f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        "Content-Disposition": disposition(stored),
        # A PDF is shown by a viewer that no sandbox lets in, and that runs nothing as a page of ours.
        "Content-Security-Policy": FRAMED if media_type == "application/pdf" else SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": etag(stored),
    }


async def download(request: Request, filing: Filing, stored: Stored) -> Response:
    """The bytes of a file, all or those that are asked for.

    Raises:
        Problem: 416.
        BlobGone: it was deleted or replaced meanwhile.
        StorageUnavailable: it cannot be read just now.
    """
    headers = headers_of(stored)
    if is_known(request.headers, stored):
        return Response(status_code=304, headers=headers)
    span = asked_span(request.headers, stored)
    whole = span or Span(0, stored.size)
    headers["Content-Length"] = str(whole.end - whole.start)
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{stored.size}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    file = await filing.run(filing.storage.open, stored, whole.start, whole.end)
    return StreamingResponse(chunks(filing, file), status, headers)


async def chunks(filing: Filing, file: BinaryIO) -> AsyncIterator[bytes]:
    """What a file has, piece by piece; closes it."""
    try:
        while chunk := await filing.run(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        await filing.run(file.close)
