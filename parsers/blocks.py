"""The `key=value` blocks around a run in a runner's log (the bash runner's and ours).

A block begins with `codex_run_id=`. The last one counts: whatever Codex printed stands
before it.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_FIELD: Final = re.compile(r"([a-z][a-z0-9_]*)=(.*)")
_FIRST: Final = "codex_run_id"
_SECOND: Final = "codex_exit_code"
_GLUED: Final = re.compile(rf"{_FIRST}=(\S+)$")


class BlockReader:
    """Gathers the fields of the last block from a log's lines."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.is_open = False
        self._glued_run_id: str | None = None

    def take(self, line: str) -> bool:
        """Take a line; tell whether it belongs to a block."""
        found = _FIELD.fullmatch(line)
        name, value = found.groups() if found else ("", "")
        if name == _FIRST:
            self._begin(value)
        elif name == _SECOND and not self.is_open and self._glued_run_id:
            # An output without a final newline stands before the block's first field.
            self._begin(self._glued_run_id)
        self.is_open = self.is_open and bool(name)
        if self.is_open:
            self.fields[name] = value
        glued = _GLUED.search(line)
        self._glued_run_id = glued.group(1) if glued and not self.is_open else None
        return self.is_open

    def _begin(self, run_id: str) -> None:
        self.fields = {_FIRST: run_id}
        self.is_open = True
