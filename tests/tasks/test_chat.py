"""The client's side of chat completions: what is sent, and what each answer means."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tasks.chat import (
    MAX_MESSAGE_CHARS,
    ChatRequest,
    Completion,
    first_model,
    learn_quirk,
    listed_models,
    read_chunk,
    refusal,
    retry_after_s,
    server_message,
)
from tasks.errors import ModelError

ASKED = [{"role": "user", "content": "Hello"}]
NONE: frozenset[str] = frozenset()


def chunk(text: str | None = None, **more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **more}]})


def test_a_body_asks_for_a_stream_with_usage_and_leaves_out_what_nobody_set() -> None:
    assert ChatRequest(ASKED).body("m", NONE) == {
        "model": "m",
        "messages": ASKED,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_body_carries_every_limit_that_was_set() -> None:
    body = ChatRequest(ASKED, temperature=0.0, max_tokens=5, seed=0).body("m", NONE)

    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 5, 0)


def test_a_body_heeds_what_the_server_has_refused_before() -> None:
    body = ChatRequest(ASKED, max_tokens=5).body("m", frozenset({"stream_options", "max_completion_tokens"}))

    assert body == {"model": "m", "messages": ASKED, "stream": True, "max_completion_tokens": 5}


def test_text_to_go_on_with_becomes_an_open_last_message() -> None:
    body = ChatRequest(ASKED, continue_text="Once").body("m", NONE)

    assert body["messages"] == [*ASKED, {"role": "assistant", "content": "Once"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert len(ASKED) == 1


def test_chunks_add_up_to_a_completion() -> None:
    completion = Completion("asked")
    data = [
        chunk(""),
        chunk("Hel"),
        chunk("lo"),
        chunk(None, finish_reason="stop"),
        '{"model":"real","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}',
    ]

    assert [read_chunk(one, completion) for one in data] == ["", "Hel", "lo", "", ""]
    assert completion == Completion("real", "stop", 1, 2, ["Hel", "lo"])
    assert completion.text == "Hello"


@pytest.mark.parametrize(
    "data",
    [
        '{"choices":[{"delta":{"reasoning_content":"hm"}}]}',
        '{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0}]}}]}',
        '{"choices":[{"delta":null}],"usage":null}',
        '{"choices":[{"index":1,"delta":{"content":"of another answer"}}]}',
        '{"choices":[],"prompt_filter_results":[]}',
        '{"usage":{"prompt_tokens":1}}',
    ],
)
def test_chunks_without_text_of_the_answer_give_none(data: str) -> None:
    completion = Completion("m")

    assert read_chunk(data, completion) == ""
    assert completion.text == ""


def test_usage_that_comes_with_the_finish_reason_counts_too() -> None:
    completion = Completion("m")

    read_chunk('{"choices":[{"delta":{},"finish_reason":"length"}],"usage":{"completion_tokens":9}}', completion)

    assert (completion.finish_reason, completion.prompt_tokens, completion.completion_tokens) == ("length", None, 9)


@pytest.mark.parametrize(
    "data",
    [
        "not JSON",
        '{"choices":[{"delta":{"content":"bro',
        "[]",
        '"text"',
        "null",
        "{}",
        '{"object":"something else"}',
        '{"choices":"none"}',
        '{"choices":[{"delta":{"content":5}}]}',
        '{"choices":[{"delta":"text"}]}',
        r'{"choices":[{"delta":{"content":"half an emoji \ud83d"}}]}',
    ],
)
def test_what_is_no_chunk_is_garbage(data: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_chunk(data, Completion("m"))

    assert (caught.value.code, caught.value.retryable) == ("model_garbage", True)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"message": "overloaded", "type": "server_error"}, "model_failed", True),
        ({"message": "slow down", "code": 429}, "model_rate_limited", True),
        ({"message": "too long", "code": "400"}, "model_rejected", False),
        ({"message": "odd", "code": 7}, "model_failed", True),
        ("a word alone", "model_failed", True),
    ],
)
def test_an_error_within_the_answer_means_what_its_status_would(error: Any, code: str, retryable: bool) -> None:
    with pytest.raises(ModelError) as caught:
        read_chunk(json.dumps({"error": error}), Completion("m"))

    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert (error if isinstance(error, str) else error["message"]) in caught.value.message


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "model_rejected", False),
        (401, "model_refused", False),
        (403, "model_refused", False),
        (404, "model_rejected", False),
        (408, "model_timeout", True),
        (413, "model_rejected", False),
        (422, "model_rejected", False),
        (429, "model_rate_limited", True),
        (500, "model_failed", True),
        (503, "model_failed", True),
        (529, "model_failed", True),
    ],
)
def test_each_status_has_its_meaning(status: int, code: str, retryable: bool) -> None:
    error = refusal(status, '{"error":{"message":"why"}}')

    assert (error.code, error.retryable) == (code, retryable)
    assert error.message == f"the model server answered {status}: why"


def test_an_empty_account_is_not_worth_another_attempt() -> None:
    error = refusal(429, '{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}')

    assert (error.code, error.retryable) == ("model_rate_limited", False)


def test_a_redirect_says_where_to() -> None:
    error = refusal(308, "", {"location": "https://there/v1"})

    assert error.message == "the model server answered 308: it redirects to https://there/v1"
    assert not error.retryable


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error":{"message":"OpenAI"}}', "OpenAI"),
        ('{"error":"Ollama"}', "Ollama"),
        ('{"object":"error","message":"vLLM","code":400}', "vLLM"),
        ('{"detail":[{"msg":"FastAPI"}]}', '[{"msg": "FastAPI"}]'),
        ("plain\n  text", "plain text"),
        ("<!doctype html><title>502</title>", "no reason given"),
        ("", "no reason given"),
        ('{"error":{}}', '{"error":{}}'),
    ],
)
def test_the_servers_words_are_found_in_every_form(body: str, words: str) -> None:
    assert server_message(body) == words


def test_the_servers_words_are_cut_to_a_line() -> None:
    message = server_message("x" * 100_000)

    assert len(message) == MAX_MESSAGE_CHARS
    assert message.endswith("x…")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "?"}, 2.0),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_the_wait_may_be_a_date(zone: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True).replace("GMT", zone)

    assert 50 < (retry_after_s({"retry-after": date}) or 0) <= 60


@pytest.mark.parametrize(
    ("status", "body", "quirk"),
    [
        (400, "Unrecognized request argument supplied: stream_options", "stream_options"),
        (422, '{"detail":[{"loc":["body","stream_options"]}]}', "stream_options"),
        (400, "'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "max_completion_tokens"),
        (400, "max_tokens is too large", None),
        (500, "stream_options", None),
    ],
)
def test_a_refusal_may_teach_what_to_leave_out(status: int, body: str, quirk: str | None) -> None:
    assert learn_quirk(status, body, ChatRequest(ASKED, max_tokens=5).body("m", NONE)) == quirk


def test_a_refusal_teaches_nothing_twice() -> None:
    sent = ChatRequest(ASKED, max_tokens=5).body("m", frozenset({"stream_options", "max_completion_tokens"}))

    assert learn_quirk(400, "stream_options max_completion_tokens", sent) is None


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"object":"list","data":[{"id":"a"},{"id":"b"}]}', "a"),
        ('{"data":[]}', None),
        ('{"models":["a"]}', None),
        ("<html>", None),
    ],
)
def test_the_first_listed_model_is_found(body: str, name: str | None) -> None:
    assert first_model(listed_models(body)) == name
