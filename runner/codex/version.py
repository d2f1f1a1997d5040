"""The version of a Codex binary, asked for once: the binary takes 100 ms to say it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from runner import artifacts, process
from runner.errors import FileFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config

_ASK_SECONDS = 10.0


def version_of(program: str, settings: Config) -> str | None:
    """Return what a binary says of its version, without the name before it.

    The answer is kept in the state directory until the file is another one.
    """
    path = process.which(program, settings.search_path)
    if path is None:
        return None
    real = os.path.realpath(path)
    status = artifacts.status(Path(real))
    stamp = f"{real}:{status.st_size}:{status.st_mtime_ns}" if status else real
    kept_in = settings.state_home / "codex-versions.json"
    kept = artifacts.read_json(kept_in)
    known = kept if isinstance(kept, dict) else {}
    if isinstance(known.get(stamp), str):
        return str(known[stamp])
    said = process.capture([path, "--version"], settings.environment, _ASK_SECONDS)
    if said is None:
        return None
    version = said.splitlines()[0].removeprefix("codex-cli ")
    try:
        artifacts.replace(kept_in, json.dumps({**known, stamp: version}).encode())
    except FileFault:
        # Only the next one who asks waits for it.
        return version
    return version
