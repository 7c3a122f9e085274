"""The kind `recommend`: the nearest neighbours of every item of a collection. numpy is imported when it is needed."""

import json
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from progress.collections import Collection, Item
from progress.commands import CollectionState
from tasks.children import Child
from tasks.errors import TaskError
from tasks.fields import CollectionName
from tasks.progress import Progress
from tasks.registry import job
from tasks.schedule import scheduled

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Matrix = NDArray[numpy.float32]

ARTIFACT: Final = "neighbours.jsonl"
MEDIA_TYPE: Final = "application/x-ndjson"
MOST_K: Final = 100
BLOCK_CELLS: Final = 4_000_000
"""Likenesses that are looked at together, of 4 bytes each, and as many places of 8."""
MOST_KEPT_BYTES: Final = 32 * 1024 * 1024
"""A longer output is not kept for the next job."""
READS: Final = 3
"""How often a collection is read that changes meanwhile."""
DIGITS: Final = 4


class RecommendInput(BaseModel):
    """Which collection, all of them where it is none, and how many neighbours."""

    model_config = ConfigDict(extra="forbid")

    collection: CollectionName | None = Field(
        None, title="Collection", description="Filled by the kind embed; all there are where empty"
    )
    k: int = Field(5, ge=1, le=MOST_K, title="Neighbours", description="Of each item, the nearest first")


class RecommendResult(BaseModel):
    """``cached``: nothing has changed since they were found for another job.

    Of all collections ``collection`` and ``artifact`` are null, and ``count`` is that of all items.
    """

    collection: str | None
    count: int
    k: int
    artifact: str | None
    cached: bool


@dataclass(frozen=True)
class Contents:
    """A collection's items by their ids, and the version of all of them, None where it changed while they were read."""

    items: list[Item]
    version: int | None


@scheduled("@hourly")
@job("recommend")
def recommend(task_input: RecommendInput, progress: Progress) -> RecommendResult:
    """Finds the nearest neighbours of every item of a collection, or of each of all collections."""
    if task_input.collection is None:
        return _recommend_all(task_input.k, progress)
    collection, k = progress.collection(task_input.collection), task_input.k
    state = _known(collection)
    kept = collection.kept(k, state.version)
    if kept is not None:
        progress.artifact(ARTIFACT, zlib.decompress(kept), MEDIA_TYPE)
        return RecommendResult(collection=collection.name, count=state.count, k=k, artifact=ARTIFACT, cached=True)
    need_numpy()
    contents = _read(collection, progress)
    with tempfile.TemporaryDirectory(prefix="jobcast-") as directory:
        path = Path(directory) / ARTIFACT
        with path.open("wb") as file:
            file.writelines(_lines(contents.items, k, progress))
        progress.artifact(ARTIFACT, path, MEDIA_TYPE)
        if contents.version is not None and path.stat().st_size <= MOST_KEPT_BYTES:
            collection.keep(k, contents.version, zlib.compress(path.read_bytes(), 3))
    count = len(contents.items)
    return RecommendResult(collection=collection.name, count=count, k=k, artifact=ARTIFACT, cached=False)


def _recommend_all(k: int, progress: Progress) -> RecommendResult:
    """Each collection in a job of its own."""
    names = progress.collections.names() if progress.collections else []
    wanted = [Child("recommend", {"collection": name, "k": k}, name) for name in names]
    made = progress.gather("collections", wanted)
    count, cached = sum(one["count"] for one in made), all(one["cached"] for one in made)
    return RecommendResult(collection=None, count=count, k=k, artifact=None, cached=cached)


def need_numpy() -> None:
    """Raises TaskError ``not_installed`` without numpy."""
    if find_spec("numpy") is None:
        message = "this worker has no numpy: install jobcast with the extra ml (pip install 'jobcast[ml]')"
        raise TaskError("not_installed", message)


def _known(collection: Collection) -> CollectionState:
    state = collection.state()
    if state is None:
        message = f"there is no collection {collection.name!r}, or nothing in it: fill it by a job of the kind embed"
        raise TaskError("unknown_collection", message)
    return state


def _read(collection: Collection, progress: Progress) -> Contents:
    """The items, of one version where they keep still for long enough."""
    for attempt in range(1, READS + 1):
        before, items = _known(collection), list[Item]()
        for page in collection.items():
            items += page
            progress.update(current=min(len(items), before.count), total=before.count, step="reading")
        same = _known(collection).version == before.version
        if same or attempt == READS:
            break
    # In no order of Redis's: the same collection gives the same file.
    return Contents(sorted(items, key=lambda item: item.id), before.version if same else None)


def _lines(items: list[Item], k: int, progress: Progress) -> Iterator[bytes]:
    """A line of JSON for each item."""
    matrix = _directions(items)
    block = max(1, BLOCK_CELLS // len(items))
    progress.update(current=0, total=len(items), step="comparing")
    for first in range(0, len(items), block):
        for at, found in enumerate(_nearest(matrix, first, block, min(k, len(items) - 1)), first):
            near = [{"id": items[other].id, "score": round(score, DIGITS)} for other, score in found]
            line = {"id": items[at].id, "text": items[at].label, "neighbours": near}
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"
        progress.update(current=min(len(items), first + block), total=len(items), step="comparing")


def _directions(items: list[Item]) -> "Matrix":
    """The vectors, each of length 1; one without a direction stays as it is."""
    import numpy as np

    matrix = np.frombuffer(b"".join(item.vector for item in items), dtype="<f4").reshape(len(items), -1)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(matrix / lengths, dtype=np.float32)


def _nearest(matrix: "Matrix", first: int, block: int, k: int) -> Iterator[list[tuple[int, float]]]:
    """For each row of a block the places of the ``k`` others that are most alike, and how alike they are (-1 to 1)."""
    import numpy as np

    scores = matrix[first : first + block] @ matrix.T
    rows = np.arange(len(scores))
    scores[rows, rows + first] = -np.inf
    if k == 0:
        yield from ([] for _ in rows)
        return
    places = np.argpartition(scores, -k, axis=1)[:, -k:]
    for row, some in enumerate(places):
        # Of those that are as near the first by id: the same collection gives the same file.
        order = some[np.lexsort((some, -scores[row, some]))]
        yield [(int(other), float(scores[row, other])) for other in order]
