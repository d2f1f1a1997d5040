"""A prompt goes to a run, and comes back when its turn did not begin."""

from pathlib import Path
from typing import NoReturn

import pytest
from support import ledgers
from support.runs import AT, PROCESS, SESSION, run, settings

from parsers.struct import replace
from runner import clock
from runner.errors import FileFault, LedgerFault
from runner.ledger.ledger import Ledger
from runner.lifecycle import recover
from runner.lifecycle.judge import KILLED
from runner.lifecycle.queue import deliver_next
from runner.model import (
    Claimed,
    CodexOptions,
    Ended,
    Outcome,
    Report,
    Run,
    RunId,
    RunRequest,
    SessionId,
    Verdict,
)


def prepare(ledger: Ledger, session: int, number: int, prompt: int) -> Run:
    request = asks(session, prompt_id=prompt)
    prepared = run(run_id=RunId(f"run-{number}"), prompt_id=prompt)
    return ledger.queue.prepare(prepared, request)


def asks(session: int | None, **changes: object) -> RunRequest:
    request = RunRequest(
        prompt=b"More.",
        repo="/repo",
        cwd="/repo",
        umask=0o022,
        codex=CodexOptions(bin="codex"),
        codex_home="/codex",
        session=session,
        thread=SessionId(SESSION),
    )
    return replace(request, **changes)


def end(
    ledger: Ledger, one: Run, outcome: Outcome, error_class: str | None = None
) -> None:
    verdict = Verdict(outcome=outcome, exit_code=1, error_class=error_class)
    over = one.advanced(Ended(verdict=verdict, at=AT, accounts={}))
    ledger.runs.finish(one, over)


def word(ledger: Ledger, session: int) -> str | None:
    head = ledger.queue.head(session)
    assert head is not None
    return head.word


def test_a_prompt_whose_back_off_is_over_is_delivered(
    ledger: Ledger, session: int
) -> None:
    prompt = ledger.queue.add(session, b"More.", "More.", AT)
    for number in range(3):
        assert word(ledger, session) is None
        prepared = prepare(ledger, session, number, prompt)
        end(ledger, prepared, Outcome.NOT_STARTED, KILLED)
    assert word(ledger, session) == "retry"

    with ledger.transaction():
        ledger._db.execute("update prompts set wake_at = wake_from")

    assert word(ledger, session) is None
    prepared = prepare(ledger, session, 3, prompt)
    assert ledger.queue.holder(session) == prepared.run_id


def test_a_directory_that_cannot_be_looked_at_keeps_its_prompt_waiting(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A supervisor that delivers it has its own exports to finish, and hooks to run."""
    with ledger.transaction():
        repo = f"/{'n' * 300}"
        session = ledger.sessions.open(clock.iso(AT), thread=SESSION, repo=repo)
    ledger.queue.add(session, b"More.", "More.", AT)

    with pytest.raises(FileFault):
        deliver_next(session, ledger, settings(tmp_path))

    assert word(ledger, session) is None


def test_a_run_that_a_bug_keeps_from_being_judged_ends_no_command(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledgers.launch(ledger, ledgers.prepare(ledger, 1))

    def fail(*_: object) -> Run:
        raise TypeError("a figure is none")

    monkeypatch.setattr(recover, "_judge", fail)

    (fault,) = recover.sweep(ledger, settings(tmp_path)).faults

    assert "it cannot be judged: TypeError('a figure is none')" in fault


def test_a_ledger_that_cannot_be_written_costs_a_sweep_its_deliveries_alone(
    ledger: Ledger, session: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ledger.queue.add(session, b"More.", "More.", AT)
    ledger.queue.hold(prompt, "the usage limit")
    ledgers.wake(ledger, prompt, "limit", "2026-11-20T11:00:00.000Z")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise LedgerFault(ledger.path, "the disk is full")

    monkeypatch.setattr(ledger, "write", refuse)
    swept = recover.sweep(ledger, settings(tmp_path))

    (fault,) = swept.faults
    assert "the disk is full" in fault


def test_the_end_of_a_run_that_only_waited_is_told(
    ledger: Ledger, session: int
) -> None:
    ledger.queue.add(session, b"First.", "First.", AT)
    waiting = run(report=Report(notify_command="hook"), resume_session=SESSION)
    ledger.queue.prepare(waiting, asks(session, wait_for_session=True))

    ledger.queue.stop([session])

    (told,) = ledger.outbox.of_run(waiting.run_id)
    assert (told.what, told.target) == ("run_completed", "hook")


def test_a_session_has_settings_although_its_supervisor_noted_no_launch(
    ledger: Ledger,
) -> None:
    options = CodexOptions(bin="/opt/codex", sandbox="read-only")
    first = ledger.queue.prepare(run(codex=options), asks(session=None, thread=None))
    claimed = ledger.runs.advance(first, Claimed(supervisor=PROCESS))

    end(ledger, claimed, Outcome.LOST)

    settings = ledger.sessions.get(first.session).settings
    assert settings is not None
    assert settings.codex == options


def test_a_session_takes_the_settings_of_a_run_whose_launch_was_not_noted(
    ledger: Ledger, session: int
) -> None:
    options = CodexOptions(bin="/opt/codex", sandbox="read-only")
    resumed = ledger.queue.prepare(run(codex=options), asks(session))

    end(ledger, replace(resumed, has_begun=True), Outcome.SUCCEEDED)

    settings = ledger.sessions.get(session).settings
    assert settings is not None
    assert settings.codex == options


def test_the_only_prompt_of_a_session_goes_back_after_its_turn_has_begun(
    ledger: Ledger, session: int
) -> None:
    number = ledgers.queue(ledger, session)
    begun = replace(prepare(ledger, session, 1, number), has_begun=True)

    end(ledger, begun, Outcome.USAGE_LIMITED)

    (waits,) = ledger.queue.waiting(session)
    assert (waits.id, waits.word) == (number, "limit")
