"""Fills a ledger with many runs, as if they had all been started and judged."""

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.runs import PROCESS, spec

from parsers.struct import replace
from runner import files
from runner.clock import iso
from runner.exports import run_exports, task_files
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.model import (
    CodexOptions,
    Finished,
    Mode,
    Outcome,
    Run,
    RunId,
    Running,
    SessionId,
    Verdict,
)
from runner.process.table import here
from runner.run_files import files_of, own_directory

UNTIL = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DAYS = 60
REPOS = tuple(f"/srv/src/{name}" for name in ("app", "docs", "tools/parser", "web"))
# Dollars for a million tokens of input, cached input and output; None: no price.
MODELS: Mapping[str, tuple[float, float, float] | None] = {
    "gpt-5.1-codex": (1.25, 0.125, 10.0),
    "gpt-5.1-codex-mini": (0.25, 0.025, 2.0),
    "own-model": None,
}
TITLES = ("Fix the tests", "Docs", "Review: the parser's corners", "Größe ändern")
OUTCOMES = (
    *(Outcome.SUCCEEDED,) * 16,
    *(Outcome.FAILED, Outcome.TIMED_OUT, Outcome.STOPPED, Outcome.LOST),
)
_TITLED_EVERY = 3
_UNKNOWN_EVERY = 25
_TWO_MODELS_EVERY = 10


def fill(
    state_home: Path, sessions: int, runs_per_session: int, *, running: int = 0
) -> list[Run]:
    """Put runs on record, in one transaction: the same ones each time.

    Args:
        state_home: The state directory, made when missing.
        sessions: How many; every third has a title, with its number behind it.
        runs_per_session: How many each has, the oldest first.
        running: The last runs of so many sessions are not over, by the record.
    """
    made = list(_runs(state_home, sessions, runs_per_session, running))
    ledger = Ledger(state_home)
    with ledger.transaction():
        for number in range(sessions):
            first = number * runs_per_session
            _put(ledger, made[first : first + runs_per_session], _title(number))
    ledger.close()
    return made


def export(state_home: Path) -> None:
    """Write the files of all sessions, as if Codex had said something in each run."""
    ledger = Ledger(state_home)
    with ledger.transaction():
        for session in ledger.sessions.all():
            ledger.change("set_exports", session=session.key, exports=session.thread)
            for run in ledger.runs.of_session(session.key):
                _write_run(ledger, run)
    for session in ledger.sessions.all():
        task_files.write_all(ledger, session.key)
    ledger.close()


