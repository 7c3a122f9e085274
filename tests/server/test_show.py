"""What the command line shows of a job, on a terminal and in a pipe."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from server.show import Display, age, bar, summary, table, timetable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(kind: str, seq: int = 1, **fields: Any) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "attempt": fields.pop("attempt", 1), **fields}


def shown(*events: dict[str, Any], terminal: bool) -> tuple[str, str]:
    out, aside = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    display = Display(out, aside)
    for it in events:
        display.show(it)
    return out.getvalue(), aside.getvalue()


TEXT = [event("token", 2, text="a\r\n"), event("token", 3, text="\x1b[31mb 🦊")]


def test_a_pipe_gets_the_text_byte_for_byte_and_nothing_else() -> None:
    noise = [
        event("queued"),
        event("started", rollback_to=0),
        event("progress", fraction=0.5),
        event("log", message="x"),
    ]
    assert shown(*noise, *TEXT, terminal=False) == ("a\r\n\x1b[31mb 🦊", "")


def test_a_terminal_is_not_commanded_by_a_model() -> None:
    assert shown(*TEXT, terminal=True)[0] == "a\r\n\N{REPLACEMENT CHARACTER}[31mb 🦊"


def test_only_the_main_output_is_shown() -> None:
    assert shown(event("token", text="x", channel="second"), terminal=False)[0] == ""


def test_what_an_attempt_takes_back_is_said() -> None:
    restart = event("started", 4, rollback_to=2, attempt=2)
    out, aside = shown(*TEXT, restart, terminal=False)
    assert out == "a\r\n\x1b[31mb 🦊"
    assert aside == "[attempt 2 starts; the last 8 characters above are void]\n"


def test_an_attempt_that_takes_nothing_back_is_not_worth_a_word() -> None:
    assert shown(*TEXT, event("started", 4, rollback_to=3, attempt=2), terminal=False)[1] == ""


def test_a_bar_is_drawn_over_itself_and_goes_before_other_words() -> None:
    steps = [event("progress", fraction=0.5), event("progress", fraction=1.0), event("log", level="info", message="m")]
    aside = shown(*steps, terminal=True)[1]
    assert aside.count("\r[") == 2
    assert aside.endswith("\x1b[K\r\x1b[K\x1b[2m[info] m\x1b[0m\n")


def test_what_happens_beside_the_text_is_noted() -> None:
    notes = [
        event("retrying", delay_s=1.5, error={"code": "x", "message": "busy"}),
        event("artifact", name="a.png", url="/v1/a.png"),
        {"type": "gap", "lost_from": 3, "lost_to": 5, "job": "x"},
    ]
    assert shown(*notes, terminal=False)[1].splitlines() == [
        "[tries again in 1.5 s: busy]",
        "[a.png: /v1/a.png]",
        "[events 3 to 5 are gone]",
    ]


def test_an_event_of_a_later_version_is_passed_over() -> None:
    assert shown(event("surprise"), terminal=False) == ("", "")


@pytest.mark.parametrize(
    ("result", "text"),
    [({"text": "whole"}, "whole\n"), ({"count": 3}, '{\n  "count": 3\n}\n'), (None, "null\n")],
)
def test_a_result_is_shown_where_no_text_was(result: Any, text: str) -> None:
    out = io.StringIO()
    Display(out, io.StringIO()).result(result)
    assert out.getvalue() == text


@pytest.mark.parametrize(("out", "end"), [(Terminal(), "hello\n"), (io.StringIO(), "hello")])
def test_a_shown_text_is_not_shown_again_and_a_terminal_s_line_is_ended(out: io.StringIO, end: str) -> None:
    display = Display(out, io.StringIO())
    display.show(event("token", text="hello"))
    display.result({"text": "hello"})
    assert out.getvalue() == end


def test_progress_in_words() -> None:
    assert summary(None) == ""
    assert summary({"fraction": 0.5, "step": "map", "message": None}) == "50% map"
    assert summary({"fraction": 0.5, "current": 12, "total": 24, "step": "map"}) == "12/24 map"
    assert (
        summary({"fraction": None, "current": 12, "total": None, "message": "a\x1bb"})
        == "12 a\N{REPLACEMENT CHARACTER}b"
    )


def test_progress_as_a_bar() -> None:
    assert (
        bar({"fraction": 0.5, "current": 12, "total": 24, "eta_s": 3.4})
        == f"[{'#' * 14}{'-' * 14}]  50%  12/24  3 s left"
    )
    assert bar({"fraction": 7, "step": "odd"}).startswith(f"[{'#' * 28}]")
    assert bar({"fraction": None, "current": 3}) == "3"


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ("2026-01-02T03:04:05.678Z", "0 s"),
        ("2026-01-02T03:04:00.000Z", "5 s"),
        ("2026-01-02T03:00:00.000Z", "4 min"),
        ("2026-01-01T04:00:00.000Z", "23 h"),
        ("2025-12-30T03:04:05.000Z", "3 d"),
    ],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(created: str, told: str) -> None:
    assert age(created, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == told


def test_a_table_of_jobs_and_the_same_with_tabs() -> None:
    now = datetime.now(UTC).isoformat()
    jobs: list[dict[str, Any]] = [
        {"id": "1", "kind": "generate", "status": "queued", "created_at": now, "progress": None},
        {"id": "22", "kind": "score", "status": "running", "created_at": now, "progress": {"current": 1, "total": 2}},
    ]
    head, _first, second = table(jobs, plain=False).splitlines()
    assert head.split() == ["id", "kind", "status", "age", "progress"]
    assert head.index("kind") == second.index("score")
    assert table(jobs, plain=True).splitlines()[1].split("\t") == ["22", "score", "running", "0 s", "1/2"]
    assert table([], plain=True) == ""


def test_schedules_are_lines_with_their_times() -> None:
    nightly = {"id": "a", "kind": "k", "cron": "0 3 * * *", "every_s": None, "timezone": "UTC", "paused": False}
    nightly |= {"next_run_at": "2026-01-02T03:00:00.000Z", "last_run_at": None, "name": "Nightly"}
    often = {**nightly, "cron": None, "every_s": 90.0, "paused": True, "next_run_at": None, "name": None}
    assert timetable([nightly, often], plain=True).splitlines() == [
        "a\tk\t0 3 * * * UTC\t2026-01-02T03:00:00.000Z\t-\tNightly",
        "a\tk\tevery 90 s\tpaused\t-\t",
    ]
    assert timetable([nightly], plain=False).splitlines()[0].split() == [
        *("id", "kind", "when", "next", "run", "last", "run", "name")
    ]
