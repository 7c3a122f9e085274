"""Texts from a file, one a row: CSV with a header, JSON Lines, or plain lines; read in bounded memory."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from tasks.errors import TaskError
from tasks.progress import InputFile

MAX_TEXT_CHARS: Final = 100_000
"""Of one text. A longer one is rather a file that is not what it seems."""
MAX_LINE_CHARS: Final = 2 * MAX_TEXT_CHARS
"""Of one line, whatever it holds beside the text."""
TOLD_EACH: Final = 1_000
TEXT: Final = "text"
SEPARATORS: Final = {"text/csv": ",", "text/tab-separated-values": "\t"}
JSON: Final = frozenset({"application/x-ndjson", "application/json"})


@dataclass(frozen=True)
class Row:
    """One text, its id where the file gives one, and what else stands in its row."""

    text: str
    id: str | int | None
    rest: dict[str, Any]


def rows(file: InputFile) -> Iterator[Row]:
    """The texts of a file in order.

    Raises:
        TaskError: ``bad_file`` for a file that is no text, ``bad_row`` naming the line of a row that is none.
    """
    if not (file.media_type.startswith("text/") or file.media_type in JSON):
        raise TaskError(
            "bad_file", f"{file.name}: this is {file.media_type}; give CSV, JSON Lines or lines of text in UTF-8"
        )
    with file.path.open(encoding="utf-8-sig", newline="") as opened:
        yield from _reader(file.media_type)(opened, file.name)


def count(file: InputFile, told: Callable[[int], None] = lambda _: None) -> int:
    """How many texts there are, all of them good.

    Args:
        told: is given how many it is so far, now and then; what it raises ends the counting.

    Raises:
        TaskError: as ``rows``, and ``bad_file`` where there is none.
    """
    found = 0
    for found, _ in enumerate(rows(file), 1):  # the last number is the answer
        if found % TOLD_EACH == 0:
            told(found)
    if not found:
        raise TaskError("bad_file", f"{file.name}: there is no text in it")
    return found


def _reader(media_type: str) -> Callable[[IO[str], str], Iterator[Row]]:
    if media_type in SEPARATORS:
        return lambda opened, name: _csv_rows(opened, name, SEPARATORS[media_type])
    return _json_rows if media_type in JSON else _line_rows


def _bad(name: str, line: int, what: str) -> TaskError:
    return TaskError("bad_row", f"{name}, line {line}: {what}")


def _lines(opened: IO[str], name: str) -> Iterator[str]:
    """The lines with their ends, none of them endless."""
    number = 1
    try:
        while line := opened.readline(MAX_LINE_CHARS + 1):
            if len(line) > MAX_LINE_CHARS:
                raise _bad(name, number, f"is longer than {MAX_LINE_CHARS:,} characters")
            yield line
            number += 1
    except UnicodeDecodeError as error:
        # The decoder reads ahead, so the line is only about where it is.
        raise TaskError(
            "bad_file", f"{name}: not UTF-8 soon after line {number - 1} ({error.reason}); save it as UTF-8"
        ) from None


def _row(name: str, line: int, text: Any, row_id: Any, rest: dict[str, Any]) -> Row:
    if not isinstance(text, str):
        raise _bad(name, line, "its text is not a string")
    if not text.strip():
        raise _bad(name, line, "there is no text")
    if len(text) > MAX_TEXT_CHARS:
        raise _bad(name, line, f"its text is longer than {MAX_TEXT_CHARS:,} characters")
    if row_id is not None and (not isinstance(row_id, str | int) or isinstance(row_id, bool)):
        raise _bad(name, line, "its id is neither a string nor a whole number")
    return Row(text, row_id, rest)


def _line_rows(opened: IO[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(opened, name), 1):
        if line.strip():
            yield _row(name, number, line.rstrip("\r\n"), None, {})


def _json_rows(opened: IO[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(opened, name), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise _bad(name, number, f"is no JSON ({reason}); JSON Lines has one whole object a line") from None
        if not isinstance(value, dict) or TEXT not in value:
            raise _bad(name, number, f'is no object with a member "{TEXT}"')
        yield _row(name, number, value.pop(TEXT), value.pop("id", None), value)


def _csv_rows(opened: IO[str], name: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(_lines(opened, name), delimiter=separator, strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        place = _text_column(header, name)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise _bad(name, reader.line_num, f"has {len(cells)} columns, the header {len(header)}")
            rest = {column: cell for column, cell in zip(header, cells, strict=True) if column != header[place]}
            yield _row(name, reader.line_num, cells[place], rest.pop("id", None) or None, rest)
    except csv.Error as error:
        raise _bad(name, reader.line_num, f"is no CSV ({error})") from None


def _text_column(header: list[str], name: str) -> int:
    if TEXT in header:
        return header.index(TEXT)
    if len(header) == 1:
        return 0
    raise _bad(name, 1, f'the header names no column "{TEXT}" (there are: {", ".join(header)[:200] or "none"})')
