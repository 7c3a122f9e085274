"""The kind `score`: the sentiment of many texts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.fields import FileId
from tasks.parts import Parts
from tasks.progress import Progress
from tasks.registry import job
from tasks.rows import MAX_TEXT_CHARS, Row, count, rows
from tasks.sentiment.model import Model, need_ml
from tasks.sentiment.shelf import Shelf

CHECKPOINT_S: Final = 0.25
"""Scores of about this long are made again after a lost attempt."""
STEP: Final = "scoring"
DIGITS: Final = 4
"""Of a score. Sums are of whole ten-thousandths, so that they come out the same however often they are interrupted."""
POSITIVE: Final = 0.5
ARTIFACT: Final = "scores.jsonl"

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]


class ScoreInput(BaseModel):
    """Either texts or a file of texts."""

    model_config = ConfigDict(extra="forbid")

    texts: Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, title="Texts", description="In English, one sentence or a few each"
    )
    file: FileId | None = Field(
        None,
        title="File",
        description="Instead of texts: CSV with a column text, JSON Lines with a member text, or a text a line",
    )
    batch: int = Field(500, ge=1, le=10_000, title="Batch", description="How many texts are scored at once")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.texts is None) == (self.file is None):
            raise ValueError("give either texts or file")
        return self


class ScoreResult(BaseModel):
    """How many texts there were, how many of them are positive, and the mean of all scores (0-1)."""

    count: int
    positive: int
    mean: float


@dataclass
class Done:
    """What is scored so far: a checkpoint's state. ``parts`` is what has been kept of the output."""

    version: str
    count: int = 0
    positive: int = 0
    sum: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, progress: Progress, version: str) -> "Done":
        """What earlier attempts have left, unless another model has made it: a file of two minds helps nobody."""
        state = progress.resumed.state if progress.resumed else {}
        return cls(**state) if state.get("version") == version else cls(version)

    def result(self) -> ScoreResult:
        """Of everything."""
        return ScoreResult(
            count=self.count, positive=self.positive, mean=round(self.sum / self.count / 10**DIGITS, DIGITS)
        )


@job("score")
def score(task_input: ScoreInput, progress: Progress) -> ScoreResult:
    """Tells how positive or negative each of many texts is."""
    need_ml()
    with _source(task_input, progress) as (total, source):
        model = Shelf(progress.storage).model()
        done = Done.of(progress, model.version)
        if not Parts(progress, done.parts).are_there:
            done = Done(model.version)
        parts = Parts(progress, done.parts)
        saved_at = time.monotonic()
        progress.update(current=done.count, total=total, step=STEP)
        left = islice(source, done.count, None)
        while batch := list(islice(left, task_input.batch)):
            parts.add(_scored(model, batch, done))
            progress.update(current=done.count, total=total, step=STEP)
            if time.monotonic() - saved_at >= CHECKPOINT_S:
                parts.keep()
                progress.checkpoint(asdict(done))
                saved_at = time.monotonic()
        parts.join_as(ARTIFACT, "application/x-ndjson")
    return done.result()


@contextmanager
def _source(task_input: ScoreInput, progress: Progress) -> Iterator[tuple[int, Iterator[Row]]]:
    """How many texts there are, all looked at, and the texts."""
    if task_input.file is None:
        texts = task_input.texts or []
        yield len(texts), (Row(text, None, {}) for text in texts)
        return
    with progress.file(task_input.file) as file:
        progress.update(current=0, step="reading")
        # A large one takes a while, in which the job may be cancelled.
        yield count(file, lambda found: progress.update(current=found, step="reading")), rows(file)


def _scored(model: Model, batch: list[Row], done: Done) -> bytes:
    """The lines of a batch, which ``done`` counts."""
    lines = []
    for row, exact in zip(batch, model.score([row.text for row in batch]), strict=True):
        units = round(exact * 10**DIGITS)
        lines.append(json.dumps(_line(done.count, row, units), ensure_ascii=False))
        done.count += 1
        done.positive += _is_positive(units)
        done.sum += units
    return "".join(f"{line}\n" for line in lines).encode()


def _line(index: int, row: Row, units: int) -> dict[str, Any]:
    named = {"text": row.text} if row.id is None else {"id": row.id}
    label = "positive" if _is_positive(units) else "negative"
    return {"index": index, **named, "label": label, "score": units / 10**DIGITS}


def _is_positive(units: int) -> bool:
    return units >= POSITIVE * 10**DIGITS
