"""The screens are those of the design: its tasks, at its moment, column for column."""

import os
import re
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner import clock
from runner.cli import figures, live_screen, status_screen, task_table, waits
from runner.cli.live_screen import View
from runner.cli.look import Look
from runner.cli.tasks.ls import _footer
from runner.clock import iso
from runner.service.listing import Line
from runner.service.live import Event
from runner.service.shown import Shown
from runner.tail import Doing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.look import Styled

SCREENS = Path(__file__).parents[1] / "data" / "screens"
NOW = datetime(2026, 11, 30, 14, 32, 7, tzinfo=UTC)
LS_80, LS_120, CARDS, WATCH_80 = (
    (SCREENS / f"{name}.txt").read_text(encoding="utf-8")
    for name in ("ls-80", "ls-120", "ls-64", "watch-80")
)
LONG_TITLE = "Fix the flaky checkout test (times out on CI, not locally)"
COMMAND = "/bin/bash -c 'cargo test -p checkout -- --test-threads=1'"
FIVE = "2026-11-30T17:05:00Z"


def ago(seconds: float) -> str:
    return iso(NOW - timedelta(seconds=seconds))


def line(  # noqa: PLR0913  # the columns of a row
    name: str,
    state: str,
    reason: str | None,
    seconds: float,
    title: str,
    place: str,
    *,
    detail: str | None = None,
    until: str | None = None,
    time: float | None = None,
    tokens: int | None = None,
    usd: float | None = None,
    now: Doing | None = None,
    waits: int = 0,
    is_floor: bool = False,
) -> Line:
    row = {"short_id": name, "id": name, "title": title, "prompt": None}
    return Line(
        row={**row, "working_dir": f"/home/me/{place}", "queue": waits},
        shown=Shown(
            state=state, reason=reason, detail=detail, since=ago(seconds), until=until
        ),
        now=now,
        seconds=time,
        tokens=tokens,
        usd=usd,
        is_floor=is_floor,
    )


def doing(word: str, text: str | None, seconds: float, *, tries: int = 0) -> Doing:
    return Doing(word, text, seconds, NOW.timestamp() - seconds, 0, tries)


