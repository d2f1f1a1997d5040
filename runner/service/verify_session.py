"""Check one session: its row, where it lies, the records of its runs.

All of it changes in transactions of the index, so it is looked at between two of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from parsers.struct import Struct
from parsers.text import UUID
from runner import files, session_files, whereabouts
from runner.clock import iso
from runner.exports import task_files
from runner.ledger import record
from runner.ledger.runs import read_meta, write_meta
from runner.service import verify_merge, verify_tree
from runner.service.verify_findings import Finding
from runner.succession import last_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.model import Run
    from runner.session_files import SessionFiles

_TOLD_BY_NAME = ("state", "outcome", "session_id")


class Case(Struct):
    """Hold one session as the index has it; its runs are over.

    `files` is its directory, whether it is there or not; `own` names the directories of
    the runs that were started for a session, `inside` the runs whose files lie in this
    one's.
    """

    row: Row
    runs: tuple[Run, ...]
    files: SessionFiles
    own: Mapping[str, SessionFiles]
    inside: tuple[Run, ...]
    ledger: Ledger
    state_home: Path

    @property
    def id(self) -> str:
        return self.row.session_id


def case_of(session_id: str, ledger: Ledger, state_home: Path) -> Case | None:
    """Read a session; None when the index does not have all of it."""
    row = ledger.sessions.find(session_id)
    runs = tuple(ledger.of_session(session_id))
    if row is None or not runs:
        return None
    paths = session_files.placed(state_home, session_id, row.archived_in)
    log_dir = str(paths.runs)
    started_for = ((run.run_id, session_files.of_run(state_home, run)) for run in runs)
    return Case(
        row=row,
        runs=runs,
        files=paths,
        own={run_id: where for run_id, where in started_for if where is not None},
        inside=tuple(run for run in runs if run.spec.log_dir == log_dir),
        ledger=ledger,
        state_home=state_home,
    )


def row_differences(session_id: str, ledger: Ledger) -> Iterator[Finding]:
    """Hold the row of a session against the rows of its runs."""
    row, runs = ledger.sessions.find(session_id), ledger.of_session(session_id)
    if runs:
        if detail := _row_differs(row, runs):
            yield Finding(
                subject=session_id,
                kind="row-differs",
                detail=detail,
                mend=partial(ledger.recount, session_id),
            )
    elif row is not None:
        yield Finding(
            subject=session_id,
            kind="no-runs",
            detail="it has a row in the index, but no runs",
            mend=partial(ledger.sessions.remove, session_id),
        )


def _row_differs(row: Row | None, runs: Sequence[Run]) -> str | None:
    """Say what is wrong with the row of a session, given its runs.

    It may be newer than they are: archiving, or an import, has written it last.
    """
    last = last_of(runs)
    if row is None:
        return "it has runs, but no row in the index"
    if (row.last_run, row.outcome) != (last.run_id, last.outcome):
        return f"its row in the index does not follow its last run {last.run_id}"
    began = iso(min(run.spec.prepared_at for run in runs))
    ended = iso(max(run.ended_at or run.started_at for run in runs))
    if row.created_at != began or row.updated_at < ended:
        return f"its times in the index are not those of its runs, {began} to {ended}"
    return None


def place_differences(case: Case) -> Iterator[Finding]:
    """Hold the places in the index against where the directories are."""
    if files.is_directory(case.files.directory):
        yield from _strayed(case)
        yield from _swapped(case)
        return
    if not case.own and case.row.archived_in is None:
        return  # a session of another door
    found = session_files.found(case.state_home, case.id)
    if found is not None:
        yield Finding(
            subject=case.id,
            kind="misplaced",
            detail=f"it lies in {_below(found, case)},"
            f" the index says {_below(case.files, case)}",
            mend=partial(_correct, case, found),
        )
    elif (aside := session_files.put_aside(case.state_home, case.id)) is not None:
        yield Finding(
            subject=case.id,
            kind="misplaced",
            detail=f"it lies in {_below(aside, case)}, and was not removed",
            mend=partial(whereabouts.row_of, case.id, case.ledger, case.state_home),
        )
    elif any(_is_somewhere(paths, case) for paths in case.own.values()):
        yield from _strayed(case)
    else:
        yield _gone(case)


def record_differences(case: Case) -> Iterator[Finding]:
    """Hold the meta files of a session's runs against their rows."""
    for run in case.runs:
        yield from _record(run, is_own=run.run_id in case.own)


def _strayed(case: Case) -> Iterator[Finding]:
    """Name the runs that do not lie in the directory of the session, but could."""
    for run in case.runs:
        paths = case.own.get(run.run_id)
        if paths is None or paths == case.files:
            continue
        is_there = files.is_directory(paths.directory)
        is_unnamed = paths.directory.parent.name == session_files.PENDING
        if is_there and not (is_unnamed and UUID.fullmatch(case.id)):
            continue  # a run on one session that Codex gave to another
        aside = session_files.put_aside(case.state_home, paths.directory.name)
        if is_there:
            mend = partial(_bring_home, case, run, paths)
            detail = f"it lies in {_below(paths, case)}, its thread is {case.id}"
        elif aside is not None:
            mend = partial(session_files.move, aside, paths)
            detail = f"it lies in {_below(aside, case)}, and was not removed"
        else:
            mend = partial(_find_again, case, run, paths)
            detail = f"the index has it in {_below(paths, case)}, which is not there"
        yield Finding(subject=run.run_id, kind="misplaced", detail=detail, mend=mend)


