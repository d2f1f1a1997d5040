"""Read the runs of the bash runner `run_codex_task.sh` from its log directory.

    codex-run-<id>.meta.json  codex-run-<id>.log  codex-run-<id>.summary.json

Runs of one session are one history. Its word for a session is the last id that stood in
the log, which a prompt could name: what Codex itself announced goes before it.
"""

from __future__ import annotations

from contextlib import suppress

from parsers import loose_json
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner.foreign import eventlines, sources, verdicts
from runner.foreign.bashlog import BashLog, read_bash_log
from runner.foreign.history import UNKNOWN, ForeignRun, History, Unreadable
from runner.foreign.verdicts import Judgement
from runner.lifecycle.judge import Ending, Evidence, Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import Final

PREFIX: Final = "codex-run-"
META: Final = ".meta.json"
_LOG: Final = ".log"
_SUMMARY: Final = ".summary.json"
_OURS: Final = ("state", "request")
_TOLD: Final = frozenset({"run_id", "task", "exit_code", "started_at", "ended_at"})
_ENDINGS: Final = {"completed": Ending.COMPLETED, "failed": Ending.FAILED}


class Member(Struct):
    """A run, the session it belongs to and the directory that it worked in."""

    session_id: str | None
    repo: str | None
    run: ForeignRun
    source: Path


def read_bash_runs(directory: Path) -> Iterator[History | Unreadable]:
    """Read all runs of a log directory; our own are left out."""
    try:
        names = sources.names(directory)
    except OSError as error:
        yield Unreadable(directory, sources.why(error))
        return
    sessions: dict[str, list[Member]] = {}
    for name in names:
        if is_bash_meta(name):
            found = _read_run(directory / name)
            if isinstance(found, Member):
                key = found.session_id or name  # without a session it stands alone
                sessions.setdefault(key, []).append(found)
            elif found is not None:
                yield found
        elif _is_left_alone(name, names):
            yield Unreadable(directory / name, "it has no meta file")
    yield from map(_history, sessions.values())


def is_bash_meta(name: str) -> bool:
    """Tell the name of a run's record."""
    return name.startswith(PREFIX) and name.endswith(META)


def _is_left_alone(name: str, names: list[str]) -> bool:
    is_log = name.startswith(PREFIX) and name.endswith(_LOG)
    return is_log and name.removesuffix(_LOG) + META not in names


def _read_run(meta_file: Path) -> Member | Unreadable | None:
    try:
        meta = sources.load(meta_file)
    except OSError as error:
        return Unreadable(meta_file, sources.why(error))
    if all(name in meta for name in _OURS):
        return None
    log_file = _log_of(meta_file, meta)
    try:
        log = read_bash_log(log_file) if log_file is not None else BashLog()
    except sources.UNREADABLE as error:
        return Unreadable(meta_file, f"{log_file}: {sources.why(error)}")
    return _member(meta_file, meta, log_file, log)


def _log_of(meta_file: Path, meta: Mapping[str, object]) -> Path | None:
    """Find the log beside the record, whatever place it once was written at."""
    beside = meta_file.with_name(meta_file.name.removesuffix(META) + _LOG)
    named = sources.said(meta.get("log_file"))
    places = [beside, beside.parent / named] if named else [beside]
    return next((path for path in places if sources.exists(path)), None)


def _member(
    meta_file: Path, meta: Mapping[str, object], log_file: Path | None, log: BashLog
) -> Member:
    asked_for = uuid(meta.get("resume_session"))
    announced = log.facts.session_id or uuid(meta.get("session_id"))
    exit_code = loose_json.integer(meta.get("exit_code"))
    judgement = _judge(meta_file, log, exit_code, asked_for)
    started_at, ended_at, unknown = _times(meta_file, meta)
    run = ForeignRun(
        number=0,
        prompt=sources.said(meta.get("task")),
        events=log.events,
        lines=_lines(log),
        outcome=judgement.outcome,
        exit_code=exit_code,
        error=judgement.error,
        answer=log.facts.final_message or None,
        model=sources.said(meta.get("model")) or log.facts.model,
        codex_version=log.codex_version,
        sandbox=log.sandbox,
        started_at=started_at,
        ended_at=ended_at,
        log_file=log_file,
        meta={**_meta(meta, log, unknown), **_told_figures(meta_file, log_file)},
        source_run_id=sources.said(meta.get("run_id")) or _id_of(meta_file),
    )
    return Member(
        session_id=announced or asked_for,
        repo=sources.said(meta.get("repo")),
        run=run,
        source=meta_file,
    )


