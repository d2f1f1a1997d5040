"""Find out whether an unfinished run is alive, and which process keeps it alive.

Two locks show it in any PID namespace: the supervisor holds the lock of `owner` from
before the run's row exists, and Codex holds that of `events.jsonl`, which is its
standard output. If a lock cannot be tested, the recorded processes are looked up, in
the reader's own PID namespace only.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.light import StrEnum
from parsers.struct import Struct
from runner.locks import Lock, look
from runner.model import Launching, ProcessId, Running
from runner.process.table import (
    here,
    is_alive,
    is_suspended,
    program_of,
    writers_of,
)
from runner.run_files import files_of, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.paths import Path
    from runner.model import Run

_NATIVE = "codex"


class Life(StrEnum):
    """Which process keeps an unfinished run alive."""

    SUPERVISOR = "its supervisor, or the command that is about to start one"
    CODEX = "Codex; its supervisor is gone"
    UNKNOWN = "unknown on this machine"
    NONE = "none"


class Place(Struct):
    """Hold where a run was started, as seen from this process.

    `is_here` is true when its pids are of this PID namespace; `reason` is why its state
    is unknown here, None when it can be determined.
    """

    is_here: bool
    is_gone: bool = False
    reason: str | None = None


def place_of(run: Run) -> Place:
    """Compare the machine and namespace of a run with those of this process."""
    owner, own = run.supervisor, here()
    if owner is None:
        return Place(is_here=True)
    if owner.boot_id == own["boot_id"]:
        return Place(is_here=owner.namespace in {"", own["namespace"]})
    if owner.machine_id and owner.machine_id == own["machine_id"]:
        return Place(is_here=False, is_gone=True)
    machine = owner.machine_id or "another kernel"
    return Place(is_here=False, reason=f"it was started on machine {machine}")


def life_of(run: Run, state_home: Path) -> Life:
    """Return which process keeps an unfinished run alive.

    Raises:
        FileFault: this process has run out of descriptors or memory.
    """
    place = place_of(run)
    if place.is_gone:
        return Life.NONE
    if place.reason is not None:
        return Life.UNKNOWN
    owner, supervisor = look(owner_of(state_home, run.run_id)), run.supervisor
    if not place.is_here and owner is not Lock.FREE:
        return Life.SUPERVISOR if owner is Lock.HELD else Life.UNKNOWN
    is_owned = owner is Lock.HELD if supervisor is None else is_alive(supervisor)
    if owner is not Lock.FREE and is_owned:
        return Life.SUPERVISOR
    # The supervisor is gone, or a command holds the lock to judge the run.
    return life_without_supervisor(run)


def life_without_supervisor(run: Run) -> Life:
    """Return whether Codex is alive, for a run whose supervisor is gone."""
    if place_of(run).is_here:
        # The lock is free while Codex is alive when its file has been replaced, or
        # when a supervisor of version 0.2 has started it.
        return Life.NONE if codex_of(run) is None else Life.CODEX
    events = look(files_of(run.spec).events)
    if events is Lock.UNKNOWN:
        return Life.UNKNOWN
    # The holder is unknown here: Codex, or a process that it has left running.
    return Life.CODEX if events is Lock.HELD else Life.NONE


def codex_of(run: Run) -> ProcessId | None:
    """Return the living Codex of a run: the native process, else the one started.

    A supervisor starts the launcher, then is killed before it records the native
    process; in this case Codex is the process that writes to the events file.
    """
    events = files_of(run.spec).events
    if (native := native_codex(events)) is not None:
        return native
    if isinstance(run.state, Launching):
        return next(iter(writers_of(events)), None)
    if isinstance(run.state, Running) and is_alive(run.state.codex):
        return run.state.codex
    return None


def suspension_of(run: Run) -> str | None:
    """Return how to resume a suspended supervisor; None when it is not suspended."""
    owner = run.supervisor
    if owner is None or not place_of(run).is_here or not is_suspended(owner):
        return None
    return (
        f"its supervisor (pid {owner.pid}) is suspended: kill -CONT {owner.pid} resumes"
        " it, codex-tasks stop ends the run"
    )


def left_by(run: Run) -> dict[ProcessId, object]:
    """Return the living processes that a run has left running, with their names.

    Only recorded ones. If the supervisor was killed, the judge recorded those with the
    run's marker or in its control group.
    """
    found: dict[ProcessId, object] = {}
    for each in loose_json.sequence(run.accounts.get("left_running")):
        told = loose_json.mapping(each)
        pid = loose_json.integer(told.get("pid"))
        start_time = loose_json.integer(told.get("start_time"))
        if pid is not None and start_time is not None:
            process = ProcessId(pid=pid, start_time=start_time, **here())
            if is_alive(process):
                found[process] = told.get("name")
    return found


def native_codex(events: Path) -> ProcessId | None:
    """Find the native Codex process of a run by its open events file.

    The npm package's launcher is a Node process above it; killing that one leaves
    the native one running.
    """
    return native_of(writers_of(events))


def native_of(writers: Sequence[ProcessId]) -> ProcessId | None:
    """Return the native Codex process of those that write to an events file."""
    natives = (each for each in writers if program_of(each).startswith(_NATIVE))
    # The topmost one: a fork below it may not have executed its tool yet.
    return next(natives, None)
