"""Options that several commands have, in the same words."""

from __future__ import annotations

from runner import config
from runner.model import CodexOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

TABLE = """\
--codex-bin BIN               the binary [default: codex]
--sandbox, -s MODE            Codex's --sandbox
--model, -m MODEL             Codex's --model
--config, -c KEY=VALUE ...    a configuration value; repeatable
--skip-git-repo-check         work outside of a git repository too
"""


def codex(found: Namespace, extra: tuple[str, ...] = ()) -> CodexOptions:
    """Read what `TABLE` describes.

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
