"""What removed sessions have used and cost, in a file beside the index.

Nothing else tells it once their runs are gone: `removed.jsonl` in the state directory
has one line for each run, so an index that is made anew keeps the sums.
"""

from __future__ import annotations

import json

from runner import files
from runner.ledger.usage import COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.ledger.usage import Entry

NAME = "removed.jsonl"


def note(state_home: Path, entries: Iterable[Entry]) -> None:
    """Write down what runs have used; it is on the disk when this returns.

    Raises:
        FileFault: it cannot be written.
    """
    runs: dict[str, list[dict[str, object]]] = {}
    for entry in entries:
        run_id, *figures = entry
        told = dict[str, object](zip(COLUMNS[1:], figures, strict=True))
        runs.setdefault(str(run_id), []).append(told)
    lines = [json.dumps({"run_id": run_id, "usage": runs[run_id]}) for run_id in runs]
    if lines:
        # The break before ends what a writer that died has left without one.
        text = "".join(f"\n{line}" for line in lines) + "\n"
        files.append(state_home / NAME, text.encode(), is_durable=True)


def noted(state_home: Path) -> dict[str, list[Entry]]:
    """Return what each run has used, by its id; a damaged line tells nothing."""
    found: dict[str, list[Entry]] = {}
    for line in files.read_text(state_home / NAME).splitlines():
        try:
            told = json.loads(line)
            run_id, rows = told["run_id"], told["usage"]
            found[run_id] = [
                (run_id, *(row[name] for name in COLUMNS[1:])) for row in rows
            ]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return found
