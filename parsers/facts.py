"""The facts of a run from a file of any kind."""

from __future__ import annotations

from parsers.struct import EMPTY, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from parsers.accounting.tokens import Usage

    Kind = Literal["events", "log", "rollout", "empty"]
    Ended = Literal["completed", "failed"]


class Facts(Struct):
    """The facts of one file; None is what the file does not say.

    `has_begun` is True when the file proves that a turn had begun, so that Codex had
    taken the prompt; of a log for people only a completed turn proves it. `has_acted`
    is False when it proves that Codex ran, changed and called nothing.
    `commands_refused` counts commands that failed because the sandbox cannot start, as
    far as the file has them. `usage` is
    the thread's figure as the file says it, `total_tokens` the figure of a log that
    names no parts (Codex's `tokens used` leaves cached input out of it).
    `files_changed` maps paths to add, delete or update, in order. `codex_version` and
    `cwd` are of the banner of a log for people, `fields` the key=value lines of its
    last block.
    """

    kind: Kind
    session_id: str | None = None
    has_begun: bool = False
    has_acted: bool = True
    model: str | None = None
    final_message: str | None = None
    commands_run: int | None = None
    commands_failed: int | None = None
    commands_refused: int = 0
    files_changed: Mapping[str, str] = EMPTY
    errors: tuple[str, ...] = ()
    warnings: Mapping[str, int] = EMPTY
    ended: Ended | None = None
    failure: str | None = None
    usage: Usage | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    agent_threads: tuple[str, ...] = ()
    codex_version: str | None = None
    cwd: str | None = None
    fields: Mapping[str, str] = EMPTY
