"""The demo model server over real HTTP, as any OpenAI client would meet it."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from server.demo_model.app import MOST_KEYS
from server.demo_model.model import count_pieces
from tests.support.demo import Demo, running_demo
from tests.support.live import NO_TLS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def http(demo: Demo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, trust_env=False, timeout=30, verify=NO_TLS) as http:
        yield http


def body(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


def post(http: httpx.Client, prompt: str, **more: Any) -> httpx.Response:
    return http.post("/chat/completions", json=body(prompt, **more))


def text_of(answer: httpx.Response) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def chunks(http: httpx.Client, prompt: str, **more: Any) -> list[Any]:
    answer = post(http, prompt, stream=True, **more)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *data, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in data]


def test_a_whole_answer_has_openais_form(http: httpx.Client) -> None:
    answer = post(http, "[[demo: tokens=9]]Hello").json()

    choice = answer["choices"][0]
    assert (answer["object"], answer["model"]) == ("chat.completion", "demo")
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    prompt_tokens = count_pieces("[[demo: tokens=9]]Hello")
    assert answer["usage"] == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 9,
        "total_tokens": prompt_tokens + 9,
    }


def test_a_stream_has_openais_form(http: httpx.Client) -> None:
    first, *texts, last, counted = chunks(http, "[[demo: tokens=9]]", stream_options={"include_usage": True})

    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(chunk["choices"][0]["delta"]["content"] for chunk in texts)
    assert len(texts) == counted["usage"]["completion_tokens"] == 9
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert counted["choices"] == []
    assert {(chunk["id"], chunk["object"]) for chunk in texts} == {(first["id"], "chat.completion.chunk")}


def test_usage_comes_only_where_it_is_asked_for(http: httpx.Client) -> None:
    assert not [chunk for chunk in chunks(http, "Hello") if "usage" in chunk]
    assert "usage" not in post(http, "[[demo: no_usage]]").json()


def test_a_stream_and_a_whole_answer_say_the_same(http: httpx.Client) -> None:
    streamed = chunks(http, "Hello", seed=1)

    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in streamed) == text_of(
        post(http, "Hello", seed=1)
    )


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_longest_answer_has_two_names(http: httpx.Client, name: str) -> None:
    choice = post(http, "[[demo: tokens=9]]", **{name: 4}).json()["choices"][0]

    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("stop", ["lo", ["xyz", "lo"]])
def test_a_stop_string_ends_the_text(http: httpx.Client, stop: str | list[str]) -> None:
    assert text_of(post(http, "[[demo: echo chunk=1]]Hello", stop=stop)) == "Hel"


def test_content_may_be_parts(http: httpx.Client) -> None:
    parts = [{"type": "text", "text": "[[demo: echo]]Hel"}, {"type": "text", "text": "lo"}]
    answer = http.post("/chat/completions", json={"messages": [{"role": "user", "content": parts}]})

    assert text_of(answer) == "Hello"


def test_the_last_message_of_the_assistant_is_gone_on_with(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "[[demo: echo]]Hello"}, {"role": "assistant", "content": "Hel"}]
    plain = http.post("/chat/completions", json={"messages": messages})
    gone_on = http.post("/chat/completions", json={"messages": messages, "continue_final_message": True})

    assert (text_of(plain), text_of(gone_on)) == ("Hello", "lo")


def test_the_models_are_listed(http: httpx.Client) -> None:
    assert [model["id"] for model in http.get("/models").json()["data"]] == ["demo", "demo-image", "demo-embed"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"demo": {"bogus": 1}}, "demo"),
    ],
)
def test_a_bad_body_names_the_field_as_openai_does(http: httpx.Client, more: dict[str, Any], param: str) -> None:
    answer = http.post("/chat/completions", json={**body("Hello"), **more})

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


def test_fields_that_only_other_servers_know_are_let_be(http: httpx.Client) -> None:
    assert post(http, "Hello", top_k=5, logit_bias={}, user="me").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/chat/completions", 405), ("GET", "/nowhere", 404), ("POST", "/models", 405)],
)
def test_other_errors_have_openais_form_too(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)

    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_what_is_no_json_is_refused(http: httpx.Client) -> None:
    answer = http.post("/chat/completions", content=b"{", headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_an_unknown_model_is_not_found(http: httpx.Client) -> None:
    answer = http.post("/chat/completions", json={**body("Hello"), "model": "nix"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "rate_limit_error"), (401, "authentication_error"), (503, "server_error")]
)
def test_the_header_the_body_and_the_prompt_can_ask_for_a_status(http: httpx.Client, status: int, kind: str) -> None:
    told = {"status": status, "retry_after": 2}
    pairs = f"status={status} retry_after=2"
    answers = [
        post(http, f"[[demo: {pairs}]]"),
        post(http, "Hello", demo=told),
        http.post("/chat/completions", json=body("Hello"), headers={"X-Demo-Behaviour": pairs}),
    ]

    assert {(one.status_code, one.headers["retry-after"], one.json()["error"]["type"]) for one in answers} == {
        (status, "2", kind)
    }


def test_the_header_wins_over_the_body_and_the_body_over_the_prompt(http: httpx.Client) -> None:
    asked = body("[[demo: status=501]]", demo={"status": 502})

    assert http.post("/chat/completions", json=asked).status_code == 502
    assert http.post("/chat/completions", json=asked, headers={"X-Demo-Behaviour": "status=503"}).status_code == 503


def test_the_first_requests_with_a_key_may_fail(http: httpx.Client) -> None:
    def statuses(prompt: str) -> list[int]:
        return [post(http, prompt).status_code for _ in range(3)]

    assert statuses("[[demo: fail_first=2]]by prompt") == [500, 500, 200]
    assert statuses("[[demo: fail_first=1 status=429]]by prompt") == [429, 200, 200]
    assert statuses("[[demo: fail_first=2 key=k1]]one") == [500, 500, 200]
    assert post(http, "[[demo: fail_first=4 key=k1]]another").status_code == 500


def test_only_so_many_keys_are_remembered(demo: Demo, http: httpx.Client) -> None:
    demo.model.seen.update({str(number): 1 for number in range(MOST_KEYS)})
    post(http, "[[demo: fail_first=1 key=newest]]")

    assert len(demo.model.seen) <= MOST_KEYS + 4
    assert demo.model.seen["newest"] == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_breaks_the_connection_in_the_middle(http: httpx.Client, stream: bool) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        post(http, "[[demo: cut_after=2]]", stream=stream)


@pytest.mark.parametrize("stream", [True, False])
def test_garbage_is_no_json(http: httpx.Client, stream: bool) -> None:
    answer = post(http, "[[demo: garbage_after=2]]", stream=stream)

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text.strip().rpartition("data: ")[2])


def test_an_error_within_a_stream_has_openais_form(http: httpx.Client) -> None:
    answer = post(http, "[[demo: error_after=2 echo chunk=1]]Hello", stream=True)

    *_, last, end = answer.text.split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert end == ""
    assert post(http, "[[demo: error_after=2]]").status_code == 500


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("directive", ["stall_after=2", "silent", "pace=0.01"])
def test_a_client_that_leaves_ends_its_generation(demo: Demo, http: httpx.Client, directive: str, stream: bool) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post("/chat/completions", json=body(f"[[demo: {directive}]]", stream=stream), timeout=0.2)

    # At its next token it would notice by itself, in a hundred seconds.
    wait_until(lambda: demo.active == 0)


def test_the_health_page_counts_generations(http: httpx.Client) -> None:
    with http.stream("POST", "/chat/completions", json=body("[[demo: stall_after=1]]", stream=True)):
        assert http.get("../healthz").json() == {"status": "ok", "active": 1}


def test_tokens_come_at_the_pace_that_was_asked_for(http: httpx.Client) -> None:
    began = time.monotonic()
    post(http, "[[demo: tokens=21 pace=100 first_token_s=0.1]]")

    # The first after 0.1 s, the last 20 hundredths later. A loaded machine may take longer, never less.
    assert time.monotonic() - began >= 0.3


def test_a_server_has_a_pace_of_its_own() -> None:
    with running_demo(tokens_per_s=50, first_token_s=0.1) as slow, httpx.Client(base_url=slow.url, timeout=30) as http:
        began = time.monotonic()
        post(http, "[[demo: tokens=6]]")

        assert time.monotonic() - began >= 0.2


def test_a_server_that_ends_breaks_off_its_answers() -> None:
    with httpx.Client(timeout=30) as http, ExitStack() as open_answers:
        with running_demo() as demo:
            stream = http.stream("POST", f"{demo.url}/chat/completions", json=body("[[demo: pace=1]]", stream=True))
            answer = open_answers.enter_context(stream)

        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
