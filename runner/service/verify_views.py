"""Check the files that people read: task.json, task.log, task.result and task.pid.

Whoever writes them has the session's lock, so they are looked at under it.
"""

from __future__ import annotations

from functools import partial

from parsers.exec_events import task_log
from runner import files
from runner.exports import task_files, task_json
from runner.ledger import record
from runner.service.verify_findings import Finding
from runner.succession import last_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model import Run
    from runner.service.verify_session import Case

_COMPARED = ("title", "state", "runs", "outcome")


def view_differences(case: Case) -> Iterator[Finding]:
    """Hold the files of a session against the index and the files of its runs.

    A session that was begun at another door may have a directory without them.
    """
    if case.inside or case.files.json.exists():
        yield from _json(case)
    if case.inside:
        yield from _result(case)
        yield from _log(case)
    if case.files.pid.exists():
        pid = files.read_text(case.files.pid).strip()
        yield Finding(
            subject=case.id,
            kind="pid-stale",
            detail=f"task.pid names process {pid}, but nothing runs",
            mend=case.files.pid.unlink,
        )


def _json(case: Case) -> Iterator[Finding]:
    path = case.files.json
    mend = partial(task_files.write_json, case.ledger, case.files)
    if not path.exists():
        yield Finding(
            subject=case.id,
            kind="json-missing",
            detail=f"{path} is not there",
            mend=mend,
        )
        return
    try:
        told = task_json.check(path, files.read_json(path), case.id)
    except task_json.DamagedTaskError as error:
        yield Finding(
            subject=case.id,
            kind="json-damaged",
            detail=f"{path}: {error.reason}",
            mend=mend,
        )
        return
    yield from _said_otherwise(case, told)


def _said_otherwise(case: Case, told: task_json.Json) -> Iterator[Finding]:
    title = told.get("title")
    if case.row.title is None and isinstance(title, str):
        yield Finding(
            subject=case.id,
            kind="title-unknown",
            detail=f"task.json calls it {title!r}, the index has no title",
            mend=partial(case.ledger.sessions.set_title, case.id, title),
        )
        return
    known = task_json.build(_story(case))
    differing = [name for name in _COMPARED if told.get(name) != known[name]]
    if differing:
        shown = ", ".join(f"{name} is {told.get(name)!r}" for name in differing)
        yield Finding(
            subject=case.id,
            kind="json-differs",
            detail=f"task.json differs from the index: {shown}",
            mend=partial(task_files.write_json, case.ledger, case.files),
        )


def _story(case: Case) -> task_json.Story:
    by_id = {run.run_id: run for run in case.runs}
    ids = sorted(by_id)
    return task_json.Story(
        row=case.row,
        first=by_id[ids[0]],
        last=last_of(case.runs),
        ids=ids,
        is_running=False,
        answer=None,
    )


def _result(case: Case) -> Iterator[Finding]:
    if case.files.result.exists():
        return
    answers = map(task_files.answer_of, reversed(case.inside))
    if answer := next(filter(None, answers), None):
        yield Finding(
            subject=case.id,
            kind="result-missing",
            detail="task.result is not there, but a run has an answer",
            mend=partial(_write_result, case, answer),
        )


def _write_result(case: Case, answer: str) -> None:
    files.replace(case.files.result, answer.encode(errors="replace"))
    task_files.write_json(case.ledger, case.files)


def _log(case: Case) -> Iterator[Finding]:
    """See whether the log is shorter than what the runs have written.

    A run that has lost its files since cannot be written again: then the log stays.
    """
    launched = [run for run in case.runs if run.launched_at is not None]
    if not launched or not all(map(_has_events, launched)):
        return
    if any("imported" in run.accounts for run in launched):
        return  # the log of another tool, which writes the same in other bytes
    status = files.status(case.files.log)
    if status is None:
        kind, detail = "log-missing", "task.log is not there"
    elif status.st_size < _least(launched) and status.st_size < _exact(launched):
        kind, detail = "log-incomplete", "task.log lacks some of what its runs wrote"
    else:
        return
    yield Finding(
        subject=case.id,
        kind=kind,
        detail=detail,
        mend=partial(task_files.write_log, case.files, case.runs),
    )


def _has_events(run: Run) -> bool:
    return record.files_of(run.spec).events.exists()


def _least(runs: list[Run]) -> int:
    """Add up what the runs have written, as their files tell without being read."""
    return sum(map(_size, runs))


def _size(run: Run) -> int:
    paths = record.files_of(run.spec)
    prompt = task_log.prompt(files.read_text(paths.prompt).encode())
    written = map(files.status, (paths.events, paths.stderr))
    return len(prompt) + sum(status.st_size for status in written if status)


def _exact(runs: list[Run]) -> int:
    return sum(len(line) for run in runs for line in task_files.lines_of(run))
