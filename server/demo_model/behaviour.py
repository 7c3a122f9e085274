"""What a request may tell the demo model to do, well or badly: ``name=value`` pairs, read and merged; pure.

They come in the header ``X-Demo-Behaviour``, in the body's object ``demo``, or in the prompt as
``[[demo: cut_after=5]]``, which is the one way through a job's input. Where two say the same thing, the
header wins, then the body.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

_DIRECTIVE: Final = re.compile(r"\[\[demo:([^\]]*)\]\]\r?\n?")
_SEPARATOR: Final = re.compile(r"[\s,;]+")
_MISDEEDS: Final = ("status", "cut_after", "stall_after", "garbage_after", "error_after", "silent")


class BehaviourError(ValueError):
    """A pair that means nothing here; the text says which."""


@dataclass(frozen=True)
class Behaviour:
    """What one request asked for. Names end in ``after`` where they count the tokens, or previews, sent before.

    The misdeeds: ``status`` answers with this error, ``cut_after`` closes the connection, ``stall_after`` goes silent
    until the client leaves, ``garbage_after`` sends a line that is not JSON, ``error_after`` an error object, and
    ``silent`` never sends so much as a status line. ``fail_first=N`` keeps them to the first N requests with the same
    ``key`` (the prompt, where none is given); alone, it means ``status=500``.
    """

    status: int | None = None
    retry_after: float | None = None
    fail_first: int | None = None
    key: str | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    garbage_after: int | None = None
    error_after: int | None = None
    silent: bool = False
    reject: str | None = None
    """Answers 400 to a body that has this field, as servers do that don't know it."""
    pace: float | None = None
    """Tokens a second."""
    first_token_s: float | None = None
    takes_s: float | None = None
    """How long a picture takes, or a request for embeddings."""
    tokens: int | None = None
    """Exactly so many tokens."""
    echo: bool = False
    """Says the prompt, without the directive."""
    chunk: int | None = None
    """Characters in each token of an echo."""
    no_usage: bool = False
    usage_with_finish: bool = False
    """Usage in the chunk that has the finish reason, instead of in one of its own."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads pairs separated by spaces or commas; a name alone means 1.

        Raises:
            BehaviourError: a name or value that means nothing.
        """
        pairs = (pair.partition("=") for pair in _SEPARATOR.split(text) if pair)
        return cls.of({name: value if equals else "1" for name, equals, value in pairs})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Reads a mapping; see ``parse``."""
        return cls(**{name: _read(name, str(value)) for name, value in values.items()})

    def over(self, other: "Behaviour") -> "Behaviour":
        """This one, with the other's values where this one says nothing."""
        return replace(other, **{name: value for name, value in vars(self).items() if value != _DEFAULTS[name]})

    @property
    def failure(self) -> tuple[str, int] | None:
        """The misdeed in the middle of an answer, and how much is sent before it."""
        for name in ("cut", "stall", "garbage", "error"):
            if (after := getattr(self, f"{name}_after")) is not None:
                return name, after
        return None

    @property
    def misdeed(self) -> bool:
        """Whether it asks for any failure."""
        return any(getattr(self, name) != _DEFAULTS[name] for name in _MISDEEDS)

    def reformed(self) -> "Behaviour":
        """The same without its misdeeds."""
        return replace(self, **{name: _DEFAULTS[name] for name in _MISDEEDS})

    def on_request(self, number: int) -> "Behaviour":
        """What the ``number``-th request (from 1) with the same key gets."""
        if self.fail_first is None:
            return self
        if number > self.fail_first:
            return self.reformed()
        return self if self.misdeed else replace(self, status=500)


_DEFAULTS: Final[dict[str, Any]] = {field.name: field.default for field in fields(Behaviour)}
_INTEGERS: Final = frozenset(
    ("status", "fail_first", "cut_after", "stall_after", "garbage_after", "error_after", "tokens", "chunk")
)
_NUMBERS: Final = frozenset(("retry_after", "pace", "first_token_s", "takes_s"))


def _read(name: str, value: str) -> Any:
    if name not in _DEFAULTS:
        raise BehaviourError(f"the demo model knows no {name!r}: it knows {', '.join(_DEFAULTS)}")
    try:
        return _convert(name, value)
    except ValueError:
        raise BehaviourError(f"{value!r} is no value for {name!r}") from None


def _convert(name: str, value: str) -> Any:
    if _DEFAULTS[name] is False:
        return value.lower() in {"1", "true", "yes"}
    if name not in _INTEGERS | _NUMBERS:
        return value
    number = int(value) if name in _INTEGERS else float(value)
    if not 0 <= number < 1e9 or (number == 0 and name in {"pace", "chunk", "status"}):
        raise ValueError(value)
    return number


def take_directives(prompt: str) -> tuple[Behaviour, str]:
    """What a prompt's ``[[demo: …]]`` ask for, and the prompt without them and the line ends behind them.

    Raises:
        BehaviourError: one of them means nothing.
    """
    return Behaviour.parse(" ".join(_DIRECTIVE.findall(prompt))), _DIRECTIVE.sub("", prompt)
