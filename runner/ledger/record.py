"""The record of a run as JSON: pure.

The ledger keeps it compressed beside the columns that are searched, and the export
`meta.json` is the same object. Where a column holds a value too, the column counts.
Reading a record back and writing it again gives the same record.
"""

from __future__ import annotations

import json
import zlib

from parsers.struct import EMPTY, Struct, as_dict
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
    Waiting,
)
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import TypeVar

    from runner.model import State

    T = TypeVar("T")

Json = dict[str, object]
_BLANK: Json = {"mode": "new", "repo": "", "task": "", "codex_bin": "codex"}
_BLANK_REQUEST: Json = {
    "cwd": "/",
    "umask": 0o077,
    "skip_git_repo_check": False,
    "limits": {},
    "report": {},
    "wait_for_session": False,
    "verbosity": "low",
}


class DamagedRecordError(RunnerFault):
    """Report a record that is not what this suite writes."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the record of run {what} is damaged: {reason}")


def to_json(run: Run) -> Json:
    """Build the record: what people look for first, what only we need last."""
    spec, paths = run.spec, files_of(run.spec)
    verdict, accounts = run.verdict, dict(run.accounts)
    started, ended = run.started_at, run.ended_at
    return {
        "run_id": spec.run_id,
        "session_id": run.thread,
        "resume_session": spec.resume_session,
        "mode": spec.mode,
        "repo": spec.repo,
        "task": spec.task,
        "task_file": spec.task_file,
        "codex_bin": spec.codex.bin,
        "codex_version": run.codex_version,
        "model": accounts.pop("model", None) or spec.codex.model,
        "sandbox": spec.codex.sandbox,
        "log_file": str(paths.log) if spec.is_flat else None,
        "events_file": str(paths.events),
        "stderr_file": str(paths.stderr),
        "prompt_file": str(paths.prompt),
        "meta_file": str(paths.meta),
        "summary_file": str(paths.summary),
        "started_at": iso(started),
        "ended_at": iso(ended) if ended else None,
        "elapsed_seconds": elapsed(started, ended),
        "exit_code": verdict.exit_code if verdict else None,
        "process_exit_code": verdict.process_exit_code if verdict else None,
        "signal": verdict.signal if verdict else None,
        "outcome": verdict.outcome if verdict else None,
        "error": verdict.error if verdict else None,
        "error_class": verdict.error_class if verdict else None,
        "token_usage": accounts.pop("token_usage", None),
        "cost": accounts.pop("cost", None),
        "warnings": accounts.pop("warnings", {}),
        "left_running": accounts.pop("left_running", []),
        "accounts": accounts,
        "state": state_of(run),
        "prepared_at": iso(spec.prepared_at),
        "launched_at": iso(run.launched_at) if run.launched_at else None,
        "rollout_offset": run.rollout_offset,
        "has_begun": run.has_begun,
        "processes": _processes(run.state),
        "request": {
            "directory": spec.directory,
            "is_flat": spec.is_flat,
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
            "prompt_id": spec.prompt_id,
        },
    }


def from_json(record: Mapping[str, object]) -> Run:
    """Read a record back, also one of the versions before.

    Raises:
        DamagedRecordError: it is not a record.
    """
    found = _Fields(record)
    try:
        return Run(
            spec=_spec(found),
            state=_state(found),
            thread=_session(found.maybe("session_id", str)),
            has_begun=found.maybe("has_begun", bool) or False,
            codex_version=found.maybe("codex_version", str),
            rollout_offset=found.maybe("rollout_offset", int),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRecordError(str(record.get("run_id", "?")), repr(error)) from error


def of_row(stored: Json, columns: Json, request: Json) -> Run:
    """Make a run of its record and its columns; where both have a value they count.

    A damaged record costs what only it has: nothing is refused because of it.
    """
    asked = stored.get("request")
    known = asked if isinstance(asked, dict) else {}
    try:
        return from_json({**stored, **columns, "request": {**known, **request}})
    except DamagedRecordError as error:
        blank = {**_BLANK, **columns, "request": {**_BLANK_REQUEST, **request}}
        return from_json({**blank, "warnings": {str(error): 1}})


def state_of(run: Run) -> str:
    """Name the state of a run as the ledger does."""
    return type(run.state).__name__.lower()


def elapsed(started: datetime, ended: datetime | None) -> float | None:
    """Return the seconds between two instants as the record writes them."""
    if ended is None:
        return None
    # Of finer instants the figure would be another one when the record is read back.
    written = parse_iso(iso(ended)) - parse_iso(iso(started))
    return max(0.0, round(written.total_seconds(), 3))


def encode(value: Json, *, indent: int | None = None) -> bytes:
    """Write a JSON object as UTF-8 with a newline at its end.

    A path that is no UTF-8 keeps its bytes as escapes: such text is written in ASCII.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        return (text + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode()


def pack(run: Run) -> bytes:
    """Write the record of a run as the ledger keeps it."""
    text = json.dumps(to_json(run), separators=(",", ":"))
    return zlib.compress(text.encode(), 1)


def unpack(record: bytes) -> Json:
    """Read what `pack` has written; an empty object when it is damaged."""
    try:
        found = json.loads(zlib.decompress(record))
    except (zlib.error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def checksum(answer: str) -> int:
    """Tell one answer from another without keeping it in the record."""
    return zlib.crc32(answer.encode(errors="replace"))


def settings_json(spec: Spec) -> str:
    """Write what the next run of the session takes over from a run."""
    kept = {
        "repo": spec.repo,
        "codex_bin": spec.codex.bin,
        "sandbox": spec.codex.sandbox,
        "request": {
            "umask": spec.umask,
            "overrides": spec.codex.overrides,
            "skip_git_repo_check": spec.codex.skip_git_repo_check,
            "extra": spec.codex.extra,
            "model": spec.codex.model,
            "limits": {"timeout": spec.limits.timeout, "stall": spec.limits.stall},
        },
    }
    return json.dumps(kept, separators=(",", ":"))


class Settings(Struct):
    """Hold what the next run of a session takes over from the one before."""

    repo: str
    umask: int
    codex: CodexOptions
    limits: Limits


def read_settings(text: str) -> Settings | None:
    """Read what `settings_json` has written; None for a session without settings."""
    found = _Fields(json.loads(text))
    if found.maybe("request", dict) is None:
        return None
    return Settings(
        repo=found.get("repo", str),
        umask=found.part("request").get("umask", int),
        codex=_options(found),
        limits=_limits(found.part("request").part("limits")),
    )


class _Fields:
    """Take values out of a JSON object, each of the type that it must have."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self._data = data

    def maybe(self, name: str, kind: type[T]) -> T | None:
        value = self._data.get(name)
        is_flag = isinstance(value, bool) and kind is not bool
        if value is None or (isinstance(value, kind) and not is_flag):
            return value
        message = f"{name} is no {kind.__name__}: {value!r:.60}"
        raise TypeError(message)

    def get(self, name: str, kind: type[T]) -> T:
        value = self.maybe(name, kind)
        if value is None:
            raise KeyError(name)
        return value

    def number(self, name: str) -> float | None:
        value = self._data.get(name)
        return self.maybe(name, int if isinstance(value, int) else float)

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.maybe(name, list) or []
        if not all(isinstance(each, str) for each in found):
            message = f"{name} holds no texts"
            raise TypeError(message)
        return tuple(found)

    def part(self, name: str) -> _Fields:
        return _Fields(self.get(name, dict))

    def instant(self, name: str) -> datetime:
        return parse_iso(self.get(name, str))


def _processes(state: State) -> dict[str, object]:
    match state:
        case Running(supervisor=supervisor, codex=codex):
            return {"supervisor": as_dict(supervisor), "codex": as_dict(codex)}
        case Launching(supervisor=ProcessId() as supervisor):
            return {"supervisor": as_dict(supervisor)}
        case Waiting(supervisor=ProcessId() as supervisor):
            return {"supervisor": as_dict(supervisor)}
        case _:
            return {}


def _spec(found: _Fields) -> Spec:
    request = found.part("request")
    is_old = request.maybe("directory", str) is None
    told = request.part("report")
    return Spec(
        run_id=RunId(found.get("run_id", str)),
        mode=Mode(found.get("mode", str)),
        repo=found.get("repo", str),
        task=found.get("task", str),
        task_file=found.maybe("task_file", str),
        resume_session=_session(found.maybe("resume_session", str)),
        directory=request.get("log_dir" if is_old else "directory", str),
        is_flat=is_old or request.get("is_flat", bool),
        cwd=request.get("cwd", str),
        umask=request.get("umask", int),
        codex=_options(found),
        limits=_limits(request.part("limits")),
        report=Report(
            json_out=told.maybe("json_out", str),
            event_stream=told.maybe("event_stream", str),
            notify_command=told.maybe("notify_command", str),
        ),
        wait_for_session=request.get("wait_for_session", bool),
        verbosity=Verbosity(request.get("verbosity", str)),
        prepared_at=found.instant("prepared_at"),
        codex_home=request.maybe("codex_home", str),
        prompt_id=request.maybe("mail_id" if is_old else "prompt_id", int),
    )


def _options(found: _Fields) -> CodexOptions:
    request = found.part("request")
    return CodexOptions(
        bin=found.get("codex_bin", str),
        sandbox=found.maybe("sandbox", str),
        model=request.maybe("model", str),
        overrides=request.texts("overrides"),
        skip_git_repo_check=request.get("skip_git_repo_check", bool),
        extra=request.texts("extra"),
        once=request.texts("once"),
    )


def _limits(found: _Fields) -> Limits:
    return Limits(
        timeout=found.number("timeout"),
        stall=found.number("stall"),
        announcement=found.number("announcement"),
    )


def _state(found: _Fields) -> State:
    processes = found.maybe("processes", dict) or {}
    supervisor, codex = (_process(processes, name) for name in ("supervisor", "codex"))
    match found.get("state", str), supervisor, codex:
        case "waiting", _, _:
            return Waiting(supervisor=supervisor)
        case "prepared", _, _:
            return Prepared()
        case "launching", ProcessId() as owner, _:
            return Launching(supervisor=owner)
        case "running", ProcessId() as owner, ProcessId() as child:
            began = found.instant("launched_at")
            return Running(supervisor=owner, codex=child, started_at=began)
        case "finished", _, _:
            return _finished(found)
        case state, _, _:
            raise ValueError(state)


def _finished(found: _Fields) -> Finished:
    shown = ("model", "token_usage", "cost", "warnings", "left_running")
    kinds = (str, dict, dict, dict, list)
    is_launched = found.maybe("launched_at", str) is not None
    return Finished(
        verdict=Verdict(
            outcome=Outcome(found.get("outcome", str)),
            exit_code=found.get("exit_code", int),
            process_exit_code=found.maybe("process_exit_code", int),
            signal=found.maybe("signal", int),
            error=found.maybe("error", str),
            error_class=found.maybe("error_class", str),
        ),
        started_at=found.instant("launched_at") if is_launched else None,
        ended_at=found.instant("ended_at"),
        accounts={
            **{n: found.maybe(n, kind) for n, kind in zip(shown, kinds, strict=True)},
            **(found.maybe("accounts", dict) or EMPTY),
        },
    )


def _process(processes: Mapping[str, object], name: str) -> ProcessId | None:
    told = _Fields(processes).maybe(name, dict)
    if told is None:
        return None
    fields = _Fields(told)
    return ProcessId(
        pid=fields.get("pid", int),
        start_time=fields.get("start_time", int),
        boot_id=fields.get("boot_id", str),
        namespace=fields.maybe("namespace", str) or "",
        machine_id=fields.maybe("machine_id", str) or "",
    )


def _session(value: str | None) -> SessionId | None:
    return SessionId(value) if value else None
