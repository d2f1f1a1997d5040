"""`attach` becomes Codex's own interface, in the directory of an idle task."""

from pathlib import Path

from support import stand_in as script
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.terminal import terminal


def attached(session: Session, seen: Path) -> str:
    """Attach in a terminal, and give what Codex was started with."""
    cli = session.sessions.cli
    with terminal() as opened:
        argv = cli.argv("attach", session.id, command="codex_tasks")
        process = opened.start(argv, cli.env())
        process.wait(30)
        shown = opened.shown()
    assert process.returncode == 7, shown
    assert "and a minute longer, prompts that are sent" in shown
    return seen.read_text()


def test_codex_is_opened_where_and_as_the_task_worked(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    session = sessions.ended("-s", "workspace-write", "-c", "a=1", "Begin.")
    seen = tmp_path / "seen"
    codex.path.write_text(f'#!/bin/sh\necho "$PWD" "$@" > {seen}\nexit 7\n')

    told = attached(session, seen)

    repo = sessions.repo
    options = f"--config a=1 --sandbox workspace-write --cd {repo}"
    assert told == f"{repo} resume {options} {session.id}\n"


def test_a_task_that_runs_or_waits_and_a_pipe_are_refused(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(*script.begin(), script.wait_for(go), script.complete())
    busy = sessions.start("Slowly.")
    piped = busy.sessions("attach", busy.id)
    with terminal() as opened:
        argv = busy.sessions.cli.argv("attach", busy.id, command="codex_tasks")
        process = opened.start(argv, busy.sessions.cli.env())
        process.wait(30)
        wait_until(lambda: "is busy" in opened.shown(), what="the refusal")

    assert (piped.code, piped.stdout) == (2, "")
    assert process.returncode == 75
    go.touch()
    busy.wait()
