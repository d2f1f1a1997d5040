"""A pipe in the place of a file, or a file that nests too deeply, harms one task."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import Ended, Tasks

PATIENCE = 20
PIPE = "it is not a regular file"
OTHER = "01a1f000-0000-7000-8000-00000000000f"


def becomes_a_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def becomes_deep(path: Path) -> None:
    path.write_text("[" * 200_000)


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions.ended()


def said(session: Session, *words: str) -> Ended:
    return session.sessions(*words, timeout=PATIENCE)


@pytest.mark.parametrize("damage", [becomes_a_pipe, becomes_deep])
def test_a_damaged_record_is_named_and_written_anew_and_harms_no_command(
    session: Session, damage: Callable[[Path], None]
) -> None:
    other = session.sessions.ended("-t", "whole", "Begin.")
    run = session.runs[0].directory

    for path in (
        session.directory / "task.json",
        run / "meta.json",
        run / "summary.json",
    ):
        damage(path)

        for words in (("ls", "-a", "--json"), ("status", "-a")):
            listed = said(session, *words)
            assert session.id in listed.stdout
            assert other.id in listed.stdout
        assert f"export {path}: it differs" in said(session, "verify").stdout
        assert said(session, "verify", "--repair").code == 0
        assert said(session, "verify").code == 0


@pytest.mark.parametrize("name", ["task.result", "task.log", "task.pid"])
def test_a_view_that_is_a_pipe_keeps_nobody_waiting(
    session: Session, name: str
) -> None:
    becomes_a_pipe(session.directory / name)

    assert said(session, "status", session.id).code == 0
    assert said(session, "log", session.id).code == 0
    assert said(session, "verify").code in {0, 1}


@pytest.mark.parametrize("suffix", [".prompt", ".events.jsonl", ".stderr"])
def test_a_file_of_a_run_that_is_a_pipe_is_named_and_the_rest_is_shown(
    session: Session, suffix: str
) -> None:
    path = session.runs[0].path(suffix)
    becomes_a_pipe(path)

    log = said(session, "log", session.id)

    assert log.code == 0
    assert f"cannot read {path}: {PIPE}" in log.stdout + log.stderr
    assert said(session, "log", "-n", "3", session.id).code == 0
    assert said(session, "verify").code in {0, 1}


def test_a_waiting_prompt_whose_file_is_a_pipe_is_delivered_all_the_same(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(*script.begin(), script.wait_for(go), script.complete())
    session = sessions.start()
    session.queue("Next.")
    (prompt,) = (sessions.state_home / "queue").iterdir()
    becomes_a_pipe(prompt)

    sent = session.queue("And on.", timeout=PATIENCE)
    go.touch()
    session.wait()

    assert sent.code == 0
    assert session.given == ["Begin.", "Next.", "And on."]
    assert not list((sessions.state_home / "queue").iterdir())


def test_a_foreign_directory_with_a_pipe_is_passed_by(session: Session) -> None:
    (session.sessions.state_home / OTHER).mkdir(mode=0o700)
    os.mkfifo(session.sessions.state_home / OTHER / "task.json")

    for words in (("ls", "-a", "--json"), ("status", "-a"), ("verify",)):
        passed_by = said(session, *words)
        assert passed_by.code == 0
        assert session.id in passed_by.stdout or words == ("verify",)


@pytest.mark.parametrize("damage", [becomes_a_pipe, becomes_deep])
def test_prices_that_cannot_be_read_cost_the_price_alone_and_a_warning(
    task: Tasks, state_home: Path, damage: Callable[[Path], None]
) -> None:
    state_home.mkdir(mode=0o700)
    damage(state_home / "prices.toml")

    ended = task("-m", "gpt-5", timeout=PATIENCE)

    warning = next(line for line in ended.stderr.splitlines() if "prices.toml" in line)
    text = warning.removeprefix("run_codex_task: ").removeprefix("warning: ")
    assert ended.code == 0
    assert ended.files.summary["cost"]["usd"] is None
    assert text in ended.files.summary["cost"]["reason"]
    assert ended.files.summary["token_usage"]["total_tokens"]
    assert list(ended.meta["warnings"]) == [text]


def test_a_rollout_that_is_a_pipe_does_not_keep_a_run_from_its_verdict(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*script.ordinary(), thread=OTHER)
    day = Path(sessions.cli.environment["CODEX_HOME"]) / "sessions/2026/11/20"
    day.mkdir(parents=True)
    os.mkfifo(day / f"rollout-2026-11-20T00-00-00-{OTHER}.jsonl")

    assert sessions.ended().state == "STOPPED"
