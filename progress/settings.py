"""Every setting, typed: environment variables prefixed ``JOBCAST_``, or the same names in ``.env``."""

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from progress import limits
from progress.errors import InvalidSettings
from progress.signing import key_of
from progress.targets import Targets

PREFIX: Final = "JOBCAST_"
DOTENV: Final = ".env"
REDIS_SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
BROKER_SCHEMES: Final = (
    "redis",
    "rediss",
    "amqp",
    "amqps",
    "unix",
    "redis+socket",
    "redis+sentinel",
    "rediss+sentinel",
)
STORAGE_SCHEMES: Final = ("file", "s3")
CLIENT_VARIABLES: Final = frozenset({f"{PREFIX}API_KEY"})
"""What the command line reads as a client of some server; no setting of this one."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Seconds = Annotated[float, Field(gt=0)]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The settings of every process. Names in the environment are upper case with the prefix."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        # A .env belongs to more than Jobcast, and "forbid" would refuse its other names too: `load` looks itself.
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    host: str = Field("127.0.0.1", description="where the API listens")
    port: int = Field(8000, ge=0, le=65535, description="port of the API; 0 takes a free one")
    redis_url: str = Field("", description="job records, event logs, live fan-out; set by `jobcast up`")
    broker_url: str = Field("", description="Celery's broker; REDIS_URL where empty")
    visibility_timeout_s: Seconds = Field(60, description="an unacknowledged message is delivered again after this")
    lease_s: float = Field(10, ge=1, description="a running attempt that has not renewed for this long is lost")
    max_attempts: int = Field(3, ge=1, le=100, description="attempts of a job before it fails")
    priority_aging_s: float = Field(
        600, ge=0, description="a job that has waited for this long counts as one step more urgent; 0: never"
    )
    routes: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="queues of kinds, in the place of their own: `kind=queue` pairs"
    )
    rate_limits: Annotated[dict[str, limits.Rate], NoDecode] = Field(
        default_factory=dict, description="how often all workers together begin jobs of a kind, or ask a model"
    )
    running_limits: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict, description="how many jobs of a kind run at once: `kind=4` pairs, comma-separated"
    )
    drain_s: float = Field(
        5, ge=0, description="a worker told to stop lets its jobs go on for this long, then hands them back"
    )
    flush_ms: int = Field(20, ge=0, le=1000, description="tokens that follow within this are published together")
    events_ttl_s: int = Field(86_400, ge=1, description="how long a finished job's log stays")
    result_ttl_s: int = Field(604_800, ge=1, description="how long a finished job's record stays")
    max_events: int = Field(100_000, ge=10, description="events kept per job")
    max_input_bytes: int = Field(1_048_576, ge=1024, description="a larger body is refused with 413")
    storage_url: str = Field("", description="where files and artifacts are kept; `.jobcast/files` where empty")
    max_file_bytes: int = Field(268_435_456, ge=1024, description="a larger upload is refused with 413")
    files_ttl_s: int = Field(86_400, ge=60, description="how long an uploaded file stays")
    workers: int = Field(1, ge=1, le=256, description="API processes on the one port; Celery's workers are not meant")
    max_streams: int = Field(10_000, ge=1, description="open event streams and sockets in one API process")
    llm_base_url: str = Field("", description="any OpenAI-compatible server; `up` starts the demo model where empty")
    llm_api_key: str = Field("", repr=False, description="sent to the model server as a bearer token")
    llm_model: str = Field("", description="model asked for where the input names none; else the server's first")
    image_base_url: str = Field("", description="a server for images; LLM_BASE_URL where empty")
    image_api_key: str = Field("", repr=False, description="sent to it; LLM_API_KEY where it is the same server")
    image_model: str = Field("", description="model for images; the server's default where empty")
    embed_base_url: str = Field("", description="a server for embeddings; LLM_BASE_URL where empty")
    embed_api_key: str = Field("", repr=False, description="sent to it; LLM_API_KEY where it is the same server")
    embed_model: str = Field("", description="model for embeddings; else the server's first with embed in its name")
    max_collection_bytes: int = Field(67_108_864, ge=1024, description="a collection of vectors grows no larger")
    collection_ttl_s: int = Field(2_592_000, ge=1, description="a collection that is not used goes after this")
    llm_continues: bool = Field(
        default=False, description="the model server goes on after a given text (vLLM's continue_final_message)"
    )
    tasks: Names = Field((), description="import paths of further task modules, comma-separated")
    api_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, repr=False, description="`name:key` pairs, comma-separated"
    )
    webhook_secret: Annotated[tuple[str, ...], NoDecode] = Field(
        (), repr=False, description="`whsec_…`, signs what webhooks are sent; more, after spaces, while one is changed"
    )
    webhook_allow_private: Names = Field(
        (), description="hosts, addresses and networks beside the Internet that webhooks may go to, comma-separated"
    )
    celery_events: bool = Field(
        default=False, description="workers tell Celery's monitors of each message, and answer their questions"
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="of every process")

    @field_validator("tasks", "webhook_allow_private", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_allow_private")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Targets.of(value)
        return value

    @field_validator("webhook_secret", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        secrets = tuple(value.split()) if isinstance(value, str) else value
        for secret in secrets:
            key_of(secret)
        return secrets

    @field_validator("api_keys", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        if not all(name and key for name, _, key in pairs):
            raise ValueError("give name:key pairs, separated by commas")
        if len({name for name, _, _ in pairs}) < len(pairs):
            raise ValueError("two pairs have the same name")
        return {name: key for name, _, key in pairs}

    @field_validator("routes", mode="before")
    @classmethod
    def _routes(cls, value: Any) -> Any:
        return limits.queues(value) if isinstance(value, str) else value

    @field_validator("rate_limits", mode="before")
    @classmethod
    def _rates(cls, value: Any) -> Any:
        return limits.rates(value) if isinstance(value, str) else value

    @field_validator("running_limits", mode="before")
    @classmethod
    def _limits(cls, value: Any) -> Any:
        return limits.counts(value) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str) -> str:
        return _with_scheme(value, REDIS_SCHEMES)

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme in {"amqp", "amqps"} and url.query:
            raise ValueError("RabbitMQ's address takes no options; SSL_CERT_FILE names the file of its CA")
        return _with_scheme(value, BROKER_SCHEMES)

    @field_validator("storage_url")
    @classmethod
    def _place(cls, value: str) -> str:
        url = urlsplit(value)
        if value and url.scheme not in STORAGE_SCHEMES:
            raise ValueError("begin it with file:/// and a path, or with s3:// and a bucket")
        if url.scheme == "file" and (url.netloc or len(url.path) < 2):
            raise ValueError("give a whole path after three slashes, as in file:///var/lib/jobcast")
        if url.scheme == "s3" and not url.netloc:
            raise ValueError("name the bucket, as in s3://bucket/prefix")
        return value

    @field_validator("llm_base_url", "image_base_url", "embed_base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        return _with_scheme(value, ("http", "https")).rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.events_ttl_s > self.result_ttl_s:
            raise ValueError("EVENTS_TTL_S is longer than RESULT_TTL_S: a log cannot outlive its job's record")
        if self.visibility_timeout_s < self.lease_s:
            raise ValueError(
                "VISIBILITY_TIMEOUT_S is shorter than LEASE_S: messages would come again before anyone can be lost"
            )
        if not self.api_keys and self.host not in LOOPBACK:
            raise ValueError(f"HOST is {self.host}, which others can reach: set API_KEYS, or HOST=127.0.0.1")
        if "+cluster" in urlsplit(self.redis_url).scheme and self.running_limits:
            raise ValueError(
                "REDIS_URL is a cluster, of which no part knows how many jobs run: leave RUNNING_LIMITS out"
            )
        if "+cluster" in urlsplit(self.redis_url).scheme and not self.broker_url:
            raise ValueError("REDIS_URL is a cluster, which Celery cannot use as a broker: set BROKER_URL")
        return self

    @property
    def image_server(self) -> tuple[str, str]:
        """Address and key of the server for images. A key goes to no other server than it was given for."""
        if self.image_base_url:
            return self.image_base_url, self.image_api_key
        return self.llm_base_url, self.image_api_key or self.llm_api_key

    @property
    def embed_server(self) -> tuple[str, str]:
        """Address and key of the server for embeddings; see ``image_server``."""
        if self.embed_base_url:
            return self.embed_base_url, self.embed_api_key
        return self.llm_base_url, self.embed_api_key or self.llm_api_key

    @property
    def broker(self) -> str:
        """The broker's address: ``broker_url``, else ``redis_url``."""
        return self.broker_url or self.redis_url


