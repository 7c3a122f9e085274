"""Query strings and headers of event streams that nobody should send: one answer each, never a 500."""

import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NAMES = ["after", "last_event_id", "types", "exact", "channel", "limit", "format", "job", "cursor", "wait", ""]
NUMBERS = st.sampled_from(
    ["-1", "0", "1", "7", "-2", "1e3", "٣", "²", "9" * 15, "9" * 16, "9" * 5000, " 1", "+1", "1_0"]
)
WORDS = st.sampled_from(["sse", "ndjson", "text", "json", "token", "token,progress", ",", "true", "main", "x" * 3000])
VALUES = NUMBERS | WORDS | st.text(max_size=20) | st.binary(max_size=10)
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5)
ACCEPTS = st.sampled_from(
    ["text/plain", "text/event-stream", "application/json", "*/*", ",", ";q=1", "text/plain;q=x", ""]
)
HEADER_TEXT = st.text(string.ascii_letters + string.digits + " ,;=-_\x80\xff", max_size=20).map(str.strip)
SETTINGS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def encoded(query: list[tuple[str, str | bytes]]) -> str:
    """A query string with whatever bytes there are."""
    return "&".join(f"{name}={quote(value if isinstance(value, bytes) else value.encode())}" for name, value in query)


@pytest.fixture(scope="module")
def ended(speaking: Live) -> str:
    """A job that has ended, so that its streams do too."""
    job_id = speaking.submit("speak", {"pieces": ["some ", "words"]})
    assert speaking.job(job_id, wait_s=10)["status"] == "succeeded"
    return job_id


@SETTINGS
@given(query=QUERIES, accept=ACCEPTS, last=NUMBERS | HEADER_TEXT)
def test_a_stream_is_given_or_refused_with_a_problem(
    calm: Live, ended: str, query: list[tuple[str, str | bytes]], accept: str, last: str
) -> None:
    headers = [(b"accept", accept.encode()), (b"last-event-id", last.encode("utf-8").strip())]
    with calm.client() as client:
        for path in (f"/v1/jobs/{ended}/events", "/v1/events"):
            answer = client.get(f"{path}?job={ended}&{encoded(query)}", headers=headers)
            assert answer.status_code in (200, 204, 404, 422)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["code"]
                assert len(answer.content) < 2000


@SETTINGS
@given(target=st.binary(max_size=30))
def test_any_path_has_an_answer(calm: Live, target: bytes) -> None:
    with calm.client() as client:
        for prefix in ("/v1/jobs/", "/static/", "/v1/", "/"):
            answer = client.get(prefix + quote(target, safe="/"))
            assert answer.status_code in (200, 404, 405, 422)
