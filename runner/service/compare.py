"""Compare the files of a session with the ledger.

Each is compared with a rendering straight from the rows first, which tests hold equal
to that of a writer. If it differs, the file is compared with what a writer would write.
"""

from __future__ import annotations

from functools import partial

from parsers import loose_json
from parsers.exec_events import task_log
from parsers.struct import Struct
from runner import files
from runner.errors import NoSuchTaskError
from runner.exports import run_exports, task_files
from runner.ledger import database, record
from runner.locks import Lock, look
from runner.run_files import owner_of
from runner.service import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from parsers.paths import Path
    from runner.exports.task_files import TaskFiles
    from runner.ledger.ledger import Ledger
    from runner.ledger.recorded import Recorded
    from runner.ledger.sessions import Session
    from runner.model import Run

    Render: TypeAlias = Callable[[], bytes]
    Found: TypeAlias = "tuple[Difference, Callable[[], list[str] | None] | None]"

_TAIL_BYTES = 4096


class Difference(Struct):
    """Hold one difference, and whether it was fixed."""

    kind: str
    subject: str
    detail: str
    is_repairable: bool = True
    fixed: bool = False


def of_session(
    key: int, ledger: Ledger, known: dict[int, Session], *, is_full: bool
) -> Iterator[Found]:
    """Compare the files of finished runs whose supervisor is gone.

    `known` has the sessions that were read together, each for one call.
    """
    try:
        session = known.pop(key, None) or ledger.sessions.get(key)
    except NoSuchTaskError:
        return  # removed meanwhile
    runs = ledger.runs.finished(key)
    for run in runs:
        if not rebuild.has_foreign_files(loose_json.mapping(run.data["accounts"])):
            yield from _when_written([run], _of_run(run, ledger), ledger)
    for run_id in ledger.usage.wrong(key, runs):
        yield _of_usage(run_id, ledger)
    paths = task_files.files_in(session, ledger.home)
    if paths and runs and session.outcome:
        found = _of_exports(session, runs, paths, ledger, is_full=is_full)
        yield from _when_written(runs, found, ledger)


def _of_usage(run_id: str, ledger: Ledger) -> Found:
    detail = "its usage differs from its record"
    wrong = Difference(kind="usage", subject=run_id, detail=detail)

    def fix() -> None:
        ledger.usage.record_run(ledger.runs.find(run_id))

    return wrong, fix


def _when_written(
    runs: list[Recorded], found: Iterator[Found], ledger: Ledger
) -> Iterator[Found]:
    """Yield differences, unless the files of a run are being written."""
    for number, each in enumerate(found):
        if not number:
            ids = {run.run_id for run in runs}
            unwritten = ids.intersection(
                run_id for run_id, _ in ledger.runs.unexported()
            )
            owners = (owner_of(ledger.home, run_id) for run_id in ids)
            if unwritten or any(look(owner) is Lock.HELD for owner in owners):
                return
        yield each


def _of_exports(
    session: Session,
    runs: list[Recorded],
    paths: TaskFiles,
    ledger: Ledger,
    *,
    is_full: bool,
) -> Iterator[Found]:
    """Compare the files of a session."""
    key, home, records = session.key, ledger.home, {run.run_id: run for run in runs}
    last, answer = records[session.last_run or ""], _answer(key, runs, paths, ledger)
    yield from compared(
        paths.json,
        lambda: task_files.json_of(
            session, [*records], runs[0].data, last.data, answer
        ),
        lambda: task_files.render_json(ledger, key),
        home,
    )
    is_there = files.status(paths.log) is not None
    if (is_full and is_there) or not _log_agrees(paths.log, runs):
        whole = ledger.runs.of_session(key) if is_there else []
        is_foreign = session.is_imported and _is_of_before(paths.log, home)
        # Without the events of its runs the log is the last copy of what Codex said.
        is_kept = is_foreign or not task_files.has_events(whole)
        if not is_there or (
            not is_kept and _log_differs(paths.log, whole, is_full=is_full)
        ):
            yield differs(paths.log), partial(task_files.write_all, ledger, key)
    if answer:
        text = answer.encode(errors="replace")
        have = files.read_if_there(paths.result)
        begin = 0 if is_full else max(0, len(text) - _TAIL_BYTES)
        if len(have) != len(text) or have[begin:] != text[begin:]:
            yield differs(paths.result), partial(_write, paths.result, lambda: text)


