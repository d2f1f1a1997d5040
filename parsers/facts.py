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

OTHER_THREAD = "other_thread_announced"
_NAMES_KEPT = 100


class Facts(Struct):
    """The facts of one file; None is what the file does not say.

    `has_begun` is True when the file proves that a turn had begun, so that Codex had
    taken the prompt; of a log for people only a completed turn proves it. `turns` is
    the number of turns in it, if it is known, `broken_calls` that of model calls that
    Codex has repeated because their stream broke. `has_acted` is False when the file
    proves that Codex ran, changed and called nothing. `commands_refused` counts
    commands that failed because the sandbox cannot start, as far as it has them.

    `usage` is the thread's figure as the file says it; of a log that names no parts,
    `total_tokens` is, or `uncached_tokens`: Codex's `tokens used` leaves cached input
    out. With `is_share` it is the run's own, as in the readable logs of this suite.
    `files_changed` maps paths to add, delete or update, in order. `codex_version` and
    `cwd` are of the banner of a log for people, `fields` the key=value lines of its
    last block. `unread` names a format of Codex that is recognised and not read.
    `reroutes` maps a model to the one that answered in its place, `has_late_reroute` is
    True when that began in the middle of a turn. `omitted_tiers` are pairs of a model
    and a service tier that was not sent to it.
    """

    kind: Kind
    session_id: str | None = None
    has_begun: bool = False
    turns: int = 0
    broken_calls: int = 0
    has_acted: bool = True
    model: str | None = None
    final_message: str | None = None
    commands_run: int | None = None
    commands_failed: int | None = None
    commands_refused: int = 0
    files_changed: Mapping[str, str] | None = None
    errors: tuple[str, ...] = ()
    warnings: Mapping[str, int] = EMPTY
    ended: Ended | None = None
    failure: str | None = None
    usage: Usage | None = None
    total_tokens: int | None = None
    uncached_tokens: int | None = None
    is_share: bool = False
    cost_usd: float | None = None
    agent_threads: tuple[str, ...] = ()
    codex_version: str | None = None
    cwd: str | None = None
    fields: Mapping[str, str] = EMPTY
    unread: str | None = None
    reroutes: Mapping[str, str] = EMPTY
    has_late_reroute: bool = False
    omitted_tiers: frozenset[tuple[str, str]] = frozenset()

    @property
    def refusal(self) -> str | None:
        """Why these are not the facts of one run; None when they may be."""
        if self.unread is not None:
            return f"unsupported {self.unread}"
        if OTHER_THREAD in self.warnings:
            return "output of several threads"
        return "no Codex output" if self == Facts(kind=self.kind) else None


def warn(warnings: dict[str, int], name: str) -> None:
    """Count a warning; of many names the later ones are counted together."""
    if name not in warnings and len(warnings) >= _NAMES_KEPT:
        name = "other"
    warnings[name] = warnings.get(name, 0) + 1
