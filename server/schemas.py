"""What requests and responses look like."""

import json
import re
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from progress.events import encode_json, rfc3339
from progress.jobs import MAX_LEVELS, Job, Json, Status, too_deep
from progress.settings import Settings
from progress.targets import MAX_URL
from tasks.registry import Kind

HINT_AFTER_MS = 5000
MAX_METADATA_BYTES = 16 * 1024
MAX_DELAY_S = 365 * 24 * 3600
End = Literal["succeeded", "failed", "cancelled"]
QUEUE_NAME = r"^[A-Za-z0-9_.-]{1,64}$"


class OnDisconnect(BaseModel):
    """What becomes of a job that nobody reads."""

    model_config = ConfigDict(extra="forbid")

    cancel_after_s: Annotated[
        float, Field(ge=1, le=24 * 3600, description="Cancelled after this long without a reader")
    ]


Url = Annotated[str, Field(min_length=1, max_length=MAX_URL, examples=["https://example.com/jobs"])]


class Webhook(BaseModel):
    """Who is to be told of a job's end, and of which ends."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Annotated[list[End] | None, Field(min_length=1, description="All where absent")] = None


def no_stand_in(value: Any) -> Any:
    """A number, or None. Raises ValueError where pydantic would make one of text or of a truth value."""
    if isinstance(value, bool | str):
        raise ValueError("give a number")
    return value


def _url_alone(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class Work(BaseModel):
    """What a job is to do, and how."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(min_length=1, max_length=64, description="One of GET /v1/kinds", examples=["generate"])]
    input: Annotated[Json, Field(description="What the kind's JSON Schema asks for", examples=[{"prompt": "Hello"}])]
    queue: Annotated[str | None, Field(pattern=QUEUE_NAME, description="The kind's own where absent")] = None
    priority: Annotated[int, Field(ge=0, le=9, description="9 is the most urgent")] = 5
    max_attempts: Annotated[int | None, Field(ge=1, le=100)] = None
    timeout_s: Annotated[float | None, Field(gt=0, le=24 * 3600, description="Longest time of one attempt")] = None
    webhook: Annotated[
        Webhook | None,
        BeforeValidator(_url_alone, json_schema_input_type=Webhook | Url | None),
        Field(description="Told of the job's end; a URL alone will do"),
    ] = None
    metadata: Annotated[Json, Field(description="Yours; given back as it is")] = Field(default_factory=dict)

    @field_validator("priority", "max_attempts", "timeout_s", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return no_stand_in(value)

    @field_validator("input", "metadata")
    @classmethod
    def _encodable(cls, value: Json) -> Json:
        if too_deep(value):
            raise ValueError(f"nests deeper than {MAX_LEVELS} levels")
        try:
            # Not encode_json: it mends half surrogates, and nobody's input is to be changed.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise ValueError(
                "holds what JSON in UTF-8 cannot carry: NaN, an infinity or half a surrogate pair"
            ) from error
        return value

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: Json) -> Json:
        if len(encode_json(value).encode()) > MAX_METADATA_BYTES:
            raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes")
        return value


class JobRequest(Work):
    """A submission."""

    delay_s: Annotated[
        float,
        Field(ge=0, le=MAX_DELAY_S, description="Not before this many seconds"),
        BeforeValidator(no_stand_in),
    ] = 0
    on_disconnect: Annotated[OnDisconnect | None, Field(description="It goes on where absent")] = None


class ProgressView(BaseModel):
    """How far a job is."""

    fraction: float | None = None
    step: str | None = None
    message: str | None = None
    # Whole numbers stay whole, as in events: not every language reads 3.0 as one.
    current: int | float | None = None
    total: int | float | None = None


class ErrorView(BaseModel):
    """Why a job failed, or why its last attempt did."""

    code: str
    message: str
    retryable: bool


class Links(BaseModel):
    """Where to go from a job."""

    self: str
    events: str
    websocket: str
    cancel: str


class JobView(BaseModel):
    """A job."""

    id: str
    kind: str
    status: Status
    queue: str
    priority: int
    attempt: int
    max_attempts: int
    progress: ProgressView | None
    result: Any
    error: ErrorView | None
    metadata: Json
    created_at: str
    started_at: str | None
    finished_at: str | None
    last_seq: int
    retry_of: str | None
    parent: str | None = Field(description="The job that has asked for it, if any")
    batch: str | None = Field(description="The batch that it is in, if any")
    queue_position: int | None = Field(description="While it waits: 1 is next")
    hint: str | None = Field(description="For people: why nothing happens")
    links: Links

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """A record as clients see it."""
        path = f"/v1/jobs/{job.id}"
        return cls(
            **{name: getattr(job, name) for name in _SAME},
            progress=ProgressView.model_validate(job.progress) if job.progress else None,
            error=ErrorView.model_validate(job.error) if job.error else None,
            created_at=rfc3339(job.created_at),
            started_at=_moment(job.started_at),
            finished_at=_moment(job.finished_at),
            batch=None if job.parent else job.group,
            hint=hint(job),
            links=Links(self=path, events=f"{path}/events", websocket=f"{path}/ws", cancel=f"{path}/cancel"),
        )


_SAME = (
    "id", "kind", "status", "queue", "priority", "attempt", "max_attempts", "result", "metadata", "last_seq",
    "retry_of", "parent", "queue_position",
)  # fmt: skip


def _moment(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else rfc3339(epoch_ms)


def hint(job: Job) -> str | None:
    """Why a job does not get on, where that is known."""
    now_ms = time.time() * 1000
    if job.status in ("queued", "retrying") and job.due_at and job.due_at > now_ms:
        return f"it waits until {rfc3339(job.due_at)}"
    waited = job.status == "queued" and now_ms - max(job.created_at, job.due_at or 0) >= HINT_AFTER_MS
    if waited and not job.queue_served:
        return f"no worker serves the queue {job.queue}: start one with `jobcast worker --queues {job.queue}`"
    if job.cancel_requested and not job.ended:
        return "it is being cancelled"
    return None


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next: str | None = Field(description="`cursor` of the next page; null on the last one")


class EventPage(BaseModel):
    """A page of a job's events."""

    events: list[Json]
    next: int = Field(description="`after` of the next page")
    done: bool = Field(description="Whether these are the last ones for ever")


class KindLimits(BaseModel):
    """What bounds a job of a kind."""

    max_attempts: int
    timeout_s: float | None
    max_input_bytes: int
    running: int | None = Field(description="How many run at once")
    rate: str | None = Field(description="How often one may begin")


class KindView(BaseModel):
    """A kind of job."""

    name: str
    title: str
    description: str
    queue: str
    input_schema: Json
    limits: KindLimits

    @classmethod
    def of(cls, kind: Kind, settings: Settings) -> "KindView":
        """A kind as clients see it."""
        rate = settings.rate_limits.get(f"kind:{kind.name}")
        limits = KindLimits(
            max_attempts=kind.max_attempts or settings.max_attempts,
            timeout_s=kind.timeout_s,
            max_input_bytes=settings.max_input_bytes,
            running=settings.running_limits.get(kind.name),
            rate=str(rate) if rate else None,
        )
        return cls(
            name=kind.name,
            title=kind.title,
            description=kind.description,
            queue=kind.queue,
            input_schema=kind.input_schema,
            limits=limits,
        )


class KindList(BaseModel):
    """Everything that can be submitted."""

    kinds: list[KindView]


JOB_ID = re.compile(r"[0-9a-f-]{1,36}")


def is_job_id(text: str) -> bool:
    """Whether a text can be a job's id at all."""
    return JOB_ID.fullmatch(text) is not None
