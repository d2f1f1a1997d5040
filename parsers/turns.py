"""How a turn of `codex exec --json` ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsers.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCompleted:
    """A turn that Codex finished; the usage is the thread's (0.50: the process's)."""

    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed:
    """A turn that Codex gave up, in its words."""

    message: str
