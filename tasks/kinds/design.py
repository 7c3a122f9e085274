"""The kind ``design``: ideas for a picture, each drawn by a job of its own, the best of them with a logo on it."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from tasks.chat import ChatRequest
from tasks.children import Child
from tasks.compose import PNG, NoPicture, detail_of, with_logo
from tasks.errors import TaskError
from tasks.fields import FileId
from tasks.generate import client
from tasks.progress import Progress
from tasks.registry import job

STEP: Final = "images"
IMAGE: Final = "image.png"
DESIGN: Final = "design.png"
IDEA_CHARS: Final = 300
ASK: Final = (
    "You brief illustrators. Give {count} different ways to draw what follows, one a line, each of at most eight words "
    "on light, point of view and style, and nothing else.\n\n{prompt}"
)
IDEA_TOKENS: Final = 16


class DesignInput(BaseModel):
    """What to draw, and how often."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=4_000)] = Field(
        title="Prompt", description="What the design shows"
    )
    count: int = Field(4, ge=1, le=8, title="Images", description="How many are drawn to choose from")
    size: Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")] | None = Field(
        None, title="Size", description="As 1024x1024; the server's own where empty"
    )
    logo: FileId | None = Field(None, title="Logo", description="A picture to put into the corner")


class Candidate(BaseModel):
    """One of the images: its prompt, the job that has drawn it, and how much it shows (bits a pixel)."""

    prompt: str
    job: str
    detail: float


class DesignResult(BaseModel):
    """The design's name among the job's artifacts, and what it was chosen from; ``picked`` is its place there."""

    artifact: str
    picked: int
    images: list[Candidate]


@job("design", queue="llm")
def design(task_input: DesignInput, progress: Progress) -> DesignResult:
    """Draws several images of a prompt side by side, picks the one that shows most, and puts a logo on it.

    Each image is a job of its own; one that fails is tried again alone.
    """
    ideas = ideas_for(task_input, progress)
    wanted = [Child("image", _image_of(idea, task_input.size), f"image {n}") for n, idea in enumerate(ideas, 1)]
    progress.gather(STEP, wanted, share=(0.2, 0.7))
    progress.update(0.9, step="pick")
    found = [candidate(progress, place, idea) for place, idea in enumerate(ideas)]
    picked = max(range(len(found)), key=lambda place: found[place].detail)
    with progress.made_by(STEP, picked, IMAGE) as file:
        png = file.path.read_bytes()
    if task_input.logo:
        progress.update(0.95, step="logo")
        png = signed(png, task_input.logo, progress)
    progress.artifact(DESIGN, png, PNG)
    progress.update(1.0, step="store")
    return DesignResult(artifact=DESIGN, picked=picked, images=found)


def ideas_for(task_input: DesignInput, progress: Progress) -> list[str]:
    """A prompt for each image, by the language model; those of an earlier attempt are kept."""
    if progress.resumed and progress.resumed.state:
        kept: list[str] = progress.resumed.state["ideas"]
        return kept
    progress.update(0.0, step="analyse")
    asked = ASK.format(count=task_input.count, prompt=task_input.prompt)
    request = ChatRequest(messages=[{"role": "user", "content": asked}], max_tokens=IDEA_TOKENS * task_input.count)
    pieces = []
    with client().stream(request, on_open=progress.on_over) as answer:
        for text in answer:
            progress.token(text, channel="ideas")
            pieces.append(text)
    ideas = parted("".join(pieces), task_input)
    progress.checkpoint({"ideas": ideas})
    return ideas


def parted(answer: str, task_input: DesignInput) -> list[str]:
    """Prompts from what a model has answered: a line each, sentences where it did not keep to lines."""
    lines = [_bare(line) for line in answer.splitlines()]
    lines = [line for line in lines if line]
    if len(lines) < task_input.count:
        lines = [part for line in lines for part in re.split(r"(?<=[.!?])\s+", line)]
    ways = [line[:IDEA_CHARS] for line in lines[: task_input.count]]
    # A model that says too little: the seeds of the images still differ.
    ways += [""] * (task_input.count - len(ways))
    return [f"{task_input.prompt}. {way}" if way else task_input.prompt for way in ways]


def _bare(line: str) -> str:
    """A line of a list without its mark."""
    return re.sub(r"^\s*(?:[-*•]|\d+[.)])?\s*", "", line).strip()


def _image_of(idea: str, size: str | None) -> dict[str, Any]:
    return {"prompt": idea, "size": size} if size else {"prompt": idea}


def candidate(progress: Progress, place: int, idea: str) -> Candidate:
    """One image, looked at."""
    with progress.made_by(STEP, place, IMAGE) as file:
        detail = detail_of(file.path.read_bytes())
    family = progress.family
    return Candidate(prompt=idea, job=family.job_of(STEP, place) if family else "", detail=round(detail, 3))


def signed(png: bytes, logo: str, progress: Progress) -> bytes:
    """The picture with the logo. Raises TaskError where that is none."""
    with progress.file(logo) as file:
        try:
            return with_logo(png, file.path.read_bytes())
        except NoPicture as error:
            raise TaskError("bad_logo", f"logo: {file.name} is no picture that can be used: {error}") from None
