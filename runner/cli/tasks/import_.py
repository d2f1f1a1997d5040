"""`codex-tasks import`."""

from __future__ import annotations

import json

from runner.cli import format
from runner.clock import iso
from runner.service.imported_findings import Empty, Imported, Present, Recovered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from runner.cli.context import Context
    from runner.foreign.history import History
    from runner.service.imported_findings import Found

    Json = dict[str, object]

SUMMARY = "Take in the histories of other tools; their files are left as they are."
EXAMPLES = """\
  codex-tasks import --dry-run      (older tasks, ./runs, the threads of CODEX_HOME)
  codex-tasks import ~/.codex ~/projects/app/runs
"""
_TITLE_LENGTH = 60


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("--dry-run", action="store_true", help="only say what would be taken in")
    add("--json", action="store_true", help="write one JSON object")
    add(
        "directory",
        metavar="DIR",
        nargs="*",
        help="tasks of the older codex-tasks, logs of the bash runner, a CODEX_HOME"
        " (default: the state directory, ~/.codex/tasks, ./runs and CODEX_HOME)",
    )


def main(found: Namespace, context: Context) -> int:
    """Take sessions in, one line each; 1 when something could not be read."""
    pieces = _pieces(found, context)
    report = _Report(context, is_json=found.json, is_trial=found.dry_run)
    for piece in pieces:
        report.take(piece)
    report.close()
    return 1 if report.unreadable else 0


def _pieces(found: Namespace, context: Context) -> Iterable[Found]:
    from runner.service import importing  # noqa: PLC0415 - 20 ms, not for the help

    if found.dry_run:
        is_begun = (context.settings.state_home / "runs.db").exists()
        ledger = context.ledger if is_begun else None
        return importing.look_around(found.directory, ledger, context.settings)
    return importing.take_in(found.directory, context.ledger, context.settings)


class _Report:
    """Say what comes of each session, and how many there were."""

    def __init__(self, context: Context, *, is_json: bool, is_trial: bool) -> None:
        self._house = context
        self._is_json = is_json
        self._word = "would import" if is_trial else "imported"
        self._runs = 0
        self.imported: list[Json] = []
        self.present: list[Json] = []
        self.empty: list[Json] = []
        self.unreadable: list[Json] = []

    def take(self, piece: Found) -> None:
        self._house.notes(_notes(piece))
        match piece:
            case Imported(session_id=session_id, history=history):
                self._runs += len(history.runs)
                self.imported.append(_session(session_id, history))
                if not self._is_json:
                    title = history.title or history.runs[0].prompt or "-"
                    line = _line(session_id, history.kind, len(history.runs), title)
                    self._house.output.lines([line])
            case Recovered(session_id=session_id, runs=runs):
                self._runs += len(runs)
                self.imported.append(_recovered(piece))
                if not self._is_json:
                    line = _line(session_id, "run", len(runs), runs[0].spec.task)
                    self._house.output.lines([line])
            case Present(session_id=session_id, history=history):
                more = {"left_out": [iso(run.started_at) for run in piece.left_out]}
                told = _session(session_id, history) | {"reason": piece.reason}
                self.present.append(told | more)
            case Empty(history=history):
                self.empty.append({"source": str(history.source)})
            case unreadable:
                reason, source = unreadable.reason, str(unreadable.source)
                self.unreadable.append({"source": source, "reason": reason})

    def close(self) -> None:
        if self._is_json:
            lists = {
                "imported": self.imported,
                "present": self.present,
                "empty": self.empty,
                "unreadable": self.unreadable,
            }
            self._house.output.lines([json.dumps(lists, indent=2)])
        sessions = _count(len(self.imported), "session")
        self._house.note(
            f"{self._word} {sessions} ({_count(self._runs, 'run')});"
            f" {len(self.present)} already on record;"
            f" {len(self.unreadable)} not taken in"
        )


def _notes(piece: Found) -> Iterator[str]:
    match piece:
        case Present(session_id=session_id, history=history):
            if piece.reason is not None:
                yield f"{session_id}: not taken in: {piece.reason}"
            for run in piece.left_out:
                yield (
                    f"{session_id}: already on record; its run of"
                    f" {iso(run.started_at)} in {history.source} is left out"
                )
        case Empty(history=history):
            yield f"{history.source}: nothing was ever asked for in it"
        case Imported() | Recovered():
            pass
        case unreadable:
            yield f"{unreadable.source}: {unreadable.reason}"


def _session(session_id: str, history: History) -> Json:
    return {
        "id": session_id,
        "kind": history.kind,
        "source": str(history.source),
        "title": history.title,
        "runs": len(history.runs),
    }


def _recovered(piece: Recovered) -> Json:
    return {
        "id": piece.session_id,
        "kind": "run",
        "source": str(piece.source),
        "title": None,
        "runs": len(piece.runs),
    }


def _line(session_id: str, kind: str, runs: int, title: str) -> str:
    shown_title = format.line(title)[:_TITLE_LENGTH]
    return f"{session_id}  {kind}  {_count(runs, 'run')}  {shown_title}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
