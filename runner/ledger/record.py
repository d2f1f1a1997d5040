"""The record of a run as JSON: pure.

The ledger stores it compressed, without the values of the columns, and the export
`meta.json` is the same object. If a column has the value too (as in a record of the
previous version), the column wins.
Reading a record and writing it again gives the same record.
"""

from __future__ import annotations

import zlib
from functools import cache

from parsers import json_text, loose_json
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
    Running,
    Spec,
    Verbosity,
    Verdict,
    Waiting,
)
from runner.run_files import files_of
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, TypeVar

    from parsers.struct import Struct
    from runner.model import State
    from runner.run_files import RunFiles

    S = TypeVar("S", bound=Struct)
    Kinds = tuple[type, ...]

Json = dict[str, object]
# The parts of a run's accounts in the record.
_SHOWN: Mapping[str, Kinds] = {
    "model": (str,),
    "token_usage": (dict,),
    "cost": (dict,),
    "warnings": (dict,),
    "left_running": (list,),
}
# The columns of a run with the same name.
COLUMNS = (
    *("run_id", "state", "prepared_at", "launched_at", "ended_at"),
    *("outcome", "exit_code", "error_class", "codex_version", "rollout_offset"),
)
# What other columns have, or what is computed from them.
_ELSEWHERE = {
    *(*COLUMNS, "session_id", "has_begun", "processes", "log_file", "events_file"),
    *("stderr_file", "prompt_file", "meta_file", "summary_file", "started_at"),
    *("elapsed_seconds", "worktree"),
}
# The key of a run's accounts with the directory that Codex has moved it to, and the
# option that moves it, which Codex refuses when it resumes a thread.
MOVED_TO = "moved_to"
# That with the end of its check.
VERIFY = "verify"
# That with what there is in the session's git worktree at the end of a run.
CHANGES = "changes"
# That with the place of an imported run's events.
TRANSCRIPT = "transcript"
_DETAIL = 120
_REQUEST_COLUMNS = {"directory", "is_flat", "prompt_id"}
_BLANK: Json = {"mode": "new", "repo": "", "task": "", "codex_bin": "codex"}
_BLANK_REQUEST: Json = {"cwd": "/", "umask": 0o077}


class DamagedRecordError(RunnerFault):
    """Report a record that this suite cannot have written."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the record of run {what} is damaged: {reason}")


def to_json(run: Run) -> Json:
    """Build the record: values for people first, internal values last."""
    spec, paths = run.spec, files_of(run.spec)
    verdict, accounts = run.verdict, dict(run.accounts)
    started, ended = run.started_at, run.ended_at
    codex = run.state.codex if isinstance(run.state, Running) else None
    processes = {"supervisor": run.supervisor, "codex": codex}
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
        **places(paths, accounts),
        "started_at": iso(started),
        "ended_at": iso(ended) if ended else None,
        "elapsed_seconds": elapsed(iso(started), iso(ended) if ended else None),
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
        "worktree": run.worktree,
        "has_begun": run.has_begun,
        "processes": {name: as_dict(each) for name, each in processes.items() if each},
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
            "terms": spec.terms.told(),
            "wait_for_session": spec.wait_for_session,
            "verbosity": spec.verbosity,
            "once": list(spec.codex.once),
            "codex_home": spec.codex_home,
            "prompt_id": spec.prompt_id,
        },
    }


def from_json(record: Mapping[str, object]) -> Run:
    """Read a record, also of previous versions.

    Raises:
        DamagedRecordError: it is not a record.
    """
    try:
        known = {"spec": _spec(record), "state": _state(record)}
        return read_value(Run, {**record, "thread": record.get("session_id")}, **known)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRecordError(str(record.get("run_id", "?")), repr(error)) from error


def of_row(stored: Json, columns: Json, request: Json) -> Run:
    """Build a run from its record and its columns, which have precedence.

    A damaged record loses only the values that are not in columns; it is not an error.
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


