"""What an import says of each session that it finds."""

from __future__ import annotations

from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeAlias

    from runner.foreign.history import ForeignRun, History, Unreadable
    from runner.model import Run

    Found: TypeAlias = "Imported | Recovered | Present | Empty | Unreadable"


class Imported(Struct):
    """A session that was taken in, or would be."""

    session_id: str
    history: History


class Recovered(Struct):
    """Runs of our own on one session that the index had lost, taken back."""

    session_id: str
    source: Path
    runs: tuple[Run, ...]


class Present(Struct):
    """A session that was on record before.

    `left_out` are runs of it that the source tells of and the record does not: they
    are not taken in. `reason` says why a session is not where it is looked for.
    """

    session_id: str
    history: History
    left_out: tuple[ForeignRun, ...] = ()
    reason: str | None = None


class Empty(Struct):
    """A session in which nothing has ever been asked for."""

    history: History
