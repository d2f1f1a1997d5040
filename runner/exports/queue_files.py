"""Waiting prompts as files, which a rebuild of a lost ledger reads.

`queue/<prompt id>` in the state directory: one line of JSON with the prompt's row, its
environment and the ids of its session, then the text. The file exists from the insert
of the prompt until its turn has begun.
"""

from __future__ import annotations

import os

from parsers import json_text
from parsers.struct import as_dict
from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from parsers.paths import Path
    from runner.ledger.ledger import Ledger

QUEUE = "queue"


def path_of(state_home: Path, prompt: int) -> Path:
    """Name the file of a prompt."""
    return state_home / QUEUE / str(prompt)


def render(ledger: Ledger, prompt: int) -> bytes | None:
    """Render the file of a prompt; None when it no longer waits."""
    row = ledger.one("exported_prompt", prompt=prompt)
    if row is None:
        return None
    header = dict(row)
    text: bytes = header.pop("text")
    for name in ("repo", "home"):
        header[name] = os.fsdecode(header[name] or b"") or None
    key = header["environment"]
    if key is not None:
        from runner.ledger.environments import read as stored  # noqa: PLC0415 - of what waits

        header["environment"] = as_dict(stored(ledger, key))
    if header["session_settings"] or key is not None or header["settings"] != "{}":
        # A copy in another directory chooses no program there.
        header["directory"] = str(path_of(ledger.home, prompt).parent)
    return json_text.dumps(header).encode() + b"\n" + text


def refresh(ledger: Ledger, session: int, changed: Iterable[int] = ()) -> None:
    """Write the files of waiting prompts, and remove those of begun ones.

    These are the prompts with the given numbers, and the first waiting one, whose hold
    may have changed.

    Raises:
        RunnerError: a file cannot be written; the ledger has the prompt.
    """
    first = ledger.value("first_waiting", session=session)
    write(ledger, {*changed, *([] if first is None else [first])})


def write(ledger: Ledger, prompts: Iterable[int]) -> None:
    """Write the files of these prompts, and remove those of begun ones.

    Raises:
        RunnerError: a file cannot be written; the ledger has the prompt.
    """
    for prompt in prompts:
        path, content = path_of(ledger.home, prompt), render(ledger, prompt)
        if content is None:
            files.remove([path])
        elif files.read_if_there(path) != content:
            files.make_directory(path.parent)
            files.export(path, content)


def read(path: Path) -> tuple[dict[str, object], bytes] | None:
    """Read the file of a prompt; None when its header is damaged."""
    head, _, text = files.read_if_there(path).partition(b"\n")
    try:
        header = json_text.loads(head)
    except (ValueError, RecursionError):
        return None
    return (header, text) if isinstance(header, dict) else None


def all_files(state_home: Path) -> list[Path]:
    """List the files of all prompts, in order."""
    names = [name for name in files.names(state_home / QUEUE) if name.isdecimal()]
    return [state_home / QUEUE / name for name in sorted(names, key=int)]
