"""From tokens to an answer's tokens: limits and stop strings; pure."""

from collections.abc import Iterable, Iterator, Sequence


class Answer:
    """The tokens of one answer. When they have ended, ``finish_reason`` says why and ``count`` how many were made.

    Args:
        pieces: what the model would say.
        limit: most tokens to make.
        stops: strings before which the text ends.
    """

    def __init__(self, pieces: Iterable[str], limit: int | None, stops: Sequence[str]) -> None:
        self.finish_reason = "stop"
        self.count = 0
        self._pieces = self._limited(pieces, limit)
        self._stops = stops

    def __iter__(self) -> Iterator[str]:
        return self._until_stop() if self._stops else self._pieces

    def _limited(self, pieces: Iterable[str], limit: int | None) -> Iterator[str]:
        for piece in pieces:
            if self.count == limit:
                self.finish_reason = "length"
                return
            self.count += 1
            yield piece

    def _until_stop(self) -> Iterator[str]:
        held = ""
        for piece in self._pieces:
            held += piece
            if (end := self._first_stop(held)) is not None:
                self.finish_reason = "stop"
                yield from _unless_empty(held[:end])
                return
            safe = len(held) - self._doubtful(held)
            yield from _unless_empty(held[:safe])
            held = held[safe:]
        yield from _unless_empty(held)

    def _first_stop(self, text: str) -> int | None:
        return min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=None)

    def _doubtful(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        most = min(max(map(len, self._stops)) - 1, len(text))
        return next((size for size in range(most, 0, -1) if self._begins_stop(text[-size:])), 0)

    def _begins_stop(self, tail: str) -> bool:
        return any(stop.startswith(tail) for stop in self._stops)


def _unless_empty(text: str) -> Iterator[str]:
    if text:
        yield text
