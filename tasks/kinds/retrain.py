"""The kind `retrain`: trains the sentiment model anew and puts it in the place of the one in use."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import TaskError
from tasks.fields import FileId
from tasks.progress import Progress
from tasks.registry import job
from tasks.rows import rows
from tasks.schedule import scheduled
from tasks.sentiment.corpus import Sample
from tasks.sentiment.model import need_ml
from tasks.sentiment.shelf import Shelf

LABELS: Final = {"positive": True, "1": True, "negative": False, "0": False}
MOST_SAMPLES: Final = 50_000
"""Training holds all of them in memory."""


class RetrainInput(BaseModel):
    """Nothing, or more to learn from."""

    model_config = ConfigDict(extra="forbid")

    file: FileId | None = Field(
        None,
        title="Labelled texts",
        description="Besides those that Jobcast has: CSV or JSON Lines with text and label (positive or negative)",
    )


class RetrainResult(BaseModel):
    """How often the new model is right about held-out texts (0-1), how many terms it knows, and its name."""

    accuracy: float
    vocabulary: int
    version: str


@scheduled("0 3 * * *")
@job("retrain")
def retrain(task_input: RetrainInput, progress: Progress) -> RetrainResult:
    """Trains the sentiment model anew, measures it on texts that it has not seen, and swaps it in if it is no worse."""
    need_ml()
    more: list[Sample] = []
    if task_input.file is not None:
        progress.update(0.0, step="reading")
        more = _samples(task_input.file, progress)
    progress.update(0.1, step="training")
    model = Shelf(progress.storage).retrain(more)
    progress.update(1.0, step="in use")
    return RetrainResult(accuracy=round(model.accuracy, 4), vocabulary=model.vocabulary, version=model.version)


def _samples(file_id: str, progress: Progress) -> list[Sample]:
    samples: list[Sample] = []
    with progress.file(file_id) as file:
        for number, row in enumerate(rows(file), 1):
            label = str(row.rest.get("label", "")).strip().lower()
            if label not in LABELS:
                raise TaskError(
                    "bad_row", f'{file.name}, text {number}: label is {label[:40]!r}; give "positive" or "negative"'
                )
            if number > MOST_SAMPLES:
                raise TaskError("bad_file", f"{file.name}: more than {MOST_SAMPLES:,} texts")
            samples.append(Sample(row.text, LABELS[label]))
    return samples
