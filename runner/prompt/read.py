"""Read the prompt from an argument, a file or standard input, byte for byte.

Every command reads its prompts here, with the same check.
"""

from __future__ import annotations

import os
import sys

from parsers.paths import Path
from runner.errors import UsageError
from runner.model import EXIT, QUIT
from runner.process.fork import show_as

PREVIEW_CHARACTERS = 2000
# Codex takes 1 048 576 characters, of at most four bytes each.
_MOST_BYTES = 4 << 20
STDIN = "-"
_HIDDEN = b"(prompt)"


def from_text(text: str, name: str, fix: str = "") -> bytes:
    """Return the prompt of a command line; `-` reads standard input.

    Args:
        text: the prompt, or `-`.
        name: the argument that it comes from, for messages.
        fix: what can be typed instead of an empty one.

    Raises:
        UsageError: it is empty or no UTF-8, or standard input cannot be read.
    """
    if text != STDIN:
        prompt = os.fsencode(text)
        # Any user sees the arguments of a command, which may run for hours.
        show_as(lambda words: [_hidden(word, prompt) for word in words])
        return _checked(prompt, name, fix)
    if sys.stdin is None:
        message = f"{name} -: standard input is closed"
        raise UsageError(message)
    try:
        prompt = sys.stdin.buffer.read(_MOST_BYTES + 1)
    except OSError as error:
        message = f"{name} -: standard input cannot be read: {error.strerror}"
        raise UsageError(message) from error
    return _checked(prompt, f"{name} - (standard input)", fix)


def from_file(path: str, name: str) -> bytes:
    """Return the prompt of a file.

    Raises:
        UsageError: it is empty or no UTF-8, or the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        message = f"{name} {path}: {error.strerror or error}"
        raise UsageError(message) from error
    return _checked(text, f"{name} {path}")


def preview(prompt: bytes) -> str:
    """Return the beginning of a prompt, for records."""
    text = prompt[: PREVIEW_CHARACTERS * 4].decode(errors="replace")
    return text[:PREVIEW_CHARACTERS]


def is_quit(prompt: bytes) -> bool:
    """Return whether a prompt ends its session instead of being sent to Codex."""
    return prompt.strip() in {EXIT, QUIT}


def _hidden(word: bytes, prompt: bytes) -> bytes:
    option = word.removesuffix(b"=" + prompt)
    if word == prompt or (option != word and option.startswith(b"--")):
        return word.removesuffix(prompt) + _HIDDEN
    return word


def _checked(prompt: bytes, source: str, fix: str = "") -> bytes:
    if not prompt.strip():
        message = f"{source} is empty: a prompt is required"
        raise UsageError(message, fix)
    if len(prompt) > _MOST_BYTES:
        message = f"{source} is longer than 1,048,576 characters: Codex refuses it"
        raise UsageError(message)
    try:
        prompt.decode()
    except UnicodeDecodeError as error:
        message = f"{source} is not UTF-8 (byte {error.start}): Codex refuses it"
        raise UsageError(message) from error
    return prompt
