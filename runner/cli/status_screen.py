"""The report on a task as a terminal shows it."""

from __future__ import annotations

from parsers.exec_events.items import typed
from parsers.run_summary import doubts
from parsers.text import visible
from runner.cli import figures, format, table
from runner.cli.remedies import remedy
from runner.cli.waits import reason, style
from runner.service.listing import ENDED, SIGNS, STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    from runner.cli.look import Look, Styled

    Report: TypeAlias = Mapping[str, Any]
    Said: TypeAlias = str | Sequence[Styled]
    Row: TypeAlias = tuple[str, Said, int]

_LABEL, _GAP = 10, 3
_MOST_PROMPT, _MOST_ANSWER, _MOST_WAITING = 3, 12, 5
_AGO_SECONDS = 10
_METER, _MUCH = 20, 0.8
_COMMIT = 7


def screen(reports: Sequence[Report], look: Look) -> str:
    """Draw reports (of `service.status.report`), a blank line between them."""
    found = [[*_block(report, look.width)] for report in reports]
    lines = [line for block in found for line in ([], *block)]
    return look.text(lines[1:])


def _block(report: Report, width: int) -> Iterator[list[Styled]]:
    shown, name = report["shown"], report["short_id"]
    state = shown["state"]
    head = f"{SIGNS[state]} {state} {figures.age(shown['since'])}"
    title = format.line(report["title"] or report["last_prompt"] or "")
    room = width - len(head) - len(name) - 2 * _GAP
    gap = " " * _GAP
    title = table.shortened(title, room)
    yield [(head, STYLES[state]), (f"{gap}{name}{gap}", ""), (title, "bold")]
    yield []
    for label, said, most in _rows(report):
        for number, line in enumerate(_lines(said, max(width - _LABEL - 2, 20), most)):
            yield [(f"  {'' if number else label:<{_LABEL}}", "dim"), *line]
    for number, (label, command) in enumerate(_next(report)):
        if number == 0:
            yield []
        fix = (f"codex-tasks {command} {name}", "bold")
        yield [(f"  {label:<{_LABEL}}", "dim"), fix]


def _lines(said: Said, room: int, most: int) -> Iterator[Sequence[Styled]]:
    """Break a text into lines, of which the first are shown (0: all)."""
    texts: list[Sequence[Styled]] = (
        [[(line, "")] for line in visible(said).splitlines()]
        if isinstance(said, str)
        else [said]
    )
    lines = [line for each in texts for line in table.wrapped(each, room)]
    yield from lines[: (most or len(lines)) - 1]
    last = lines[(most or len(lines)) - 1 :]
    if len(last) > 1:
        text = "".join(text for text, _ in last[0])
        last = [[(table.shortened(f"{text} …", room), "")]]
    yield from last


def _rows(report: Report) -> Iterator[Row]:
    """Yield label, text, and the most lines that it takes (0: all)."""
    yield from _state(report)
    if report["last_prompt"] is not None:
        yield "prompt", format.line(report["last_prompt"] or "-"), _MOST_PROMPT
        yield "cost", _cost(report), 0
        if why := report["cost"].get("reason"):
            yield "", why, 0
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
    if report["session_id"]:
        yield "thread", report["session_id"], 0


def _terms(report: Report) -> Iterator[Row]:
    """Yield the budget, the changes, the check, and who was not notified."""
    if (budget := report["budget"]) and budget["max_tokens"] is not None:
        yield "budget", f"{budget['tokens']:,} of {budget['max_tokens']:,} tokens", 0
    if changes := report["changes"]:
        yield "changes", _changes(changes), 0
    elif count := report.get("files_changed"):
        whole = f"codex-tasks diff --stat {report['short_id']}"
        yield "changes", f"{format.count(count, 'file')}  {whole}", 0
    if report["verify"]:
        from runner.exports.key_values import check_of  # noqa: PLC0415 - where one was

        yield "check", format.line(check_of(report)), 0
    for text in format.given_up(report):
        yield "notified", text.partition(": ")[2], 0


def _state(report: Report) -> Iterator[Row]:
    """Yield what it does, or why it is in its state, and what is wrong."""
    told, now, error = report["shown"], report["now"], report["error"]
    why = error or (told["detail"] if told["state"] != "done" else None)
    if now is not None:
        yield "now", _now(now), 2
    elif why:
        yield "why", format.line(why), 0
    if fix := remedy(report):
        yield "do", [(fix, "bold")], 0
    if told["until"]:
        yield "until", figures.moment(told["until"], has_rest=True), 0
    for name in ("unknown", "note"):
        is_said = name == "note" and now is not None and now["tries"]
        if report[name] and not is_said:
            yield name, format.line(report[name]), 0
    for each in doubts(report["warnings"]):
        yield "warning", each, 0
    if report["other_writer"]:
        pid = report["other_writer"]["pid"] or "unknown"
        yield "written by", f"another program (pid {pid})", 0
    for each in report["left_running"]:
        yield "left", f"{format.line(each['name'])} (pid {each['pid']}) runs still", 0


