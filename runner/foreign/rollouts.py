"""Read Codex's own records of threads that nobody else has kept: the rollouts.

`$CODEX_HOME/sessions/YYYY/MM/DD/rollout-*.jsonl` and `archived_sessions/`. Only threads
of `codex exec` are taken, and of these no sub-agent's: it belongs to its parent's run.
"""

from __future__ import annotations

from pathlib import Path

from parsers import loose_json
from parsers.rollouts import payloads, records
from parsers.struct import Struct
from runner import files
from runner.codex import home
from runner.foreign import sources, verdicts
from runner.foreign.history import ForeignRun, History, Unreadable
from runner.foreign.living import Living
from runner.foreign.turns import read_turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Final

    from parsers.rollouts.thread import Header
    from runner.foreign.turn import ToldTurn

SESSIONS: Final = ("sessions", "archived_sessions")
PREFIX: Final = "rollout-"
_COMPRESSED: Final = (".zst", ".gz")
_ENDINGS: Final = (".jsonl", *(f".jsonl{ending}" for ending in _COMPRESSED))
_ORIGINATOR: Final = "codex_exec"
# A header is one line that holds the model's base instructions too.
_HEADER_BYTES: Final = 8 << 20


class Source(Struct, kw_only=False):
    """A rollout file and what its first line says."""

    path: Path
    header: Header
    meta: Mapping[str, object]
    is_archived: bool


def read_rollouts(codex_home: Path) -> Iterator[History | Unreadable]:
    """Read the threads of a CODEX_HOME, each once."""
    seen: set[str] = set()
    living = Living()
    for top in filter(files.is_directory, (codex_home / name for name in SESSIONS)):
        faults: list[OSError] = []
        for path in _files(top, faults):
            found = _read(path, seen, living, is_archived=top.name != SESSIONS[0])
            if found is not None:
                yield found
        for fault in faults:
            yield Unreadable(Path(fault.filename or top), sources.why(fault))


def _read(
    path: Path, seen: set[str], living: Living, *, is_archived: bool
) -> History | Unreadable | None:
    try:
        found = _look_at(path, is_archived=is_archived)
        if found is None or found.header.thread_id in seen:
            return None
        history = _history(found, living)
    except sources.UNREADABLE as error:
        return Unreadable(path, sources.why(error))
    seen.add(found.header.thread_id)
    return history


def _files(top: Path, faults: list[OSError]) -> Iterator[Path]:
    """List the rollouts below a directory, and gather what could not be listed."""
    for directory, names in home.directories(top, faults):
        for name in names:
            if name.startswith(PREFIX) and name.endswith(_ENDINGS):
                yield directory / name


def _look_at(path: Path, *, is_archived: bool) -> Source | None:
    """Read a file's header; None when the thread is none of those that are taken.

    Raises:
        OSError: it cannot be read, or does not begin with a header.
    """
    if path.suffix in _COMPRESSED:
        raise OSError(0, "it is compressed, and not read")
    with sources.opened(path) as stream:
        first = stream.readline(_HEADER_BYTES)
    try:
        record = records.read_record(first)
    except loose_json.NotAnObjectError as error:
        raise OSError(0, f"its first line is no record: {error}") from error
    is_header = record.kind == "session_meta"
    header = payloads.read_header(record.payload) if is_header else None
    if header is None:
        raise OSError(0, "its first line names no thread")
    is_agent = header.parent_thread_id is not None or _is_agent(record.payload)
    if header.originator != _ORIGINATOR or is_agent:
        return None
    return Source(path, header, record.payload, is_archived)


def _is_agent(meta: Mapping[str, object]) -> bool:
    names = loose_json.mapping(meta.get("source")).keys()
    return "subagent" in names or meta.get("thread_source") == "subagent"


def _history(found: Source, living: Living) -> History:
    with sources.opened(found.path) as stream:
        turns = read_turns(sources.texts(stream), found.header)
    created_at = _made_at(found)
    runs = tuple(
        _run_of(found, turn, number, created_at) for number, turn in enumerate(turns)
    )
    updated_at = max((run.ended_at for run in runs), default=created_at)
    return History(
        session_id=found.header.thread_id,
        title=None,
        created_at=created_at,
        updated_at=max(created_at, updated_at),
        working_dir=found.header.cwd,
        config_path=None,
        archived_at=max(created_at, updated_at) if found.is_archived else None,
        kind="rollout",
        source=found.path,
        runs=runs,
        is_at_work=bool(turns) and turns[-1].ended is None and living.has(found.path),
    )


def _made_at(found: Source) -> datetime:
    made = sources.instant(found.header.started_at)
    made = made or sources.made_at(found.header.thread_id)
    return made or sources.modified(found.path) or sources.EPOCH


def _run_of(
    found: Source, turn: ToldTurn, number: int, created_at: datetime
) -> ForeignRun:
    # The header names the version that opened the thread, not those that went on.
    version, forked_from = found.header.cli_version, found.header.forked_from_id
    evidence = turn.evidence(version)
    judgement = verdicts.judged(evidence)
    return ForeignRun(
        number=number,
        prompt=turn.prompt,
        events=None,
        lines=turn.event_lines(found.header.thread_id, evidence),
        outcome=judgement.outcome,
        exit_code=None,
        error=judgement.error,
        answer=turn.answer,
        model=turn.model,
        codex_version=None if number else version,
        sandbox=turn.sandbox,
        started_at=turn.began_at or created_at,
        ended_at=turn.ended_at or created_at,
        log_file=None,
        meta={"forked_from_id": forked_from} if forked_from else {},
        source_run_id=turn.turn_id,
    )
