"""The kind `image`: a picture of a prompt, with previews while it is made."""

import random
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from progress.settings import current
from tasks.images import PREVIEWS, ImageClient, ImageRequest, Picture
from tasks.pictures import PNG
from tasks.progress import Progress
from tasks.registry import job

ARTIFACT: Final = "image.png"
PREVIEW: Final = "preview.png"
STEP: Final = "drawing"
MAX_SEED: Final = 2**31 - 1


class ImageInput(BaseModel):
    """What to draw."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=32_000)] = Field(
        title="Prompt", description="What the picture shows"
    )
    size: Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")] | None = Field(
        None, title="Size", description="As 1024x1024; the server's own where empty"
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, title="Seed", description="The same one gives the same picture; any where empty"
    )


class ImageResult(BaseModel):
    """The picture's name among the job's artifacts, and how to have it again.

    ``seed`` is null where the server takes none, ``model`` where the server chose it.
    """

    artifact: str
    width: int
    height: int
    seed: int | None
    model: str | None


@lru_cache(maxsize=1)
def client() -> ImageClient:
    """The connections of this process to the image server."""
    return ImageClient(*current().image_server)


@job("image", queue="llm")
def image(task_input: ImageInput, progress: Progress) -> ImageResult:
    """Draws a picture from a prompt, and shows it while it is made."""
    model, seed = current().image_model, chosen_seed(task_input, progress)
    shown = 0

    def preview(picture: Picture) -> None:
        nonlocal shown
        shown += 1
        progress.artifact(PREVIEW, picture.png, PNG)
        progress.update(min(0.9, shown / (PREVIEWS + 1)), step=STEP, message=f"preview {shown}")

    progress.update(0, step=STEP)
    request = ImageRequest(task_input.prompt, model, task_input.size or "", seed)
    made = client().draw(request, on_open=progress.on_over, on_preview=preview)
    progress.artifact(ARTIFACT, made.picture.png, PNG)
    progress.update(1, step=STEP)
    return ImageResult(
        artifact=ARTIFACT,
        width=made.picture.width,
        height=made.picture.height,
        seed=seed if made.seeded else None,
        model=model or None,
    )


def chosen_seed(task_input: ImageInput, progress: Progress) -> int:
    """That of the input, of an earlier attempt, or a new one: another attempt draws the same picture."""
    if task_input.seed is not None:
        return task_input.seed
    if progress.resumed:
        kept: int = progress.resumed.state["seed"]
        return kept
    seed = random.randint(0, MAX_SEED)
    progress.checkpoint({"seed": seed})
    return seed