def _write_run(ledger: Ledger, run: Run) -> None:
    """Give a run an answer, and write its files."""
    answer, paths = f"Run {run.run_id} is done.", files_of(run.spec)
    said = {"final_message": answer, "commands": {"run": 2, "failed": 0}, "errors": []}
    found = {**run.accounts, "said": {**said, "files_changed": [], "is_cut": False}}
    assert isinstance(run.state, Finished)
    run = replace(run, state=replace(run.state, accounts=found))
    ledger.change("save_record", run_id=run.run_id, record=record.pack(run))
    files.make_directory(paths.directory)
    item = {"id": "item_0", "type": "agent_message", "text": answer}
    events = (
        {"type": "thread.started", "thread_id": run.thread},
        {"type": "turn.started"},
        {"type": "item.completed", "item": item},
        {"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 1}},
    )
    files.create(paths.prompt, run.spec.task.encode())
    files.create(paths.stderr, b"Reading prompt from stdin...\n")
    lines = "".join(f"{json.dumps(each)}\n" for each in events)
    files.create(paths.events, lines.encode())
    run_exports.write_end(run)


def entitle(state_home: Path, run: Run, title: str) -> None:
    """Give the session of a run a title, as if it had been started with it."""
    ledger = Ledger(state_home)
    with ledger.transaction():
        key = ledger.sessions.of_thread(run.thread or "")
        ledger.change("restore_title", session=key, title=title, exports=None)
    ledger.close()


def _put(ledger: Ledger, runs: list[Run], title: str | None) -> None:
    """Insert the runs of one session, with what they have used."""
    spec, thread = runs[0].spec, runs[0].thread
    at = iso(spec.prepared_at)
    key = ledger.sessions.open(at, thread=thread, title=title, repo=spec.repo)
    for run in runs:
        ledger.runs.insert(replace(run, session=key))
        if run.is_finished:
            ledger.usage.record_run(run)


def _title(session: int) -> str | None:
    if session % _TITLED_EVERY:
        return None
    return f"{TITLES[session // _TITLED_EVERY % len(TITLES)]} {session}"


def _runs(home: Path, sessions: int, each: int, running: int) -> Iterator[Run]:
    chance = random.Random(7)  # noqa: S311  # the same runs every time
    step = timedelta(days=DAYS) / max(sessions * each, 1)
    at = UNTIL - timedelta(days=DAYS)
    for session in range(sessions):
        key = SessionId(new_thread(chance, at))
        repo = chance.choice(REPOS)
        for number in range(each):
            is_over = number < each - 1 or session < sessions - running
            yield _run(chance, home, key, repo, at, number=number, is_over=is_over)
            at += step


def new_thread(chance: random.Random, at: datetime) -> str:
    """Make a thread id as Codex does: its time, then what chance has given."""
    text = f"{int(at.timestamp() * 1000):012x}{chance.getrandbits(80):020x}"
    return str(uuid.UUID(f"{text[:12]}7{text[13:16]}8{text[17:]}"))


def _run(  # noqa: PLR0913  # what differs from run to run
    chance: random.Random,
    home: Path,
    key: SessionId,
    repo: str,
    at: datetime,
    *,
    number: int,
    is_over: bool,
) -> Run:
    at += timedelta(milliseconds=chance.randrange(1000))
    began, ended = at + timedelta(seconds=0.1), at + timedelta(seconds=90)
    run_id = RunId(f"{at:%Y%m%d-%H%M%S-%f}-{chance.getrandbits(32):08x}")
    changes: dict[str, Any] = {
        "run_id": run_id,
        "directory": str(own_directory(home, run_id)),
        "is_flat": False,
        "mode": Mode.RESUME if number else Mode.NEW,
        "repo": repo,
        "cwd": repo,
        "task": f"Prompt {number} of this session.",
        "resume_session": key if number else None,
        "codex": CodexOptions(bin="codex", sandbox="workspace-write"),
        "prepared_at": at,
    }
    gone = replace(PROCESS, **here())
    state: Finished | Running = Running(supervisor=gone, codex=gone, started_at=began)
    if is_over:
        state = Finished(
            verdict=_verdict(chance.choice(OUTCOMES)),
            started_at=began,
            ended_at=ended,
            accounts=_accounts(chance),
        )
    return Run(
        spec=spec(**changes),
        state=state,
        thread=key,
        codex_version="0.169.0",
        rollout_offset=number * 20_000,
    )


def _verdict(outcome: Outcome) -> Verdict:
    if outcome is Outcome.SUCCEEDED:
        return Verdict(outcome=outcome, exit_code=0, process_exit_code=0)
    return Verdict(outcome=outcome, exit_code=1, error=f"It has {outcome}.")


def _accounts(chance: random.Random) -> dict[str, object]:
    if not chance.randrange(_UNKNOWN_EVERY):
        return accounts({})
    two = not chance.randrange(_TWO_MODELS_EVERY)
    weights = (6, 3, 1)
    names = chance.choices(list(MODELS), weights)
    if two:
        names = ["gpt-5.1-codex", "gpt-5.1-codex-mini"]
    return accounts({name: _figures(chance) for name in names})


def _figures(chance: random.Random) -> dict[str, int]:
    cached, output = chance.randrange(200_000), chance.randrange(100, 20_000)
    return figures(cached + chance.randrange(1000, 40_000), cached, output)


def figures(fresh: int, cached: int = 0, output: int = 0) -> dict[str, int]:
    """Make the tokens of a run: all of its input, the cached part of it, its output."""
    return {
        "input_tokens": fresh,
        "cached_input_tokens": cached,
        "cache_write_input_tokens": 0,
        "output_tokens": output,
        "reasoning_output_tokens": output // 3,
        "total_tokens": fresh + output,
    }


def accounts(used: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    """Make the accounts of a run that used these models; of none, nothing is known."""
    unknown = dict.fromkeys(figures(0))
    reason = "neither the run's output nor a rollout file tells it"
    usage: dict[str, object] = {**unknown, "source": None, "reason": reason}
    if used:
        parts = {p: sum(each[p] for each in used.values()) for p in unknown}
        usage = {**parts, "source": "rollout"}
    if len(used) > 1:
        usage["by_model"] = {name: dict(each) for name, each in used.items()}
    return {
        "model": next(reversed(list(used)), None),
        "token_usage": usage,
        "cost": _cost(used),
        "warnings": {},
        "left_running": [],
        "has_answer": bool(used),
    }


def _cost(used: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    parts = {name: _parts(name, each) for name, each in used.items()}
    priced = {name: part for name, part in parts.items() if part is not None}
    block: dict[str, object] = {"model": next(iter(used), None), "price_source": None}
    if not used or len(priced) < len(parts):
        reason = "no price for the model" if used else "the usage is not known"
        return {"usd": None, **block, "parts": None, "reason": reason}
    usd = sum(sum(part.values()) for part in priced.values())
    whole = priced if len(priced) > 1 else next(iter(priced.values()))
    return {"usd": usd, **block, "parts": whole}


def _parts(model: str, used: Mapping[str, int]) -> dict[str, float] | None:
    rates = MODELS.get(model)
    if rates is None:
        return None
    fresh = used["input_tokens"] - used["cached_input_tokens"]
    return {
        "input": fresh * rates[0] / 1e6,
        "cached_input": used["cached_input_tokens"] * rates[1] / 1e6,
        "cache_write": 0.0,
        "output": used["output_tokens"] * rates[2] / 1e6,
    }
