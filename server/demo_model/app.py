"""The demo model server's HTTP: OpenAI's chat completions, images, embeddings and list of models, and a health page."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from server.demo_model.behaviour import Behaviour
from server.demo_model.delivery import Delivery, Plan
from server.demo_model.embeddings import EmbedBody, Embedding, Vectors
from server.demo_model.images import ImageBody, Picture, Showing
from server.demo_model.model import LanguageModel, Prompt, split_pieces
from server.demo_model.sampling import Answer
from server.demo_model.wire import EMBED_MODEL, IMAGE_MODEL, MODEL, ChatBody, Refusal, error_content, read_behaviour

TOKENS_PER_S: Final = 30.0
FIRST_TOKEN_S: Final = 0.15
IMAGE_S: Final = 2.0
EMBED_S: Final = 0.05
MOST_KEYS: Final = 10_000
"""Prompts whose failed requests are remembered; the oldest is forgotten first."""


@dataclass
class DemoModel:
    """The model, its pace, and what it remembers between requests."""

    tokens_per_s: float = TOKENS_PER_S
    first_token_s: float = FIRST_TOKEN_S
    image_s: float = IMAGE_S
    embed_s: float = EMBED_S
    model: LanguageModel = field(default_factory=LanguageModel.shipped)
    active: set[asyncio.Task[None]] = field(default_factory=set)
    seen: dict[str, int] = field(default_factory=dict)

    def plan(self, body: ChatBody, header: str) -> Plan:
        """What to answer.

        Raises:
            Refusal: the body or its directives ask for an error.
        """
        told, prompt = self._told(body, body.prompt, header, MODEL)
        return Plan(
            Answer(self._pieces(body, told, prompt), body.limit, body.stops),
            told,
            told.pace or self.tokens_per_s,
            self.first_token_s if told.first_token_s is None else told.first_token_s,
            body.prompt_tokens,
            body.stream,
            not body.stream or (body.stream_options is not None and body.stream_options.include_usage),
        )

    def picture(self, body: ImageBody, header: str) -> Picture:
        """What to show. Raises Refusal as ``plan`` does."""
        told, said = self._told(body, body.prompt, header, IMAGE_MODEL)
        return Picture(body, said, told, self.image_s if told.takes_s is None else told.takes_s)

    def vectors(self, body: EmbedBody, header: str) -> Vectors:
        """What to answer to texts. Raises Refusal as ``plan`` does."""
        told, _ = self._told(body, body.said, header, EMBED_MODEL)
        return Vectors(body, told, self.embed_s if told.takes_s is None else told.takes_s)

    def _told(
        self, body: ChatBody | ImageBody | EmbedBody, said: str, header: str, model: str
    ) -> tuple[Behaviour, str]:
        """What to do, and the prompt without its directives."""
        if body.model != model:
            raise Refusal(404, f"there is no model {body.model!r}, only {model!r}", code="model_not_found")
        told, prompt = read_behaviour(said, body.demo, header)
        if told.fail_first is not None:
            told = told.on_request(self._count(told.key or said))
        _refuse(told, body)
        return told, prompt

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


def _refuse(told: Behaviour, body: ChatBody | ImageBody | EmbedBody) -> None:
    if told.reject and told.reject in body.model_fields_set:
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

    @app.post("/v1/images/generations", response_model=None)
    async def draw(body: ImageBody, x_demo_behaviour: Annotated[str, Header()] = "") -> Showing:
        return Showing(demo.picture(body, x_demo_behaviour), demo.active)

    @app.post("/v1/embeddings", response_model=None)
    async def embed(body: EmbedBody, x_demo_behaviour: Annotated[str, Header()] = "") -> Embedding:
        return Embedding(demo.vectors(body, x_demo_behaviour), demo.active)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = (MODEL, IMAGE_MODEL, EMBED_MODEL)
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "jobcast"} for name in names]
        return {"object": "list", "data": listed}

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "active": len(demo.active)}

    app.exception_handler(Refusal)(_answer_refusal)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(HTTPException)(_answer_http)
    return app


async def _answer_refusal(_request: Request, error: Refusal) -> JSONResponse:
    return JSONResponse(error.content, error.status, error.headers)


async def _answer_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse(error_content(400, f"{param or 'body'}: {first['msg']}", param=param or None), 400)


async def _answer_http(_request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse(error_content(error.status_code, str(error.detail)), error.status_code, error.headers)
