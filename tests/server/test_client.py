"""The command line's client, against a server that is a function, and one that is really there."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from server.client import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S, ApiError, Client, Patience, Unreachable

JOB = "01890000-0000-7000-8000-000000000001"
Answer = Callable[[httpx.Request], httpx.Response]


def hurried() -> Patience:
    """The same pauses, a hundred times shorter."""
    return Patience(PATIENCE_S / 100, FIRST_PAUSE_S / 100, LONGEST_PAUSE_S / 100)


def client(answer: Answer) -> Client:
    return Client("http://jobcast.test/", "secret", transport=httpx.MockTransport(answer), patience=hurried)


def in_turn(*answers: httpx.Response | Exception) -> Answer:
    """A server that gives these answers, one a request, and notes what it is asked."""
    left = iter(answers)

    def answer(_request: httpx.Request) -> httpx.Response:
        given = next(left)
        if isinstance(given, Exception):
            raise given
        return given

    return answer


def token(seq: int) -> dict[str, Any]:
    return {"seq": seq, "type": "token", "attempt": 1, "text": f"t{seq}"}


END = {"seq": 9, "type": "succeeded", "attempt": 1, "result": None}


class Cut(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        raise httpx.ReadError("cut")


def lines(*events: dict[str, Any], cut: bytes | None = None) -> httpx.Response:
    body = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    return httpx.Response(200, content=body) if cut is None else httpx.Response(200, stream=Cut(body + cut))


def problem(status: int, code: str, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": detail})


def running(last_seq: int = 0, status: str = "running") -> httpx.Response:
    return httpx.Response(200, json={"id": JOB, "status": status, "last_seq": last_seq})


def test_a_submission_carries_its_body_its_keys_and_nothing_else() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(202, json={"id": JOB})

    with client(answer) as it:
        assert it.submit({"kind": "generate"}, "once") == {"id": JOB}
    assert str(asked[0].url) == "http://jobcast.test/v1/jobs"
    assert asked[0].headers["authorization"] == "Bearer secret"
    assert asked[0].headers["idempotency-key"] == "once"
    assert json.loads(asked[0].content) == {"kind": "generate"}


def test_a_refusal_tells_the_problem_s_detail_and_code() -> None:
    with (
        client(in_turn(problem(404, "not_found", "no job x"))) as it,
        pytest.raises(ApiError, match="no job x") as error,
    ):
        it.job("x")
    assert (error.value.status, error.value.code) == (404, "not_found")


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"[]"])
def test_a_refusal_that_is_no_problem_document_tells_its_status(body: bytes) -> None:
    with client(in_turn(httpx.Response(502, content=body))) as it, pytest.raises(ApiError, match="502 Bad Gateway"):
        it.cancel(JOB)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as it, pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        list(it.events(JOB))


def test_events_come_each_once_over_connections_that_break() -> None:
    asked: list[str] = []
    answers = in_turn(
        lines(token(1), token(2), cut=b'{"seq":3,"ty'),
        httpx.ConnectError("refused"),
        lines(token(2), token(3)),
        running(),
        problem(503, "unavailable", "later"),
        lines(END),
    )

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode() or "job")
        return answers(request)

    with client(answer) as it:
        assert [event["seq"] for event in it.events(JOB)] == [1, 2, 3, 9]
    ask = "format=ndjson&after="
    assert asked == [f"{ask}0", f"{ask}2", f"{ask}2", "job", f"{ask}3", f"{ask}3"]


def test_a_line_separator_inside_a_text_does_not_cut_the_event() -> None:
    body = '{"seq":1,"type":"token","text":"a\u2028b"}\n{"seq":2,"type":"succeeded"}\n'.encode()
    with client(in_turn(httpx.Response(200, content=body))) as it:
        assert next(it.events(JOB))["text"] == "a\u2028b"


def test_a_gap_is_handed_on_and_moves_the_position() -> None:
    gap = {"type": "gap", "lost_from": 1, "lost_to": 5, "job": JOB}
    with client(in_turn(lines(gap, token(5), token(6), END))) as it:
        assert [event.get("seq") for event in it.events(JOB)] == [None, 6, 9]


def test_a_log_that_is_gone_under_a_job_that_has_ended_is_an_end() -> None:
    gap = {"type": "gap", "lost_from": 1, "lost_to": 5, "job": JOB}
    with client(in_turn(lines(gap), running(5, "failed"))) as it:
        assert [event["type"] for event in it.events(JOB)] == ["gap"]


def test_a_server_that_stays_away_is_given_up_after_a_while() -> None:
    down = httpx.ConnectError("refused")
    with client(in_turn(lines(token(1), cut=b""), *[down] * 1000)) as it:
        events = it.events(JOB)
        assert next(events)["seq"] == 1
        with pytest.raises(Unreachable, match="refused"):
            next(events)


def test_a_server_that_ends_every_stream_at_once_is_given_up_too() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return running() if request.url.path.endswith(JOB) else lines()

    with client(answer) as it, pytest.raises(Unreachable, match="ends its streams"):
        list(it.events(JOB))


def test_a_refused_stream_is_an_error_and_not_asked_for_again() -> None:
    with client(in_turn(problem(404, "not_found", "no job"))) as it, pytest.raises(ApiError):
        list(it.events(JOB))


def test_waiting_for_an_end_goes_on_until_there_is_one() -> None:
    answers = in_turn(running(), httpx.ReadTimeout("slow"), problem(503, "", ""), running(3, "succeeded"))
    with client(answers) as it:
        assert it.ended(JOB)["last_seq"] == 3


@contextmanager
def server(body: bytes) -> Iterator[str]:
    """A real server that sends a body byte by byte."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for byte in body:
                self.wfile.write(bytes([byte]))

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def test_events_that_arrive_byte_by_byte_are_whole() -> None:
    events = [{**token(1), "text": "dévoré 🦊"}, END]
    body = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)
    with server(body) as url, Client(url) as it:
        assert list(it.events(JOB)) == events
