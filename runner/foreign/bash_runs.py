"""Read the runs of the bash runner `run_codex_task.sh` from its log directory.

    codex-run-<id>.meta.json  codex-run-<id>.log  codex-run-<id>.summary.json

Runs of one session are one history. The runner used the last id in the log as the
session's, which may come from a prompt: the id that Codex announced has precedence.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.facts import Facts
from parsers.light import suppress
from parsers.rollouts.items import file_change
from parsers.struct import replace
from parsers.text import uuid
from parsers.text_logs.read import read_text_log
from runner.foreign import eventlines, sources
from runner.foreign.sources import ForeignRun, History, Unreadable
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from parsers.exec_events.items import Item
    from parsers.paths import Path

_PREFIX: Final = "codex-run-"
_META: Final = ".meta.json"
_LOG: Final = ".log"
_SUMMARY: Final = ".summary.json"
_OURS: Final = ("state", "request")
_EVENTS: Final = ("thread.", "turn.", "item.")
_RUNS: Final = "runs"
_STATED: Final[Mapping[int | None, Outcome]] = {
    0: Outcome.SUCCEEDED,
    124: Outcome.TIMED_OUT,
}


def read_bash_runs(directory: Path) -> Iterator[History | Unreadable]:
    """Read all runs of a log directory, without those of this suite."""
    try:
        # Not a list: each log is matched with its meta file.
        names = dict.fromkeys(sorted(path.name for path in directory.iterdir()))
    except OSError as error:
        yield Unreadable(directory, sources.why(error))
        return
    sessions: dict[str, list[History]] = {}
    for name in names:
        is_log = name.startswith(_PREFIX) and name.endswith(_LOG)
        if is_bash_meta(name):
            found = _read_run(directory / name)
            if isinstance(found, History):
                key = found.session_id or name  # without a session: alone
                sessions.setdefault(key, []).append(found)
            elif found is not None:
                yield found
        elif is_log and name.removesuffix(_LOG) + _META not in names:
            yield Unreadable(directory / name, "it has no meta file")
    yield from map(_joined, sessions.values())


def is_bash_meta(name: str) -> bool:
    """Return whether a name is that of a run's record."""
    return name.startswith(_PREFIX) and name.endswith(_META)


def _joined(parts: list[History]) -> History:
    """Build the history of a session; use the last run's working directory."""
    parts.sort(key=lambda part: (part.created_at, str(part.source)))
    numbered = enumerate(part.runs[0] for part in parts)
    return replace(
        parts[-1],
        created_at=parts[0].created_at,
        updated_at=max(part.updated_at for part in parts),
        source=parts[0].source,
        written_at=max(part.written_at for part in parts),
        runs=tuple(replace(run, number=number) for number, run in numbered),
    )


def _read_run(meta_file: Path) -> History | Unreadable | None:
    if not sources.is_inside(meta_file, meta_file.parent):
        return Unreadable(meta_file, sources.LINK)
    try:
        meta = sources.load(meta_file)
    except OSError as error:
        return Unreadable(meta_file, sources.why(error))
    if all(name in meta for name in _OURS):
        return None
    # The log is beside the record, even if both were moved.
    beside = meta_file.with_name(meta_file.name.removesuffix(_META) + _LOG)
    named = meta_file.parent / (sources.said(meta.get("log_file")) or beside)
    log = next(filter(os.path.lexists, (beside, named)), None)
    if log is not None and not sources.is_inside(log, meta_file.parent):
        return Unreadable(meta_file, f"{log}: it is not in the directory")
    try:
        run = _run(meta_file, meta, log)
    except sources.UNREADABLE as error:
        return Unreadable(meta_file, f"{log}: {sources.why(error)}")
    told = run.facts.session_id or uuid(meta.get("session_id"))
    repo = sources.said(meta.get("repo"))
    return History(
        session_id=told or run.asked_for,
        created_at=run.started_at,
        updated_at=run.ended_at,
        working_dir=sources.directory(repo) or sources.directory(run.facts.cwd),
        likely_dir=_likely_dir(meta_file, repo),
        kind="run_codex_task.sh",
        source=meta_file,
        written_at=sources.written_at(meta_file, log or meta_file),
        runs=(run,),
    )


def _run(meta_file: Path, meta: Mapping[str, object], log: Path | None) -> ForeignRun:
    own_id = meta_file.name.removeprefix(_PREFIX).removesuffix(_META)
    summary: Mapping[str, object] = {}
    with suppress(OSError):
        summary = sources.load(meta_file.with_name(f"{_PREFIX}{own_id}{_SUMMARY}"))
    if log is None:
        total = loose_json.integer(loose_json.mapping(summary.get("tok")).get("tot"))
        facts = Facts(kind="empty", uncached_tokens=total)
    else:
        facts = _facts_of(log)
    exit_code = loose_json.integer(meta.get("exit_code"))
    started_at = sources.instant(meta.get("started_at"))
    ended_at = sources.instant(meta.get("ended_at"))
    written = sources.modified(meta_file)
    last = ended_at or max(started_at or written, written)
    first = started_at or last
    error = sources.said(summary.get("err"))
    return ForeignRun(
        prompt=sources.said(meta.get("task")),
        facts=facts,
        events=(log, 0, None) if log and facts.kind == "events" else None,
        lines=() if facts.kind == "events" else _lines(facts),
        started_at=first,
        ended_at=max(first, last),
        is_dated=bool(started_at and ended_at),
        last_words=error or next(reversed(facts.errors), None),
        asked_for=uuid(meta.get("resume_session")),
        stated=_STATED.get(exit_code),
        exit_code=exit_code,
        model=sources.said(meta.get("model")) or facts.model,
        codex_version=facts.codex_version,
        source_run_id=sources.said(meta.get("run_id")) or own_id,
    )


def _facts_of(log: Path) -> Facts:
    """Read a log; its kind shows whether Codex printed events."""
    with sources.opened(log) as stream:
        facts = read_text_log(sources.texts(stream))
        stream.seek(0)
        lines = sources.texts(stream) if facts.codex_version is None else ()
        kinds = (eventlines.kind_of(line) for line in lines if line.startswith(b"{"))
        has_events = any((kind or "").startswith(_EVENTS) for kind in kinds)
    kind = "events" if has_events else "log"
    return replace(facts, final_message=facts.final_message or None, kind=kind)


def _lines(facts: Facts) -> tuple[bytes, ...]:
    """Convert a readable log to events; an empty one gives none."""
    if not (facts.ended or facts.final_message):
        return ()
    done: list[Item] = []
    if facts.files_changed:
        done.append(file_change(facts.files_changed.items()))
    if facts.final_message:
        done.append(eventlines.message(facts.final_message))
    thread_id, usage = facts.session_id, facts.usage
    return eventlines.turn(thread_id, done, facts.ended, facts.failure, usage)


def _likely_dir(meta_file: Path, repo: str | None) -> str | None:
    """Resolve a relative `--repo`: the runner was called in the parent of `runs`."""
    if repo is None or meta_file.parent.name != _RUNS:
        return None
    path = os.path.normpath(f"{meta_file.parent.parent}/{repo}".replace("\0", ""))
    return path if os.path.isdir(path) else None  # noqa: PTH112 - a text stays a text
