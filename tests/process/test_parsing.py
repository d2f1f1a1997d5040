"""parse_codex_run tells what it can, and says in an error what it cannot."""

import json

import pytest
from support.commands import Cli
from support.tasks import Tasks
from support.terminal import terminal

UNKNOWN = "20261120-101201-512345-9f3a1c07"


@pytest.mark.core
def test_an_unknown_run_among_known_ones_does_not_hide_them(task: Tasks) -> None:
    one, two = (task().files.run_id for _ in range(2))

    done = task.parse(one, UNKNOWN, two, "--format", "json")

    assert done.code == 2
    assert [json.loads(line)["run_id"] for line in done.lines] == [one, two]
    error, fix = done.stderr.splitlines()
    assert fix == "fix:   codex-tasks ls -a, or parse_codex_run --log FILE"
    assert error.startswith(f"error: no run '{UNKNOWN}' is known")


def test_a_table_shows_a_task_as_it_is(task: Tasks, cli: Cli) -> None:
    words = "fix [/usr/lib] [red]now[/red] \x1b[2J"
    runs = [task("--task", words).files.run_id for _ in range(2)]

    shown = table(cli, runs, columns=200)

    assert shown.count("fix [/usr/lib] [red]now[/red] \\x1b[2J") == 2
    assert "\x1b[2J" not in shown


def test_a_narrow_terminal_cuts_off_the_task_and_no_figure(
    task: Tasks, cli: Cli
) -> None:
    runs = [task("--task", "A long one. " * 9).files.run_id for _ in range(2)]

    _, *rows = table(cli, runs, columns=90).splitlines()

    for run_id, row in zip(runs, rows, strict=True):
        assert row.startswith(f"{run_id}  succeeded  ")
        assert row.endswith("…")


def table(cli: Cli, runs: list[str], columns: int) -> str:
    """Show runs on a terminal of this width."""
    with terminal() as screen:
        argv = cli.argv(*runs, command="parse_codex_run")
        wide = {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
        process = screen.start(argv, cli.env(wide))
        assert process.wait(20) == 0
        return screen.shown()
