"""Options that several commands have, in the same words."""

from __future__ import annotations

from runner import config
from runner.model import CodexOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


def add_codex(add: Callable[..., object]) -> None:
    """Add what is passed on to Codex, for every prompt of a session.

    Args:
        add: `add_argument` of a parser or of one of its groups.
    """
    add(
        "--codex-bin", metavar="BIN", default="codex", help="the binary; default: codex"
    )
    add("--sandbox", "-s", metavar="MODE", help="Codex's --sandbox")
    add("--model", "-m", metavar="MODEL", help="Codex's --model")
    add(
        "--config",
        "-c",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a configuration value; repeatable",
    )
    add(
        "--skip-git-repo-check",
        action="store_true",
        help="work outside of a git repository too",
    )


def codex(found: Namespace, extra: tuple[str, ...] = ()) -> CodexOptions:
    """Read what `add_codex` has added.

    Args:
        found: the command line.
        extra: arguments for Codex that it does not know.
    """
    return CodexOptions(
        bin=found.codex_bin,
        sandbox=found.sandbox,
        model=found.model,
        overrides=tuple(found.config),
        skip_git_repo_check=found.skip_git_repo_check,
        extra=extra,
    )


def seconds(text: str | None, name: str, default: float | None) -> float | None:
    """Read a duration that may not have been given.

    Raises:
        UsageError: it is no number of seconds.
    """
    return default if text is None else config.seconds(text, name)
