"""What a TAB finds on record; it makes nothing and complains of nothing."""

from pathlib import Path

import pytest
from support.many import fill

from runner.cli import codex_tasks
from runner.ledger.database import NAME
from runner.ledger.jobs import Job, JobTable, touched
from runner.ledger.ledger import Ledger
from runner.model import Run


@pytest.fixture
def made(state_home: Path) -> list[Run]:
    """Put six sessions on record, the second one archived."""
    made = fill(state_home, sessions=6, runs_per_session=1)
    ledger = Ledger(state_home)
    (session,) = ledger.sessions.named(made[1].thread or "")
    at = "2026-11-20T12:00:00.000Z"
    ledger.sessions.archive(session, "archive/2026/11/20/x", at)
    ledger.close()
    return made


@pytest.fixture
def asked(
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> "Asked":
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(state_home))
    return Asked(capfd)


class Asked:
    """Asks the command as a shell does."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, line: str) -> list[str]:
        assert codex_tasks.main(["completion", "zsh", f"--line={line}"]) == 0
        out, err = self.capfd.readouterr()
        assert err == ""
        assert out.startswith("words\n")
        return [each.partition("\t")[0] for each in out.splitlines()[1:]]


def test_tasks_are_found_the_newest_first(asked: Asked, made: list[Run]) -> None:
    newest = [run.thread for run in reversed(made) if run is not made[1]]

    assert asked("codex-tasks status ") == [made[1].thread, *newest]
    assert asked("codex-tasks stop ") == newest
    assert asked("codex-tasks unarchive ") == [made[1].thread]
    assert asked("codex-tasks rm Fix") == ["Fix the tests 0"]


def test_runs_are_found_the_newest_first(asked: Asked, made: list[Run]) -> None:
    assert asked("parse_codex_run ") == [run.run_id for run in reversed(made)]
    assert asked(f"codex-tasks log {made[2].thread} --run ") == [made[2].run_id]


def test_jobs_are_found_and_no_other_tasks(
    asked: "Asked", made: list[Run], state_home: Path
) -> None:
    ledger = Ledger(state_home)
    (session,) = ledger.sessions.named(made[2].thread or "")
    JobTable(ledger).save(touched(Job(id=session.short_id, label="A label")))
    ledger.close()

    assert asked("codex-agent status ") == [session.short_id]
    assert asked("codex-agent kill ") == []


@pytest.mark.parametrize(
    "line",
    [
        *("codex-tasks status ", "codex-tasks log --run ", "parse_codex_run "),
        "codex-agent status ",
    ],
)
def test_without_a_ledger_nothing_is_found_and_nothing_is_made(
    asked: Asked, state_home: Path, line: str
) -> None:
    assert asked(line) == []
    assert not state_home.exists()

    state_home.mkdir()
    assert asked(line) == []
    assert list(state_home.iterdir()) == []


@pytest.mark.parametrize("line", ["codex-tasks status ", "parse_codex_run "])
def test_a_damaged_ledger_is_not_complained_of(
    asked: Asked, state_home: Path, line: str
) -> None:
    state_home.mkdir()
    (state_home / NAME).write_text("This is no database, and long enough. " * 40)

    assert asked(line) == []


@pytest.mark.parametrize("line", ["", "codex-tasks"])
def test_a_line_without_a_word_to_complete_is_no_fault(asked: Asked, line: str) -> None:
    assert "ls" in asked(line)
