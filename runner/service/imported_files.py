"""Write the files of an imported session: all of them beside, then put in place.

What a session's directory holds after the rename is complete, so whoever is killed
leaves either nothing that counts or a session that the next import takes over.
"""

from __future__ import annotations

import contextlib
import shutil

from runner import files, session_files
from runner.accounting.run import read_events, summary_of
from runner.clock import iso
from runner.errors import RunnerFault
from runner.exports import key_values, task_files, task_json
from runner.foreign import eventlines, sources
from runner.ledger import record
from runner.ledger.runs import read_meta
from runner.ledger.sessions import Row
from runner.model import Outcome, RunId
from runner.run_files import RunFiles
from runner.service import imported_runs
from runner.session_files import SessionFiles
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from parsers.facts import Facts
    from runner.foreign.history import ForeignRun, History
    from runner.ledger.runs import Ledger
    from runner.model import Run, Spec
    from runner.service.imported_accounts import Accountant
    from runner.service.imported_runs import Place

OLD = ".imported"
_LEFT = ".import-"
_CHUNK = 1 << 20
_BLANK = b" \t\r\n\0\xef\xbb\xbf"


class SourceFault(RunnerFault):
    """Report a source that could not be read to its end, unlike when it was found."""


def aside(state_home: Path, key: str) -> SessionFiles:
    """Name the place where a session is built."""
    return SessionFiles(state_home / f"{_LEFT}{key}.tmp")


def clear(state_home: Path) -> None:
    """Remove what an import that was killed has left behind."""
    for path in state_home.glob(f"{_LEFT}*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def build(
    history: History, place: Place, built: SessionFiles, accountant: Accountant
) -> list[Run]:
    """Write the files of the runs of a session beside, as they will be in place.

    Raises:
        SourceFault: the source cannot be read any more.
        FileFault: the disk refuses.
    """
    files.make_directory(built.runs)
    specs = imported_runs.specs_of(history, place)
    return [
        _write_run(history, run, spec, built, accountant)
        for run, spec in zip(history.runs, specs, strict=True)
    ]


def write_views(history: History, runs: Sequence[Run], built: SessionFiles) -> None:
    """Write the session's own files beside, for a directory that is a new one.

    Raises:
        FileFault: the disk refuses.
    """
    task_files.write_log(built, (session_files.moved(run, built) for run in runs))
    answer = _answer(history)
    if answer is not None:
        files.replace(built.result, answer.encode(errors="replace"))
    story = task_json.Story(
        row=_row(history, runs),
        first=runs[0],
        last=runs[-1],
        ids=[run.run_id for run in runs],
        is_running=False,
        answer=answer,
    )
    files.replace(built.json, record.encode(task_json.build(story), indent=2))


def complete_views(ledger: Ledger, paths: SessionFiles, key: str) -> None:
    """Bring the files of an older tool's directory up to ours, and make them private.

    What would be another's in our hands is kept beside under the name that it had and
    `.imported`: a record without runs, and a log that is none of events. The process
    that it names is gone, or nothing would be taken in.

    Raises:
        RunnerFault: the disk or the index refuses.
    """
    told = files.read_json(paths.json)
    if not (isinstance(told, dict) and isinstance(told.get("runs"), list)):
        _keep(paths.json)
        files.remove([paths.pid])
        if not paths.result.exists():
            _write_result(ledger, paths, key)
        task_files.write_json(ledger, paths)
    if not _is_of_events(paths.log):
        _keep(paths.log)
        task_files.write_log(paths, ledger.of_session(key))
    _make_private(paths, ledger.database.path.parent)


def renew_views(ledger: Ledger, paths: SessionFiles, key: str) -> None:
    """Write a session's own files anew from the index and its runs.

    Raises:
        RunnerFault: the disk or the index refuses.
    """
    task_files.write_log(paths, ledger.of_session(key))
    _write_result(ledger, paths, key)
    task_files.write_json(ledger, paths)


def put_in_place(run: Run, built: SessionFiles, paths: SessionFiles) -> None:
    """Put a run's files where older ones of it lie; its record comes last.

    Raises:
        FileFault: the disk refuses.
    """
    fresh, old = RunFiles(built.runs, run.run_id), RunFiles(paths.runs, run.run_id)
    for was, now in (
        (fresh.prompt, old.prompt),
        (fresh.stderr, old.stderr),
        (fresh.events, old.events),
        (fresh.log, old.log),
        (fresh.summary, old.summary),
        (fresh.meta, old.meta),
    ):
        session_files.move(SessionFiles(was), SessionFiles(now))


