"""Which form of an event stream a request asks for, and from where."""

import pytest
from starlette.datastructures import Headers, QueryParams

from progress.errors import InvalidCursor
from server.errors import Problem
from server.negotiation import MAX_KEPT, MAX_PAGE, StreamRequest, asked_format, cursor, parse_cursor


def read(query: str = "", accept: str = "") -> StreamRequest:
    return StreamRequest.read(Headers({"accept": accept}), QueryParams(query))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "sse"),
        ("*/*", "sse"),
        ("text/html", "sse"),
        ("text/event-stream", "sse"),
        ("application/x-ndjson", "ndjson"),
        ("application/ndjson", "ndjson"),
        ("text/plain", "text"),
        ("Application/JSON; q=0.9", "json"),
        ("text/html, text/plain;q=0.5, application/json", "text"),
    ],
)
def test_accept_says_the_form_and_sse_is_the_default(accept: str, form: str) -> None:
    assert asked_format(accept, "") == form


def test_a_format_in_the_address_wins() -> None:
    assert read("format=text", accept="application/json").format == "text"
    assert asked_format("text/html", "", default="json") == "json"


def test_an_unknown_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Problem) as caught:
        asked_format("", "xml")
    assert "sse, ndjson, text, json" in caught.value.detail


def test_a_format_that_is_refused_is_repeated_in_part_only() -> None:
    with pytest.raises(Problem) as caught:
        asked_format("", "x" * 5000)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize(
    ("query", "headers", "after"),
    [
        ("", {}, 0),
        ("after=7", {}, 7),
        ("last_event_id=8", {}, 8),
        ("after=7&last_event_id=8", {}, 7),
        ("after=7", {"last-event-id": "9"}, 9),
        ("after=-1", {"last-event-id": "9"}, 9),
        ("after=-1", {"last-event-id": ""}, -1),
        ("after=", {}, 0),
    ],
)
def test_the_header_wins_as_it_is_newer_than_the_address(query: str, headers: dict[str, str], after: int) -> None:
    assert cursor(Headers(headers), QueryParams(query)) == after


@pytest.mark.parametrize("query", ["", "after=3&types=token", f"after=3&channel={'c' * MAX_KEPT}", "channel=%C3%A4"])
@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(b"accept", b"text/html"), (b"accept", b"text/plain"), (b"host", b"x")],
        [(b"last-event-id", b"9"), (b"last-event-id", b"10"), (b"accept", b"application/x-ndjson")],
        [(b"last-event-id", b""), (b"last-event-id", b"10")],
    ],
)
def test_a_scope_is_read_as_its_headers_and_query_are(query: str, pairs: list[tuple[bytes, bytes]]) -> None:
    scope = {"query_string": query.encode(), "headers": pairs}
    expected = StreamRequest.read(Headers(raw=pairs), QueryParams(query))
    assert StreamRequest.of(scope) == StreamRequest.of(scope) == expected
    assert (StreamRequest.of(scope) is StreamRequest.of(scope)) == (len(query) < MAX_KEPT)


@pytest.mark.parametrize("text", ["x", "1.5", "-2", "--1", "+1", " 1", "1e3", "٣", "9" * 16, "1\n"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        parse_cursor(text)


def test_a_refused_position_is_repeated_in_part_only() -> None:
    with pytest.raises(InvalidCursor) as caught:
        parse_cursor("x" * 5000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("text", "exact"), [("", False), ("0", False), ("false", False), ("1", True), ("TRUE", True)])
def test_exactness_is_asked_for_by_a_flag(text: str, exact: bool) -> None:
    assert read(f"exact={text}").exact is exact


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("exact=maybe", "exact"),
        ("types=token,tokens", "types"),
        ("limit=0", "limit"),
        (f"limit={MAX_PAGE + 1}", "limit"),
        ("limit=ten", "limit"),
        ("limit=%C2%B2", "limit"),
        ("limit=999999", "limit"),
        ("format=xml", "format"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    with pytest.raises(Problem) as caught:
        read(query)
    assert caught.value.status_code == 422
    assert caught.value.errors
    assert caught.value.errors[0].field == field


def test_a_filter_never_holds_back_gaps_and_ends() -> None:
    asked = read("types=token, progress,")
    assert asked.types == frozenset({"token", "progress"})
    for event_type in ("token", "progress", "gap", "succeeded", "failed", "cancelled"):
        assert asked.wants(event_type)
    for event_type in ("queued", "started", "log", "retrying", "artifact"):
        assert not asked.wants(event_type)


def test_without_a_filter_everything_comes() -> None:
    assert read().types is None
    assert read("types=").wants("log")


def test_the_rest_has_defaults() -> None:
    assert (read().channel, read().limit) == ("main", MAX_PAGE)
    assert (read("channel=notes").channel, read("limit=5").limit) == ("notes", 5)


def test_several_jobs_share_filter_and_exactness_alone() -> None:
    asked = StreamRequest.filters(QueryParams("types=token&exact=1&format=text&after=9"))
    assert (asked.format, asked.after, asked.exact, asked.types) == ("sse", 0, True, frozenset({"token"}))
