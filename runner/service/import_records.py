"""What the ledger has of a session that another tool tells of, and what is added to it.

The table `imports` says which run came from where: a run is known by its identity.
"""

from __future__ import annotations

import contextlib

from parsers.struct import Struct, replace
from runner import files
from runner.clock import iso
from runner.foreign import sources
from runner.foreign.tasks import RECORD, is_event_log, is_ours
from runner.ledger.database import clean
from runner.model import Mode
from runner.service import rebuild
from runner.service.foreign_runs import identity_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.foreign.history import History
    from runner.ledger.ledger import Ledger
    from runner.model import Run
    from runner.service.foreign_runs import Origin


class Known(Struct):
    """What the ledger has of a session.

    `identities` are those of its runs; `given` are the runs that came from the source
    that is looked at, `is_newer` when it was written since. `is_mixed` tells that the
    session has other runs, too.
    """

    key: int
    runs: tuple[str, ...]
    identities: frozenset[str]
    given: tuple[str, ...]
    is_newer: bool
    is_mixed: bool


def look_up(part: History, ledger: Ledger) -> Known | None:
    """Find what the ledger has of a session, by its thread or by its one run."""
    if part.session_id is not None:
        key = ledger.sessions.of_thread(part.session_id)
    else:
        identity = identity_of(part, part.runs[0])
        key = ledger.value("session_of_identity", identity=identity)
    if key is None:
        return None
    rows = ledger.all("imports_of_session", session=key)
    source = (part.kind, clean(str(part.source)))
    mine = [row for row in rows if (row["kind"], row["source"]) == source]
    theirs = {row["run_id"] for row in rows if row["kind"] != rebuild.KIND}
    runs = ledger.runs.of_session(key)
    own = [run for run in runs if run.run_id not in theirs]
    # The importer of version 0.1 kept no time: what it left is not replaced.
    times = [row["mtime"] for row in mine if row["mtime"] is not None]
    is_idle = all(run.is_finished for run in runs)
    return Known(
        key=key,
        runs=tuple(run.run_id for run in runs),
        identities=_turns_of(own, part).union(row["identity"] for row in rows),
        given=tuple(row["run_id"] for row in mine),
        is_newer=is_idle and bool(times) and part.written_at > max(times),
        is_mixed=len(runs) > len(mine),
    )


def _turns_of(own: Sequence[Run], part: History) -> frozenset[str]:
    """Return the identities of the turns of a rollout that are runs of our own.

    Codex appends to a rollout: a run's turn is the first behind what was there before
    the run. Where that is not known each turn may be one.
    """
    found: set[str] = set()
    for run in own if part.kind == "rollout" else ():
        begin = 0 if run.spec.mode is Mode.NEW else run.rollout_offset
        if begin is None:
            return frozenset(identity_of(part, turn) for turn in part.runs)
        turns = [turn for turn in part.runs if (turn.place or 0) >= begin]
        if run.has_begun:
            found.update(identity_of(part, turn) for turn in turns[:1])
    return frozenset(found)


def open_session(
    part: History, origin: Origin, made: Mapping[str, Run], ledger: Ledger
) -> int:
    """Open the session of a part, inside a transaction, and return its key."""
    key = ledger.sessions.open(
        iso(next(iter(made.values())).spec.prepared_at),
        thread=part.session_id,
        title=part.title,
        repo=origin.repo,
        home=origin.codex_home,
    )
    if part.archived_at is not None:
        at = iso(part.archived_at)
        ledger.change("archive_session", session=key, exports=None, at=at)
    ledger.change("touch_session", session=key, at=iso(part.updated_at))
    return key


def insert(
    key: int,
    part: History,
    known: Known | None,
    made: Mapping[str, Run],
    ledger: Ledger,
) -> None:
    """Insert runs with their usage, each under its identity, inside a transaction.

    What the source gave before is deleted first, unless the session has other runs.
    """
    is_mixed = known is not None and known.is_mixed
    if known is not None and not is_mixed:
        ledger.change("set_imported", session=key, imported=None)
        for run_id in known.given:
            for query in ("drop_import", "drop_record", "remove_usage", "drop_run"):
                ledger.change(query, run_id=run_id)
    imported = None
    for identity, run in made.items():
        imported = ledger.insert(
            "insert_import",
            kind=part.kind,
            source=clean(str(part.source)),
            identity=identity,
            run_id=run.run_id,
            mtime=part.written_at,
        )
        ledger.runs.insert(replace(run, session=key))
        ledger.usage.record_run(run)
    if is_mixed:
        ledger.runs.sort(key)
    else:
        ledger.change("set_imported", session=key, imported=imported)


def keep_old_files(part: History, state_home: Path) -> str | None:
    """Copy what exports of ours would write over; return the place of ours, if any.

    An older tool uses the same directory for its files of a thread. A log of events is
    not copied: ours only adds to it.
    """
    places = [state_home / (part.session_id or "."), part.source]
    for place in dict.fromkeys(places):
        if not (place.is_relative_to(state_home) and (place / RECORD).is_file()):
            continue
        told = files.read_json(place / RECORD)
        if isinstance(told, dict) and is_ours(told):
            return part.session_id if place == places[0] else None
        names = [RECORD, "task.result"]
        with contextlib.suppress(OSError), sources.opened(place / "task.log") as log:
            names += [] if is_event_log(log) else ["task.log"]
        for name in names:
            copy = place / f"{name}.imported"
            if (place / name).is_file() and not copy.exists():
                files.export(copy, sources.content(place / name))
    return None
