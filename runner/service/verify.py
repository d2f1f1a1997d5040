"""Check the ledger, and the exported files against it.

Every export is rendered again in memory and compared. `--repair` writes what differs,
and rebuilds a lost ledger.
"""

from __future__ import annotations

import os
from functools import partial

from parsers.light import closing, nullcontext, pattern
from parsers.struct import Struct, replace
from runner import clock, files
from runner.errors import LedgerFault, RunnerError
from runner.exports import queue_files
from runner.ledger import database
from runner.ledger.ledger import Ledger
from runner.lifecycle.recover import sweep
from runner.run_files import RUNS
from runner.service import archive, rebuild
from runner.service.compare import compared, differs, of_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from parsers.paths import Path
    from runner.config import Config
    from runner.service.compare import Difference, Found


_OTHERS = 0o077
# Temporary files, which a writer of an export renames within milliseconds.
_TEMPORARY = pattern(
    r"\.(codex-run-.+|log|meta\.json|summary\.json|task\.[a-z]+|\d+)\.[0-9a-f]{8}\.tmp"
)
_STALE_SECONDS = 60.0


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
    with ledger.snapshot():
        parts = _parts(ledger, is_full=is_full)
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
    return None, differs(path, detail, "ledger")


def _parts(ledger: Ledger, *, is_full: bool) -> Iterator[Callable[[], Iterator[Found]]]:
    """Yield functions that find differences, each with its fix."""
    known = {session.key: session for session in ledger.sessions.all()}
    for key in [*known]:
        yield partial(of_session, key, ledger, known, is_full=is_full)
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
        yield differs(path, "its prompt no longer waits"), path.unlink
    elif content is not None:
        yield from compared(path, lambda: content, lambda: content, ledger.home)


def _of_sums(ledger: Ledger) -> Iterator[Found]:
    if wrong := ledger.value("wrong_sums"):
        detail = f"{wrong} sums differ from the usage of the runs"
        yield differs(ledger.path, detail, "usage"), ledger.usage.sum_all


def _of_places(ledger: Ledger) -> Iterator[Found]:
    """Find directories without a run, and modes that let other users in."""
    for place, can_go in archive.strays(ledger):
        detail = "the ledger has no run for this directory"
        if not can_go:
            detail += ": it is not removed (codex-tasks import imports runs)"
        stray = replace(differs(place, detail), is_repairable=can_go)
        yield stray, partial(files.remove_tree, place) if can_go else None
    below = [ledger.home / name for name in (RUNS, queue_files.QUEUE)]
    for place in (ledger.home, ledger.path, *below):
        status = files.status(place)
        if status is not None and status.st_mode & _OTHERS:
            detail = f"other users can access it (mode {status.st_mode & 0o777:o})"
            mode = status.st_mode & 0o7700
            yield differs(place, detail, "mode"), partial(place.chmod, mode)


def _temporaries(ledger: Ledger) -> Iterator[Found]:
    """Find temporary files that a killed writer of an export has left."""
    rows = ledger.all("written_directories")
    names = {os.fsdecode(row["directory"]) for row in rows}
    for place in map(ledger.home.__truediv__, sorted({*names, "", queue_files.QUEUE})):
        for path in map(
            place.__truediv__, filter(_TEMPORARY.fullmatch, files.names(place))
        ):
            status = files.status(path)
            age = clock.now().timestamp() - status.st_mtime if status else 0.0
            if age >= _STALE_SECONDS:
                detail = "its writer was killed"
                yield differs(path, detail), partial(path.unlink, missing_ok=True)
