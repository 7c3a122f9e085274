"""What `jobcast doctor` finds of model servers: for text, for images and for embeddings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx

from progress.settings import Settings
from server.findings import AWAY, Finding, shown, why

TIMEOUT_S: Final = 3.0
NO_LIST: Final = frozenset((404, 405, 501))
"""What servers answer that don't list their models: those for pictures above all."""


@dataclass(frozen=True)
class ModelServer:
    """A server, its key and the model to ask it for, and what the names of these settings begin with."""

    subject: str
    setting: str
    url: str
    key: str
    model: str


def model_servers(settings: Settings) -> Iterator[ModelServer]:
    """Those that the settings name. One that stands in for another is looked at again for a model of its own."""
    if settings.llm_base_url:
        url, key = settings.llm_base_url, settings.llm_api_key
        yield ModelServer("model", "JOBCAST_LLM", url, key, settings.llm_model)
    if settings.image_server[0] and (settings.image_base_url or settings.image_model):
        yield ModelServer("images", "JOBCAST_IMAGE", *settings.image_server, settings.image_model)
    if settings.embed_server[0] and (settings.embed_base_url or settings.embed_model):
        yield ModelServer("embeddings", "JOBCAST_EMBED", *settings.embed_server, settings.embed_model)


def examine_models(settings: Settings) -> Iterator[Finding]:
    """Whether each answers, takes the key and has the model."""
    for server in model_servers(settings):
        url = f"{server.url}/models"
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        try:
            answer = httpx.get(url, headers=headers, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            mend = f"start it, or mend {server.setting}_BASE_URL"
            yield Finding(server.subject, f"{AWAY} at {shown(url)}: {why(error)}", mend)
            continue
        yield judge_model(server, answer)


def judge_model(server: ModelServer, answer: httpx.Response) -> Finding:
    """What the answer to GET /models means."""
    where, subject = shown(server.url), server.subject
    if answer.status_code in {401, 403}:
        return Finding(subject, f"{where} refuses the key ({answer.status_code})", f"mend {server.setting}_API_KEY")
    if answer.status_code in NO_LIST and subject != "model":
        return Finding(subject, f"{where} answers, and lists no models")
    names = _model_names(answer)
    if names is None:
        mend = f"mend {server.setting}_BASE_URL; most servers want it to end in /v1"
        return Finding(subject, f"{where} has no list of models ({answer.status_code})", mend)
    if server.model and server.model not in names:
        mend = f"set {server.setting}_MODEL to one of {', '.join(names[:5]) or 'none'}"
        return Finding(subject, f"{where} has no model {server.model!r}", mend)
    return Finding(subject, f"{where} has {server.model or ', '.join(names[:3]) or 'no model listed'}")


def _model_names(answer: httpx.Response) -> list[str] | None:
    try:
        return [str(model["id"]) for model in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        return None
