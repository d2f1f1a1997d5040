"""The terms of a prompt: where it works, how it is checked, its limits: pure."""

from __future__ import annotations

from parsers.struct import Struct, as_dict

# The error class of a turn that has succeeded, and whose check has not.
VERIFY_FAILED = "verify_failed"
_CENTS = 2


def money(usd: float) -> str:
    """Write an amount in US dollars, with cents and what is smaller."""
    whole, _, rest = f"{usd:.4f}".partition(".")
    return f"${whole}.{rest[:_CENTS]}{rest[_CENTS:].rstrip('0')}"


class Terms(Struct):
    """Hold the terms of a prompt, which all its attempts have.

    With a `worktree` it works in a git worktree of its session, which begins at that
    ref (empty: where the repository is). `max_usd` and `max_tokens` limit what it may
    use. After each of its turns the command `verify` is run, for `verify_seconds` at
    most; while it fails the session continues, for `max_iterations` turns in all.
    `notify` is a command and `webhook` a URL that get its events; with `is_on_desktop`
    the desktop shows them. Without a `snapshot` the state of its directory is not
    recorded.
    """

    worktree: str | None = None
    max_usd: float | None = None
    max_tokens: int | None = None
    verify: str | None = None
    verify_seconds: float | None = None
    max_iterations: int = 1
    notify: str | None = None
    webhook: str | None = None
    is_on_desktop: bool = False
    snapshot: bool = True

    @property
    def has_budget(self) -> bool:
        return self.max_usd is not None or self.max_tokens is not None

    def told(self) -> dict[str, object]:
        """Return the terms that differ from the usual ones, by name."""
        usual = as_dict(Terms())
        return {n: value for n, value in as_dict(self).items() if value != usual[n]}


def masked_address(url: str) -> str:
    """Shorten the address of a webhook, whose account, path and query may be secrets.

    Its scheme, its host and the first letters of its path stay.
    """
    scheme, _, rest = url.partition("://")
    rest, query, _ = rest.partition("?")
    host, slash, path = rest.partition("/")
    shown = host.rpartition("@")[2] + slash + path[:3]
    return f"{scheme}://{shown}{'***' if path[3:] or query else ''}"
