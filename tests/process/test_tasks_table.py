"""The table of tasks on a terminal keeps what a task is called and how it is."""

from pathlib import Path

import pytest
from support.commands import Cli
from support.ledgers import queue
from support.many import fill
from support.terminal import on_screen

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
        (120, "ID State Updated Title Working Dir"),
        (80, "ID State Updated Title Working …"),
        (70, "ID State Updated Title"),
        (60, "ID State Title"),
        (40, "ID State Title"),
        (30, "ID State"),
    ):
        heading, *lines = on_screen(cli, columns, "ls")

        assert " ".join(heading.split()) == headings
        assert max(map(len, lines)) <= columns
        assert len(lines) == len(made)
        for line in lines:
            assert line.split()[1] in {"STOPPED", "DIED"}


def test_ids_are_whole_where_there_is_room(cli: Cli, made: list[Run]) -> None:
    for columns in (80, 60):
        _, *lines = on_screen(cli, columns, "ls")

        assert {line.split()[0] for line in lines} == {run.thread for run in made}


def test_the_beginning_of_an_id_still_names_its_task(cli: Cli, made: list[Run]) -> None:
    for columns in (50, 40, 30):
        _, *lines = on_screen(cli, columns, "ls")

        for begun in (line.split()[0] for line in lines):
            assert len([r for r in made if str(r.thread).startswith(begun)]) == 1
        said = cli("status", "--json", lines[0].split()[0], command="codex_tasks")
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

        assert heading.split()[:3] == ["#", "Task", "Why"]
        assert max(map(len, lines)) <= columns
        assert len(lines) == len(made)


@pytest.mark.usefixtures("made")
def test_a_locale_without_such_letters_is_no_matter(cli: Cli) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert on_screen(cli, 80, "ls", **ascii_only) == on_screen(cli, 80, "ls")
