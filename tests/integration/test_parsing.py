"""parse_codex_run tells what it can, and says in one line what it cannot."""

import json

from support.commands import Cli
from support.tasks import Tasks
from support.terminal import terminal

UNKNOWN = "20261120-101201-512345-9f3a1c07"


def test_an_unknown_run_among_known_ones_does_not_hide_them(task: Tasks) -> None:
    one, two = (task().files.run_id for _ in range(2))

    done = task.parse(one, UNKNOWN, two, "--format", "json")

    assert done.code == 2
    assert [json.loads(line)["run_id"] for line in done.lines] == [one, two]
    assert len(done.stderr.splitlines()) == 1
    assert UNKNOWN in done.stderr


def test_a_table_shows_a_task_as_it_is(task: Tasks, cli: Cli) -> None:
    words = "fix [/usr/lib] [red]now[/red] \x1b[2J"
    runs = [task("--task", words).files.run_id for _ in range(2)]

    with terminal() as screen:
        argv = cli.argv(*runs, command="parse_codex_run")
        process = screen.start(
            argv, cli.env({"COLUMNS": "200", "TERM": "xterm", "NO_COLOR": "1"})
        )
        assert process.wait(20) == 0
        shown = screen.shown()

    assert shown.count("fix [/usr/lib] [red]now[/red] \\x1b[2J") == 2
    assert "\x1b[2J" not in shown
