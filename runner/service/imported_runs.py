"""Make runs of ours of what other tools have left: the values, not the files.

A run's id is made of what is in the source, so that the same run gets the same id
whenever and from wherever it is imported.
"""

from __future__ import annotations

import os
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from parsers import loose_json
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner.model import (
    EXIT_INTERRUPTED,
    EXIT_NOT_FOUND,
    EXIT_STOPPED,
    EXIT_TIMED_OUT,
    CodexOptions,
    Finished,
    Limits,
    Mode,
    Outcome,
    Report,
    Run,
    RunId,
    SessionId,
    Spec,
    Verbosity,
    Verdict,
)
from runner.prompt.read import preview

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from runner.accounting.run import RunAccounting
    from runner.foreign.history import ForeignRun, History
    from runner.session_files import SessionFiles

# The key of a run's accounts that tells where it comes from.
IMPORTED = "imported"
# As `codex-tasks start` has it: whoever carries a session on gets its limits.
_STALL_SECONDS = 3600.0
_SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
_EXIT_CODES = {
    Outcome.TIMED_OUT: EXIT_TIMED_OUT,
    Outcome.INTERRUPTED: EXIT_INTERRUPTED,
    Outcome.STOPPED: EXIT_STOPPED,
    Outcome.NOT_STARTED: EXIT_NOT_FOUND,
}
_TICK = timedelta(microseconds=1)


class Place(Struct):
    """Hold where an imported session is to be, and as whom its Codex works.

    `codex_home` is where the thread lives, `umask` that of whoever imports it.
    """

    files: SessionFiles
    codex_home: Path
    umask: int


def parts_of(history: History) -> Iterator[History]:
    """Split runs that Codex named no thread for: each is a session of its own."""
    thread_id = uuid(history.session_id or "")
    if thread_id is not None or not history.runs:
        yield replace(history, session_id=thread_id)
        return
    for run in history.runs:
        yield replace(history, session_id=None, runs=(run,))


def key_of(history: History) -> str:
    """Name the session that a part becomes: its thread, else its one run."""
    return history.session_id or ids_of(history)[0]


def ids_of(history: History) -> list[RunId]:
    """Make the ids of the runs of a part: in their order, the same at every time."""
    found: list[RunId] = []
    at = None
    for run in history.runs:
        at = run.started_at if at is None else max(run.started_at, at + _TICK)
        found.append(RunId(f"{at:%Y%m%d-%H%M%S-%f}-{mark_of(history, run)}"))
    return found


def mark_of(history: History, run: ForeignRun) -> str:
    """Make the end of a run's id, in which no time is: sources may be touched."""
    return sha256(identity_of(history, run).encode(errors="replace")).hexdigest()[:8]


def identity_of(history: History, run: ForeignRun) -> str:
    """Say which run it is, whenever and wherever it is found."""
    if history.session_id is not None:
        return f"{history.session_id} {run.number}"
    name = run.source_run_id or history.source.name
    return f"{history.kind} {name} {run.number}"


def origin_of(run: Run) -> Mapping[str, object]:
    """Return what a run's record says of where it comes from; nothing of our own."""
    return loose_json.mapping(run.accounts.get(IMPORTED))


def specs_of(history: History, place: Place) -> list[Spec]:
    """Describe the runs of a part as if they had been started here."""
    repo = _directory(history)
    ids = ids_of(history)
    specs = []
    for number, (run, run_id) in enumerate(zip(history.runs, ids, strict=True)):
        is_new = number == 0 and not _is_resumed(run)
        specs.append(
            Spec(
                run_id=run_id,
                mode=Mode.NEW if is_new else Mode.RESUME,
                repo=repo,
                task=preview((run.prompt or "").encode(errors="replace")),
                task_file=None,
                resume_session=None if is_new else _session(history),
                log_dir=str(place.files.runs),
                cwd=repo,
                umask=place.umask,
                codex=_options(run, repo),
                limits=Limits(stall=_STALL_SECONDS),
                report=Report(),
                wait_for_session=False,
                verbosity=Verbosity.LOW,
                prepared_at=_prepared_at(history, run, number),
                codex_home=str(place.codex_home),
            )
        )
    return specs


def run_of(history: History, run: ForeignRun, spec: Spec, kept: RunAccounting) -> Run:
    """Put a finished run together."""
    found = {
        **kept.to_json(),
        "warnings": dict(kept.warnings),
        "left_running": [],
        IMPORTED: {
            "kind": history.kind,
            "source": str(history.source),
            "run": run.source_run_id,
            "identity": identity_of(history, run),
            "said": dict(run.meta),
        },
    }
    has_run = run.outcome is not Outcome.NOT_STARTED
    state = Finished(
        verdict=_verdict(run),
        started_at=run.started_at if has_run else None,
        ended_at=max(run.started_at, run.ended_at),
        accounts=found,
    )
    version = run.codex_version or (
        kept.codex_version if spec.mode is Mode.NEW else None
    )
    return Run(
        spec=spec, state=state, session_id=_session(history), codex_version=version
    )


def _session(history: History) -> SessionId | None:
    return None if history.session_id is None else SessionId(history.session_id)


def _directory(history: History) -> str:
    path = history.working_dir or "/"
    return path if path.startswith("/") and "\0" not in path else "/"


def _is_resumed(run: ForeignRun) -> bool:
    return uuid(run.meta.get("resume_session")) is not None


def _options(run: ForeignRun, repo: str) -> CodexOptions:
    # It was let work there: that must not depend on a flag that nobody has kept.
    return CodexOptions(
        bin="codex",
        sandbox=run.sandbox if run.sandbox in _SANDBOXES else None,
        model=run.model,
        skip_git_repo_check=not _is_in_repository(Path(repo)),
    )


def _is_in_repository(directory: Path) -> bool:
    return any(
        os.path.lexists(each / ".git") for each in (directory, *directory.parents)
    )


def _prepared_at(history: History, run: ForeignRun, number: int) -> datetime:
    """A session is as old as its first run."""
    return min(run.started_at, history.created_at) if number == 0 else run.started_at


def _verdict(run: ForeignRun) -> Verdict:
    code = run.exit_code or _EXIT_CODES.get(run.outcome, 1)
    return Verdict(
        outcome=run.outcome,
        exit_code=0 if run.outcome is Outcome.SUCCEEDED else code,
        process_exit_code=run.exit_code,
        error=run.error,
    )
