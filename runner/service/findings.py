"""What an import finds, and the rollouts that it need not read again."""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.struct import Struct, replace
from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from parsers.light import datetime
    from parsers.paths import Path
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger

    Word = Literal["imported", "present", "removed", "empty", "other", "unreadable"]

REMOVED = "it was removed here"
_NAMES = ("inode", "size", "mtime")
_AGENT = "agent"  # the rollout of a sub-agent


class Finding(Struct):
    """The result for one session, or for a source that is not imported.

    `runs` counts the imported runs, or the runs of the source. `left_out` has the times
    of runs of the source that are not in the ledger; `reason` is why a source is not
    imported. `originator` is the program that began the thread of another.
    """

    word: Word
    source: Path
    session_id: str = ""
    kind: str = ""
    title: str | None = None
    asked: str | None = None
    runs: int = 0
    left_out: tuple[datetime, ...] = ()
    reason: str | None = None
    originator: str | None = None


class Wish(Struct):
    """Hold what is imported.

    Of a trial nothing is written. `progress` is called with the number of rollouts that
    were read, and that of all.
    """

    is_trial: bool = False
    all_originators: bool = False
    progress: Callable[[int, int], None] = lambda *_: None


class SeenRollouts:
    """The rollouts that an earlier import has read, by their inode, size and time.

    Of several files of a thread these are the last one's. `threads` are those of the
    ledger.
    """

    def __init__(self, ledger: Ledger | None, wish: Wish) -> None:
        self._ledger, self._wish = ledger, wish
        rows = ledger.all("read_files") if ledger else ()
        self._rows = {row["path"]: row for row in rows}
        names = ledger.all("thread_names") if ledger else ()
        self.threads = {str(row["directory"]) for row in names}
        self._new: list[dict[str, Cell]] = []

    def is_wanted(self, thread: str) -> bool:
        """Return whether a thread is read although another program began it."""
        return self._wish.all_originators or thread in self.threads

    def recall(self, paths: Sequence[Path]) -> list[Finding] | None:
        """Return what was found in a thread's files; None when they have to be read."""
        path, last = paths[0], paths[-1]
        row = self._rows.get(os.fsencode(last))
        if row is None or identity(last) != {name: row[name] for name in _NAMES}:
            return None
        told = loose_json.load_or_empty(row["state"].encode())
        name, word = loose_json.text(told.get("id")) or "", told.get("word")
        origin = loose_json.text(told.get("originator"))
        runs = loose_json.integer(told.get("runs")) or 0
        known = Finding(
            word="empty", source=path, session_id=name, kind="rollout", runs=runs
        )
        match word:
            case "present" if name in self.threads:
                return [replace(known, word="present")]
            case "removed" if name not in self.threads:
                return [replace(known, word="removed", reason=REMOVED)]
            case "other" if not self.is_wanted(name):
                return [replace(known, word="other", originator=origin)]
            case "empty":
                return [known]
            case _:
                pass
        return [] if word == _AGENT else None

    def note(self, path: Path, was: dict[str, int], found: list[Finding]) -> None:
        """Remember what was found, unless the next import may find something else."""
        told: dict[str, object] = {"word": _AGENT}
        for each in found:
            if each.word == "unreadable" or each.left_out:
                return
            told = {"id": each.session_id, "runs": each.runs, "word": each.word}
            told |= {"originator": each.originator}
            told |= {"word": "present"} if each.word == "imported" else {}
        if was:
            state = json_text.dumps(told)
            self._new.append({"path": os.fsencode(path), **was, "state": state})

    def save(self) -> None:
        """Write what was noted.

        Raises:
            LedgerFault: the ledger cannot be written.
        """
        if self._ledger is None or self._wish.is_trial or not self._new:
            return
        with self._ledger.transaction():
            for values in self._new:
                self._ledger.change("keep_file", **values)


def identity(path: Path) -> dict[str, int]:
    """Return what changes when a file is written; nothing when it is not there."""
    status = files.status(path)
    if status is None:
        return {}
    figures = (status.st_ino, status.st_size, status.st_mtime_ns)
    return dict(zip(_NAMES, figures, strict=True))
