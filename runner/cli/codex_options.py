"""Options that several commands have, in the same words."""

from __future__ import annotations

from argparse import Namespace

from runner import config
from runner.config import Config
from runner.errors import UsageError
from runner.model import CodexOptions, Limits

_LONGEST_NUMBER = 19
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


def limits(found: Namespace, settings: Config) -> Limits:
    """Read `--timeout` and `--stall-timeout`.

    Raises:
        UsageError: one of them is no number of seconds.
    """
    timeout = settings.timeout_seconds
    if found.timeout is not None:
        timeout = config.seconds(found.timeout, "--timeout")
    stall = config.seconds(found.stall_timeout, "--stall-timeout")
    return Limits(timeout=timeout, stall=stall)


def whole_number(text: str | None, name: str, what: str) -> int | None:
    """Read how many of something are wanted; None is as many as there are.

    Raises:
        UsageError: it is no whole number, or one below 0.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        message = f"{name} {text!r} is not a number of {what}, 0 or more"
        raise UsageError(message)
    # A longer number is above all that there can be.
    return int(text) if len(text) < _LONGEST_NUMBER else None
