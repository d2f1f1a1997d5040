"""Tell what a user has asked for from what Codex puts before it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_INJECTED: Final = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions for ",
    "<permissions instructions>",
    "<skills_instructions>",
    "<subagent_notification>",
    "<turn_aborted>",
    "<user_shell_command>",
)


def is_injected(text: str) -> bool:
    """Tell a message that no user has written."""
    return text.lstrip().startswith(_INJECTED)
