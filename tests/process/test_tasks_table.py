"""The table of tasks on a terminal keeps what a task is called and how it is."""

import json
from pathlib import Path

import pytest
from support.commands import Cli
from support.ledgers import queue
from support.many import fill
from support.terminal import on_screen, terminal

from parsers.paths import Path as LightPath
from runner.ledger.ledger import Ledger
from runner.model import Run


@pytest.fixture
def made(state_home: Path) -> list[Run]:
    return fill(state_home, sessions=12, runs_per_session=1)


def test_a_narrow_terminal_leaves_out_what_can_be_done_without(
    cli: Cli, made: list[Run]
) -> None:
    for columns, headings in (
        (120, "ID STATE FOR TASK DETAIL DIR TIME TOKENS COST"),
        (110, "ID STATE FOR TASK DETAIL DIR TIME COST"),
        (100, "ID STATE FOR TASK DETAIL TIME COST"),
        (80, "ID STATE FOR TASK DETAIL COST"),
    ):
        heading, *lines = on_screen(cli, columns, "ls")

        assert " ".join(heading.split()) == headings
        assert max(map(len, lines)) <= columns
        assert len(lines) == len(made) + 2
        for line in lines[: len(made)]:
            assert line.split()[1:3] in (["✓", "done"], ["✗", "failed"])


def test_a_task_is_three_lines_where_no_table_fits(cli: Cli, made: list[Run]) -> None:
    first, *_ = lines = on_screen(cli, 64, "ls")

    assert len(lines) == 3 * len(made) + 2
    assert first.split()[1:3] == ["✓", "done"]


def test_an_id_is_as_long_as_it_must_be_and_names_its_task(
    cli: Cli, made: list[Run]
) -> None:
    for columns, length in ((120, 8), (80, 4)):
        _, *lines = on_screen(cli, columns, "ls")

        ids = [line.split()[0] for line in lines[: len(made)]]
        assert {len(each) for each in ids} == {length}
        for each in ids:
            said = cli("status", "--json", each, command="codex_tasks")
            assert said.returncode == 0


def test_what_waits_fits_a_terminal_and_the_number_is_kept(
    cli: Cli, made: list[Run], state_home: Path
) -> None:
    ledger = Ledger(LightPath(state_home))
    for run in made:
        key = ledger.sessions.of_thread(run.thread)
        assert key is not None
        queue(ledger, key, f"A long prompt. {'And more. ' * 20}")
    ledger.close()
    cli("pause", command="codex_tasks")

    for columns in (120, 80, 50):
        heading, *lines = on_screen(cli, columns, "queue")

        assert heading.split() == ["#", "TASK", "PROMPT", "WAITS", "FOR", "FOR"]
        assert max(map(len, lines)) <= columns
        assert lines.index("") == len(made)
        assert all("paused" in line for line in lines[: len(made)])


@pytest.mark.usefixtures("made")
def test_a_locale_without_such_letters_has_signs_of_ascii(cli: Cli) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    (_, *there), (_, *here) = (
        on_screen(cli, 80, "ls", **ascii_only),
        on_screen(cli, 80, "ls"),
    )

    signs = str.maketrans("✓✗…", "+x~")
    assert there[:12] == [line.translate(signs) for line in here[:12]]


def test_a_report_fits_the_terminal_and_names_what_can_be_typed(
    cli: Cli, state_home: Path
) -> None:
    fill(state_home, sessions=40, runs_per_session=1)
    _, first, *_ = on_screen(cli, 80, "ls", "--state", "failed")

    head, *lines = on_screen(cli, 80, "status", first.split()[0])

    assert head.startswith("✗ failed ")
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines if line.strip()]
    assert [each[0] for each in words[:2]] == ["why", "prompt"]
    assert words[-1][:3] == ["again", "codex-tasks", "retry"]


def test_a_pipe_gets_colours_by_option_and_in_texts_that_are_the_same(
    cli: Cli, made: list[Run]
) -> None:
    forced = {"CLICOLOR_FORCE": "1"}
    name = made[0].spec.run_id

    def is_coloured(*words: str) -> bool:
        return "\x1b[" in cli(*words, command="codex_tasks", env=forced).stdout

    assert is_coloured("ls", "--color", "always")
    for words in (("ls",), ("status", name), ("usage",)):
        assert not is_coloured(*words)
    assert is_coloured("log", name)


def test_a_terminal_calls_a_task_by_its_short_id(cli: Cli, made: list[Run]) -> None:
    name = str(made[-1].thread)
    told = cli("status", "--json", "--one", name, command="codex_tasks").stdout
    short = json.loads(told)["short_id"]
    for command, said in (
        ("stop", "is not running; nothing to stop."),
        ("archive", "archived"),
        ("unarchive", "is back"),
        ("rm", "removed"),
    ):
        with terminal() as opened:
            words = (command, name)
            process = cli.start(*words, command="codex_tasks", stdout=opened.screen)
            assert process.wait() == 0
            text = opened.shown()

        assert f"Task {short} {said}" in text
