"""The demo model server's HTTP: OpenAI's chat completions and list of models, and a health page."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from server.demo_model.behaviour import Behaviour
from server.demo_model.delivery import Delivery, Plan
from server.demo_model.model import LanguageModel, Prompt, split_pieces
from server.demo_model.sampling import Answer
from server.demo_model.wire import MODEL, ChatBody, Refusal, error_content, read_behaviour

TOKENS_PER_S: Final = 30.0
FIRST_TOKEN_S: Final = 0.15
MOST_KEYS: Final = 10_000
"""Prompts whose failed requests are remembered; the oldest is forgotten first."""


@dataclass
class DemoModel:
    """The model, its pace, and what it remembers between requests."""

    tokens_per_s: float = TOKENS_PER_S
    first_token_s: float = FIRST_TOKEN_S
    model: LanguageModel = field(default_factory=LanguageModel.shipped)
    active: set[asyncio.Task[None]] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)

    def plan(self, body: ChatBody, header: str) -> Plan:
        """What to answer.

        Raises:
            Refusal: the body or its directives ask for an error.
        """
        if body.model != MODEL:
            raise Refusal(404, f"there is no model {body.model!r}, only {MODEL!r}", code="model_not_found")
        told, prompt = read_behaviour(body, header)
        if told.fail_first is not None:
            told = told.on_request(self._count(told.key or body.prompt))
        _refuse(told, body)
        return Plan(
            Answer(self._pieces(body, told, prompt), body.limit, body.stops),
            told,
            told.pace or self.tokens_per_s,
            self.first_token_s if told.first_token_s is None else told.first_token_s,
            body.prompt_tokens,
            body.stream,
            not body.stream or (body.stream_options is not None and body.stream_options.include_usage),
        )

    def _count(self, key: str) -> int:
        self.seen[key] = self.seen.pop(key, 0) + 1
        if len(self.seen) > MOST_KEYS:
            del self.seen[next(iter(self.seen))]
        return self.seen[key]

    def _pieces(self, body: ChatBody, told: Behaviour, prompt: str) -> Any:
        if told.echo:
            rest = prompt.removeprefix(body.given)
            return _cut(rest, told.chunk) if told.chunk else split_pieces(rest)
        temperature = 1.0 if body.temperature is None else body.temperature
        return self.model.pieces(Prompt(prompt, temperature, body.seed, body.given), told.tokens)

    def end(self) -> None:
        """Breaks off every answer under way."""
        for task in self.active:
            task.cancel()


def _refuse(told: Behaviour, body: ChatBody) -> None:
    if told.reject is not None and getattr(body, told.reject, None) is not None:
        raise Refusal(400, f"Unrecognized request argument supplied: {told.reject}", param=told.reject)
    if told.status is not None:
        refusal = Refusal(told.status, "the demo model was told to refuse", code="told")
        if told.retry_after is not None:
            refusal.headers["Retry-After"] = f"{told.retry_after:g}"
        raise refusal


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def create_app(demo: DemoModel) -> FastAPI:
    """The application around a model."""
    app = FastAPI(title="Jobcast demo model", docs_url=None, redoc_url=None)

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(body: ChatBody, x_demo_behaviour: Annotated[str, Header()] = "") -> Delivery:
        return Delivery(demo.plan(body, x_demo_behaviour), demo.active)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "jobcast"}]}

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "active": len(demo.active)}

    app.add_exception_handler(Refusal, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    return app


async def _answer_refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)  # noqa: S101  # registered for no other
    return JSONResponse(error.content, error.status, error.headers)


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse(error_content(400, f"{param or 'body'}: {first['msg']}", param=param or None), 400)


async def _answer_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    return JSONResponse(error_content(error.status_code, str(error.detail)), error.status_code, error.headers)
