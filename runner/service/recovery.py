"""Take runs of ours back into an index that has lost them."""

from __future__ import annotations

from parsers.struct import replace
from runner import files, log_dirs, session_files
from runner.errors import NoSuchRunError
from runner.exports import task_json
from runner.ledger import record
from runner.ledger.runs import read_meta
from runner.ledger.usage import run_ids
from runner.run_files import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.model import Run
    from runner.session_files import SessionFiles

_META = ".meta.json"


def lost_runs(directory: Path, ledger: Ledger | None) -> Iterator[Run]:
    """Yield the runs that lie in a log directory and that the index has lost.

    Not those that were removed, of which it still has what they have used; nor those
    that Codex has never worked on, which leave nothing else.

    Args:
        directory: a log directory, not one of a session's.
        ledger: the index, None where there is none yet.
    """
    known = _known(ledger) if ledger is not None else set()
    for name in files.names(directory):
        if not (name.startswith(PREFIX) and name.endswith(_META)):
            continue
        run_id = name.removeprefix(PREFIX).removesuffix(_META)
        run = None if run_id in known else _read(directory / name)
        if run is None or run.run_id != run_id or run.launched_at is None:
            continue
        # It may have been put on record after the look at the index.
        if ledger is None or not _is_known(run_id, ledger):
            yield replace(run, spec=replace(run.spec, log_dir=str(directory)))


def has_lost_runs(ledger: Ledger, settings: Config) -> bool:
    """Tell whether there are runs of ours of which an empty index knows nothing."""
    from runner.service import verify_tree  # noqa: PLC0415 - hardly ever

    home = settings.state_home
    if not (
        any(map(verify_tree.metas, verify_tree.places(home)))
        or any(any(lost_runs(each, ledger)) for each in log_dirs.noted(home))
    ):
        return False
    # Somebody may be putting the first run on record: its file comes before its row.
    with ledger.database.transaction():
        return ledger.is_empty()


def adopt(
    run: Run, paths: SessionFiles | None, ledger: Ledger, settings: Config
) -> None:
    """Take a run into the index, with the title and the place of its session.

    Args:
        run: the run.
        files: those of its session, None for one that has no directory.
        ledger: the index.
        settings: for the state directory.

    Raises:
        RunnerFault: the index or the disk refuses.
    """
    home = settings.state_home
    ledger.adopt(
        run,
        title=_title(paths, run.key) if paths is not None else None,
        archived_in=None if paths is None else session_files.archived_in(home, paths),
    )
    if session_files.of_run(home, run) is None:
        log_dirs.note(home, run.spec.log_dir)


def _known(ledger: Ledger) -> set[str]:
    return ledger.known().keys() | run_ids(ledger.database)


def _is_known(run_id: str, ledger: Ledger) -> bool:
    try:
        ledger.find(run_id)
    except NoSuchRunError:
        return False
    return True


def _read(path: Path) -> Run | None:
    try:
        return read_meta(path)
    except record.DamagedRecordError:
        return None  # of another tool, such as the bash runner


def _title(paths: SessionFiles, key: str) -> str | None:
    try:
        told = task_json.check(paths.json, files.read_json(paths.json), key)
    except task_json.DamagedTaskError:
        return None
    title = told.get("title")
    return title if isinstance(title, str) else None