def _id_of(meta_file: Path) -> str:
    return meta_file.name.removeprefix(PREFIX).removesuffix(META)


def _lines(log: BashLog) -> tuple[bytes, ...]:
    """Tell in events what a readable log says; one that says nothing makes none."""
    if log.events is not None or not (log.facts.ended or log.facts.final_message):
        return ()
    return eventlines.of_facts(log.facts)


def _meta(
    meta: Mapping[str, object], log: BashLog, unknown: list[str]
) -> Mapping[str, object]:
    rest: dict[str, object] = {name: meta[name] for name in meta if name not in _TOLD}
    figures = {"total_tokens": log.facts.total_tokens, "cost_usd": log.facts.cost_usd}
    rest |= {name: figure for name, figure in figures.items() if figure is not None}
    return sources.plain({**rest, UNKNOWN: unknown} if unknown else rest)


def _told_figures(meta_file: Path, log_file: Path | None) -> Mapping[str, object]:
    """Return the tokens that the runner counted itself, where no log is left to."""
    if log_file is not None:
        return {}
    total = loose_json.mapping(_summary(meta_file).get("tok")).get("tot")
    return {} if loose_json.integer(total) is None else {"total_tokens": total}


def _judge(
    meta_file: Path, log: BashLog, exit_code: int | None, asked_for: str | None
) -> Judgement:
    facts = log.facts
    evidence = Evidence(
        exit=Exit(),
        ending=_ENDINGS.get(facts.ended or "", Ending.NONE),
        failure=facts.failure,
        last_words=facts.errors[-1] if facts.errors else None,
        announced=facts.session_id,
        asked_for=asked_for,
    )
    judgement = verdicts.by_exit_code(evidence, exit_code)
    if judgement.error is None or facts.failure is not None:
        return judgement
    return Judgement(
        outcome=judgement.outcome, error=_own_words(meta_file) or judgement.error
    )


def _own_words(meta_file: Path) -> str | None:
    """Return why the runner itself says that a run has failed."""
    return sources.said(_summary(meta_file).get("err"))


def _summary(meta_file: Path) -> Mapping[str, object]:
    name = meta_file.name.removesuffix(META) + _SUMMARY
    with suppress(OSError):
        return sources.load(meta_file.with_name(name))
    return {}


def _times(
    meta_file: Path, meta: Mapping[str, object]
) -> tuple[datetime, datetime, list[str]]:
    started_at = sources.instant(meta.get("started_at"))
    ended_at = sources.instant(meta.get("ended_at"))
    given = {"started_at": started_at, "ended_at": ended_at}
    unknown = [name for name, at in given.items() if at is None]
    written = sources.modified(meta_file) or sources.EPOCH
    ended_at = ended_at or max(started_at or written, written)
    started_at = started_at or ended_at
    return started_at, max(started_at, ended_at), unknown


def _history(members: list[Member]) -> History:
    members.sort(key=lambda member: (member.run.started_at, str(member.source)))
    runs = tuple(
        replace(member.run, number=number) for number, member in enumerate(members)
    )
    last = members[-1]
    return History(
        session_id=last.session_id,
        title=None,
        created_at=runs[0].started_at,
        updated_at=max(run.ended_at for run in runs),
        working_dir=last.repo,
        config_path=None,
        archived_at=None,
        kind="run_codex_task.sh",
        source=members[0].source,
        runs=runs,
    )
