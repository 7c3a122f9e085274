"""Downloads: ranges, validators, names, and what a browser may do with the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from starlette.datastructures import Headers

from progress.errors import StorageUnavailable
from progress.storage import Stored, add_artifact
from server.downloads import Span, asked_span, disposition, headers_of, is_known
from server.errors import Problem
from server.uploads import MAX_NAME, told_name
from tests.support.api import Api

SUM = "ab" * 32


def stored(name: str = "a.txt", media_type: str = "text/plain", size: int = 10) -> Stored:
    return Stored("files/a", "files/a.b", name, media_type, size, SUM, None, 0)


def asked(size: int = 10, **headers: str) -> Span | None:
    return asked_span(Headers({name.replace("_", "-"): value for name, value in headers.items()}), stored(size=size))


@pytest.mark.parametrize(
    ("asked_for", "got"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-4", Span(2, 5)),
        ("bytes=7-", Span(7, 10)),
        ("bytes=7-99", Span(7, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=4-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=x", None),
        ("bytes=٣-", None),
    ],
)
def test_one_range_is_given_and_all_where_it_makes_no_sense(asked_for: str, got: Span | None) -> None:
    raw = Headers(raw=[(b"range", asked_for.encode())])
    assert asked_span(raw, stored()) == got


@pytest.mark.parametrize(("asked_for", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_of_nothing_is_refused(asked_for: str, size: int) -> None:
    with pytest.raises(Problem) as refused:
        asked(size, range=asked_for)
    assert refused.value.status_code == 416
    assert (refused.value.headers or {})["Content-Range"] == f"bytes */{size}"


def test_a_range_of_another_version_gets_all_of_this_one() -> None:
    assert asked(range="bytes=2-4", if_range=f'"{SUM}"') == Span(2, 5)
    assert asked(range="bytes=2-4", if_range='"other"') is None
    assert asked(range="bytes=20-", if_range="Sat, 03 Jan 2026 00:00:00 GMT") is None


@pytest.mark.parametrize(
    ("given_tags", "known"),
    [(f'"{SUM}"', True), (f'W/"{SUM}"', True), (f'"x", "{SUM}"', True), ("*", True), ('"x"', False), ("", False)],
)
def test_who_has_the_bytes_is_told_so(given_tags: str, known: bool) -> None:
    assert is_known(Headers({"if-none-match": given_tags}), stored()) is known


@given(some.text(max_size=300))
def test_whatever_a_file_is_called_its_header_is_one_line_of_ascii(name: str) -> None:
    for told in (disposition(stored(told_name(name))), disposition(stored(name.encode(errors="replace").decode()))):
        assert told.isascii()
        assert told.isprintable()
        assert told.count('"') == 2


@given(some.text(max_size=400))
def test_a_name_is_the_end_of_a_path_without_what_is_not_seen(name: str) -> None:
    told = told_name(name)
    assert 1 <= len(told) <= MAX_NAME
    assert not {"/", "\\", "\x00", "\n", "\u202e"} & set(told)
    assert told.strip(". ")


@pytest.mark.parametrize(
    ("given_name", "told"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("a\x00b.md", "ab.md"),
        ("..", "file"),
        ("", "file"),
        (" \t", "file"),
        ("🙂.md", "🙂.md"),
        ("x" * 500 + ".csv", "x" * 196 + ".csv"),
    ],
)
def test_names_that_clients_give(given_name: str, told: str) -> None:
    assert told_name(given_name) == told


@pytest.mark.parametrize(
    ("media_type", "how"),
    [
        ("image/png", "inline"),
        ("application/pdf", "inline"),
        ("text/plain", "inline"),
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/octet-stream", "attachment"),
    ],
)
def test_what_others_wrote_never_runs_here(media_type: str, how: str) -> None:
    headers = headers_of(stored(media_type=media_type))
    assert headers["Content-Disposition"].startswith(f"{how}; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert ("sandbox" in policy) is (media_type != "application/pdf")


async def test_a_range_comes_with_its_place_and_a_head_without_bytes(api: Api) -> None:
    sent = await api.client.post("/v1/files?name=a", content=b"0123456789")
    address = sent.json()["links"]["content"]
    part = await api.client.get(address, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    head = await api.client.head(address)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
    same = await api.client.get(address, headers={"If-None-Match": head.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    none = await api.client.get(address, headers={"Range": "bytes=10-"})
    assert (none.status_code, none.json()["code"]) == (416, "range_not_satisfiable")


async def test_a_storage_that_is_away_is_no_missing_file(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_key: str) -> None:
        raise StorageUnavailable("the disk is away")

    monkeypatch.setattr(api.state.files.storage, "stat", away)
    answer = await api.client.get("/v1/files/01a20103-7185-7369-83dc-a7eae9770ba9")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_an_artifact_that_is_replaced_just_now_is_found_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record was read, and then its bytes went: the newer ones are there."""
    storage, job_id = api.state.files.storage, api.job()
    read_before = [add_artifact(storage, job_id, 1, "a", b"first")]
    add_artifact(storage, job_id, 1, "a", b"second")
    find = storage.stat
    monkeypatch.setattr(storage, "stat", lambda key: read_before.pop() if read_before else find(key))
    answer = await api.client.get(f"/v1/jobs/{job_id}/artifacts/a")
    assert (answer.status_code, answer.content) == (200, b"second")


async def test_a_file_that_is_deleted_just_now_is_not_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = (await api.client.post("/v1/files?name=a", content=b"0123456789")).json()
    found = api.state.files.storage.stat(f"files/{sent['id']}")
    await api.client.delete(sent["links"]["self"])
    monkeypatch.setattr(api.state.files.storage, "stat", lambda _key: found)
    answer = await api.client.get(sent["links"]["content"])
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")
