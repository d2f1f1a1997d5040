"""Lets something happen to a session in the moment between two looks of a command."""

import json
from collections.abc import Callable
from typing import Any

from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner import session_files
from runner.config import Config
from runner.ledger.runs import Ledger
from runner.model import (
    Claimed,
    Ended,
    Launched,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    Verdict,
)
from runner.service import archive, sessions

USED: dict[str, object] = {
    "model": "gpt-5.5",
    "token_usage": {
        "input_tokens": 100,
        "cached_input_tokens": 0,
        "output_tokens": 10,
        "reasoning_output_tokens": 0,
        "total_tokens": 110,
    },
    "cost": {"usd": 0.5},
    "warnings": {},
    "left_running": [],
}


def first_of_all(do: Callable[[], object], called: Callable[..., Any]) -> Any:  # noqa: ANN401  # called as it is
    """Let something happen just before something is called for the first time."""
    todo = [do]

    def call(*arguments: object, **options: object) -> object:
        if todo:
            todo.pop()()
        return called(*arguments, **options)

    return call


def afterwards(do: Callable[[], object], called: Callable[..., Any]) -> Any:  # noqa: ANN401  # called as it is
    """Let something happen just after something was called for the first time."""
    todo = [do]

    def call(*arguments: object, **options: object) -> object:
        found = called(*arguments, **options)
        if todo:
            todo.pop()()
        return found

    return call


def begun(ledger: Ledger, settings: Config, run_id: RunId | None = None) -> Run:
    """Let Codex begin to work on one more run of the session."""
    files = session_files.active(settings.state_home, SESSION)
    files.runs.mkdir(parents=True, exist_ok=True)
    one = run(
        run_id=run_id or run().run_id,
        log_dir=str(files.runs),
        repo=str(settings.state_home),
        mode=Mode.RESUME,
        resume_session=SessionId(SESSION),
    )
    one = replace(one, session_id=SessionId(SESSION))
    ledger.prepare(one)
    one = ledger.advance(one, Claimed(supervisor=PROCESS))
    return ledger.advance(one, Launched(at=AT, codex=PROCESS))


def over(one: Run, outcome: Outcome = Outcome.SUCCEEDED, **accounts: object) -> Run:
    verdict = Verdict(outcome=outcome, exit_code=0)
    return one.advanced(Ended(at=AT, verdict=verdict, accounts={**USED, **accounts}))


def end(
    one: Run,
    ledger: Ledger,
    outcome: Outcome = Outcome.SUCCEEDED,
    **accounts: object,
) -> Run:
    return ledger.store(one, over(one, outcome, **accounts))


def said(text: str) -> bytes:
    item = {"id": "item_0", "type": "agent_message", "text": text}
    lines = [{"type": "item.completed", "item": item}, {"type": "turn.completed"}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def look(ledger: Ledger, settings: Config) -> sessions.Task:
    row = ledger.sessions.of(SESSION)
    assert row is not None
    return sessions.look(row, ledger, settings)


def put_away(ledger: Ledger, settings: Config) -> None:
    archive.archive(look(ledger, settings).row, ledger, settings)
