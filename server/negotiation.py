"""Which form of an event stream a request asks for, and from where: pure decisions on headers and query."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from progress.errors import InvalidCursor
from progress.events import EVENT_TYPES, MAIN_CHANNEL, TERMINAL
from server.errors import invalid

Format = Literal["sse", "ndjson", "text", "json"]
MEDIA_TYPES: dict[Format, str] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "text": "text/plain",
    "json": "application/json",
}
MAX_PAGE = 1000
MAX_KEPT = 500
_READ = (b"accept", b"last-event-id")


@dataclass(frozen=True)
class StreamRequest:
    """What a reader wants of a log. ``types`` None is all of them; ``after`` -1 is from now on."""

    format: Format
    after: int
    exact: bool
    types: frozenset[str] | None
    channel: str
    limit: int

    @classmethod
    def read(cls, headers: Headers, query: QueryParams) -> "StreamRequest":
        """Reads a request.

        Raises:
            InvalidCursor: the position is no whole number.
            Problem: 422 that names any other parameter.
        """
        return cls(
            format=asked_format(headers.get("accept", ""), query.get("format", "")),
            after=cursor(headers, query),
            exact=_flag(query.get("exact", "")),
            types=_types(query.get("types", "")),
            channel=query.get("channel", MAIN_CHANNEL),
            limit=_limit(query.get("limit", "")),
        )

    @classmethod
    def of(cls, scope: Scope) -> "StreamRequest":
        """The same of a scope, as ``read`` does it; once for many who ask the same."""
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                found.setdefault(name, value)
        asked = (scope["query_string"], *(found.get(name, b"") for name in _READ))
        # None of those that are kept is long, whatever is sent here.
        return _asked(*asked) if sum(map(len, asked)) < MAX_KEPT else _asked.__wrapped__(*asked)

    @classmethod
    def filters(cls, query: QueryParams) -> "StreamRequest":
        """The part that several logs in one connection share: SSE, and their positions stand elsewhere."""
        return cls("sse", 0, _flag(query.get("exact", "")), _types(query.get("types", "")), MAIN_CHANNEL, MAX_PAGE)

    def wants(self, event_type: str) -> bool:
        """Whether an event of this type is to be sent. Gaps and ends always are."""
        return self.types is None or event_type in self.types or event_type in TERMINAL or event_type == "gap"


@lru_cache(maxsize=256)
def _asked(query: bytes, accept: bytes, last_event_id: bytes) -> StreamRequest:
    headers = Headers(raw=list(zip(_READ, (accept, last_event_id), strict=True)))
    return StreamRequest.read(headers, QueryParams(query))


def asked_format(accept: str, query: str, default: Format = "sse") -> Format:
    """The form asked for: ``?format=`` wins over ``Accept``, whose first known type counts; else the default.

    Raises:
        Problem: 422, the format is unknown.
    """
    if query:
        found: Format | None = next((name for name in get_args(Format) if name == query), None)
        if found is None:
            raise invalid("format", f"there is no {query[:40]!r}; there are {', '.join(get_args(Format))}")
        return found
    offered = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    by_type: dict[str, Format] = {media_type: name for name, media_type in MEDIA_TYPES.items()}
    by_type["application/ndjson"] = "ndjson"
    return next((by_type[media_type] for media_type in offered if media_type in by_type), default)


def cursor(headers: Headers, query: QueryParams) -> int:
    """The position: ``Last-Event-ID`` wins, as it is newer than the address that a browser re-connects to."""
    # All of them are looked at: one that is wrong is refused, also where another one counts.
    given = [headers.get("last-event-id", ""), query.get("after", ""), query.get("last_event_id", "")]
    positions = [parse_cursor(text) for text in given if text]
    return positions[0] if positions else 0


def parse_cursor(text: str) -> int:
    """A position: -1 (from now on), 0 (from the start, also if empty) or a ``seq``. Raises InvalidCursor."""
    digits = text.removeprefix("-") if text == "-1" else text
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise InvalidCursor(text[:40])
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("", "0", "1", "true", "false"):
        raise invalid("exact", "give 1 or 0")
    return text.lower() in ("1", "true")


def _types(text: str) -> frozenset[str] | None:
    if not text:
        return None
    types = frozenset(part.strip() for part in text.split(",") if part.strip())
    if unknown := types - EVENT_TYPES:
        raise invalid("types", f"there is no type {min(unknown)[:40]!r}; there are {', '.join(sorted(EVENT_TYPES))}")
    return types


def _limit(text: str) -> int:
    if not text:
        return MAX_PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        raise invalid("limit", f"give a number from 1 to {MAX_PAGE}")
    return int(text)
