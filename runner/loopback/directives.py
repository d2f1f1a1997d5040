"""Directives in a prompt: `name: text` at the start of a line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

NAMES = (
    *("run", "start", "patch", "spawn", "calls", "together"),
    *("say", "think", "usage", "limits", "slow", "stall", "drop", "fail"),
)
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
