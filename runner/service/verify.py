"""Check the ledger, and the exported files against it.

Every export is rendered again in memory and compared. `--repair` writes what differs,
and rebuilds a lost ledger.
"""

from __future__ import annotations

import os
from functools import partial

from parsers import loose_json
from parsers.light import closing, nullcontext, pattern, suppress
from parsers.struct import Struct, replace
from runner import clock, files
from runner.errors import LedgerFault, NoSuchTaskError, RunnerError
from runner.exports import queue_files, run_exports, task_files
from runner.ledger import database
from runner.ledger.ledger import Ledger
from runner.lifecycle.recover import sweep
from runner.locks import Lock, look
from runner.run_files import RUNS, files_of, owner_of
from runner.service import archive, rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from parsers.paths import Path
    from runner.config import Config
    from runner.model import Run

    Found: TypeAlias = "tuple[Difference, Callable[[], list[str] | None] | None]"

_TAIL_BYTES = 4096
_OTHERS = 0o077
# Temporary files, which a writer of an export renames within milliseconds.
_TEMPORARY = pattern(
    r"\.(codex-run-.+|log|meta\.json|summary\.json|task\.[a-z]+|\d+)\.[0-9a-f]{8}\.tmp"
)
_STALE_SECONDS = 60.0


class Difference(Struct):
    """Hold one difference, and whether it was fixed."""

    kind: str
    subject: str
    detail: str
    is_repairable: bool = True
    fixed: bool = False


class Report(Struct):
    """Hold the differences; `notes` name records that a migration could not convert."""

    differences: tuple[Difference, ...]
    sessions: int = 0
    runs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return all(each.fixed for each in self.differences)


def verify(
    settings: Config, *, is_repairing: bool = False, is_full: bool = False
) -> Report:
    """Compare all exports, and with `is_repairing` write what differs.

    Logs and answers are compared by length and their last 4 kB, or whole with
    `is_full`.

    Raises:
        RunnerFault: the disk refuses what a repair has to write.
    """
    home = settings.state_home
    is_alone = is_repairing and files.is_directory(home)
    with rebuild.alone(home) if is_alone else nullcontext():
        ledger, damage = _open(home)
        if damage is not None:
            if not is_repairing:
                return Report(differences=(damage,))
            done = rebuild.rebuild(settings)
            damage = replace(damage, detail=f"{damage.detail}; {done}", fixed=True)
            ledger = Ledger(home)
        if ledger is None:
            return Report(differences=())
        with closing(ledger):
            # First the verdicts: the exports have them.
            swept = sweep(ledger, settings, delivers=False) if is_repairing else None
            found = list(_compare(ledger, is_repairing=is_repairing, is_full=is_full))
            notes = [f"{what}: {about}" for what, about in ledger.all("notes")]
            (counts,) = ledger.all("counts")
    return Report(
        differences=tuple(found if damage is None else [damage, *found]),
        sessions=counts["sessions"],
        runs=counts["runs"],
        notes=(*notes, *(swept.faults if swept else ())),
    )


def _compare(
    ledger: Ledger, *, is_repairing: bool, is_full: bool
) -> Iterator[Difference]:
    """Compare part by part, each in one snapshot; fix what differs.

    A process writes an export after its commit, so what differs is compared again at
    the end. A repair locks out other writers: it never replaces a newer export.
    """
    parts = list(_parts(ledger, is_full=is_full))
    with ledger.snapshot():
        differing = [part for part in parts if any(True for _ in part())]
    for part in differing:
        with ledger.transaction() if is_repairing else ledger.snapshot():
            for each, fix in part():
                yield _fixed(each, fix) if is_repairing and fix else each


def _fixed(difference: Difference, fix: Callable[[], list[str] | None]) -> Difference:
    """Fix a difference; say what prevents it."""
    try:
        left = "; ".join(fix() or ())
    except (RunnerError, OSError) as error:
        left = str(error)
    if not left:
        return replace(difference, fixed=True)
    detail = f"{difference.detail}; it cannot be fixed: {left}"
    return replace(difference, detail=detail, is_repairable=False)


def _open(home: Path) -> tuple[Ledger | None, Difference | None]:
    """Open the ledger and check the file itself; neither where there is none yet."""
    path = home / database.NAME
    database.refuse_closed(home)
    is_there = os.path.lexists(path) or (home / database.OLD).exists()
    if not is_there and not database.is_lost(home):
        return None, None
    try:
        ledger = Ledger(home)
        if not (detail := "; ".join(ledger.faults())):
            return ledger, None
        ledger.close()
    except LedgerFault as error:
        if not rebuild.is_needed(home, error):
            raise
        detail = error.reason
    return None, _differs(path, detail, "ledger")


def _parts(ledger: Ledger, *, is_full: bool) -> Iterator[Callable[[], Iterator[Found]]]:
    """Yield functions that find differences, each with its fix."""
    for session in ledger.sessions.all():
        yield partial(_of_session, session.key, ledger, is_full=is_full)
    wanted = {row["id"] for row in ledger.all("exported_prompts")}
    found = {int(path.name) for path in queue_files.all_files(ledger.home)}
    for number in sorted(wanted | found):
        yield partial(_of_prompt, number, ledger)
    yield partial(_of_sums, ledger)
    yield partial(_of_places, ledger)
    yield partial(_temporaries, ledger)


def _of_prompt(number: int, ledger: Ledger) -> Iterator[Found]:
    path = queue_files.path_of(ledger.home, number)
    content = queue_files.render(ledger, number)
    if content is None and path.exists():
        yield _differs(path, "its prompt no longer waits"), path.unlink
    elif content is not None:
        yield from _compared(path, content, ledger.home)


