"""Read the logs of the first generation of `codex-tasks`, which kept one Codex a task.

Every heading begins with its time in UTC (`[2025-09-22T19:02:11] codex`), what was said
stands below it. A prompt begins a run; the agent's answer is the end of its turn.
"""

from __future__ import annotations

import re

from parsers.facts import Facts
from parsers.rollouts.items import command
from parsers.struct import replace
from parsers.text import strip, uuid
from runner.foreign import eventlines, sources
from runner.foreign.history import ForeignRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Final

    from parsers.exec_events.items import Item

_HEADING: Final = re.compile(r"^\[([0-9T:.+Z-]{19,35})\] ?(.*)$", re.MULTILINE)
_PROMPT: Final = re.compile(r"(?:User instructions:|user)\s*(.*)")
_SESSION: Final = re.compile(r"(?:codex session|session id:)\s+(\S+)")
_MODEL: Final = re.compile(r"model:\s*(\S+)")
_EXEC: Final = re.compile(r"exec (.+?)(?: in /.*)?")
_EXECUTED: Final = re.compile(r"(.*?)\s?(?:succeeded|exited (-?[0-9]{1,9})) in .*:?")
_ERROR: Final = re.compile(r"ERROR: (.*)")


def read_transcript(
    data: bytes, task_id: str, at: datetime
) -> tuple[str | None, list[ForeignRun]]:
    """Read a log; return the thread that Codex named in it, and its runs.

    Args:
        data: the log.
        task_id: the task's own id.
        at: the time of a run whose heading tells none.
    """
    text = strip(data.decode("utf-8", "replace").replace("\0", ""))
    _, *rest = _HEADING.split(text.replace("\r\n", "\n"))
    thread_id = model = None
    line = ""
    runs: list[ForeignRun] = []
    done: list[list[Item]] = []
    for time, head, below in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        when, heading, said = sources.instant(time), head.strip(), below.strip("\n")
        if prompt := _PROMPT.fullmatch(heading):
            asked = f"{prompt[1]}\n{said}".strip("\n")
            if not eventlines.is_injected(asked):
                runs.append(_run(asked, task_id, when, at))
                done.append([])
        elif session := _SESSION.fullmatch(heading):
            thread_id = thread_id or uuid(session[1])
        elif named := _MODEL.fullmatch(heading):
            model = model or named[1]
        elif runs:
            begun = _EXEC.fullmatch(heading)
            line = begun[1] if begun else line
            run = _told(runs[-1], done[-1], heading, said, line)
            runs[-1] = replace(run, ended_at=max(run.started_at, when or run.ended_at))
    for place, (run, items) in enumerate(zip(runs, done, strict=True)):
        told = run.facts
        lines = eventlines.turn(thread_id, items, told.ended, told.failure)
        facts = eventlines.facts_of(lines)
        runs[place] = replace(run, model=model, lines=lines, facts=facts)
    return thread_id, runs


def _run(asked: str, task_id: str, when: datetime | None, at: datetime) -> ForeignRun:
    return ForeignRun(
        prompt=asked or None,
        started_at=when or at,
        ended_at=when or at,
        is_dated=when is not None,
        source_run_id=task_id,
    )


def _told(
    run: ForeignRun, done: list[Item], heading: str, said: str, line: str
) -> ForeignRun:
    """Add what stands below one heading; `line` is the command that ran last."""
    if heading == "codex":
        done.append(eventlines.message(said))
        return replace(run, facts=Facts(kind="log", ended="completed"))
    if error := _ERROR.fullmatch(heading):
        failure = f"{error[1]}\n{said}".strip()
        return replace(run, facts=Facts(kind="log", ended="failed", failure=failure))
    if _EXEC.fullmatch(heading) and run.facts.ended == "completed":
        return replace(run, facts=Facts(kind="log"))
    if executed := _EXECUTED.fullmatch(heading):
        done.append(command(line or executed[1], said, int(executed[2] or 0)))
    return run