def tasks() -> list[Line]:
    """Give the tasks of the design."""
    hour, day = 3600, 86400
    two = "2026-11-30T02:00:00Z"
    test, lost = doing("command", COMMAND, 182), doing("reconnecting", "x", 552)
    return [
        line("91be40d2", "held", "login", 2 * hour, "Upgrade OpenSSL bindings to 3.5",
             "payments", time=1260, tokens=1_841_220, usd=1.918442, waits=2),
        line("3f9a1c07", "running", "command", 727, LONG_TITLE, "shop", detail=COMMAND,
             time=727, tokens=2_310_458, usd=0.840117, waits=2, now=test),
        line("a07d52ee", "running", "thinking", 241,
             "Übersetzung der Fehlermeldungen prüfen", "webapp", time=241,
             tokens=412_000, usd=0.19, now=Doing("thinking", None, 4)),
        line("c4418b9f", "running", "reconnecting", 1870,
             "Port the importer to streaming reads so that 2 GB files fit", "etl",
             time=1870, tokens=6_020_000, usd=2.10, now=lost),
        line("5d20ee13", "parked", "limit", hour, "日本語ドキュメントの検索を直す",
             "docs-ja", until=FIVE, time=2880, tokens=3_400_000, usd=1.27, waits=1),
        line("e8b7710c", "queued", None, 727, "Write the changelog for 2.4", "shop",
             detail="after 3f9a", waits=1),
        line("0b6c9a44", "queued", "slot", 370, "Benchmark three JSON parsers", "etl",
             waits=1),
        line("77f1d3a8", "queued", "time", 3 * hour, "Nightly dependency audit",
             "infra", until=two, waits=1),
        line("2ac8f6b0", "done", None, 1090, "Add rate limiting to /login", "webapp",
             detail="8 files +214 \N{MINUS SIGN}37", time=842, tokens=1_120_000,
             usd=0.61),
        line("b3e91f57", "failed", "budget", hour,
             "Rewrite the PDF export with weasyprint, keep the old margins", "reports",
             time=2380, tokens=5_750_000, usd=2.01),
        line("66d0a2c9", "failed", "lost", 5 * hour,
             "Explain the deadlock in the worker pool", "etl", time=431, usd=0.22031,
             is_floor=True),
        line("f20c7be4", "stopped", "you", day, "Try the Rust rewrite", "lab",
             time=130, tokens=96_000, usd=0.05),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(clock, "now", lambda: NOW)
    yield
    monkeypatch.undo()
    time.tzset()


def ids(width: int) -> dict[str, str]:
    is_short = 72 <= width < 100
    names = [each.short_id for each in tasks()]
    return {name: name[:4] if is_short else name for name in names}


def drawn(width: int, look: Look | None = None) -> str:
    block = task_table.block(tasks(), ids(width), width)
    rows = [line for row in block.rows for line in row]
    return (look or Look()).text([*block.heading, *rows])


def cells(text: str) -> int:
    """Count the columns that a text takes, in another way than the product."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide


def watched(width: int, height: int, selected: int = 1) -> "list[Sequence[Styled]]":
    said = "The test waits for a webhook that CI never sends. I will fake the clock."
    began = datetime(2026, 11, 30, tzinfo=UTC).timestamp() + 14 * 3600 + 28 * 60
    events = (
        Event(began + 51, "", said),
        Event(
            began + 63, "edit", "tests/checkout/pays_twice.rs, tests/support/clock.rs"
        ),
        Event(began + 65, "$", "cargo test -p checkout -- --test-threads=1"),
    )
    view = View(
        lines=tasks(),
        ids=lambda _: ids(width),
        selected=selected,
        spent=(18.42, True, 40.0),
        slots="3 of 3 slots",
        events=events,
    )
    lines, _ = live_screen.drawn(view, width, height, 0)
    return lines


@pytest.mark.parametrize(("width", "wanted"), [(80, LS_80), (120, LS_120)])
def test_the_list_is_that_of_the_design(width: int, wanted: str) -> None:
    assert drawn(width) == wanted


def test_a_narrow_terminal_has_cards() -> None:
    assert drawn(64).startswith(CARDS)


def test_ascii_moves_no_column() -> None:
    signs = str.maketrans("●○◐✓✗■…\N{MINUS SIGN}", "*o~+x-~-")

    plain = drawn(80, Look(is_ascii=True))

    assert plain == LS_80.replace("≥$0.22", "$0.22+").translate(signs)


@pytest.mark.parametrize("width", [40, 64, 72, 80, 96, 104, 112, 120, 140, 200])
def test_every_line_fits_and_no_figure_is_cut(width: int) -> None:
    text = drawn(width)

    assert max(map(cells, text.splitlines())) <= width
    assert all(f"${usd}" in text for usd in ("1.92", "0.84", "2.10", "0.05"))
    if width >= 112:
        assert "6.02M" in text


def test_colours_repeat_words() -> None:
    plain, coloured = drawn(120), drawn(120, Look(has_colour=True))

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    codes = {
        c for each in re.findall(r"\x1b\[([0-9;]*)m", coloured) for c in each.split(";")
    }
    assert codes == {"0", "1", "2", "31", "32", "33", "36"}
    for role in (
        "\x1b[1;33m! held   \x1b[0m",
        "\x1b[36m● running\x1b[0m",
        "\x1b[33mreconnecting 9m  \x1b[0m",
        "\x1b[31mover budget      \x1b[0m",
        "\x1b[2mf20c7be4\x1b[0m",
        "\x1b[1mUpgrade OpenSSL bindings to 3.5       \x1b[0m",
    ):
        assert role in coloured


def test_the_live_list_is_that_of_the_design() -> None:
    assert Look().text(watched(80, 22)).replace("\x1b[7m", "").replace(
        "\x1b[0m", ""
    ) == "".join(f"{line}\n" for line in _stripped(WATCH_80))


def _stripped(text: str) -> list[str]:
    """Give the lines; the selected one is as wide as the screen."""
    lines = text.splitlines()
    at = next(n for n, each in enumerate(lines) if each.startswith("3f9a "))
    return [*lines[:at], lines[at].ljust(80), *lines[at + 1 :]]


@pytest.mark.parametrize("size", [(80, 24), (64, 20), (200, 60), (120, 30), (30, 5)])
@pytest.mark.parametrize("selected", [0, 4, 11])
def test_the_live_list_fills_each_screen_and_shows_the_selected(
    size: tuple[int, int], selected: int
) -> None:
    lines = watched(*size, selected=selected)

    if size[1] > 5:
        assert len(lines) == size[1]
    shown = ["".join(text for text, _ in line) for line in lines]
    assert max(map(cells, shown)) <= size[0]
    marked = [line for line in lines if any(style == "reverse" for _, style in line)]
    assert len(marked) == (3 if size[0] < 72 else 1)
    assert tasks()[selected].short_id[:4] in marked[0][0][0]
    assert {style for line in marked for _, style in line} == {"reverse"}


@pytest.mark.parametrize("width", [30, 64, 80, 200])
def test_the_question_keeps_its_answers_and_cuts_the_title(width: int) -> None:
    parts = live_screen.question(tasks()[1], width)
    text = "".join(text for text, _ in parts)

    assert text.startswith("stop 3f9a1c07")
    assert "? y yes   any other key: no"[: max(width - 13, 0)] in text
    assert width < 64 or cells(text) <= width
    assert (LONG_TITLE in text) == (width == 200)
    assert ("…?" in text) == (width in {64, 80})


def test_no_column_of_the_live_list_moves_when_a_text_is_longer() -> None:
    long = tasks()
    long[2] = line(
        "a07d52ee", "running", "tool", 99_999, "T" * 300, "w" * 50, detail="d" * 300,
        usd=99.99, now=Doing("tool", "d" * 300, 4),
    )  # fmt: skip

    for width in (80, 120, 200):
        (here,), (there,) = (
            task_table.block(each, ids(width), width, is_live=True).heading
            for each in (tasks(), long)
        )
        assert here == there


def test_the_footer_names_who_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_table, "today", lambda _: "today ≥$18.42 of $40.00")
    monkeypatch.setattr("runner.service.listing.slots", lambda _: "3 of 3 slots")

    class Nothing:
        ledger = None

    footer = Look().text(_footer(tasks(), 0, ids(80), Nothing()))  # type: ignore[arg-type]  # it is not read

    assert footer == (
        "12 tasks   3 of 3 slots   today ≥$18.42 of $40.00\n"
        "! 1 task needs you: codex-tasks status 91be\n"
    )


def report(**changes: object) -> dict[str, object]:
    """Give what `service.status` reports of the running task of the design."""
    shown = {"state": "running", "reason": "command", "since": ago(727), "until": None}
    done = {"state": "done", "reason": None}
    told: dict[str, object] = {
        **dict.fromkeys(("error", "unknown", "note", "other_writer", "verify")),
        **dict.fromkeys(("last_result", "outcome")),
        "id": "019a2f0e-77c1-7be2-9d0f-3c5a41e6b208",
        "session_id": "019a2f0e-77c1-7be2-9d0f-3c5a41e6b208",
        "short_id": "3f9a1c07",
        "title": LONG_TITLE,
        "shown": {**shown, "detail": COMMAND},
        "now": {
            "doing": "command",
            "text": COMMAND,
            "seconds": 14.0,
            "since": ago(182),
            "tries": 0,
            "stalls_at": None,
        },
        "last_prompt": "The test checkout::pays_twice times out on CI. Find out why and"
        " fix it; do not raise the timeout.",
        "previous_result": {"run": "r", "text": "I have made it pass locally."},
        "usage": {"total_tokens": 2_310_458, "cached_input_tokens": 1_980_000},
        "cost": {"usd": 1.36, "uncounted_runs": 0, "unknown_runs": 0},
        "budget": {
            "usd": 0.84,
            "max_usd": 5.0,
            "tokens": 2_310_458,
            "max_tokens": None,
            "unpriced": 0,
        },
        "changes": {
            "files": 3,
            "lines_added": 41,
            "lines_removed": 12,
            "branch": "codex/3f9a1c07",
            "base": "9c1d2e4" + "0" * 33,
        },
        "recent_runs": [
            {
                "number": 1,
                "started_at": "2026-11-29T17:20:00Z",
                "usd": 0.52,
                "seconds": 494.0,
                "shown": done,
            },
            {
                "number": 2,
                "started_at": ago(727),
                "usd": None,
                "seconds": None,
                "shown": {"state": "running"},
            },
        ],
        "prompts": [
            waiting(17, "Now the docs", "session", "run 2026 is unfinished"),
            waiting(18, "Open a draft pull request", "session", "behind #17 (session)"),
        ],
        "queue": 2,
        "skipped": 0,
        "warnings": {},
        **{key: [] for key in ("left_running", "undelivered", "notifications")},
        "model": "gpt-5.6-sol",
        "sandbox": "workspace-write",
        "working_dir": "/home/me/src/shop",
    }
    return {**told, **changes}


def waiting(
    number: int, prompt: str, why: str | None, detail: str | None
) -> dict[str, object]:
    told = {"id": number, "prompt": prompt, "why": why}
    return {**told, "detail": detail, "until": None}


def status(width: int, **changes: object) -> str:
    def sized(_: object) -> os.terminal_size:
        return os.terminal_size((width, 24))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.get_terminal_size", sized)
        return status_screen.screen([report(**changes)], Look())


def test_the_status_is_that_of_the_design() -> None:
    assert status(80) == (SCREENS / "status-80.txt").read_text(encoding="utf-8")


def test_a_run_id_is_no_thread() -> None:
    text = status(80, id="20261201-111015-719400-d6394404", session_id=None)

    assert "\n  thread" not in text
    assert "d6394404" not in text


@pytest.mark.parametrize("width", [40, 64, 80, 120, 200])
def test_a_status_fits_also_in_wide_characters(width: int) -> None:
    text = status(width, last_prompt="検索を直す " * 40, title="日本語" * 50)

    assert max(map(cells, text.splitlines())) <= width


def test_a_lost_connection_has_its_beginning_and_its_end() -> None:
    now = {"doing": "reconnecting", "seconds": 3.0, "since": ago(552), "tries": 27}
    now |= {"text": "Reconnecting... 5/5 (network is unreachable)"}
    now |= {"stalls_at": "2026-11-30T15:00:00Z"}

    text = " ".join(status(80, now=now).split())

    assert (
        "now reconnecting for 9m 12s, 27 messages, last: network is unreachable;"
        " stops as stalled by 15:00"
    ) in text


@pytest.mark.parametrize(
    ("why", "detail", "until", "said"),
    [
        (None, None, None, "starts next"),
        ("session", "run 1 is unfinished", None, "its own run"),
        ("session", "behind #3 (limit)", None, "prompt 3"),
        ("slot", "3 of 3 run", None, "no free slot (3 of 3)"),
        ("slot", "1 of 3 run, group a 1 of 1", None,
         "no free slot (1 of 3, group a 1 of 1)"),
        ("time", None, FIVE, "at 17:05"),
        ("limit", "it hit the limit", FIVE, "usage limit, until 17:05"),
        ("retry", "attempt 2 of 3 failed", iso(NOW + timedelta(seconds=38)),
         "retry in 38s (attempt 2 of 3 failed)"),
        ("dependency", "after #12", None, "after #12"),
        ("held", "login refused", None, "held: login refused"),
        ("pause", "paused", None, "paused"),
    ],
)  # fmt: skip
def test_what_a_prompt_waits_for_is_said(
    why: str | None, detail: str | None, until: str | None, said: str
) -> None:
    assert waits.reason({"why": why, "detail": detail, "until": until}) == said


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0, ""),
        (0.001, "╸"),
        (0.05, "╸"),
        (0.1, "━"),
        (0.17, "━╸"),
        (1, "━" * 10),
        (3, "━" * 10),
    ],
)
def test_a_bar_has_half_steps_and_more_than_nothing_is_seen(
    share: float, drawn: str
) -> None:
    assert figures.bar(share, 10) == drawn