def recorded(paths: SessionFiles, without: Collection[str] = ()) -> list[Run]:
    """Read the runs whose records lie in a session's directory.

    Args:
        files: the session's.
        without: the ids of those that are not wanted.

    Raises:
        DamagedRecordError: one of them cannot be read.
    """
    known = {RunFiles(paths.runs, RunId(run_id)).meta for run_id in without}
    metas = sorted(set(paths.runs.glob("*.meta.json")) - known)
    found = map(read_meta, metas)
    return [session_files.moved(run, paths) for run in found if run is not None]


def is_imported(run: Run) -> bool:
    """Tell whether a run was not started here."""
    return imported_runs.IMPORTED in run.accounts


def _write_run(
    history: History,
    run: ForeignRun,
    spec: Spec,
    built: SessionFiles,
    accountant: Accountant,
) -> Run:
    paths = RunFiles(built.runs, spec.run_id)
    files.create(paths.prompt, (run.prompt or "").encode(errors="replace"))
    files.create(paths.stderr, _stderr(run))
    files.replace_with(paths.events, _read(eventlines.event_lines(run), history))
    kept = accountant.count(run, spec, _facts(run, paths))
    made = imported_runs.run_of(history, run, spec, kept)
    whole = summary_of(made, kept)
    files.replace(paths.summary, record.encode(whole, indent=2))
    files.replace_with(paths.log, _read(_log(history, run, made, paths), history))
    files.replace(paths.meta, record.encode(record.to_json(made), indent=2))
    return made


def _facts(run: ForeignRun, paths: RunFiles) -> Facts:
    """Read what was written; an answer that only the record has kept is added."""
    facts = read_events(paths.events)
    if run.answer is None or facts.final_message is not None:
        return facts
    said = eventlines.completed(0, eventlines.message(run.answer))
    has_end = facts.ended is not None or run.outcome is not Outcome.SUCCEEDED
    end = b"" if has_end else eventlines.turn_completed(None)
    files.append(paths.events, said + end)
    return read_events(paths.events)


def _stderr(run: ForeignRun) -> bytes:
    return "".join(f"{line}\n" for line in run.stderr).encode(errors="replace")


def _log(
    history: History, run: ForeignRun, made: Run, paths: RunFiles
) -> Iterator[bytes]:
    """Give the readable log: the one that there is, or one made of the events."""
    if history.kind == "run_codex_task.sh" and run.log_file is not None:
        yield from _chunks(run.log_file)
        return
    yield _text(key_values.text([*key_values.announcement(made), ""]))
    for written in RunTail(paths).finish():
        yield _text(written.text)
    yield _text("\n" + key_values.text(key_values.verdict(made)))


def _text(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _chunks(path: Path) -> Iterator[bytes]:
    with sources.opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _read(pieces: Iterator[bytes], history: History) -> Iterator[bytes]:
    """Tell a source that cannot be read from a disk that cannot be written to."""
    try:
        yield from pieces
    except OSError as error:
        message = f"{history.source}: {sources.why(error)}"
        raise SourceFault(message) from error


def _answer(history: History) -> str | None:
    answers = (run.answer for run in reversed(history.runs))
    return next((answer for answer in answers if answer), None)


def _row(history: History, runs: Sequence[Run]) -> Row:
    last = runs[-1]
    return Row(
        session_id=last.key,
        title=history.title,
        created_at=iso(runs[0].spec.prepared_at),
        updated_at=iso(updated_at(history)),
        last_run=last.run_id,
        outcome=last.outcome,
        archived_in=None if history.archived_at is None else "archive",
    )


def updated_at(history: History) -> datetime:
    """Return when something last happened to a session."""
    return max([history.updated_at, *(run.ended_at for run in history.runs)])


def _write_result(ledger: Ledger, paths: SessionFiles, key: str) -> None:
    answers = map(task_files.answer_of, reversed(ledger.of_session(key)))
    if answer := next(filter(None, answers), None):
        files.replace(paths.result, answer.encode(errors="replace"))


def _keep(path: Path) -> None:
    if path.exists():
        files.replace_with(path.with_name(path.name + OLD), _chunks(path))


def _make_private(paths: SessionFiles, state_home: Path) -> None:
    within = [each for each in paths.directory.parents if state_home in each.parents]
    kept = [path.with_name(path.name + OLD) for path in (paths.json, paths.log)]
    pipe = paths.directory / "task.pipe"
    views = (paths.json, paths.log, paths.result, paths.pid, pipe)
    for path in (*within, paths.directory, *views, *kept):
        files.make_private(path)


def _is_of_events(log: Path) -> bool:
    with contextlib.suppress(OSError), sources.opened(log) as stream:
        return stream.read(_CHUNK).lstrip(_BLANK).startswith(b"{")
    return False
