"""The version of a Codex binary, asked for once: the binary takes 100 ms to say it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from runner import files
from runner.errors import FileFault
from runner.process.start import capture, which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config

_ASK_SECONDS = 10.0
_PACKAGE = "/@openai/codex"
_NATIVE_BYTES = 1 << 20


def version_of(program: str, settings: Config) -> str | None:
    """Return what a binary says of its version, without the name before it.

    The answer is kept in the state directory until the file is another one, unless
    the file may be a version manager's, which stays the same while Codex changes.
    """
    path = which(program, settings.search_path)
    if path is None:
        return None
    real = os.path.realpath(path)
    status = files.status(Path(real))
    is_codex = _PACKAGE in real or (status and status.st_size >= _NATIVE_BYTES)
    if status is None or not is_codex:
        return _ask(path, settings)
    stamp = f"{real}:{status.st_size}:{status.st_mtime_ns}"
    kept_in = settings.state_home / "codex-versions.json"
    kept = files.read_json(kept_in)
    known = kept if isinstance(kept, dict) else {}
    if isinstance(known.get(stamp), str):
        return str(known[stamp])
    version = _ask(path, settings)
    if version is not None:
        # When it cannot be kept, only the next one who asks waits for it.
        with contextlib.suppress(FileFault):
            files.replace(kept_in, json.dumps({**known, stamp: version}).encode())
    return version


def _ask(path: str, settings: Config) -> str | None:
    said = capture([path, "--version"], settings.environment, _ASK_SECONDS)
    return said.splitlines()[0].removeprefix("codex-cli ") if said else None