def _now(now: Report) -> Said:
    """Say what Codex does, for how long, and when it has last written."""
    word, text = now["doing"], format.line(now["text"] or "")
    quiet, took = figures.long_span(now["seconds"]), None
    if now["since"]:
        took = figures.long_span(figures.seconds_since(now["since"]))
    if word == "reconnecting":
        tries = format.count(now["tries"], "message")
        ends = ""
        if now["stalls_at"]:
            ends = f"; stops as stalled by {figures.moment(now['stalls_at'])}"
        for_long = f" for {took}" if took else ""
        # `Reconnecting... 5/5 (network is unreachable)`
        text = text.partition("(")[2].removesuffix(")") or text
        return [(f"{word}{for_long}, {tries}, last: {text}{ends}", "yellow")]
    told = [took] if took else []
    if now["seconds"] >= _AGO_SECONDS and quiet != took:
        told.append(f"last output {quiet} ago")
    what = typed(text) if word == "command" else text
    parts = [(word, ""), (f" {what}" if what else "", "bold")]
    return [*parts, (f"  {', '.join(told)}" if told else "", "")]


def _cost(report: Report) -> Said:
    """Say what it has cost, of what its prompt may, and how many tokens that is."""
    usage, cost, budget = report["usage"], report["cost"], report["budget"] or {}
    floor = bool(cost.get("unpriced") or cost["uncounted_runs"] or cost["unknown_runs"])
    usd = "?" if cost["usd"] is None else figures.money(cost["usd"], is_floor=floor)
    total, cached = usage["total_tokens"], usage["cached_input_tokens"]
    tokens = "tokens unknown"
    has_ended = report["shown"]["state"] in ENDED
    if not (total or has_ended):
        usd, tokens = "-", "no tokens counted yet"
    elif total is not None:
        part = f" ({figures.tokens(cached)} cached)" if cached else ""
        tokens = f"{figures.tokens(total)} tokens{part}"
    if (most := budget.get("max_usd")) is None:
        return f"{usd}  {tokens}"
    spent = budget["usd"] or 0.0
    share = spent / most if most else 1.0
    used = figures.bar(share, _METER)
    style = "yellow" if share >= _MUCH else "cyan"
    own = figures.money(spent, is_floor=bool(budget["unpriced"]))
    whole = "" if usd == own else f"in all {usd}, "
    return [
        (f"{own} of {figures.money(most)}  ", ""),
        (used, style),
        ("─" * (_METER - len(used)), "dim"),
        (f"  {whole}{tokens}", ""),
    ]


def _changes(changes: Report) -> Said:
    added, removed = figures.lines(changes["lines_added"], changes["lines_removed"])
    branch, base = format.line(changes["branch"]), str(changes.get("base") or "")
    at = f", base {base[:_COMMIT]}" if base else ""
    return [
        (f"{format.count(changes['files'], 'file')} ", ""),
        *((added, "green"), (" ", ""), (removed, "red")),
        (f"  on {branch}{at}", ""),
    ]


def _run(run: Report) -> Said:
    state = run["shown"]["state"]
    seconds, usd = run["seconds"], run["usd"]
    began = figures.moment(run["started_at"])
    if seconds is None and state == "running":
        seconds = figures.seconds_since(run["started_at"])
    took = "-" if seconds is None else figures.long_span(seconds)
    cost = "-" if usd is None else figures.money(usd)
    return [
        (f"{run['number']:<3}", ""),
        (f"{SIGNS[state]} {state:<9}", STYLES[state]),
        (f"{began:<17}{took:<9}{cost}", ""),
    ]


def _waiting(report: Report) -> Iterator[Row]:
    is_held = report["shown"]["state"] == "held"
    for number, each in enumerate(report["prompts"][:_MOST_WAITING]):
        text = format.line(each["prompt"])
        if is_held and each["why"] == "held":
            each = {**each, "detail": None}  # noqa: PLW2901 - "why" has said it
        why: Said = [(f"#{each['id']} {text}: ", ""), (reason(each), style(each))]
        yield "" if number else "waiting", why, 2
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
        if remedy(report) is None:
            yield "go on", "resume"
        yield "stop", "stop"
    elif state == "queued":
        yield "cancel", "stop"
    elif state == "failed":
        yield from (("log", "log"), ("again", "retry"))
    elif report["last_result"] is not None:
        yield "in full", "result"
