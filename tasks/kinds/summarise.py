"""The kind `summarise`: a document in a few words, however long it is."""

import time
from dataclasses import replace
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from progress.settings import current
from progress.storage import delete_parts
from tasks.documents.chunks import chunks, packed
from tasks.documents.reading import MAX_CHARS, read
from tasks.errors import TaskError
from tasks.fields import FileId
from tasks.generate import CHECKPOINT_S, Kept, Usage, client
from tasks.llm import ChatRequest
from tasks.mapping import Mapped, Mapping, Stops
from tasks.progress import Progress
from tasks.registry import job

READ, MAPPED, REDUCED = 0.2, 0.8, 1.0
"""How far the whole is at the end of each step."""
PART_WORDS: Final = 150
"""The length of a chunk's summary: enough of them make a piece of some thousand characters again."""
TOKENS_PER_WORD: Final = 2
SEED: Final = 1
_RULE: Final = "Say only what stands in the text, in its own language, as plain prose without a heading."


class SummariseInput(BaseModel):
    """Either a file or a text."""

    model_config = ConfigDict(extra="forbid")

    file: FileId | None = Field(None, title="File", description="A PDF, Markdown or plain text")
    text: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)] | None = Field(
        None, title="Text", description="Instead of a file"
    )
    max_words: int = Field(200, ge=20, le=2000, title="Longest summary", description="In words")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.file is None) == (self.text is None):
            raise ValueError("give either file or text")
        return self


class SummariseResult(BaseModel):
    """The summary; how many pages were read, how many chunks they made, and the tokens of all requests."""

    summary: str
    pages: int
    chunks: int
    usage: Usage


@job("summarise", queue="llm")
def summarise(task_input: SummariseInput, progress: Progress) -> SummariseResult:
    """Summarises a document: its chunks beside each other, then their summaries as one."""
    stops = Stops()
    progress.on_over(stops.stop)
    pages = _pages(task_input, progress, stops)
    parts = chunks("\n\n".join(pages))
    if not parts:
        raise TaskError("empty_document", "there is nothing in it but white space")
    mapped = _mapped(parts, progress, stops)
    usage, summary = _reduced(mapped, task_input.max_words, progress, stops)
    if mapped.rounds:
        delete_parts(progress.storage, progress.job_id)
    return SummariseResult(summary=summary, pages=len(pages), chunks=len(parts), usage=usage)


def _pages(task_input: SummariseInput, progress: Progress, stops: Stops) -> list[str]:
    def told(done: int, total: int) -> None:
        progress.update(READ * done / total, current=done, total=total, step="extract")

    if task_input.file is None:
        told(1, 1)
        return [task_input.text or ""]
    with progress.file(task_input.file) as file:
        pages = read(file, told, stops.add)
    if blank := sum(not page.strip() for page in pages):
        progress.log(f"{blank} of {len(pages)} pages have no text", "warning")
    return pages


def _mapped(parts: list[str], progress: Progress, stops: Stops) -> Mapped:
    """What to summarise in the end: the only chunk itself, or what was made of all, in as many rounds as it takes."""
    mapped = Mapped(parts)
    while len(mapped.texts) > 1:
        mapping = Mapping(progress, stops, mapped.rounds, lambda text: _request(text, PART_WORDS))
        mapped = mapping.run(mapped, (MAPPED if mapped.rounds else READ, MAPPED))
        joined = packed(mapped.texts)
        if len(joined) >= len(mapped.texts):
            # Summaries as long as what they summarise come to no end.
            raise TaskError("model_garbage", "the model's summaries of the parts are no shorter than the parts")
        mapped.texts = joined
    return mapped


def _request(text: str, words: int) -> ChatRequest:
    ask = f"Summarise the following text in at most {words} words. {_RULE}\n\n{text}"
    return ChatRequest(
        messages=[{"role": "user", "content": ask}],
        temperature=0.2,
        max_tokens=words * TOKENS_PER_WORD,
        seed=SEED,
    )


def _reduced(mapped: Mapped, words: int, progress: Progress, stops: Stops) -> tuple[Usage, str]:
    """The summary, published as it comes. After a lost attempt it goes on where the text ended, as `generate` does."""
    kept = Kept.of(progress.resumed)
    progress.update(MAPPED, step="reduce")
    if kept.tokens >= words * TOKENS_PER_WORD:
        return mapped.usage(kept.result().usage), kept.text
    left = words * TOKENS_PER_WORD - kept.tokens
    request = replace(_request(mapped.texts[0], words), continue_text=kept.text or None, max_tokens=left)
    with client().stream(request, on_open=stops.add) as answer:
        saved_at = time.monotonic()
        for tokens, text in enumerate(answer, kept.tokens + 1):
            progress.token(text)
            if current().llm_continues and time.monotonic() - saved_at >= CHECKPOINT_S:
                progress.checkpoint({"tokens": tokens, "model": answer.completion.model})
                saved_at = time.monotonic()
    made = kept.joined(answer.completion)
    progress.update(REDUCED, step="reduce")
    return mapped.usage(made.usage), made.text.strip()