def _answer(
    key: int, runs: list[Recorded], paths: TaskFiles, ledger: Ledger
) -> str | None:
    """Return the answer of the last run that has one, from its record if possible."""
    answered = [run for run in runs if run.row["answered"]]
    if not answered:
        return None
    last = max(answered, key=lambda it: (-it.row["waits"], it.row["ordinal"]))
    said = run_exports.said_in(last.data)
    if said and not said.get("is_cut"):
        return loose_json.text(said.get("final_message"))
    return task_files.last_answer(ledger, key, paths)


def _of_run(run: Recorded, ledger: Ledger) -> Iterator[Found]:
    paths, home, find = run.files, ledger.home, partial(ledger.runs.find, run.run_id)
    if not files.is_directory(paths.directory):
        gone = f"the files of its run are gone ({paths.directory})"
        lost = Difference(
            kind="files-gone", subject=run.run_id, detail=gone, is_repairable=False
        )
        yield lost, None
        return
    yield from compared(
        paths.summary,
        lambda: record.encode(run_exports.summary_in(run.data), indent=2),
        lambda: run_exports.render_summary(find()),
        home,
    )
    yield from compared(
        paths.meta,
        lambda: record.encode(run_exports.meta_in(run.data), indent=2),
        lambda: run_exports.render_meta(find()),
        home,
    )
    if paths.is_flat and files.status(paths.log) is None:

        def rest() -> bytes:
            return task_files.rest_of_log(find()).encode(errors="backslashreplace")

        yield differs(paths.log), partial(_write, paths.log, rest)


def _log_agrees(path: Path, runs: list[Recorded]) -> bool:
    """Compare a log by its length and its last lines with the events as they are.

    If these have lines that a log does not take over as they are, it does not agree.
    """
    size, end = files.read_end(path, _TAIL_BYTES)
    last = _last_lines(size, end)
    for run in runs:
        begun = run.row["outcome"], run.row["launched_at"], run.data["accounts"]
        if run.row["waits"] or not task_files.is_logged(*begun):
            continue
        prompt = files.read_if_there(run.files.prompt) or str(run.data["task"]).encode()
        errors = files.read_if_there(run.files.stderr).removesuffix(b"\n")
        told = [task_log.prompt(prompt)]
        told += map(task_log.stderr, errors.split(b"\n") if errors else ())
        length, end = files.read_end(run.files.events, _TAIL_BYTES)
        size -= length + sum(map(len, told))
        last -= {*told, *_last_lines(length, end)}
    return not size and not last


def _last_lines(size: int, end: bytes) -> set[bytes]:
    """Split the end of a file into its complete lines."""
    lines = end.splitlines(keepends=True)
    return {*(lines if size == len(end) else lines[1:])}


def _log_differs(path: Path, runs: list[Run], *, is_full: bool) -> bool:
    """Compare the lines of a log; the order of stderr among events may differ."""
    if is_full:
        have = files.read_if_there(path).splitlines(keepends=True)
        return sorted(have) != sorted(task_files.render_log(runs))
    size, end = files.read_end(path, _TAIL_BYTES)
    last = _last_lines(size, end)
    for line in task_files.render_log(runs):
        size -= len(line)
        last.discard(line)
    return bool(size or last)


def compared(path: Path, quick: Render, render: Render, home: Path) -> Iterator[Found]:
    """Compare an export with its rendering; `quick` gives the same from the rows."""
    have = files.read_if_there(path)
    if have:
        if have == quick() or have == (wanted := render()):
            return
        if _is_of_before(path, home) and _agrees(have, wanted):
            return
    yield differs(path), partial(_write, path, render)


def _is_of_before(path: Path, home: Path) -> bool:
    """Return whether a file is older than the migration."""
    saved, found = files.status(home / database.OLD_BACKUP), files.status(path)
    return bool(saved and found and found.st_mtime < saved.st_mtime)


def _agrees(have: bytes, wanted: bytes) -> bool:
    """Return whether a file of the previous version has the values of this one."""
    old, new = (loose_json.mapping(loose_json.load_or_empty(h)) for h in (have, wanted))
    return bool(old.keys() & {"run_id", "id"}) and _has_values(old, new)


def _has_values(old: object, new: object) -> bool:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return old is None or old == new
    # The previous version did not write the paths again when it moved a directory.
    names = {name for name in old.keys() & new if not name.endswith(("_file", "_path"))}
    return all(_has_values(old[name], new[name]) for name in names)


def _write(path: Path, render: Render) -> None:
    files.make_directory(path.parent)
    files.export(path, render())


def differs(path: Path, detail: str = "", kind: str = "export") -> Difference:
    """Describe how a file differs, by default from the ledger."""
    if not detail:
        is_there = files.status(path) is not None
        detail = "it differs from the ledger" if is_there else "it is missing"
    return Difference(kind=kind, subject=str(path), detail=detail)
