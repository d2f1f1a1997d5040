"""Name the files of a run."""

from __future__ import annotations

import os

from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from runner.model import RunId

_PRIVATE_FILE = 0o600

_PRIVATE_DIRECTORY = 0o700

PREFIX = "codex-run-"


class RunFiles(Struct, kw_only=False):
    """Name the files of one run in its log directory."""

    directory: Path
    run_id: RunId

    def _named(self, suffix: str) -> Path:
        return self.directory / f"{PREFIX}{self.run_id}{suffix}"

    @property
    def prompt(self) -> Path:
        return self._named(".prompt")

    @property
    def events(self) -> Path:
        return self._named(".events.jsonl")

    @property
    def stderr(self) -> Path:
        return self._named(".stderr")

    @property
    def log(self) -> Path:
        return self._named(".log")

    @property
    def meta(self) -> Path:
        return self._named(".meta.json")

    @property
    def summary(self) -> Path:
        return self._named(".summary.json")


def new_run_id(at: datetime) -> RunId:
    """Make a run id: UTC time to the microsecond and 32 random bits.

    It sorts by time and can never be taken for a session id, which is a UUID.
    """
    from runner.model import RunId  # noqa: PLC0415 - one name at one place

    return RunId(f"{at:%Y%m%d-%H%M%S-%f}-{os.urandom(4).hex()}")