def _swapped(case: Case) -> Iterator[Finding]:
    """Name the runs whose record lies in the directory of another session."""
    for run in case.inside:
        name = record.files_of(run.spec).meta.name
        if files.status(case.files.runs / name) is not None:
            continue
        for paths in verify_tree.places(case.state_home):
            if files.status(paths.runs / name) is not None:
                yield Finding(
                    subject=run.run_id,
                    kind="misplaced",
                    detail=f"it lies in {_below(paths, case)}, which is another"
                    f" session's; the index says {_below(case.files, case)}",
                )


def _is_somewhere(paths: SessionFiles, case: Case) -> bool:
    name = paths.directory.name
    return (
        files.is_directory(paths.directory)
        or session_files.found(case.state_home, name) is not None
    )


def _gone(case: Case) -> Finding:
    return Finding(
        subject=case.id,
        kind="directory-gone",
        detail=f"{_below(case.files, case)} is not there; what the index knows can be"
        " written again, what Codex said is lost",
        mend=partial(_make_anew, case),
    )


def _record(run: Run, *, is_own: bool) -> Iterator[Finding]:
    path = record.files_of(run.spec).meta
    mend = partial(_write, run, is_own=is_own)
    try:
        told = read_meta(path)
    except record.DamagedRecordError as error:
        yield Finding(
            subject=run.run_id, kind="meta-damaged", detail=str(error), mend=mend
        )
        return
    if told is None:
        yield Finding(
            subject=run.run_id,
            kind="meta-missing" if is_own else "files-gone",
            detail=f"{path} is not there",
            mend=mend if is_own or files.is_directory(path.parent) else None,
        )
    elif differing := _differing(record.to_json(told), record.to_json(run)):
        yield Finding(
            subject=run.run_id, kind="meta-differs", detail=differing, mend=mend
        )


def _differing(told: Mapping[str, object], known: Mapping[str, object]) -> str:
    """Say what a meta file tells otherwise than the index; where it lies is no matter.

    The paths are those of the place where the run's files were first.
    """
    names = [
        name
        for name, value in known.items()
        if not name.endswith("_file")
        and _without_place(told[name]) != (_without_place(value))
    ]
    shown = [
        f"{name} is {told[name]} in the file, {known[name]} in the index"
        if name in _TOLD_BY_NAME
        else name
        for name in names
    ]
    return ", ".join(shown) and f"its meta file differs: {', '.join(shown)}"


def _without_place(value: object) -> object:
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name != "log_dir"}
    return value


def _write(run: Run, *, is_own: bool) -> None:
    if is_own:
        files.make_directory(Path(run.spec.log_dir))
    write_meta(run)


def _correct(case: Case, found: SessionFiles) -> None:
    """Let the index say where a session lies."""
    place = session_files.archived_in(case.state_home, found)
    case.ledger.sessions.archive(case.id, place, case.row.updated_at)
    runs = [run for run in case.runs if case.own.get(run.run_id) == case.files]
    case.ledger.relocate([session_files.moved(run, found) for run in runs])
    task_files.write_json(case.ledger, found)


def _make_anew(case: Case) -> None:
    """Make the directory of a session with what the index knows."""
    files.make_directory(case.files.runs)
    gone = [
        session_files.moved(run, case.files)
        for run in case.runs
        if run.run_id in case.own
        and not files.is_directory(case.own[run.run_id].directory)
    ]
    case.ledger.relocate(gone)
    for run in gone:
        write_meta(run)
    if gone:
        task_files.write_log(case.files, case.ledger.of_session(case.id))
        task_files.write_json(case.ledger, case.files)


def _bring_home(case: Case, run: Run, was: SessionFiles) -> None:
    """Give the directory of a run whose thread got its name too late that name."""
    if not files.is_directory(case.files.directory):
        session_files.move(was, case.files)
    else:
        verify_merge.merge(was, case.files, case.ledger)
    case.ledger.relocate([session_files.moved(run, case.files)])
    task_files.write_json(case.ledger, case.files)


def _find_again(case: Case, run: Run, was: SessionFiles) -> None:
    """Let the index say where a run lies; where nothing is, beside the others."""
    name = was.directory.name
    elsewhere = session_files.found(case.state_home, name)
    paths = elsewhere if elsewhere is not None and name != case.id else case.files
    case.ledger.relocate([session_files.moved(run, paths)])


def _below(paths: SessionFiles, case: Case) -> str:
    return str(paths.directory.relative_to(case.state_home))
