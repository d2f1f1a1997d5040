"""The transcript of an imported run, which stays in the rollout of its thread.

The run's record has the file, and the place and the id of the turn in it.
"""

from __future__ import annotations

import errno

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from parsers.paths import Path
from runner import files
from runner.codex import home
from runner.ledger.record import TRANSCRIPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model import Run


def is_elsewhere(accounts: object) -> bool:
    """Return whether a run has its events in a rollout, by its accounts."""
    return TRANSCRIPT in loose_json.mapping(accounts)


def answer_of(run: Run) -> str | None:
    """Read the whole answer of an imported run. Raise as `lines_of`."""
    summary = EventSummary()
    summary.read_lines(lines_of(run))
    return summary.final_message


def lines_of(run: Run) -> tuple[bytes, ...]:
    """Read the turn of an imported run, as event lines.

    Raises:
        OSError: the rollout or the turn is gone.
    """
    from runner.foreign import home_of, read_turn  # noqa: PLC0415 - a rare need

    told = loose_json.mapping(run.accounts[TRANSCRIPT])
    path, place = Path(str(told.get("path"))), loose_json.integer(told.get("place"))
    if not files.is_regular(path):  # `codex archive` and `unarchive` move it
        known = home.rollouts_of(home_of(path), run.thread or "")
        path = next((each for each in known if each.name == path.name), path)
    try:
        found = read_turn(path, place or 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    if found.transcript["turn"] != told.get("turn"):
        raise OSError(errno.ENOENT, "the turn is no longer there", str(path))
    return found.lines


def on_record(run: Run) -> tuple[bytes, ...]:
    """Return what the ledger has of the events: the answer, or its begin."""
    from runner.foreign import eventlines  # noqa: PLC0415 - a rare need

    said = loose_json.mapping(run.accounts.get("said")).get("final_message")
    answer = loose_json.text(said)
    return (eventlines.completed(0, eventlines.message(answer)),) if answer else ()
