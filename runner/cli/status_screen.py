"""The report on a task as a terminal shows it."""

from __future__ import annotations

from parsers.run_summary import doubts
from parsers.text import visible
from runner.cli import figures, format, table
from runner.service.listing import SIGNS, STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    Report = Mapping[str, Any]
    Styled = tuple[str, str]

_LABEL, _GAP = 10, 3
_MOST_PROMPT, _MOST_ANSWER, _MOST_WAITING = 3, 12, 5
_AGO_SECONDS = 10


def screen(reports: Sequence[Report], width: int) -> str:
    """Draw reports (of `service.status.report`), a blank line between them."""
    found = [[*_block(report, width)] for report in reports]
    lines = [line for block in found for line in ([("", "")], *block)]
    return table.styled(lines[1:], gap="")


def _block(report: Report, width: int) -> Iterator[list[Styled]]:
    shown, name = report["shown"], report["short_id"]
    state = shown["state"]
    head = f"{SIGNS[state]} {state} {figures.age(shown['since'])}"
    title = format.line(report["title"] or report["last_prompt"] or "")
    room = width - len(head) - len(name) - 2 * _GAP
    gap = " " * _GAP
    yield [
        (head, STYLES[state]),
        (f"{gap}{name}{gap}", "dim"),
        (table.shortened(title, room), "bold"),
    ]
    yield [("", "")]
    for label, text, most in _rows(report):
        lines = _wrapped(text, width - _LABEL - 2)
        cut = lines[:most] if most else lines
        if len(cut) < len(lines):
            cut[-1] = table.shortened(f"{cut[-1]} …", width - _LABEL - 2)
        for number, line in enumerate(cut):
            yield [(f"  {label if number == 0 else '':<{_LABEL}}", "dim"), (line, "")]
    for number, (label, command) in enumerate(_next(report)):
        if number == 0:
            yield [("", "")]
        yield [
            (f"  {label:<{_LABEL}}", "dim"),
            (f"codex-tasks {command} {name}", "bold"),
        ]


def _rows(report: Report) -> Iterator[tuple[str, str, int]]:
    """Yield label, text, and the most lines that it takes (0: all)."""
    yield from _state(report)
    yield "prompt", format.line(report["last_prompt"] or "-"), _MOST_PROMPT
    yield "cost", _cost(report), 0
    yield from _terms(report)
    if report["last_result"] is not None:
        yield "answer", report["last_result"], _MOST_ANSWER
    elif report["previous_result"]:
        yield "before", report["previous_result"]["text"] or "", _MOST_PROMPT
    for number, run in enumerate(report["recent_runs"]):
        yield "" if number else "runs", _run(run), 1
    yield from _waiting(report)
    parts = (report["model"], report["sandbox"], report["working_dir"])
    told = [format.short_path(str(each)) for each in parts if each]
    yield "runs as", ", ".join(told), 0
    if report["id"] != report["short_id"]:
        yield "thread", report["id"], 0


def _terms(report: Report) -> Iterator[tuple[str, str, int]]:
    """Yield the budget, the changes, the check, and who was not notified."""
    if report["budget"]:
        yield "budget", ", ".join(format.budget_of(report["budget"])), 0
    if changes := report["changes"]:
        branch = format.line(changes["branch"])
        yield "changes", f"{format.changed(changes)} on {branch}", 0
    if report["verify"]:
        from runner.exports.key_values import check_of  # noqa: PLC0415 - where one was

        yield "check", format.line(check_of(report)), 0
    for text in format.given_up(report):
        yield "notified", text.partition(": ")[2], 0


def _state(report: Report) -> Iterator[tuple[str, str, int]]:
    """Yield what it does, or why it is in its state, and what is wrong."""
    told, now, error = report["shown"], report["now"], report["error"]
    why = error or (told["detail"] if told["state"] != "done" else None)
    if now is not None:
        yield "now", _now(now), 2
    elif why:
        yield "why", format.line(why), 0
    if told["until"]:
        yield "until", figures.moment(told["until"], has_rest=True), 0
    for name in ("unknown", "note"):
        if report[name]:
            yield name, format.line(report[name]), 0
    for each in doubts(report["warnings"]):
        yield "warning", each, 0
    if report["other_writer"]:
        pid = report["other_writer"]["pid"] or "unknown"
        yield "written by", f"another program (pid {pid})", 0
    for each in report["left_running"]:
        yield "left", f"{format.line(each['name'])} (pid {each['pid']}) runs still", 0


def _now(now: Report) -> str:
    words = [now["doing"], format.line(now["text"] or "")]
    quiet = now["seconds"]
    if quiet >= _AGO_SECONDS:
        words.append(f" last output {figures.long_span(quiet)} ago")
    return " ".join(filter(None, words))


def _cost(report: Report) -> str:
    usage, cost = report["usage"], report["cost"]
    floor = bool(cost.get("unpriced") or cost["uncounted_runs"] or cost["unknown_runs"])
    usd = "?" if cost["usd"] is None else figures.money(cost["usd"], is_floor=floor)
    total, cached = usage["total_tokens"], usage["cached_input_tokens"]
    if total is None:
        return f"{usd}  tokens unknown"
    part = f" ({figures.tokens(cached)} cached)" if cached else ""
    return f"{usd}  {figures.tokens(total)} tokens{part}"


def _run(run: Report) -> str:
    state = run["shown"]["state"]
    seconds, usd = run["seconds"], run["usd"]
    return (
        f"{run['number']:<3}{SIGNS[state]} {state:<9}"
        f"{figures.moment(run['started_at']):<17}"
        f"{'-' if seconds is None else figures.long_span(seconds):<9}"
        f"{'-' if usd is None else figures.money(usd)}"
    )


def _waiting(report: Report) -> Iterator[tuple[str, str, int]]:
    for number, each in enumerate(report["prompts"][:_MOST_WAITING]):
        why = each["detail"] or each["why"] or "is next"
        yield (
            "" if number else "waiting",
            f"#{each['id']} {format.line(each['prompt'])}: {format.line(why)}",
            2,
        )
    if (more := report["queue"] - _MOST_WAITING) > 0:
        yield "", f"and {more} more", 0
    for each in report["undelivered"]:
        yield "", f"#{each['id']} was never delivered: {each['reason']}", 0
    if report["skipped"]:
        yield (
            "skipped",
            f"{format.count(report['skipped'], 'prompt')}, not delivered",
            0,
        )


def _next(report: Report) -> Iterator[tuple[str, str]]:
    state = report["shown"]["state"]
    if state == "running":
        yield from (("follow", "log -f"), ("stop", "stop"))
    elif state in {"held", "parked"}:
        yield from (("go on", "resume"), ("stop", "stop"))
    elif state == "queued":
        yield "cancel", "stop"
    elif state == "failed":
        yield from (("log", "log"), ("again", "retry"))
    elif report["last_result"] is not None:
        yield "answer", "result"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap  # noqa: PLC0415 - on a terminal only

    found = list[str]()
    for line in visible(text).splitlines():
        found += textwrap.wrap(line, max(width, 20)) or [""]
    return found or [""]
