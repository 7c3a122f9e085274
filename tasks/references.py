"""Values of earlier steps in the inputs of later ones: ``${NAME.path}``.

A text that is a reference and nothing else becomes the value, of whatever type; inside a longer text it becomes text.
``path`` goes into objects by name and into lists by number. ``$${`` stands for ``${`` itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from progress.events import encode_json
from progress.jobs import Json
from tasks.errors import TaskError

NAME: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_REFERENCE: Final = re.compile(r"\$?\$\{([^{}]*)\}")
_TEXT: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,63})((?:\.[^.{}]+)*)")


@dataclass(frozen=True)
class References:
    """What an input refers to: the names of steps, and the places where that stands."""

    names: frozenset[str]
    places: frozenset[tuple[str | int, ...]]

    @classmethod
    def of(cls, task_input: Json) -> "References":
        """Looks through an input.

        Raises:
            ValueError: something looks like a reference and is none.
        """
        found = list(_texts(task_input, ()))
        return cls(
            frozenset(_parsed(inside)[0] for _, text in found for inside in _insides(text)),
            frozenset(place for place, text in found if any(_insides(text))),
        )

    def covers(self, place: tuple[str | int, ...]) -> bool:
        """Whether what a model says of a place may be due to a reference in it, or around it."""
        return any(place[: len(known)] == known or known[: len(place)] == place for known in self.places)


def resolved(value: Any, made: Mapping[str, Any]) -> Any:
    """A value in which every reference is replaced by what the step has made.

    Raises:
        TaskError: ``bad_reference``: it has made nothing of this name.
    """
    if isinstance(value, dict):
        return {name: resolved(item, made) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, made) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and not value.startswith("$$"):
        return _value(whole[1], made)
    return _REFERENCE.sub(lambda found: _as_text(found, made), value)


def _as_text(found: re.Match[str], made: Mapping[str, Any]) -> str:
    if found[0].startswith("$$"):
        return found[0][1:]
    value = _value(found[1], made)
    return value if isinstance(value, str) else encode_json(value)


def _value(inside: str, made: Mapping[str, Any]) -> Any:
    name, path = _parsed(inside)
    value, gone = made[name], name
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise TaskError("bad_reference", f"${{{inside}}}: {gone} has no {part!r}")
        gone = f"{gone}.{part}"
    return value


def _parsed(inside: str) -> tuple[str, list[str]]:
    match = _TEXT.fullmatch(inside)
    if match is None:
        raise ValueError(f"${{{inside[:40]}}} is no reference: write ${{NAME.path}}, or $${{ for these characters")
    return match[1], match[2].split(".")[1:]


def _insides(text: str) -> Iterator[str]:
    for found in _REFERENCE.finditer(text):
        if not found[0].startswith("$$"):
            yield found[1]


def _texts(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _texts(item, (*place, name))
