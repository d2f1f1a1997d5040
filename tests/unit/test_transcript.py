"""A transcript has the time of each entry, where one is known."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from support.runs import run

from runner import clock
from runner.arrivals import Moment
from runner.cli import figures
from runner.cli.transcript import Transcript
from runner.model import Finished, Outcome, Verdict
from runner.service.log import Lines, Piece, Prompt, RunEnded

NOON = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
SECONDS = NOON.timestamp()


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let it be five in the afternoon in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    monkeypatch.setattr(clock, "now", lambda: NOON.replace(hour=16))
    yield
    monkeypatch.undo()
    time.tzset()


def shown(
    *pieces: Piece,
    is_coloured: bool = False,
    has_times: bool = True,
    width: int | None = None,
) -> str:
    said = Transcript(is_coloured=is_coloured, has_times=has_times, width=width)
    return "".join(map(said, pieces))


def moment(seconds: float, *, is_exact: bool = True) -> Moment:
    return Moment(seconds=SECONDS + seconds, is_exact=is_exact)


def item(phase: str, number: int = 1, **fields: object) -> bytes:
    done = {"exit_code": 0, "status": "completed"} if phase == "completed" else {}
    whole = {
        "id": f"item_{number}",
        "type": "command_execution",
        "command": "make",
        "aggregated_output": "fine\n" if done else "",
        **done,
        **fields,
    }
    return json.dumps({"type": f"item.{phase}", "item": whole}).encode()


def command(begin: Moment | None, end: Moment | None) -> str:
    lines = (item("started"), item("completed"))
    return shown(Lines(lines, is_stderr=False, times=(begin, end)))


def test_each_entry_has_its_local_time_and_the_rest_is_below_it() -> None:
    said = shown(
        Prompt(b"Go.\nNow.", at=NOON),
        Lines((item("started"),), is_stderr=False, times=(moment(5),)),
        Lines((b"oh",), is_stderr=True, times=(moment(6.9),)),
    )

    assert said == (
        "13:00:00  user\n            Go.\n            Now.\n\n"
        "13:00:05  exec\n            make\n\n"
        "13:00:06  [stderr] oh\n"
    )


def test_a_command_is_shown_without_the_shell_that_codex_runs_it_with() -> None:
    text = "/bin/bash -c 'cargo test'"
    lines = (item("started", command=text), item("completed", command=text))

    said = shown(Lines(lines, is_stderr=False))

    assert "exec\n            cargo test\n" in said
    assert "succeeded: cargo test\n" in said


def test_a_time_that_is_not_known_is_left_empty() -> None:
    said = shown(
        Prompt(b"Go."),
        Lines((item("started"), item("completed")), is_stderr=False),
    )

    assert said == (
        "          user\n            Go.\n\n"
        "          exec\n            make\n\n"
        "          succeeded: make\n            fine\n\n"
    )


def test_without_times_an_entry_begins_at_the_left_and_has_no_duration() -> None:
    times = (moment(1), moment(3))
    lines = Lines((item("started"), item("completed")), is_stderr=False, times=times)

    said = shown(Prompt(b"Go.", at=NOON), lines, has_times=False)

    assert said.startswith("user\n  Go.\n\nexec\n  make\n\nsucceeded: make\n")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.449, "0.4s"),
        (9.99, "9.9s"),
        (10.9, "10s"),
        (182.5, "3m 02s"),
        (4320, "1h 12m"),
    ],
)
def test_a_command_says_how_long_it_took(seconds: float, said: str) -> None:
    assert figures.command_span(seconds) == said
    assert f"succeeded: make  {said}\n" in command(moment(0), moment(seconds))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (None, moment(3)),
        (moment(0), None),
        (moment(3), moment(3)),
        (moment(0, is_exact=False), moment(3)),
        (moment(0), moment(9, is_exact=False)),
    ],
)
def test_a_duration_that_is_not_known_is_none(
    begin: Moment | None, end: Moment | None
) -> None:
    assert "succeeded: make\n" in command(begin, end)


def test_times_to_the_second_are_enough_for_a_long_command() -> None:
    begin, end = moment(0, is_exact=False), moment(75, is_exact=False)

    assert "succeeded: make  1m 15s\n" in command(begin, end)


def test_commands_that_run_at_once_have_each_their_own_duration() -> None:
    lines = (
        *(item("started", 1), item("started", 2, command="test")),
        *(item("completed", 2, command="test"), item("completed", 1)),
    )
    times = tuple(map(moment, (0, 1, 3, 7)))

    said = shown(Lines(lines, is_stderr=False, times=times))

    assert "succeeded: test  2.0s\n" in said
    assert "succeeded: make  7.0s\n" in said


def test_the_day_is_named_once_when_it_changes() -> None:
    lines = tuple(item("started", number) for number in range(5))
    hours = (-14, 9.5, 10.999, 11.0, 11.5)
    times = tuple(moment(hour * 3600) for hour in hours)

    said = shown(Lines(lines, is_stderr=False, times=times))

    heads = [line for line in said.splitlines() if line[:1].strip()]
    assert heads == [
        *("Sun 29 Nov 2026", "23:00:00  exec"),
        *("Mon 30 Nov 2026", "22:30:00  exec", "23:59:56  exec"),
        *("Tue 1 Dec 2026", "00:00:00  exec", "00:30:00  exec"),
    ]


def test_the_day_of_today_is_not_named() -> None:
    assert shown(Prompt(b"Go.", at=NOON)).startswith("13:00:00  user\n")


def test_the_end_of_a_run_has_its_time() -> None:
    verdict = Verdict(outcome=Outcome.LOST, exit_code=1, error="gone")
    ended = run(Finished(verdict=verdict, started_at=NOON, ended_at=NOON))

    assert shown(RunEnded(ended)) == f"13:00:00  run {ended.run_id} lost: gone\n"


def test_times_are_faint_and_colours_stay() -> None:
    times = (moment(5),)

    said = shown(
        Prompt(b"Go.", at=NOON),
        Lines((item("started"),), is_stderr=False, times=times),
        is_coloured=True,
    )

    assert "\x1b[2m13:00:05\x1b[0m  \x1b[1mexec\x1b[0m\n            make\n" in said


def test_a_terminal_breaks_texts_between_words_below_their_column() -> None:
    output = "one two three four five six seven eight nine ten"
    note = json.dumps({"type": "error", "message": f"Reconnecting... {output}"})
    said = shown(
        Prompt(f"{output}\n    - {output}".encode(), at=NOON),
        Lines(
            (item("started"), item("completed", aggregated_output=output)),
            is_stderr=False,
            times=(moment(1), moment(2)),
        ),
        Lines((note.encode(),), is_stderr=False, times=(moment(3),)),
        width=40,
    )

    assert said == (
        "13:00:00  user\n"
        "            one two three four five six\n"
        "            seven eight nine ten\n"
        "                - one two three four\n"
        "                five six seven eight\n"
        "                nine ten\n\n"
        "13:00:01  exec\n"
        "            make\n\n"
        "13:00:02  succeeded: make  1.0s\n"
        f"            {output}\n\n"
        "13:00:03  note: Reconnecting... one\n"
        "            two three four five six\n"
        "            seven eight nine ten\n"
    )


def test_a_text_that_fits_and_a_pipe_have_the_lines_of_the_log() -> None:
    piece = Prompt("日本語 ".encode() * 20)

    assert shown(piece, width=200) == shown(piece)
    assert shown(piece, width=40) != shown(piece)
