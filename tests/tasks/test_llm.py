"""The client of model servers on the demo model over real HTTP, and on a raw server for what that one cannot say."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from server.demo_model.model import count_pieces
from tasks.errors import ModelError
from tasks.llm import ChatRequest, Completion, LlmClient
from tests.support.demo import Demo, running_demo
from tests.support.raw_server import CERTIFICATE, raw_server, response
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

HEAD = 'data: {"model":"raw","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
HELLO = 'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
FINISH = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"
REJECTED = "400 Bad Request"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def client(demo: Demo) -> Iterator[LlmClient]:
    client = LlmClient(demo.url)
    yield client
    client.close()


def ask(prompt: str, **more: Any) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": prompt}], **more)


def complete(client: LlmClient, request: ChatRequest) -> Completion:
    with client.stream(request) as answer:
        assert "".join(answer) == answer.completion.text
    return answer.completion


def failure(client: LlmClient, request: ChatRequest) -> ModelError:
    with pytest.raises(ModelError) as caught:
        complete(client, request)
    return caught.value


def complete_raw(*answers: bytes, **settings: Any) -> Completion:
    with raw_server(*answers) as server:
        return complete(LlmClient(server.url, model="m", **settings), ask("Hi"))


def failure_raw(*answers: bytes, **settings: Any) -> ModelError:
    with raw_server(*answers) as server:
        return failure(LlmClient(server.url, model="m", **settings), ask("Hi"))


# What a good server says


def test_an_answer_comes_in_pieces_with_the_servers_own_figures(client: LlmClient) -> None:
    with client.stream(ask("[[demo: tokens=12]]Tell me about the sea")) as answer:
        pieces = list(answer)

    made = answer.completion
    assert len(pieces) == made.completion_tokens == 12
    assert "".join(pieces) == made.text
    assert made.prompt_tokens == count_pieces("[[demo: tokens=12]]Tell me about the sea")
    assert (made.model, made.finish_reason) == ("demo", "stop")


def test_the_longest_answer_is_heeded_and_said(client: LlmClient) -> None:
    made = complete(client, ask("Tell me about the sea", max_tokens=3))

    assert (made.completion_tokens, made.finish_reason) == (3, "length")


def test_a_seed_gives_the_same_text_again(client: LlmClient) -> None:
    first, second, other = (complete(client, ask("The sea", seed=seed, temperature=1.0)).text for seed in (1, 1, 2))

    assert first == second != other


def test_text_is_gone_on_with_as_if_never_interrupted(client: LlmClient) -> None:
    with client.stream(ask("The sea", seed=5, temperature=0.9)) as answer:
        pieces = list(answer)

    for done in (1, 2, len(pieces) // 2, len(pieces) - 1):
        given, rest = "".join(pieces[:done]), "".join(pieces[done:])
        assert complete(client, ask("The sea", seed=5, temperature=0.9, continue_text=given)).text == rest


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("👩‍👩‍👧‍👦 né à Łódź, e\u0301 🎶", 1),
        ('one\rtwo\r\nthree\n\n"four"\\five\ttail \n', 1),
        ("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x00h\ufeffi", 1),
        ("data: not a field\n\nevent: nor this\n\n", 7),
        ("ü" * 150_000 + "\u2028", 100_000),
    ],
    ids=["emoji", "line ends", "other separators", "looks like SSE", "100 KB tokens"],
)
def test_text_arrives_byte_for_byte(client: LlmClient, text: str, size: int) -> None:
    with client.stream(ask(f"[[demo: echo chunk={size}]]\n{text}")) as answer:
        pieces = list(answer)

    assert pieces == [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_text_arrives_whole_however_the_network_cuts_it(size: int) -> None:
    body = response(HEAD + HELLO.replace("Hello", "é\u2028🎶") + FINISH + DONE)
    _head, _, stream = body.partition(b"\r\n\r\n")

    def cut(_request: httpx.Request) -> httpx.Response:
        parts = (stream[at : at + size] for at in range(0, len(stream), size))
        return httpx.Response(200, headers={"content-type": "text/event-stream; charset=latin-1"}, content=parts)

    client = LlmClient("http://model/v1", model="m", transport=httpx.MockTransport(cut))
    assert complete(client, ask("Hi")).text == "é\u2028🎶"


def test_usage_in_the_chunk_with_the_finish_reason_counts(client: LlmClient) -> None:
    assert complete(client, ask("[[demo: usage_with_finish tokens=4]]")).completion_tokens == 4


def test_usage_is_not_made_up(client: LlmClient) -> None:
    made = complete(client, ask("[[demo: no_usage tokens=4]]"))

    assert (made.prompt_tokens, made.completion_tokens, made.finish_reason) == (None, None, "stop")


def test_comments_and_other_fields_of_the_stream_say_nothing() -> None:
    made = complete_raw(response(f": wait\n\nevent: x\nid: 7\n\n{HEAD}retry: 5\n\n{HELLO}{FINISH}{DONE}"))

    assert (made.text, made.model) == ("Hello", "raw")


@pytest.mark.parametrize("stream", [HELLO + FINISH, HELLO + DONE, HELLO + FINISH + "data: [DO"])
def test_one_sign_of_the_end_is_enough(stream: str) -> None:
    assert complete_raw(response(stream)).text == "Hello"


def test_a_connection_that_breaks_behind_the_finish_reason_spoils_nothing() -> None:
    chunked = response(f"{len(HELLO + FINISH):x}\r\n{HELLO + FINISH}\r\n", more="Transfer-Encoding: chunked\r\n")

    assert complete_raw(chunked).finish_reason == "stop"


def test_a_hundred_answers_come_at_once_without_mixing(client: LlmClient) -> None:
    def say(number: int) -> str:
        return complete(client, ask(f"[[demo: echo pace=200]]{number} " + f"says {number} " * 20)).text

    with ThreadPoolExecutor(100) as threads:
        texts = list(threads.map(say, range(100)))

    assert texts == [f"{number} " + f"says {number} " * 20 for number in range(100)]


# The default model, and servers that know less


def test_the_first_listed_model_is_asked_and_the_list_read_once() -> None:
    models = response('{"data":[{"id":"first"},{"id":"second"}]}', "application/json")
    with raw_server(models, response(HELLO + DONE)) as server:
        client = LlmClient(server.url)
        made = [complete(client, ask("Hi")).model for _ in range(2)]

    assert made == ["first", "first"]
    assert [request.split(maxsplit=2)[1] for request in server.requests] == [
        b"/v1/models",
        b"/v1/chat/completions",
        b"/v1/chat/completions",
    ]


def test_a_request_names_its_model_before_the_setting_does() -> None:
    with raw_server(response(HELLO + DONE)) as server:
        client = LlmClient(server.url, model="set")
        complete(client, ask("Hi"))
        complete(client, ask("Hi", model="asked"))

    assert [json.loads(request.partition(b"\r\n\r\n")[2])["model"] for request in server.requests] == ["set", "asked"]


@pytest.mark.parametrize(
    "answer",
    [
        response("", status="404 Not Found"),
        response('{"data":[]}', "application/json"),
        response("<html>", "text/html"),
    ],
)
def test_a_server_without_a_list_of_models_needs_the_setting(answer: bytes) -> None:
    with raw_server(answer) as server:
        error = failure(LlmClient(server.url), ask("Hi"))

    assert error.code == "model_rejected"
    assert error.message == f"{server.url} lists no models: set JOBCAST_LLM_MODEL to the one to use"


def test_a_list_of_models_may_fail_like_anything_else() -> None:
    with raw_server(response("", status="503 Service Unavailable", more="Retry-After: 3\r\n")) as server:
        error = failure(LlmClient(server.url), ask("Hi"))

    assert (error.code, error.retryable, error.retry_after_s) == ("model_failed", True, 3)


def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(demo: Demo) -> None:
    client = LlmClient(demo.url)

    assert complete(client, ask("[[demo: reject=stream_options tokens=3]]")).completion_tokens is None
    assert complete(client, ask("[[demo: tokens=3]]")).completion_tokens is None


def test_a_server_that_wants_the_limit_by_its_new_name_gets_it() -> None:
    refused = response('{"error":{"message":"Use \'max_completion_tokens\' instead."}}', status=REJECTED)
    with raw_server(refused, response(HELLO + DONE)) as server:
        client = LlmClient(server.url, model="m")
        for _ in range(2):
            complete(client, ask("Hi", max_tokens=7))

    sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    assert [body.get("max_completion_tokens") for body in sent] == [None, 7, 7]


def test_a_refusal_that_only_mentions_an_option_teaches_nothing() -> None:
    odd = response('{"error":{"message":"I dislike stream_options and you"}}', status=REJECTED)
    with raw_server(odd, odd, response(HELLO + DONE)) as server:
        client = LlmClient(server.url, model="m")
        assert failure(client, ask("Hi")).code == "model_rejected"
        complete(client, ask("Hi"))

    assert [b"stream_options" in request for request in server.requests] == [True, False, True]


# Failures


@pytest.mark.parametrize(
    ("directive", "code", "retryable", "retry_after_s"),
    [
        ("status=429 retry_after=2", "model_rate_limited", True, 2),
        ("status=503 retry_after=0.5", "model_failed", True, 0.5),
        ("status=500", "model_failed", True, None),
        ("status=401", "model_refused", False, None),
        ("status=403", "model_refused", False, None),
        ("status=404", "model_rejected", False, None),
        ("status=422", "model_rejected", False, None),
        ("bogus", "model_rejected", False, None),
        ("cut_after=0", "model_cut", True, None),
        ("cut_after=5", "model_cut", True, None),
        ("garbage_after=5", "model_garbage", True, None),
        ("error_after=5", "model_failed", True, None),
    ],
)
def test_each_failure_has_its_code(
    client: LlmClient, directive: str, code: str, retryable: bool, retry_after_s: float | None
) -> None:
    error = failure(client, ask(f"[[demo: {directive}]]Hello"))

    assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, retry_after_s)


@pytest.mark.parametrize("misdeed", ["cut_after=5", "garbage_after=5", "error_after=5"])
def test_what_came_before_a_failure_stays(client: LlmClient, misdeed: str) -> None:
    pieces: list[str] = []
    with pytest.raises(ModelError), client.stream(ask(f"[[demo: {misdeed} echo chunk=1]]Hello world")) as answer:
        pieces += answer

    assert "".join(pieces) == answer.completion.text == "Hello"


def test_an_unknown_model_is_rejected_in_the_servers_words(client: LlmClient) -> None:
    error = failure(client, ask("Hi", model="nix"))

    assert error.code == "model_rejected"
    assert error.message == "the model server answered 404: there is no model 'nix', only 'demo'"


def test_a_server_that_fails_first_is_worth_another_attempt(client: LlmClient) -> None:
    request = ask("[[demo: fail_first=2 status=503 tokens=3]]again")

    assert [failure(client, request).code, failure(client, request).code] == ["model_failed"] * 2
    assert complete(client, request).completion_tokens == 3


def test_a_stream_that_just_ends_is_cut_and_not_done() -> None:
    error = failure_raw(response(HEAD + HELLO))

    assert (error.code, error.retryable) == ("model_cut", True)


def test_a_server_that_hangs_up_without_a_word_is_cut() -> None:
    assert failure_raw(b"").code == "model_cut"


def test_what_is_no_http_is_cut() -> None:
    assert failure_raw(b"-ERR unknown command\r\n").code == "model_cut"


@pytest.mark.parametrize(
    ("body", "media_type"), [("<html>Welcome</html>", "text/html"), ('{"choices":[]}', "application/json")]
)
def test_another_type_with_200_is_garbage_that_names_the_setting(body: str, media_type: str) -> None:
    error = failure_raw(response(body, media_type))

    assert (error.code, error.retryable) == ("model_garbage", True)
    assert media_type in error.message
    assert "JOBCAST_LLM_BASE_URL" in error.message


def test_text_that_cannot_be_unpacked_is_garbage() -> None:
    assert failure_raw(response("not gzip", more="Content-Encoding: gzip\r\n")).code == "model_garbage"


def test_an_endless_error_page_is_not_read_to_its_end() -> None:
    error = failure_raw(response(b"x" * 2_000_000, "text/plain", status="500 Oh"))

    assert error.code == "model_failed"
    assert len(error.message) < 600


def test_nobody_listening_is_unreachable_and_names_the_address_without_secrets() -> None:
    with raw_server(b"") as server:
        address = server.url
    client = LlmClient(address.replace("//", "//user:secret@"), "the-key", "m")
    error = failure(client, ask("Hi"))

    assert (error.code, error.retryable) == ("model_unreachable", True)
    assert address in error.message
    assert "secret" not in error.message
    assert "the-key" not in error.message


def test_a_key_that_the_server_repeats_is_blotted_out() -> None:
    refused = response('{"error":{"message":"wrong key: the-key"}}', status="401 Unauthorized")
    with raw_server(refused) as server:
        error = failure(LlmClient(server.url, " the-key\n", "m"), ask("Hi"))

    assert b"authorization: bearer the-key\r\n" in server.requests[0].lower()
    assert error.message == "the model server answered 401: wrong key: ***"


@pytest.mark.parametrize("directive", ["stall_after=3", "silent"])
def test_a_server_that_falls_silent_times_out(demo: Demo, directive: str) -> None:
    error = failure(LlmClient(demo.url, silence_s=0.2), ask(f"[[demo: {directive}]]"))

    assert (error.code, error.retryable) == ("model_timeout", True)
    assert "0.2 s" in error.message
    wait_until(lambda: demo.active == 0)


def test_a_connection_that_nobody_takes_times_out() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("timed out", request=request)

    client = LlmClient("http://model/v1", model="m", transport=httpx.MockTransport(refuse))
    error = failure(client, ask("Hi"))

    assert (error.code, error.retryable) == ("model_timeout", True)
    assert "http://model/v1 took no connection within 5 s" in error.message


@pytest.mark.parametrize("url", ["", "model:8000/v1", "http://", "http://a:b", "http://a..b", "http://a:99999999"])
def test_an_address_that_is_none_names_the_setting(url: str) -> None:
    with pytest.raises(ModelError, match="JOBCAST_LLM_BASE_URL") as caught:
        LlmClient(url)

    assert not caught.value.retryable


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_carry_names_the_setting_and_not_the_key(key: str) -> None:
    with pytest.raises(ModelError, match="JOBCAST_LLM_API_KEY") as caught:
        LlmClient("http://model/v1", key)

    assert key not in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_on_the_way_to_this_machine(demo: Demo, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert complete(LlmClient(demo.url.replace("127.0.0.1", host)), ask("[[demo: tokens=3]]")).text


def test_a_proxy_is_on_the_way_to_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(response(HELLO + DONE)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        made = complete(LlmClient("http://model.invalid/v1", model="m"), ask("Hi"))

    assert made.text == "Hello"
    assert proxy.requests[0].startswith(b"POST http://model.invalid/v1/chat/completions ")


# Breaking off


def abort_when(ready: Callable[[], bool]) -> Callable[[Callable[[], None]], None]:
    """An ``on_open`` that aborts from another thread as soon as something is so."""

    def on_open(abort: Callable[[], None]) -> None:
        def run() -> None:
            wait_until(ready)
            abort()

        threading.Thread(target=run).start()

    return on_open


@pytest.mark.timeout(30)
@pytest.mark.parametrize("directive", ["stall_after=0", "stall_after=3", "silent", "pace=1"])
def test_an_abort_from_another_thread_ends_a_blocked_read(demo: Demo, client: LlmClient, directive: str) -> None:
    # Silent for a minute otherwise, which the timeout of this test does not allow.
    on_open = abort_when(lambda: demo.active == 1)
    with pytest.raises(ModelError) as caught, client.stream(ask(f"[[demo: {directive}]]"), on_open=on_open) as answer:
        list(answer)

    assert (caught.value.code, caught.value.retryable) == ("model_aborted", False)
    wait_until(lambda: demo.active == 0)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("said", [b"", response(HELLO)], ids=["before the answer", "in the answer"])
def test_an_abort_ends_a_blocked_read_over_tls(said: bytes) -> None:
    transport = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=str(CERTIFICATE)))
    with raw_server(said, hold=True, tls=True) as server:
        client = LlmClient(server.url, model="m", transport=transport)
        on_open = abort_when(lambda: bool(server.requests))
        with pytest.raises(ModelError) as caught, client.stream(ask("Hi"), on_open=on_open) as answer:
            list(answer)

    assert caught.value.code == "model_aborted"


def test_a_server_whose_certificate_nobody_trusts_is_unreachable() -> None:
    with raw_server(b"", tls=True, hold=True) as server:
        error = failure(LlmClient(server.url, model="m"), ask("Hi"))

    assert error.code == "model_unreachable"
    assert "certificate" in error.message


def test_an_abort_before_the_start_sends_nothing() -> None:
    with raw_server(response(HELLO + DONE)) as server:
        client = LlmClient(server.url, model="m")
        with (
            pytest.raises(ModelError, match="aborted"),
            client.stream(ask("Hi"), on_open=lambda abort: abort()) as answer,
        ):
            list(answer)

    assert server.requests == []


def test_an_abort_between_two_pieces_ends_the_answer(demo: Demo, client: LlmClient) -> None:
    aborts: list[Callable[[], None]] = []
    with client.stream(ask("[[demo: tokens=100 pace=50]]"), on_open=aborts.append) as answer:
        pieces = iter(answer)
        next(pieces)
        aborts[0]()
        with pytest.raises(ModelError, match="aborted"):
            list(pieces)

    wait_until(lambda: demo.active == 0)


def test_an_abort_that_comes_too_late_harms_nobody(client: LlmClient) -> None:
    aborts: list[Callable[[], None]] = []
    with client.stream(ask("[[demo: tokens=3]]"), on_open=aborts.append) as answer:
        list(answer)
    aborts[0]()

    assert answer.completion.finish_reason == "stop"
    assert complete(client, ask("[[demo: tokens=3]]")).completion_tokens == 3


def test_leaving_early_ends_the_generation_at_the_server(demo: Demo, client: LlmClient) -> None:
    with client.stream(ask("[[demo: tokens=1000 pace=20]]")) as answer:
        next(iter(answer))
        assert demo.active == 1

    wait_until(lambda: demo.active == 0)


def test_an_error_of_the_reader_stays_the_readers_own(demo: Demo, client: LlmClient) -> None:
    with pytest.raises(httpx.ReadError), client.stream(ask("[[demo: tokens=1000 pace=20]]")):
        raise httpx.ReadError("of another connection")

    wait_until(lambda: demo.active == 0)
