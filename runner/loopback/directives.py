"""Directives in a prompt: `name: text` at the start of a line.

Also the errors and headers of a model service that `fail:` and `limits:` ask for.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from runner.loopback.reply import HttpFailure, StreamFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.loopback.reply import Reply

NAMES = (
    *("run", "start", "patch", "spawn", "calls", "together"),
    *("say", "think", "usage", "limits", "slow", "stall", "drop", "fail"),
)
_HOUR = 3600
_LEAST_ERROR, _GREATEST_ERROR = 400, 599
_PRIMARY_MINUTES, _SECONDARY_MINUTES = 300, 10080
_LINE = re.compile(rf"^({'|'.join(NAMES)})(?::[ \t]*(.*)|(?<=drop))$", re.MULTILINE)


class MalformedDirectiveError(ValueError):
    """A directive that cannot be followed; the message becomes the model's answer."""

    def __init__(self, directive: Directive, reason: str) -> None:
        super().__init__(f"'{directive.name}: {directive.text}': {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One line of a prompt that controls the model."""

    name: str
    text: str

    def number(self) -> float:
        """Read the text as a number of seconds or pieces."""
        try:
            value = float(self.text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            self.refuse("a number is needed")
        return value

    def settings(self, *names: str, skip: int = 0) -> dict[str, int]:
        """Read the words after the first `skip` as `name=NUMBER` in any order."""
        found = {}
        for word in self.text.split()[skip:]:
            name, _, value = word.partition("=")
            if name not in names or not value.isdecimal():
                self.refuse(f"these can be set: {', '.join(names)}")
            found[name] = int(value)
        return found

    def lines(self) -> str:
        r"""Read the text with each `\n` as the start of a new line."""
        return self.text.replace(r"\n", "\n")

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that names this directive."""
        raise MalformedDirectiveError(self, reason)


def directives(prompt: str) -> tuple[Directive, ...]:
    """Find the directives of a prompt, in their order."""
    return tuple(
        Directive(name=found[1], text=(found[2] or "").strip())
        for found in _LINE.finditer(prompt)
    )


def usage_limit(*, resets_at: int | None = None, primary: int = 100) -> HttpFailure:
    """Refuse because of the plan's usage limit, which resets in an hour by default."""
    at = int(time.time()) + _HOUR if resets_at is None else resets_at
    error = {"type": "usage_limit_reached", "message": "limit", "resets_at": at}
    return HttpFailure(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        body={"error": error},
        headers=rate_limits(primary=primary, resets_at=at),
    )


def rate_limits(
    *, primary: int, secondary: int | None = None, resets_at: int
) -> Mapping[str, str]:
    """Write the headers with the used percentage of a plan's windows."""
    headers = {}
    windows = {
        "primary": (primary, _PRIMARY_MINUTES),
        "secondary": (secondary, _SECONDARY_MINUTES),
    }
    for name, (percent, minutes) in windows.items():
        if percent is not None:
            headers[f"x-codex-{name}-used-percent"] = str(percent)
            headers[f"x-codex-{name}-window-minutes"] = str(minutes)
            headers[f"x-codex-{name}-reset-at"] = str(resets_at)
    return headers


def failure(directive: Directive) -> Reply:
    """Build what `fail:` asks for."""
    what = directive.text.partition(" ")[0]
    if not what.isdecimal():
        message = f"The loopback server was told to fail with {what}."
        return StreamFailure(code=what, message=message)
    status = int(what)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        known = directive.settings("resets", "primary", skip=1)
        primary = known.get("primary", 100)
        return usage_limit(resets_at=known.get("resets"), primary=primary)
    if not _LEAST_ERROR <= status <= _GREATEST_ERROR:
        directive.refuse(f"{_LEAST_ERROR} to {_GREATEST_ERROR} are errors")
    if status == HTTPStatus.UNAUTHORIZED:
        error = {"code": "invalid_api_key", "message": "Incorrect API key provided."}
    else:
        text = f"The loopback server was told to fail with {status}."
        error = {"code": f"status_{status}", "message": text}
    body = {"error": {"type": "invalid_request_error", **error}}
    return HttpFailure(status=status, body=body)


def limits(directive: Directive) -> Mapping[str, str]:
    """Build the headers that `limits:` asks for."""
    known = directive.settings("primary", "secondary", "resets")
    return rate_limits(
        primary=known.get("primary", 0),
        secondary=known.get("secondary"),
        resets_at=known.get("resets", int(time.time()) + _HOUR),
    )