def _with_scheme(value: str, schemes: tuple[str, ...]) -> str:
    if value and urlsplit(value).scheme not in schemes:
        raise ValueError(f"begin it with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    if not _has_port(value):
        raise ValueError("its port is no number from 1 to 65535")
    return value


def _has_port(url: str) -> bool:
    """Whether the port can be used, if there is one. Sentinels are several places with a port each."""
    try:
        return "," in url or urlsplit(url).port != 0
    except ValueError:
        return False


def load(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises:
        InvalidSettings: one line that names the setting and the mend.
    """
    _refuse_unknown(os.environ, "the environment")
    try:
        _refuse_unknown(dotenv_values(DOTENV), DOTENV)
        return Settings(**overrides)
    except ValidationError as error:
        raise InvalidSettings(_one_line(error)) from None
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{DOTENV} is not UTF-8: {error.reason} at byte {error.start}") from None


def _refuse_unknown(names: Iterable[str], place: str) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | CLIENT_VARIABLES
    unknown = sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise InvalidSettings(f"{unknown[0]} is no setting of Jobcast: take it out of {place}, or see docs/deploy.md")


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"settings contradict each other: {message}"
    name = str(first["loc"][0]).upper().removeprefix(PREFIX)
    return f"{PREFIX}{name}: {message}"


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
