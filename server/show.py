"""How the command line shows a job: text as it comes, a bar for what counts, a table of many."""

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from progress.events import MAIN_CHANNEL

Json = dict[str, Any]

BAR_WIDTH: Final = 28
COLUMNS: Final = ("id", "kind", "status", "age", "progress")
SCHEDULE_COLUMNS: Final = ("id", "kind", "when", "next run", "last run", "name")
# A model's output shall not move a terminal's cursor or rename its window.
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_VISIBLE: Final = {code: shown for code, shown in _CONTROLS.items() if chr(code) not in "\t\n\r"}


class Display:
    """Shows one job's events: its text on standard output, all else on standard error.

    Where standard output is no terminal it gets the text and nothing else, byte for byte.
    """

    def __init__(self, out: TextIO | None = None, aside: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._aside = sys.stderr if aside is None else aside
        self._tty = self._out.isatty()
        self._aside_tty = self._aside.isatty()
        self._printed: list[tuple[int, int]] = []
        self._line_open = False
        self._bar_drawn = False

    def show(self, event: Json) -> None:
        """One event, in the order of the log."""
        handler = getattr(self, f"_{event['type']}", None)
        if handler is not None:
            handler(event)

    def note(self, text: str) -> None:
        """A line beside the text."""
        self._clear_bar()
        if self._tty and self._line_open:
            self._write(self._out, "\n")
            self._line_open = False
        self._write(self._aside, f"\x1b[2m{text}\x1b[0m\n" if self._aside_tty else f"{text}\n")

    def result(self, result: Any) -> None:
        """What a job gave, unless its text has been shown already."""
        self._clear_bar()
        if self._printed:
            self._close_line()
            return
        text = result.get("text") if isinstance(result, dict) else None
        shown = text if isinstance(text, str) else json.dumps(result, ensure_ascii=False, indent=2)
        self._write(self._out, f"{shown}\n")

    def _token(self, event: Json) -> None:
        text = event["text"]
        if event.get("channel", MAIN_CHANNEL) != MAIN_CHANNEL or not text:
            return
        self._clear_bar()
        self._write(self._out, text.translate(_VISIBLE) if self._tty else text)
        self._printed.append((event["seq"], len(text)))
        self._line_open = not text.endswith("\n")

    def _started(self, event: Json) -> None:
        keep = event.get("rollback_to", 0)
        void = sum(length for seq, length in self._printed if seq > keep)
        self._printed = [(seq, length) for seq, length in self._printed if seq <= keep]
        if void:
            self.note(f"[attempt {event['attempt']} starts; the last {void} characters above are void]")

    def _progress(self, event: Json) -> None:
        if self._aside_tty:
            self._write(self._aside, f"\r{bar(event)}\x1b[K")
            self._bar_drawn = True

    def _log(self, event: Json) -> None:
        if self._aside_tty:
            self.note(f"[{event.get('level', 'info')}] {event.get('message', '')}".translate(_CONTROLS))

    def _retrying(self, event: Json) -> None:
        reason = (event.get("error") or {}).get("message", "")
        self.note(f"[tries again in {event.get('delay_s', 0):g} s: {reason}]".translate(_CONTROLS))

    def _gap(self, event: Json) -> None:
        self.note(f"[events {event['lost_from']} to {event['lost_to']} are gone]")

    def _artifact(self, event: Json) -> None:
        self.note(f"[{event['name']}: {event['url']}]".translate(_CONTROLS))

    def _close_line(self) -> None:
        if self._tty and self._line_open:
            self._write(self._out, "\n")
        self._line_open = False

    def _clear_bar(self) -> None:
        if self._bar_drawn:
            self._write(self._aside, "\r\x1b[K")
            self._bar_drawn = False

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()


def bar(progress: Json) -> str:
    """``[#####-----]  50 %  12/24  step``."""
    fraction = progress.get("fraction")
    words = []
    if fraction is not None:
        filled = round(min(max(fraction, 0), 1) * BAR_WIDTH)
        words.append(f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {fraction:4.0%}")
    words.append(summary({**progress, "fraction": None}))
    if (eta_s := progress.get("eta_s")) is not None:
        words.append(f"{eta_s:.0f} s left")
    return "  ".join(word for word in words if word)


def summary(progress: Json | None) -> str:
    """Progress in a few words: ``12/24 map``, ``50 %``, or nothing."""
    if not progress:
        return ""
    current, total, fraction = (progress.get(name) for name in ("current", "total", "fraction"))
    words: list[str | None] = []
    if current is not None:
        words.append(f"{current}/{total}" if total is not None else str(current))
    elif fraction is not None:
        words.append(f"{fraction:.0%}")
    words += [progress.get("step"), progress.get("message")]
    return " ".join(word for word in words if word).translate(_CONTROLS)


def age(created_at: str, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time is, in the largest unit that fits: ``3 min``."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(created_at)).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def table(jobs: Iterable[Json], *, plain: bool) -> str:
    """Jobs as lines: columns under a heading, or values with tabs between where ``plain``."""
    return _lines([_row(job) for job in jobs], COLUMNS, plain=plain)


def timetable(schedules: Iterable[Json], *, plain: bool) -> str:
    """Schedules as lines, in the same two forms."""
    return _lines([_schedule_row(schedule) for schedule in schedules], SCHEDULE_COLUMNS, plain=plain)


def _schedule_row(schedule: Json) -> tuple[str, ...]:
    every = schedule["cron"] and f"{schedule['cron']} {schedule['timezone']}"
    following = "paused" if schedule["paused"] else schedule["next_run_at"] or "-"
    times = (every or f"every {schedule['every_s']:g} s", following, schedule["last_run_at"] or "-")
    return (schedule["id"], schedule["kind"], *times, schedule["name"] or "")


def _lines(rows: list[tuple[str, ...]], columns: tuple[str, ...], *, plain: bool) -> str:
    if plain:
        return "".join("\t".join(row) + "\n" for row in rows)
    rows = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(_aligned(row, widths) + "\n" for row in rows)


def _row(job: Json) -> tuple[str, ...]:
    return job["id"], job["kind"], job["status"], age(job["created_at"]), summary(job["progress"])


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
