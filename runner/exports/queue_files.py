"""The prompts that wait, as files: a rebuild of a destroyed ledger reads them.

`queue/<prompt id>` in the state directory: one line of JSON, the prompt's row and what
names its session, then the text. A file is there from when the prompt is queued until
its turn has begun.
"""

from __future__ import annotations

import json

from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.ledger.ledger import Ledger

QUEUE = "queue"


def path_of(state_home: Path, prompt: int) -> Path:
    """Name the file of a prompt."""
    return state_home / QUEUE / str(prompt)


def render(ledger: Ledger, prompt: int) -> bytes | None:
    """Make the file of a prompt; None of one that no longer waits for its turn."""
    row = ledger.one("exported_prompt", prompt=prompt)
    if row is None:
        return None
    header = dict(row)
    text: bytes = header.pop("text")
    return json.dumps(header).encode() + b"\n" + text


def refresh(ledger: Ledger, session: int, changed: Iterable[int] = ()) -> None:
    """Write the files of prompts as they are now, and remove those that have begun.

    These are the changed prompts of the session, by their numbers, and the first that
    waits: it may be held, or no longer be.

    Raises:
        RunnerError: one cannot be written; the ledger has the prompt.
    """
    first = ledger.value("first_waiting", session=session)
    for prompt in {*changed, *([] if first is None else [first])}:
        path, content = path_of(ledger.home, prompt), render(ledger, prompt)
        if content is None:
            files.remove([path])
        elif files.read_if_there(path) != content:
            files.make_directory(path.parent)
            files.export(path, content)


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
