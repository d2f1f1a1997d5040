"""The text that Codex is given: read from where the caller has it, byte for byte."""

from __future__ import annotations

import os
import sys

from runner.errors import UsageError

PREVIEW_CHARACTERS = 2000
STDIN = "-"


def from_argument(text: str) -> bytes:
    """Return the prompt that a command line gives; "-" is standard input.

    Raises:
        UsageError: it is empty, or standard input cannot be read.
    """
    prompt = read_stdin("PROMPT -") if text == STDIN else os.fsencode(text)
    source = "standard input" if text == STDIN else "the prompt"
    if not prompt.strip():
        message = f"{source} is empty: say what Codex is to do"
        raise UsageError(message)
    try:
        prompt.decode()
    except UnicodeDecodeError as error:
        message = f"{source} is no UTF-8 (byte {error.start}): Codex refuses it"
        raise UsageError(message) from error
    return prompt


def read_stdin(name: str) -> bytes:
    """Read standard input to its end.

    Args:
        name: what asked for it, for the message.

    Raises:
        UsageError: it is closed or cannot be read.
    """
    if sys.stdin is None:
        message = f"{name}: standard input is closed"
        raise UsageError(message)
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        message = f"{name}: standard input cannot be read: {error.strerror}"
        raise UsageError(message) from error


def preview(prompt: bytes) -> str:
    """Return the beginning of a prompt, for records."""
    return prompt[: PREVIEW_CHARACTERS * 4].decode(errors="replace")[
        :PREVIEW_CHARACTERS
    ]


def is_quit(prompt: bytes) -> bool:
    """Tell whether a prompt ends its session instead of being given to Codex."""
    return prompt.strip() == b"/quit"
