"""Codex's error message on standard error, for runs without a terminal event.

Codex (0.50 to 0.169) writes warnings and log lines before the error message, and a
backtrace after it; its argument parser writes `error: …`, a hint, and then the usage.
An error in `config.toml` has two lines, and an excerpt of the file may follow. A panic
has two lines; an abort of Node, which runs the launcher, stands between lines with `#`.

If no turn began, the message also shows what has to change before a retry.
"""

from __future__ import annotations

from parsers.light import pattern
from parsers.text import strip
from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from parsers.paths import Path

    Refusal = Literal["writer", "thread_gone", "untrusted", "configuration", "option"]

_TAIL_BYTES = 16384
_LONGEST = 500
# Notices, log lines, stack frames, and lines without a word: never the cause.
_NOISE = pattern(
    r"(?i:warning|note): |Reading prompt from stdin|For more information|Usage: "
    r"|Untrusted project-local configuration |Node\.js v\d|(?i:stack backtrace:)"
    r"|\d{4}-\d\d-\d\dT\S+\s+(?:TRACE|DEBUG|INFO|WARN)\b"
    r"|\d+: (?:<unknown>|\S+::)|at .+:\d+\)?$|\W*$"
)
_CHOICES = "[possible values: "
_CAUSE = "Caused by:"
# The next line is a part of these.
_INTRODUCES = r"Error loading [^:]+:|.* panicked at "
_GOES_ON = pattern(_INTRODUCES)
# Of Codex, of its launcher (an exception or an abort of Node), and a panic.
_ERROR = pattern(
    r"(?:\w*[Ee]rror|ERROR)(?: \[\w+\])?: |(?i:fatal [\w ]*error: |# fatal )"
    rf"|{_INTRODUCES}"
)

# The beginnings of error messages, and the versions that write them, of 0.50, 0.80,
# 0.125, 0.142, 0.147, 0.169 and 0.171.
_REFUSALS: tuple[tuple[Refusal, str, str], ...] = (
    ("writer", r"Error: .+: thread \S+ already has an active writer", "0.147-0.171"),
    ("thread_gone", r"Error: .+: no rollout found for thread id ", "0.125-0.171"),
    ("thread_gone", r"Error: .+: session \S+ is archived\. ", "0.142-0.171"),
    ("thread_gone", r"Error: .+: failed to resolve rollout path .+ not exist", "0.147"),
    ("thread_gone", r"Error: .+: rollout at .+ is empty", "0.142-0.171"),
    ("thread_gone", r"Error: (?:.+: )?empty session file", "0.50-0.125"),
    ("thread_gone", r"Error: (?:.+: )?failed to parse \w+ ID from", "0.50-0.125"),
    ("untrusted", r"Not inside a trusted directory and ", "0.50-0.171"),
    ("configuration", r"Error loading (?:config\.toml|rules):", "0.80-0.171"),
    ("configuration", r"Error: TOML parse error at ", "0.50"),
    ("configuration", r"Error: .+\nin `[\w.]+`$", "0.50"),
    ("configuration", r"Error: Model provider .+ not found$", "0.50-0.171"),
    ("configuration", r"Error: .+ which is no longer configured\. ", "0.169-0.171"),
    ("configuration", r"Error: config profile .+ not found$", "0.50-0.125"),
    ("configuration", r"Error: legacy `profile = .+ no longer sup", "0.142-0.171"),
    ("configuration", r"Error: .+: No models are available\. ", "0.169-0.171"),
    ("configuration", r"Error finding codex home: ", "0.80-0.171"),
    ("option", r"For more information, try '--help'\.$", "0.50-0.171"),
    ("option", r"Error parsing -c overrides: ", "0.50-0.171"),
    ("option", r"Error: Unknown feature flag: ", "0.80-0.171"),
    ("option", r"Error: No default OSS provider configured\. ", "0.80-0.171"),
    ("option", r"Failed to read output schema file ", "0.50-0.171"),
    ("option", r"Output schema file .+ is not valid JSON: ", "0.50-0.171"),
    ("option", r"Error: Failed to open last message file ", "0.169-0.171"),
)


def error_class(text: str) -> Refusal | None:
    """Classify why Codex ended before its turn began; None when it is unknown.

    Args:
        text: its standard error. The class is valid only if the events have no
            `turn.started`.
    """
    plain = strip(text)
    for named, beginning, _ in _REFUSALS:
        if pattern(rf"(?m)^{beginning}").search(plain):
            return named
    return None


def read_tail(path: Path) -> str:
    """Return the end of a standard error file; "" when it cannot be read."""
    try:
        with files.reader(path) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return strip(file.read().decode(errors="replace"))
    except OSError:
        return ""


def error_message(text: str) -> str | None:
    """Return the lines with the error message of Codex; None without one."""
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not _NOISE.match(line)]
    if not said:
        return None
    named = next((at for at, line in enumerate(said) if _ERROR.match(line)), None)
    if named is not None:
        first, *more = said[named:]
        if more and more[0] == _CAUSE:
            first = ": ".join((first, *more[1:2]))
        elif more and (_GOES_ON.match(first) or more[0].startswith(_CHOICES)):
            first += f" {more[0]}"
        return first.removeprefix("# ")[:_LONGEST]
    return said[-1][:_LONGEST]
