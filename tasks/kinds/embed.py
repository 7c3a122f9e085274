"""The kind `embed`: the vectors of many texts, kept in a collection."""

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from progress.collections import Collection, Item
from progress.errors import CollectionFull, CollectionMismatch
from progress.settings import current
from tasks.embeddings import Embedded, EmbeddingClient
from tasks.errors import TaskError
from tasks.fields import CollectionName, FileId
from tasks.line import Aborts
from tasks.progress import Progress
from tasks.registry import job
from tasks.rows import count, rows

BATCH: Final = 64
"""Texts in one request."""
AT_ONCE: Final = 4
"""Requests under way. A lost attempt costs no more than these."""
STEP: Final = "embedding"
MAX_TEXT_CHARS: Final = 100_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
ItemId = Annotated[str, Field(min_length=1, max_length=200)]


class EmbedInput(BaseModel):
    """Either texts or a file of texts, and the collection that takes their vectors."""

    model_config = ConfigDict(extra="forbid")

    collection: CollectionName = Field(title="Collection", description="Made where there is none")
    texts: Annotated[list[Text], Field(min_length=1)] | None = Field(None, title="Texts")
    file: FileId | None = Field(
        None,
        title="File",
        description="Instead of texts: CSV with a column text, JSON Lines with a member text, or a text a line",
    )
    ids: list[ItemId] | None = Field(
        None,
        title="Ids",
        description="One for each of texts: an item replaces the one of its id. Made of the text else",
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.texts is None) == (self.file is None):
            raise ValueError("give either texts or file")
        if self.ids is not None and len(self.ids) != len(self.texts or ()):
            raise ValueError("ids: give one for each of texts; a file has its own, in a column or member id")
        return self


class Usage(BaseModel):
    """Tokens as the server counted them, those of lost attempts as far as a checkpoint kept them; null without."""

    prompt_tokens: int | None


class EmbedResult(BaseModel):
    """``count`` is of the different items of this job, ``size`` of all that the collection has now."""

    collection: str
    count: int
    size: int
    dimensions: int
    model: str
    usage: Usage


@dataclass(frozen=True)
class Entry:
    """One text and its id. ``place``: of all texts, from 1."""

    id: str
    text: str
    place: int


@dataclass
class Done:
    """What is embedded and written: a checkpoint's state."""

    entries: int = 0
    tokens: int | None = None

    def add(self, entries: list[Entry], made: Embedded) -> None:
        """Counts a batch."""
        self.entries += len(entries)
        if made.tokens is not None:
            self.tokens = (self.tokens or 0) + made.tokens


@lru_cache(maxsize=1)
def client() -> EmbeddingClient:
    """The connections of this process to the embedding server."""
    return EmbeddingClient(*current().embed_server, current().embed_model)


@job("embed", queue="llm")
def embed(task_input: EmbedInput, progress: Progress) -> EmbedResult:
    """Turns texts into vectors and keeps them in a collection."""
    collection = progress.collection(task_input.collection)
    done = Done(**progress.resumed.state) if progress.resumed else Done()
    seen: set[str] = set()
    with _source(task_input, progress) as (total, source):
        entries = _entries(source, seen)
        before = deque(islice(entries, done.entries), maxlen=1)
        progress.update(current=before[-1].place if before else 0, total=total, step=STEP)
        with closing(_embedded(entries, progress)) as batches:
            for batch, made in batches:
                _write(collection, batch, made)
                done.add(batch, made)
                progress.update(current=batch[-1].place, total=total, step=STEP)
                progress.checkpoint(asdict(done))
    progress.update(current=total, total=total, step=STEP)
    state = collection.state()
    if state is None:
        raise TaskError("unknown_collection", f"the collection {collection.name!r} has gone meanwhile", retryable=True)
    return EmbedResult(
        collection=collection.name,
        count=len(seen),
        size=state.count,
        dimensions=state.dimensions,
        model=state.model,
        usage=Usage(prompt_tokens=done.tokens),
    )


@contextmanager
def _source(task_input: EmbedInput, progress: Progress) -> Iterator[tuple[int, Iterator[tuple[str, str | None]]]]:
    """How many texts there are, all looked at, and each with its id, if it has one."""
    if task_input.file is None:
        texts = task_input.texts or []
        ids: Sequence[str | None] = task_input.ids or [None] * len(texts)
        yield len(texts), zip(texts, ids, strict=True)
        return
    with progress.file(task_input.file) as file:
        progress.update(step="reading")
        total = count(file, lambda found: progress.update(current=found, step="reading"))
        yield total, ((row.text, None if row.id is None else str(row.id)) for row in rows(file))


def _entries(source: Iterator[tuple[str, str | None]], seen: set[str]) -> Iterator[Entry]:
    """Those to embed. A text that comes again is paid for once; of an id that comes again the last one stays."""
    for place, (text, given) in enumerate(source, 1):
        made = given or hashlib.sha256(text.encode()).hexdigest()[:32]
        is_new = made not in seen
        seen.add(made)
        if given or is_new:
            yield Entry(made, text, place)


def _embedded(entries: Iterator[Entry], progress: Progress) -> Generator[tuple[list[Entry], Embedded], None, None]:
    """Batches in order with their vectors; the next ones are under way meanwhile."""
    aborts, under_way = Aborts(), deque[tuple[list[Entry], Future[Embedded]]]()
    progress.on_over(aborts.abort)

    def ask(texts: list[str]) -> Embedded:
        with aborts.held() as on_open:
            return client().embed(texts, on_open=on_open)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="embed") as pool:
        try:
            while True:
                while len(under_way) < AT_ONCE and (batch := list(islice(entries, BATCH))):
                    under_way.append((batch, pool.submit(ask, [entry.text for entry in batch])))
                if not under_way:
                    return
                batch, made = under_way.popleft()
                yield batch, made.result()
        finally:
            # Whatever ended this, nobody wants the answers of the others.
            aborts.abort()


def _write(collection: Collection, batch: list[Entry], made: Embedded) -> None:
    try:
        collection.put(
            made.model,
            [Item(entry.id, vector, entry.text) for entry, vector in zip(batch, made.vectors, strict=True)],
        )
    except CollectionMismatch as error:
        raise TaskError("collection_mismatch", str(error)) from None
    except CollectionFull as error:
        raise TaskError("collection_full", str(error)) from None
