"""Format sessions and runs for people: blocks, tables, times."""

from __future__ import annotations

import os
from time import ctime

from parsers.light import datetime, pattern
from parsers.run_summary import dollars, doubts
from parsers.text import visible
from runner import clock
from runner.terms import money

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from re import Match

TIME_FORMAT = "--time-format {human,iso}  how to write times [default: human]"
_KILO = 1000
_UNITS = ("", "kB", "MB", "GB", "TB")
_LARGEST = 3 * (len(_UNITS) - 1)
# Why a prompt waits, where the ledger has no sentence.
_WHY = {"archived": "the task is archived", "time": "it is not due yet"}
_INSTANT = pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def time(text: str, time_format: str) -> str:
    """Write an instant of a record in local time."""
    if time_format == "iso":
        local = datetime.fromisoformat(text).astimezone()
        return local.isoformat(timespec="seconds").replace("+00:00", "Z")
    return ctime(clock.parse_iso(text).timestamp())


def short_path(path: str) -> str:
    """Write a path with `~` for the home directory."""
    home = os.path.expanduser("~")  # noqa: PTH111 - it never fails
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def blocks(reports: Sequence[Mapping[str, object]], time_format: str) -> Iterator[str]:
    """Write reports for people, a blank line between them."""
    for number, report in enumerate(reports):
        if number:
            yield ""
        yield from _block(report, time_format)


def _block(report: Mapping[str, object], time_format: str) -> Iterator[str]:
    yield f"Task ID: {report['id']}"
    if report["title"]:
        yield f"Title: {line(report['title'])}"
    is_verifying = " (verifying)" if report["verifying"] else ""
    yield f"State: {report['state']}{is_verifying}"
    yield from _outcome(report)
    for name, key in (("Created At", "created_at"), ("Updated At", "updated_at")):
        yield f"{name}: {time(str(report[key]), time_format)}"
    yield f"Working Dir: {line(report['working_dir'] or '<none>')}"
    for name, key in (("Unknown Here", "unknown"), ("PID", "pid"), ("Note", "note")):
        if report[key]:
            yield f"{name}: {line(report[key])}"
    if isinstance(other := report["other_writer"], dict):
        yield f"Written By: another program (pid {other['pid'] or 'unknown'})"
    for each in _list(report["left_running"]):
        yield f"Left Running: {line(each['name'])} (pid {each['pid']})"
    if isinstance(changes := report.get("changes"), dict):
        yield f"Changes: {changed(changes)} on {line(changes['branch'])}"
    yield from _queue(report, time_format)
    yield from given_up(report)
    tokens = _known(report["usage"], "total_tokens", "{:,} tokens") or "unknown"
    cost = _known(report["cost"], "usd", "${:.4f}") or "cost unknown"
    yield f"Usage: {tokens}, {cost}"
    if isinstance(budget := report.get("budget"), dict):
        yield f"Budget: {', '.join(budget_of(budget))}"
    yield from _text("Last Prompt", report["last_prompt"])
    yield from _text("Last Result", report["last_result"])
    previous = report["previous_result"]
    if isinstance(previous, dict):
        yield from _text(f"Previous Result (run {previous['run']})", previous["text"])


def budget_of(told: Mapping[str, float | None]) -> Iterator[str]:
    """Write what is used of the budget of a prompt."""
    if (usd := told["max_usd"]) is not None:
        yield f"{money(told['usd'] or 0)} of {money(usd)}"
    if (most := told["max_tokens"]) is not None:
        yield f"{told['tokens']:,} of {most:,} tokens"
    if usd is not None and (missing := told["unpriced"]):
        yield f"{count(int(missing), 'call')} without a price"


def _outcome(report: Mapping[str, object]) -> Iterator[str]:
    if report["outcome"]:
        why = f" ({line(report['error'])})" if report["error"] else ""
        yield f"Outcome: {report['outcome']}{why}"
    if report["error_class"]:
        can = "retryable" if report["retryable"] else "not retryable"
        yield f"Error Class: {line(report['error_class'])} ({can})"
    if report["verify"]:
        from runner.exports.key_values import check_of  # noqa: PLC0415 - where one was

        yield f"Check: {line(check_of(report))}"
    for each in doubts(report["warnings"]):
        yield f"Warning: {each}"


def given_up(report: Mapping[str, object]) -> Iterator[str]:
    """Name the last notification that was given up, and how many there are."""
    lost = [e for e in _list(report["notifications"]) if e["state"] == "given_up"]
    if lost:
        last, more = lost[-1], f", the last of {len(lost)}" if lost[1:] else ""
        why = line(f"{last['event']} to {last['target']}: {last['error']}")
        yield f"Not Notified: {why}{more}"


def _list(value: object) -> list[dict[str, str]]:
    return value if isinstance(value, list) else []


def _queue(report: Mapping[str, object], time_format: str) -> Iterator[str]:
    """Write why prompts wait, with all instants in the same format."""

    def timed(found: Match[str]) -> str:
        try:
            return time(found[0], time_format)
        except ValueError:
            # It only looks like an instant.
            return found[0]

    if report["queue"]:
        yield f"Queue: {report['queue']} waiting"
    first = None
    for each in _list(report["prompts"]):
        until = f" until {time(each['until'], time_format)}" if each["until"] else ""
        word = each["why"]
        why = f"it is behind #{first}" if first else each["detail"]
        why = _INSTANT.sub(timed, line(why or _WHY.get(word, word)))
        state = f"is held: {why}" if word == "held" else f"waits{until}: {why}"
        name = " /quit" if each["prompt"].strip() == "/quit" else ""
        yield f"  #{each['id']}{name} {state if word or first else 'is next'}"
        first = first or each["id"]
    if isinstance(skipped := report["skipped"], int) and skipped:
        yield f"Skipped: {count(skipped, 'prompt')}, never delivered"
    for each in _list(report["undelivered"]):
        needs = f" (it needed #{each['needs']})" if each["needs"] else ""
        yield f"Never Delivered: #{each['id']} {each['reason']}{needs}"


def _known(sums: object, name: str, pattern: str) -> str | None:
    """Write a sum over the runs, and in how many the figure is unknown."""
    if not isinstance(sums, dict) or sums[name] is None:
        return None
    missing, sign = sums["unknown_runs"], "≥ " if sums["uncounted_runs"] else ""
    shown = sign + pattern.format(sums[name])
    if name == "usd" and (found := dollars(sums[name], sums.get("unpriced"), sign)):
        shown = "".join(found)
    return shown + (f" + {missing} unknown" if missing else "")


def _text(name: str, text: object) -> Iterator[str]:
    if text is None:
        yield f"{name}: <none>"
        return
    yield f"{name}:"
    yield from (visible(str(text)) or "<empty>").splitlines()


def line(value: object) -> str:
    """Write a text on one line, with control characters escaped."""
    return " ".join(visible(str(value)).split())


def count(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def changed(counts: Mapping[str, int]) -> str:
    """Write a number of changed files and lines."""
    added, removed = counts["lines_added"], counts["lines_removed"]
    return f"{count(counts['files'], 'file')} changed, +{added:,} -{removed:,} lines"


def size(count: int) -> str:
    """Write a number of bytes."""
    if count < _KILO:
        return f"{count} bytes"
    power = min(len(str(count)) - 1, _LARGEST) // 3
    return f"{count / _KILO**power:.1f} {_UNITS[power]}"