def _of_sums(ledger: Ledger) -> Iterator[Found]:
    if wrong := ledger.value("wrong_sums"):
        detail = f"{wrong} sums differ from the usage of the runs"
        yield _differs(ledger.path, detail, "usage"), ledger.usage.sum_all


def _of_places(ledger: Ledger) -> Iterator[Found]:
    """Find directories without a run, and modes that let other users in."""
    for place, can_go in archive.strays(ledger):
        detail = "the ledger has no run for this directory"
        if not can_go:
            detail += ": it is not removed (codex-tasks import imports runs)"
        stray = replace(_differs(place, detail), is_repairable=can_go)
        yield stray, partial(files.remove_tree, place) if can_go else None
    below = [ledger.home / name for name in (RUNS, queue_files.QUEUE)]
    for place in (ledger.home, ledger.path, *below):
        status = files.status(place)
        if status is not None and status.st_mode & _OTHERS:
            detail = f"other users can access it (mode {status.st_mode & 0o777:o})"
            mode = status.st_mode & 0o7700
            yield _differs(place, detail, "mode"), partial(place.chmod, mode)


def _temporaries(ledger: Ledger) -> Iterator[Found]:
    """Find temporary files that a killed writer of an export has left."""
    directories = (row["directory"] for row in ledger.all("run_directories"))
    places = {ledger.home / os.fsdecode(directory) for directory in directories}
    sessions = ledger.sessions.all()
    places |= {each.exports_in(ledger.home) or ledger.home for each in sessions}
    for place in sorted(places | {ledger.home / queue_files.QUEUE}):
        for path in map(place.joinpath, files.names(place)):
            status = _TEMPORARY.fullmatch(path.name) and files.status(path)
            age = clock.now().timestamp() - status.st_mtime if status else 0.0
            if age >= _STALE_SECONDS:
                detail = "its writer was killed"
                yield _differs(path, detail), partial(path.unlink, missing_ok=True)


def _of_session(key: int, ledger: Ledger, *, is_full: bool) -> Iterator[Found]:
    """Compare the files of finished runs whose supervisor is gone."""
    try:
        session, runs = ledger.sessions.get(key), ledger.runs.of_session(key)
    except NoSuchTaskError:
        return  # removed meanwhile
    home, unwritten = ledger.home, {run_id for run_id, _ in ledger.runs.unexported()}
    written = [
        run
        for run in runs
        if run.is_finished
        and run.run_id not in unwritten
        and look(owner_of(home, run.run_id)) is not Lock.HELD
    ]
    for run in written:
        if not rebuild.has_foreign_files(run):
            yield from _of_run(run, home)
    paths = task_files.files_in(session, home)
    if paths is None or not runs or len(written) < len(runs):
        return
    yield from _compared(paths.json, task_files.render_json(ledger, key), home)
    is_foreign = session.is_imported and _is_of_before(paths.log, home)
    # Without the events of its runs the log is the last copy of what Codex said.
    is_last = files.status(paths.log) and not task_files.has_events(runs)
    if (
        not is_foreign
        and not is_last
        and _log_differs(paths.log, runs, is_full=is_full)
    ):
        yield _differs(paths.log), partial(task_files.write_all, ledger, key)
    if answer := task_files.last_answer(ledger, key, paths):
        text = answer.encode(errors="replace")
        have = files.read_if_there(paths.result)
        begin = 0 if is_full else max(0, len(text) - _TAIL_BYTES)
        if len(have) != len(text) or have[begin:] != text[begin:]:
            yield _differs(paths.result), partial(_write, paths.result, text)


def _of_run(run: Run, home: Path) -> Iterator[Found]:
    paths = files_of(run.spec)
    if not files.is_directory(paths.directory):
        gone = f"the files of its run are gone ({paths.directory})"
        lost = Difference(
            kind="files-gone", subject=run.run_id, detail=gone, is_repairable=False
        )
        yield lost, None
        return
    yield from _compared(paths.summary, run_exports.render_summary(run), home)
    yield from _compared(paths.meta, run_exports.render_meta(run), home)
    if run.spec.is_flat and files.status(paths.log) is None:
        text = task_files.rest_of_log(run).encode(errors="backslashreplace")
        yield _differs(paths.log), partial(_write, paths.log, text)


def _log_differs(path: Path, runs: list[Run], *, is_full: bool) -> bool:
    """Compare the lines of a log; the order of stderr among events may differ."""
    if is_full:
        have = files.read_if_there(path).splitlines(keepends=True)
        return sorted(have) != sorted(task_files.render_log(runs))
    size, last = 0, set[bytes]()
    with suppress(OSError), files.reader(path) as stream:
        end = stream.seek(0, os.SEEK_END)
        begin = stream.seek(max(0, end - _TAIL_BYTES))
        lines = stream.read().splitlines(keepends=True)
        size, last = end, set(lines[1:] if begin else lines)
    for line in task_files.render_log(runs):
        size -= len(line)
        last.discard(line)
    return bool(size or last)


def _compared(path: Path, wanted: bytes, home: Path) -> Iterator[Found]:
    have = files.read_if_there(path)
    if have == wanted or (_is_of_before(path, home) and _agrees(have, wanted)):
        return
    yield _differs(path), partial(_write, path, wanted)


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


def _write(path: Path, content: bytes) -> None:
    files.make_directory(path.parent)
    files.export(path, content)


def _differs(path: Path, detail: str = "", kind: str = "export") -> Difference:
    if not detail:
        is_there = files.status(path) is not None
        detail = "it differs from the ledger" if is_there else "it is missing"
    return Difference(kind=kind, subject=str(path), detail=detail)
