"""The prompts that wait, as files: a rebuild of a destroyed ledger reads them.

`queue/<prompt id>` in the state directory: one line of JSON, the prompt's row and what
names its session, then the text. A file is there from when the prompt is queued until
its turn has begun.
"""

from __future__ import annotations

import json
from pathlib import Path

from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.ledger import Ledger

QUEUE = "queue"
_COLUMNS = (
    "id",
    "place",
    "preview",
    "settings",
    "grp",
    "priority",
    "state",
    "hold",
    "attempts",
    "not_before",
    "queued_at",
)


def path_of(state_home: Path, prompt: int) -> Path:
    """Name the file of a prompt."""
    return state_home / QUEUE / str(prompt)


def render(ledger: Ledger, prompt: int) -> bytes | None:
    """Make the file of a prompt; None of one that no longer waits for its turn."""
    row = ledger.one("exported_prompt", prompt=prompt)
    if row is None or row["text"] is None:
        return None
    header = {name: row[name] for name in _COLUMNS}
    header |= {"thread": row["thread_id"], "short_id": row["short_id"]}
    text: bytes = row["text"]
    return json.dumps(header).encode() + b"\n" + text


def write(ledger: Ledger, state_home: Path, session: int) -> None:
    """Write the files of all prompts that wait for a session.

    Raises:
        RunnerError: one cannot be written; the ledger has the prompt.
    """
    for prompt in ledger.queue.waiting(session):
        path = path_of(state_home, prompt.id)
        content = render(ledger, prompt.id)
        if content is not None and not path.exists():
            files.make_directory(path.parent)
            files.export(path, content)


def remove(state_home: Path, prompts: Iterable[int]) -> None:
    """Remove the files of prompts that no longer wait for their turn."""
    files.remove([path_of(state_home, prompt) for prompt in prompts])


def read(path: Path) -> tuple[dict[str, object], bytes] | None:
    """Read the file of a prompt back; None when its header cannot be read."""
    head, _, text = files.read_if_there(path).partition(b"\n")
    try:
        header = json.loads(head)
    except (ValueError, RecursionError):
        return None
    return (header, text) if isinstance(header, dict) else None


def all_files(state_home: Path) -> list[Path]:
    """List the files of all prompts, in their order."""
    names = [name for name in files.names(state_home / QUEUE) if name.isdecimal()]
    return [state_home / QUEUE / name for name in sorted(names, key=int)]
