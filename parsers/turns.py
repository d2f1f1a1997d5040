"""How a turn of `codex exec --json` ends."""

from __future__ import annotations

from parsers.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.usage import Usage


class TurnCompleted(Value):
    """A turn that Codex finished; the usage is the thread's (0.50: the process's)."""

    usage: Usage | None


class TurnFailed(Value):
    """A turn that Codex gave up, in its words."""

    message: str
