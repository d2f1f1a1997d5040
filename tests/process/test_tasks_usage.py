"""`codex-tasks usage` at the command line: a table for people, JSON for programs."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.commands import Cli
from support.many import MODELS, REPOS, entitle, fill
from support.processes import wait_until
from support.tasks import Ended, Tasks, is_refused
from support.terminal import on_screen

FIGURES = [
    "runs",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
    "usd",
    "unknown_usage",
    "unknown_parts",
    "unknown_cost",
    "unpriced",
    "uncounted",
]


def usage(
    cli: Cli, *words: str, env: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    return cli("usage", *words, command="codex_tasks", env=env)


def told(cli: Cli, *words: str, env: Mapping[str, str | None] | None = None) -> Any:  # noqa: ANN401  # JSON
    done = usage(cli, "--json", *words, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.core
def test_json_is_one_object_with_the_promised_names(cli: Cli, state_home: Path) -> None:
    fill(state_home, sessions=30, runs_per_session=4)

    by_day = told(cli)
    by_session = told(cli, "--by", "session")

    assert list(by_day) == ["schema", "by", "since", "rows", "total"]
    assert (by_day["by"], by_day["since"]) == ("day", None)
    assert set(by_day["rows"][0]) == {"key", *FIGURES}
    assert list(by_day["total"]) == FIGURES
    assert set(by_session["rows"][0]) == {"key", "title", *FIGURES}
    assert by_day["total"]["runs"] == 120
    assert by_day["total"] == by_session["total"]


@pytest.mark.parametrize(
    ("by", "keys"),
    [("model", {*MODELS, "unknown"}), ("repo", set(REPOS))],
)
def test_rows_are_what_was_asked_for(
    cli: Cli, state_home: Path, by: str, keys: set[str]
) -> None:
    fill(state_home, sessions=30, runs_per_session=4)

    assert {row["key"] for row in told(cli, "--by", by)["rows"]} == keys


def test_a_day_is_one_of_the_calendar_on_the_wall(cli: Cli, task: Tasks) -> None:
    task()
    at = json.loads(task.all[0].text(".meta.json"))["prepared_at"]

    # POSIX counts the hours of such a zone to the west.
    for zone, hours in (("Etc/GMT+12", -12), ("Etc/GMT-14", 14)):
        there = datetime.fromisoformat(at) + timedelta(hours=hours)
        (row,) = told(cli, env={"TZ": zone})["rows"]
        assert row["key"] == there.date().isoformat()


def test_since_leaves_out_what_was_before(cli: Cli, state_home: Path) -> None:
    fill(state_home, sessions=30, runs_per_session=2)

    cut = told(cli, "--since", "2026-11-01", env={"TZ": "UTC"})

    assert cut["since"] == "2026-11-01T00:00:00.000Z"
    assert min(row["key"] for row in cut["rows"]) == "2026-11-01"
    assert 0 < cut["total"]["runs"] < 60


def test_a_since_that_means_nothing_is_wrong_usage(cli: Cli) -> None:
    done = usage(cli, "--since", "yesterday")

    said = Ended(done.returncode, done.stdout, done.stderr)
    assert is_refused(said, 2, "'yesterday'", "fix:   --since 2026-11-01, "), said


def test_nothing_on_record_is_no_failure(cli: Cli) -> None:
    text, as_json = usage(cli), told(cli, "--by", "model")

    assert (text.returncode, text.stdout) == (0, "")
    assert "No runs on record." in text.stderr
    assert as_json["rows"] == []
    assert as_json["total"]["runs"] == 0


def test_text_for_a_pipe_is_aligned_and_plain(cli: Cli, state_home: Path) -> None:
    fill(state_home, sessions=30, runs_per_session=4)

    lines = usage(cli, "--by", "model").stdout.splitlines()

    heading, *rows = lines
    assert " ".join(heading.split()) == "Model Runs Input Cached Output Tokens Cost"
    assert len(rows) == len(MODELS) + 2
    assert rows[-1].startswith("total ")
    assert "\x1b" not in "".join(lines)
    ends = {line.index(" unknown") for line in rows if " + " in line[-14:]}
    assert len(ends) == 1
    assert re.search(r"own-model .* unknown$", "\n".join(rows), re.MULTILINE)
    assert re.search(r"\$[0-9.]+ \+ \d+ unknown$", rows[-1])


@pytest.mark.core
def test_the_runs_of_real_commands_are_counted(task: Tasks, cli: Cli) -> None:
    ended = task()
    spent = ended.meta["token_usage"]["total_tokens"]

    (row,) = told(cli, "--by", "session")["rows"]

    assert row["key"] == ended.fields["codex_session_id"]
    assert (row["runs"], row["total_tokens"]) == (1, spent)


def test_a_run_that_was_left_behind_is_counted_once_it_is_judged(
    cli: Cli, state_home: Path
) -> None:
    fill(state_home, sessions=2, runs_per_session=2, running=1)

    early = usage(cli)
    cli("ls", command="codex_tasks")
    total = told(cli)["total"]

    assert "1 run is not finished, and not counted yet" in early.stderr

    assert total["runs"] == 4
    assert total["unknown_usage"] >= 1


def test_a_run_that_is_not_over_is_named_as_not_counted(task: Tasks, cli: Cli) -> None:
    task.stand_in.plays({"do": "hang"})
    begun = task.start()
    files = begun.wait_running()

    done = usage(cli)

    assert done.returncode == 0
    assert "1 run is not finished, and not counted yet" in done.stderr
    assert "No runs on record" not in done.stderr
    begun.send(2)
    wait_until(lambda: files.is_finished, what="the end")
    begun.wait()


@pytest.mark.parametrize("by", ["day", "model", "repo", "session"])
def test_the_table_fits_the_terminal(cli: Cli, state_home: Path, by: str) -> None:
    fill(state_home, sessions=40, runs_per_session=3)

    for columns in (30, 40, 50, 60, 80, 160):
        lines = on_screen(cli, columns, "usage", "--by", by)

        assert max(map(len, lines)) <= columns
        assert lines[0].split()[:1] == [by.upper()]
        end = lines.index("")
        assert lines[end - 1].startswith("60 days" if by == "day" else "total ")
        assert re.search(r"≥\$[0-9.,]+$", lines[end - 1])
        assert "without a price" in " ".join(lines[end:])
        if columns > 60 or (columns == 60 and by != "session"):
            assert any("━" in line for line in lines)


def test_ids_that_are_cut_still_name_their_task(cli: Cli, state_home: Path) -> None:
    made = fill(state_home, sessions=40, runs_per_session=1)

    lines = on_screen(cli, 80, "usage", "--by", "session")

    shown = {line.split()[0] for line in lines[1 : lines.index("") - 1]}
    assert len(shown) == 40
    assert all(any(str(run.thread).startswith(each) for run in made) for each in shown)


def test_a_row_alone_makes_a_table_too(cli: Cli, state_home: Path) -> None:
    fill(state_home, sessions=1, runs_per_session=1)

    lines = on_screen(cli, 80, "usage")

    assert lines[0].split() == ["DAY", "RUNS", "TOKENS", "COST"]
    assert lines[1].rstrip().endswith("━")
    assert len(lines[1]) == 80
    assert lines[2].startswith("1 day ")


def test_a_title_cannot_speak_to_the_terminal(cli: Cli, state_home: Path) -> None:
    made = fill(state_home, sessions=1, runs_per_session=1)
    entitle(state_home, made[0], "a\x1b[31mb\nc 文字")

    plain = usage(cli, "--by", "session").stdout
    lines = on_screen(cli, 160, "usage", "--by", "session")

    assert plain.splitlines()[1].endswith("a\\x1b[31mb c 文字")
    assert len(plain.splitlines()) == len(lines) == 3


def test_a_reader_that_goes_away_is_no_fault(cli: Cli, state_home: Path) -> None:
    fill(state_home, sessions=40, runs_per_session=1)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        process = cli.start("usage", command="codex_tasks", stdout=closed)

    assert process.wait(20) == 141


def test_thousands_of_rows_take_no_longer_than_they_are_many(
    cli: Cli, state_home: Path
) -> None:
    made = fill(state_home, sessions=2000, runs_per_session=1)

    lines = on_screen(cli, 120, "usage", "--by", "session")

    assert lines.index("") == len(made) + 2