def elapsed(started: str, ended: str | None) -> float | None:
    """Return the seconds between two instants of a record."""
    if ended is None:
        return None
    # With finer instants the value would differ when the record is read again.
    written = parse_iso(ended) - parse_iso(started)
    return max(0.0, round(written.total_seconds(), 3))


def places(paths: RunFiles, accounts: object) -> Json:
    """Name the files of a run."""
    told = accounts.get(TRANSCRIPT) if isinstance(accounts, dict) else None
    elsewhere = told.get("path") if isinstance(told, dict) else None
    return {
        "log_file": str(paths.log) if paths.is_flat else None,
        "events_file": elsewhere or str(paths.events),
        "stderr_file": str(paths.stderr),
        "prompt_file": str(paths.prompt),
        "meta_file": str(paths.meta),
        "summary_file": str(paths.summary),
    }


def encode(value: Json, *, indent: int | None = None) -> bytes:
    """Write a JSON object as UTF-8 with a newline at its end.

    A path that is not UTF-8 keeps its bytes as escapes; such text is written in ASCII.
    """
    try:
        text = json_text.dumps(value, indent=indent, ensure_ascii=False)
        return (text + "\n").encode()
    except UnicodeEncodeError:
        return (json_text.dumps(value, indent=indent) + "\n").encode()


def pack(run: Run, whole: Json | None = None) -> bytes:
    """Write what the ledger stores of a record: the values without a column.

    `whole` is the record, if it was made.
    """
    whole = whole or to_json(run)
    request = _without(_REQUEST_COLUMNS, part_of(whole, "request"))
    return compress(_without(_ELSEWHERE, {**whole, "request": request}))


def _without(names: Collection[str], data: Json) -> Json:
    return {k: v for k, v in data.items() if k not in names and v is not None}


def compress(stored: Json) -> bytes:
    """Write an object for `unpack`."""
    return zlib.compress(json_text.dumps(stored, separators=(",", ":")).encode())


