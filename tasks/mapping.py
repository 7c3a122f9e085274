"""Many requests to a model server at once for one job; answers are kept, so that no attempt pays for them again."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Final

from progress.storage import part_key, put, read
from tasks.errors import ModelError
from tasks.generate import Usage, client
from tasks.llm import ChatRequest
from tasks.progress import Progress

AT_ONCE: Final = 4
STEP: Final = "map"
Stop = Callable[[], None]


class Stops:
    """All that is to be ended once a task is to stop; what is added later is ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Stop] = []
        self.stopped = False

    def add(self, stop: Stop) -> None:
        """Takes a function that ends something; calling it twice, or after that has ended, must do no harm."""
        with self._lock:
            self._stops.append(stop)
            stopped = self.stopped
        if stopped:
            stop()

    def stop(self) -> None:
        """Ends everything."""
        with self._lock:
            self.stopped = True
            stops = list(self._stops)
        for stop in stops:
            stop()


@dataclass
class Mapped:
    """Texts, the tokens that have been spent on them, and how often they have been shortened."""

    texts: list[str]
    spent: list[dict[str, Any]] = field(default_factory=list)
    rounds: int = 0

    def usage(self, last: Usage) -> Usage:
        """The tokens of all requests; None where a server has not counted one of them."""
        counts = [*self.spent, last.model_dump()]

        def total(name: str) -> int | None:
            values = [count[name] for count in counts]
            return None if None in values else sum(values)

        return Usage(prompt_tokens=total("prompt_tokens"), completion_tokens=total("completion_tokens"))


class Mapping:
    """Makes one answer of each text, a few at a time.

    Args:
        number: tells this round's answers from another's.
        ask: the request for a text.
    """

    def __init__(self, progress: Progress, stops: Stops, number: int, ask: Callable[[str], ChatRequest]) -> None:
        self._progress = progress
        self._stops = stops
        self._number = number
        self._ask = ask

    def run(self, mapped: Mapped, span: tuple[float, float]) -> Mapped:
        """The answers in the order of the texts.

        Args:
            span: how far the whole job is at the beginning and at the end (0–1).

        Raises:
            ModelError: the first that a request has raised.
        """
        texts = mapped.texts
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="map") as pool:
            futures = [pool.submit(self._answer, index, text) for index, text in enumerate(texts)]
            try:
                self._tell(0, len(texts), span)
                for done, future in enumerate(as_completed(futures), 1):
                    future.result()
                    self._tell(done, len(texts), span)
            finally:
                # After an error no further request begins. Those under way are paid for: they end, and are kept,
                # unless the job was cancelled, which ends them.
                pool.shutdown(wait=False, cancel_futures=True)
        answers = [future.result() for future in futures]
        return Mapped([answer["text"] for answer in answers], [*mapped.spent, *answers], mapped.rounds + 1)

    def _tell(self, done: int, total: int, span: tuple[float, float]) -> None:
        fraction = span[0] + (span[1] - span[0]) * done / total
        self._progress.update(fraction, current=done, total=total, step=STEP)

    def _answer(self, index: int, text: str) -> dict[str, Any]:
        """The answer for one text: the one that an attempt has kept, or a new one, kept before it counts."""
        storage = self._progress.storage
        # One key for all attempts: if a stale one answers as well, either answer will do.
        key = part_key(self._progress.job_id, self._number, index)
        if stored := storage.stat(key):
            kept: dict[str, Any] = json.loads(read(storage, stored))
            return kept
        if self._stops.stopped:
            raise ModelError("model_aborted", "the request to the model server was aborted")
        with client().stream(self._ask(text), on_open=self._stops.add) as answer:
            for _ in answer:
                pass
        made = answer.completion
        found = {
            "text": made.text.strip(),
            "prompt_tokens": made.prompt_tokens,
            "completion_tokens": made.completion_tokens,
        }
        put(storage, key, json.dumps(found).encode(), "part")
        return found
