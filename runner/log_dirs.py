"""The directories in which runs lie that were not started for a session of ours.

`log-dirs.jsonl` in the state directory has one line for each, a path as JSON. Only the
index knows where such runs are: with this a lost one can be made anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from runner import files

NAME = "log-dirs.jsonl"


def note(state_home: Path, log_dir: str) -> None:
    """Note that runs lie in a directory.

    Raises:
        FileFault: it cannot be written.
    """
    path, line = state_home / NAME, f"{json.dumps(log_dir)}\n"
    # Two that note the same directory at once leave two lines, which does no harm.
    if line not in files.read_text(path):
        files.append(path, line.encode())


def noted(state_home: Path) -> list[Path]:
    """Return the directories that have been noted; a damaged line names none."""
    found: dict[Path, None] = {}
    for line in files.read_text(state_home / NAME).splitlines():
        try:
            path = json.loads(line)
        except ValueError:
            continue
        if isinstance(path, str):
            found[Path(path)] = None
    return list(found)