def unpack(record: bytes) -> Json:
    """Read what `compress` has written; an empty object when it is damaged."""
    try:
        found = json_text.loads(zlib.decompress(record))
    except (zlib.error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def checksum(answer: str) -> int:
    """Return the hash of an answer, which the record has instead of the answer."""
    return zlib.crc32(answer.encode(errors="replace"))


def detail_of(run: Run) -> str | None:
    """Tell in a line how a run ended: its error, or what it changed or answered."""
    if run.verdict is None:
        return None
    from parsers.run_summary import doubts  # noqa: PLC0415 - for an end alone

    text = run.verdict.error or ", ".join(doubts(run.accounts.get("warnings")))
    if not text and (count := files_changed(run)):
        text = f"{count} file{'' if count == 1 else 's'}"
    said = loose_json.mapping(run.accounts.get("said"))
    text = text or str(said.get("final_message") or "")
    return " ".join(text[: 4 * _DETAIL].split())[:_DETAIL] or None


def files_changed(run: Run) -> int | None:
    """Count the files that Codex said it has changed; None when that is unknown."""
    found = loose_json.mapping(run.accounts.get("said")).get("files_changed")
    return len(found) if isinstance(found, list) else None


def place_of(run: Run) -> str:
    """Return where Codex works or has worked; it may have moved the run."""
    return str(run.accounts.get(MOVED_TO) or run.worktree or run.spec.repo)


def next_place(run: Run) -> str:
    """Return where the next run of the session is asked to work.

    A session finds its own git worktree by itself.
    """
    return run.spec.repo if run.worktree else place_of(run)


def read_value(kind: type[S], data: Mapping[str, object], **known: object) -> S:
    """Build a value from the entries of a JSON object with the names of its fields.

    A missing entry that is not `known` gets its default, or None where allowed.
    """
    found = dict(known)
    fields = _fields(kind)  # type: ignore[arg-type] # mypy: a class is hashable
    for name, wanted, may_miss in fields:
        if name in known:
            continue
        kinds, make = _READERS.get(wanted, ((str,), None))
        value = _typed(data, name, kinds)
        if value is not None:
            found[name] = make(value) if make else value
        elif not hasattr(kind, name):
            if not may_miss:
                raise KeyError(name)
            found[name] = None
    return kind(**found)


@cache
def _fields(kind: type[Struct]) -> list[tuple[str, str, bool]]:
    """Return the fields of a class: name, annotation, whether None is allowed."""
    written: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        written |= vars(each).get("__annotations__", {})
    told = [(name, written[name].partition(" | ")) for name in kind.field_names()]
    return [(name, wanted, bool(rest)) for name, (wanted, _, rest) in told]


def _texts(value: list[object]) -> tuple[str, ...]:
    if not all(isinstance(each, str) for each in value):
        message = f"not all are texts: {value!r:.60}"
        raise TypeError(message)
    return tuple(map(str, value))


# How a field is read: its JSON types, and the conversion to its value.
_READERS: Mapping[str, tuple[Kinds, Callable[[Any], object] | None]] = {
    "bool": ((bool,), None),
    "int": ((int,), None),
    "float": ((int, float), None),
    "datetime": ((str,), parse_iso),
    "Mode": ((str,), Mode),
    "Outcome": ((str,), Outcome),
    "Verbosity": ((str,), Verbosity),
    "SessionId": ((str,), lambda text: text or None),
    "tuple[str, ...]": ((list,), _texts),
    "Limits": ((dict,), lambda part: read_value(Limits, part)),
    "Report": ((dict,), lambda part: read_value(Report, part)),
    "Terms": ((dict,), lambda part: read_value(Terms, part)),
    "ProcessId": ((dict,), lambda part: read_value(ProcessId, part)),
}


def _typed(data: Mapping[str, object], name: str, kind: Kinds) -> Any:  # noqa: ANN401 - of that type
    """Return a value of a JSON object, None when it is missing."""
    value = data.get(name)
    is_flag = isinstance(value, bool) and kind != (bool,)
    if value is None or (isinstance(value, kind) and not is_flag):
        return value
    message = f"{name} is no {kind[-1].__name__}: {value!r:.60}"
    raise TypeError(message)


def part_of(data: Mapping[str, object], name: str) -> Json:
    """Return a part of a record that is an object, and must be there."""
    part: Json | None = _typed(data, name, (dict,))
    if part is None:
        raise KeyError(name)
    return part


def _spec(record: Mapping[str, object]) -> Spec:
    request = part_of(record, "request")
    if request.get("directory") is None:
        old = {"directory": "log_dir", "prompt_id": "mail_id"}
        told = {name: request.get(was) for name, was in old.items()}
        request = {**request, **told, "is_flat": True}
    return read_value(Spec, {**record, **request}, codex=options_of(record))


def options_of(record: Mapping[str, object]) -> CodexOptions:
    """Read the options of Codex of a record."""
    own = {"bin": record.get("codex_bin"), "sandbox": record.get("sandbox")}
    return read_value(CodexOptions, {**part_of(record, "request"), **own})


def _state(record: Mapping[str, object]) -> State:
    processes = _typed(record, "processes", (dict,)) or {}
    told = {**processes, "started_at": record.get("launched_at")}
    match record.get("state"):
        case "waiting":
            return read_value(Waiting, told)
        case "prepared":
            return Prepared()
        case "launching":
            return read_value(Launching, told)
        case "running":
            return read_value(Running, told)
        case "finished":
            shown = {name: _typed(record, name, kind) for name, kind in _SHOWN.items()}
            others = _typed(record, "accounts", (dict,)) or {}
            return read_value(
                Finished,
                {**record, **told},
                verdict=read_value(Verdict, record),
                accounts={**shown, **others},
            )
        case state:
            raise ValueError(state)
