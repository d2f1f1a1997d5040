"""Slots: how many runs there may be at once, and how many starts in a minute.

Both are limits of the whole queue or of a group, in the table `queues`. They are
checked in the transaction that prepares a run.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner.errors import NoSlotError
from runner.terms import money

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.model import RunRequest

# A run may be started inside a run, and so on, up to this depth.
DEEPEST = 3
# Of a new run; `send` has its own.
FIX = '--wait-for-slot, or codex-tasks start --queue "PROMPT"'


class Slots(Struct, kw_only=False):
    """Hold the limits of the whole queue (its name is empty) or of a group.

    None is without limit. `running` counts the runs that use a slot, `waiting` the
    waiting prompts.
    """

    name: str
    slots: int | None
    paused: bool
    starts_per_minute: int | None
    running: int
    waiting: int


def refuse_too_deep(ledger: Ledger, parent: str | None) -> None:
    """Refuse a run that is started inside too many runs.

    Raises:
        NoSlotError: it is.
    """
    if parent is None:
        return
    depth = ledger.value("depth_of", parent=parent) or 0
    if depth > DEEPEST:
        message = f"this command is inside {depth} runs, and {DEEPEST} are the most"
        raise NoSlotError(message)


def refusal(ledger: Ledger, session: int, request: RunRequest) -> NoSlotError | None:
    """Return why a run may not be started now, with the way out; None when it may.

    A run inside a run of this ledger uses no slot: its caller would wait for itself.
    """
    if ledger.value("is_paused", session=session):
        name = ledger.sessions.get(session).name
        return NoSlotError(f"task {name} is paused", f"codex-tasks resume {name}")
    parent, group = request.parent, request.group
    is_inside = bool(parent and ledger.value("depth_of", parent=parent))
    row = ledger.one("kept", group=group, is_inside=is_inside)
    if row is None:
        return None
    where = f" of group {row['name']}" if row["name"] else ""
    word = row["word"]
    if word == "pause" and row["slots"] != 0:
        return NoSlotError("the queue is paused", f"codex-tasks resume, {FIX}")
    told = {
        "pause": f"there are 0 slots{where}",
        "slot": f"{row['slots']} of {row['slots']} slots{where} are taken",
        "rate": f"{row['rate']} starts per minute{where}: wait until {row['until']}",
        "budget": f"today's budget is spent ({money(row['spent'])} of"
        f" {money(row['budget'] or 0)}): wait until {row['until']}",
    }
    group = f" --group {row['name']}" if row["name"] else ""
    way = f"codex-tasks slots N{group}, {FIX}" if word == "pause" else FIX
    return NoSlotError(told[word], way)


def limits(ledger: Ledger) -> list[Slots]:
    """Return the limits of the whole queue, then those of each group."""
    return ledger.values(Slots, "limits")
