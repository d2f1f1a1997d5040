"""The words of a line as bash completes them: cut at = and :, and still quoted."""

from __future__ import annotations

import re
import shlex

from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_BREAKS = frozenset("=:")
# What does not stand for itself between these quotes.
_QUOTES = {'"': re.compile(r"[\"$`!\\]"), "'": re.compile(r"'")}
# bash reads these as they are; everything else is written with a backslash before it.
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")


class Typed(Struct):
    """Hold the words that somebody means.

    Of the last one bash itself leaves `head` alone, and is told what comes behind it;
    `quote` is what it was begun with.
    """

    words: tuple[str, ...]
    head: str
    quote: str

    def written(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Write words as bash is to put them into the line."""
        spelled = [(self._spelled(word), means) for word, means in pairs]
        return [
            (word.removeprefix(self.head), means)
            for word, means in spelled
            if word and word.startswith(self.head)
        ]

    def _spelled(self, word: str) -> str:
        if not self.quote:
            return _SPECIAL.sub(r"\\\g<0>", word)
        return "" if _QUOTES[self.quote].search(word) else word


def read(words: Sequence[str]) -> Typed:
    """Put together what bash has cut, and take the quotes off."""
    joined, head = _joined(words)
    last = joined[-1].removeprefix(head) if joined else ""
    return Typed(
        words=tuple(map(unquoted, joined)),
        head=head,
        quote=last[:1] if last.startswith(tuple(_QUOTES)) else "",
    )


def _joined(words: Sequence[str]) -> tuple[list[str], str]:
    joined: list[str] = []
    head, is_behind_break = "", False
    for word in words:
        is_break = bool(word) and set(word) <= _BREAKS
        if joined and (is_break or is_behind_break):
            head = joined[-1] + (word if is_break else "")
            joined[-1] += word
        else:
            joined.append(word)
            head = ""
        is_behind_break = is_break
    return joined, head


def unquoted(word: str) -> str:
    """Return what a shell makes of a word that may not be finished."""
    for end in ("", *_QUOTES):
        try:
            return "".join(shlex.split(word + end))
        except ValueError:
            continue  # a quote that is still open
    return word
