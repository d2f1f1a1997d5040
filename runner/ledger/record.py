"""The record of a run as JSON: the meta file and the index hold the same object.

Pure. Reading a record back and writing it again gives the same record.
"""

from __future__ import annotations

import json
from pathlib import Path

from parsers.struct import as_dict
from runner.clock import iso, parse_iso
from runner.errors import RunnerFault
from runner.model import (
    CodexOptions,
    Finished,
    Launching,
    Limits,
    Mode,
    Outcome,
    Prepared,
    ProcessId,
    Report,
    Run,
    RunId,
    Running,
    SessionId,
    Spec,
    Verbosity,
    Verdict,
)
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from runner.model import State

Json = dict[str, object]


class DamagedRecordError(RunnerFault):
    """Report a record that is not what this suite writes."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the record of run {what} is damaged: {reason}")


def to_json(run: Run) -> Json:
    """Build the record: what people look for first, what only we need last."""
    spec, state = run.spec, run.state
    files = files_of(spec)
    verdict, accounts = run.verdict, dict(run.accounts)
    started, ended = run.started_at, run.ended_at
    return {
        "run_id": spec.run_id,
        "session_id": run.session_id,
        "resume_session": spec.resume_session,
        "mode": spec.mode,
        "repo": spec.repo,
        "task": spec.task,
        "task_file": spec.task_file,
        "codex_bin": spec.codex.bin,
        "codex_version": run.codex_version,
        "model": accounts.pop("model", None) or spec.codex.model,
        "sandbox": spec.codex.sandbox,
        "log_file": str(files.log),
        "events_file": str(files.events),
        "stderr_file": str(files.stderr),
        "prompt_file": str(files.prompt),
        "meta_file": str(files.meta),
        "summary_file": str(files.summary),
        "started_at": iso(started),
        "ended_at": iso(ended) if ended else None,
        "elapsed_seconds": elapsed(started, ended),
        "exit_code": verdict.exit_code if verdict else None,
        "process_exit_code": verdict.process_exit_code if verdict else None,
        "signal": verdict.signal if verdict else None,
        "outcome": verdict.outcome if verdict else None,
        "error": verdict.error if verdict else None,
        "token_usage": accounts.pop("token_usage", None),
        "cost": accounts.pop("cost", None),
        "warnings": accounts.pop("warnings", {}),
        "left_running": accounts.pop("left_running", []),
        "accounts": accounts,
        "state": type(state).__name__.lower(),
        "prepared_at": iso(spec.prepared_at),
        "launched_at": _iso_or_none(run.launched_at),
        "rollout_offset": run.rollout_offset,
        "processes": _processes(state),
        "request": _request(spec),
    }


def files_of(spec: Spec) -> RunFiles:
    """Name the files of the run that a spec describes."""
    return RunFiles(Path(spec.log_dir), spec.run_id)


def elapsed(started: datetime, ended: datetime | None) -> float | None:
    """Return the seconds between two instants as the record writes them."""
    if ended is None:
        return None
    # Of finer instants the figure would be another one when the record is read back.
    written = parse_iso(iso(ended)) - parse_iso(iso(started))
    return max(0.0, round(written.total_seconds(), 3))


def from_json(record: Mapping[str, object]) -> Run:
    """Read a record back.

    Raises:
        DamagedRecordError: it is not a record, or one of another make.
    """
    data: Mapping[str, Any] = dict(record)
    try:
        return Run(
            spec=_spec(data),
            state=_state(data),
            session_id=_session(data["session_id"]),
            codex_version=data["codex_version"],
            rollout_offset=data["rollout_offset"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedRecordError(str(data.get("run_id", "?")), repr(error)) from error


def encode(value: Json, *, indent: int | None = None) -> bytes:
    """Write a JSON object as UTF-8 with a newline at its end.

    A path that is no UTF-8 keeps its bytes as escapes: such text is written in ASCII.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        return (text + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode()


def checksum(answer: str) -> int:
    """Tell one answer from another without keeping it in the record."""
    import zlib  # noqa: PLC0415 - not before a run has an answer

    return zlib.crc32(answer.encode(errors="replace"))


def _iso_or_none(instant: datetime | None) -> str | None:
    return iso(instant) if instant else None


def _processes(state: State) -> Json:
    match state:
        case Prepared(launcher=launcher):
            return {"launcher": as_dict(launcher)}
        case Launching(supervisor=supervisor):
            return {"supervisor": as_dict(supervisor)}
        case Running(supervisor=supervisor, codex=codex):
            return {"supervisor": as_dict(supervisor), "codex": as_dict(codex)}
        case Finished():
            return {}


def _request(spec: Spec) -> Json:
    return {
        "log_dir": spec.log_dir,
        "cwd": spec.cwd,
        "umask": spec.umask,
        "overrides": list(spec.codex.overrides),
        "skip_git_repo_check": spec.codex.skip_git_repo_check,
        "extra": list(spec.codex.extra),
        "model": spec.codex.model,
        "limits": as_dict(spec.limits),
        "report": as_dict(spec.report),
        "wait_for_session": spec.wait_for_session,
        "verbosity": spec.verbosity,
        "once": list(spec.codex.once),
        "codex_home": spec.codex_home,
        "mail_id": spec.mail_id,
    }


def _spec(data: Mapping[str, Any]) -> Spec:
    request = data["request"]
    return Spec(
        run_id=RunId(data["run_id"]),
        mode=Mode(data["mode"]),
        repo=data["repo"],
        task=data["task"],
        task_file=data["task_file"],
        resume_session=_session(data["resume_session"]),
        log_dir=request["log_dir"],
        cwd=request["cwd"],
        umask=request["umask"],
        codex=CodexOptions(
            bin=data["codex_bin"],
            sandbox=data["sandbox"],
            model=request["model"],
            overrides=tuple(request["overrides"]),
            skip_git_repo_check=request["skip_git_repo_check"],
            extra=tuple(request["extra"]),
            once=tuple(request.get("once", ())),
        ),
        limits=Limits(**request["limits"]),
        report=Report(**request["report"]),
        wait_for_session=request["wait_for_session"],
        verbosity=Verbosity(request["verbosity"]),
        prepared_at=parse_iso(data["prepared_at"]),
        codex_home=request.get("codex_home"),
        mail_id=request.get("mail_id"),
    )


def _state(data: Mapping[str, Any]) -> State:
    processes = data["processes"]
    match data["state"]:
        case "prepared":
            return Prepared(launcher=ProcessId(**processes["launcher"]))
        case "launching":
            return Launching(supervisor=ProcessId(**processes["supervisor"]))
        case "running":
            return Running(
                supervisor=ProcessId(**processes["supervisor"]),
                codex=ProcessId(**processes["codex"]),
                started_at=parse_iso(data["launched_at"]),
            )
        case "finished":
            return _finished(data)
        case other:
            raise ValueError(other)


def _finished(data: Mapping[str, Any]) -> Finished:
    launched = data["launched_at"]
    shown = ("model", "token_usage", "cost", "warnings", "left_running")
    return Finished(
        verdict=Verdict(
            outcome=Outcome(data["outcome"]),
            exit_code=data["exit_code"],
            process_exit_code=data["process_exit_code"],
            signal=data["signal"],
            error=data["error"],
        ),
        started_at=parse_iso(launched) if launched else None,
        ended_at=parse_iso(data["ended_at"]),
        accounts={**{k: data[k] for k in shown}, **data["accounts"]},
    )


def _session(value: str | None) -> SessionId | None:
    return SessionId(value) if value else None
