"""What is on record already, asked by those who import.

Sessions are known by their thread. Runs without one are known by where they come from:
their ids hold a time that a touched file can change.
"""

from __future__ import annotations

from datetime import timedelta

from parsers import loose_json
from runner import files, session_files
from runner.foreign.history import UNKNOWN
from runner.ledger.usage import totals
from runner.model import Outcome
from runner.service import imported_runs
from runner.session_files import SessionFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runner.foreign.history import ForeignRun, History
    from runner.ledger.runs import Ledger
    from runner.model import Run

# Two records of one run begin and end at nearly the same time.
_SAME = timedelta(seconds=5)


class Register:
    """Know the sessions of a state directory.

    Args:
        state_home: the state directory.
        ledger: its index, None while there is none.
    """

    def __init__(self, state_home: Path, ledger: Ledger | None) -> None:
        self._home = state_home
        self._ledger = ledger
        self._archived = {place.name: place for place in _archived(state_home)}
        self._marks: dict[str, list[str]] = {}
        for run_id in ledger.known() if ledger else ():
            mark = run_id.rpartition("-")[2]
            self._marks.setdefault(mark, []).append(run_id)

    def key_of(self, part: History) -> str:
        """Name the session that a part has become, or is to become."""
        return self._known_key(part) or imported_runs.key_of(part)

    def has(self, key: str) -> bool:
        """Tell whether a session is known; what was removed here stays removed."""
        if self._ledger is None:
            return False
        database = self._ledger.database
        return self._ledger.sessions.find(key) is not None or bool(
            totals(database, "session", session_id=key)
        )

    def runs(self, key: str) -> list[Run]:
        """Return the runs of a session that are on record."""
        return self._ledger.of_session(key) if self._ledger else []

    def where(self, part: History, key: str) -> SessionFiles:
        """Name the directory of a session: where it lies, if it lies here already."""
        active = session_files.active(self._home, key)
        if files.is_directory(active.directory):
            return active
        if key in self._archived:
            return SessionFiles(self._archived[key])
        if part.archived_at is None:
            return active
        bucket = session_files.bucket(part.archived_at)
        return session_files.placed(self._home, key, f"{bucket}/{key}")

    def _known_key(self, part: History) -> str | None:
        if part.session_id is not None or self._ledger is None:
            return None
        (run,) = part.runs
        for run_id in self._marks.get(imported_runs.mark_of(part, run), ()):
            origin = imported_runs.origin_of(self._ledger.find(run_id))
            if origin.get("identity") == imported_runs.identity_of(part, run):
                return run_id
        return None


def ended_since(part: History, known: Sequence[Run]) -> ForeignRun | None:
    """Return the run that was lost when it was imported, if its rollout has its end.

    Args:
        part: what the source says of the session now.
        known: its runs on record, all of them imported.
    """
    last = known[-1]
    is_rollout = part.kind == imported_runs.origin_of(last).get("kind") == "rollout"
    if part.is_at_work or not is_rollout or last.outcome is not Outcome.LOST:
        return None
    ids = imported_runs.ids_of(part)
    found = dict(zip(ids, part.runs, strict=True)).get(last.run_id)
    return None if found is None or found.outcome is Outcome.LOST else found


def is_among(run: ForeignRun, part: History, known: Sequence[Run]) -> bool:
    """Tell whether a run is one of those on record.

    Its time tells; where times are only guesses its number in the session does.
    """
    dated = [each for each in known if not _is_vague(each)]
    is_dated = UNKNOWN not in run.meta
    if is_dated and any(_are_at_one_time(run, other) for other in dated):
        return True
    if is_dated and len(dated) == len(known):
        return False
    identity = imported_runs.identity_of(part, run)
    origins = map(imported_runs.origin_of, known)
    return any(origin.get("identity") == identity for origin in origins)


def _is_vague(run: Run) -> bool:
    return UNKNOWN in loose_json.mapping(imported_runs.origin_of(run).get("said"))


def _are_at_one_time(run: ForeignRun, other: Run) -> bool:
    is_before_its_end = run.started_at <= (other.ended_at or run.started_at) + _SAME
    return is_before_its_end and run.ended_at >= other.started_at - _SAME


def _archived(state_home: Path) -> Iterator[Path]:
    for bucket in session_files.buckets(state_home):
        yield from (bucket / name for name in files.names(bucket))
