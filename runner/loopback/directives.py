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
_WINDOW_MINUTES = {"primary": 300, "secondary": 10_080}
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


def failure(directive: Directive) -> Reply:
    """Build what `fail:` asks for."""
    what = directive.text.partition(" ")[0]
    text = f"The loopback server was told to fail with {what}."
    if not what.isdecimal():
        return StreamFailure(code=what, message=text)
    status, headers = int(what), {}
    error: dict[str, object] = {"type": "invalid_request_error"}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        known = directive.settings("resets", "primary", skip=1)
        known = {"primary": 100, "resets": int(time.time()) + _HOUR, **known}
        error = {"type": "usage_limit_reached", "message": "limit"}
        error["resets_at"] = known["resets"]
        headers = _rate_limits(known)
    elif status == HTTPStatus.UNAUTHORIZED:
        error["code"] = "invalid_api_key"
        error["message"] = "Incorrect API key provided."
    elif _LEAST_ERROR <= status <= _GREATEST_ERROR:
        error |= {"code": f"status_{status}", "message": text}
    else:
        directive.refuse(f"{_LEAST_ERROR} to {_GREATEST_ERROR} are errors")
    return HttpFailure(status=status, body={"error": error}, headers=headers)


def limits(directive: Directive) -> Mapping[str, str]:
    """Build the headers that `limits:` asks for; they reset in an hour by default."""
    known = directive.settings("primary", "secondary", "resets")
    return _rate_limits({"primary": 0, "resets": int(time.time()) + _HOUR, **known})


def _rate_limits(known: Mapping[str, int]) -> dict[str, str]:
    """Write the headers with the used percentage of a plan's windows."""
    headers = {}
    for name, minutes in _WINDOW_MINUTES.items():
        if name in known:
            headers[f"x-codex-{name}-used-percent"] = str(known[name])
            headers[f"x-codex-{name}-window-minutes"] = str(minutes)
            headers[f"x-codex-{name}-reset-at"] = str(known["resets"])
    return headers
