"""The options that set the terms of a prompt, for every command that takes one."""

from __future__ import annotations

from runner import config, config_files
from runner.cli.options import refuse, whole_number
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.options import Values
    from runner.config import Config

_ITERATIONS, _VERIFY_MINUTES = 3, 10
# By the question that they answer: where, limits, output.
WORKTREE = """\
--worktree                work in a git worktree of its own, on the branch codex/ID
--base REF                with --worktree: begin there (default: HEAD)
"""
LIMITS = f"""\
--max-usd N               end the run when the prompt has cost more
--max-tokens N            end it when the prompt has used more tokens
--verify CMD              check the work with this program after each turn; while it
                          fails, continue with what it said
--max-iterations N        with --verify: N turns in all (default: {_ITERATIONS})
--verify-timeout TIME     with --verify: end the program after this time (0: never;
                          default: {_VERIFY_MINUTES}m)
"""
EVENTS = """\
--notify CMD              run this program when the prompt has ended, is parked or held,
                          and when the queue is empty: the event is on its stdin
--webhook URL             send these events to this address
--desktop                 show these events as notifications, or ring the terminal
"""


def terms_of(found: Values, settings: Config) -> Terms:
    """Read the options of the table; what is not given is that of the settings.

    Raises:
        UsageError: a value is wrong, or one is given without what it belongs to.
    """
    with_verify = found.max_iterations is not None or found.verify_timeout is not None
    base = found.base
    refuse(
        (base is not None and not found.worktree, "--base needs --worktree"),
        (
            base is not None and (not base or base.startswith("-")),
            f"--base {base!r}: the name of a branch, tag or commit is required",
        ),
        (
            with_verify and found.verify is None,
            "--max-iterations and --verify-timeout need --verify",
        ),
    )
    given = {
        name: config_files.value_of(name, text, f"--{name.replace('_', '-')}")
        for name in ("max_usd", "max_tokens", "notify", "webhook")
        if (text := getattr(found, name)) is not None
    }
    verify, notify = found.verify, given.get("notify", settings.notify)
    if verify is not None or notify is not None:
        from runner.notify import command_of  # noqa: PLC0415 - only with a program

        for command, option in ((verify, "--verify"), (notify, "--notify")):
            if command is not None:
                command_of(command, option)
    most = whole_number(found.max_iterations, "--max-iterations", "turns", least=1)
    limit = found.verify_timeout or f"{_VERIFY_MINUTES}m"
    return Terms(
        worktree=(base or "") if found.worktree else None,
        max_usd=given.get("max_usd", settings.max_usd),
        max_tokens=given.get("max_tokens", settings.max_tokens),
        verify=verify,
        verify_seconds=config.seconds(limit, "--verify-timeout") if verify else None,
        max_iterations=(most or _ITERATIONS) if verify else 1,
        notify=notify,
        webhook=given.get("webhook", settings.webhook),
        is_on_desktop=found.desktop or settings.desktop,
        snapshot=settings.snapshot,
    )
