"""`codex-tasks wait`, and the wait of `start --wait` and `send --wait`."""

from __future__ import annotations

import os

from parsers.light import contextmanager, suppress
from parsers.struct import replace
from runner import config
from runner.cli import figures, format, table, task_table
from runner.cli.options import Values, refuse
from runner.cli.output import write_error
from runner.errors import RunnerError, WaitTimeoutError
from runner.service import listing, status
from runner.service.listing import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.service.listing import Line
    from runner.service.lookup import Found

HELP = """\
Wait until tasks have finished; print each once, as it ends.

--any            wait until one of them has finished
--all            wait for all that are named (the default)
--strict         exit 1 for a success with the warning sandbox_broken or empty_answer
                 (CODEX_RUNNER_STRICT=1)
--timeout TIME   wait at most this long, then exit 124 (default, and 0: no limit)
TASK ...         the tasks

  codex-tasks wait 01a1f0 && codex-tasks result 01a1f0
  codex-tasks wait --any 01a1f0 3f9a | cut -f1

0 all that have finished have succeeded; 1 one of them has not; 2 wrong usage; 3 no such
  task; 124 --timeout has passed
"""
_STATE, _ID = 11, 10


def main(found: Values, context: Context) -> int:
    """Wait for tasks; in a pipe each is a line of exact values between tabs."""
    refuse(
        (not found.task, "name the tasks to wait for", "codex-tasks wait TASK"),
        (
            found.any and found.all,
            "give --any or --all, not both",
            "codex-tasks wait --any TASK, or codex-tasks wait --all TASK",
        ),
    )
    timeout = config.seconds(found.timeout or "0", "--timeout")
    is_strict = found.strict or context.settings.is_strict
    context.sweep()
    tasks = context.found(found.task)
    settings = replace(context.settings, is_strict=is_strict)
    lines, code = list[dict[str, object]](), 0
    with _progress(tasks, context) as progress:
        how = {"for_any": found.any, "timeout": timeout, "watch": progress.show}
        waited = status.wait(tasks, context.ledger, settings, progress.notes, **how)
        try:
            for task, is_good in waited:
                code = code if is_good else 1
                line = listing.line_of(task.again(), settings)
                lines.append(line.to_json())
                progress.clear()
                if found.json:
                    continue
                if context.look.is_drawn:
                    text = context.look.text(_drawn(line, context.look.width))
                    context.output.text(text)
                else:
                    context.output.lines([_piped(line)])
        except WaitTimeoutError as error:
            context.keep(error)
            raise
        finally:
            context.tell(found, "tasks", {"tasks": lines})
    return code


class _Progress:
    """Say on the last line of a terminal what is waited for."""

    def __init__(self, tasks: Sequence[Found], context: Context) -> None:
        self._tasks, self._context = tasks, context
        term = context.settings.environment.get("TERM", "")
        self._is_on = os.isatty(2) and term not in {"", "dumb"}
        self._look, self._is_shown = context.look, False

    def show(self, left: Sequence[Found]) -> None:
        if not self._is_on:
            return
        with suppress(RunnerError):
            line = listing.line_of(left[0].again(), self._context.settings)
            of_it = f"{len(left)} of {len(self._tasks)}: " if self._tasks[1:] else ""
            told = [format.line(line.brief) or line.shown.state]
            if line.seconds is not None:
                told.append(figures.long_span(line.seconds))
            if line.usd is not None:
                told.append(task_table.cost(line))
            text = f"waiting for {of_it}{line.short_id} {', '.join(told)}"
            shown = self._look.signs(table.shortened(text, self._look.width - 1))
            write_error(f"\r{shown}\x1b[K")
            self._is_shown = True

    def clear(self) -> None:
        """Leave the line to something else."""
        if self._is_shown:
            write_error("\r\x1b[K")
            self._is_shown = False

    def notes(self, texts: Iterable[str]) -> None:
        self.clear()
        self._context.notes(texts)


@contextmanager
def _progress(tasks: Sequence[Found], context: Context) -> Iterator[_Progress]:
    progress = _Progress(tasks, context)
    with context.waiting(tasks):
        try:
            yield progress
        finally:
            progress.clear()


def answer(name: str, found: Values, context: Context) -> int:
    """Wait for a task that was just started or sent to, and print its answer."""
    from runner.cli.tasks import log  # noqa: PLC0415 - after the end

    tasks, settings = context.found([name]), context.settings
    with _progress(tasks, context) as progress:
        notes, show = progress.notes, progress.show
        for _ in status.wait(tasks, context.ledger, settings, notes, watch=show):
            pass
    asked = Values()
    vars(asked).update(task=name, run=None, strict=False, json=found.json)
    return log.main_result(asked, context)


def _piped(line: Line) -> str:
    told = line.shown
    seconds = "" if line.seconds is None else f"{line.seconds:.0f}"
    usd = "" if line.usd is None else f"{line.usd:.6f}{'+' * line.is_floor}"
    return "\t".join((line.short_id, told.state, told.reason or "", seconds, usd))


def _drawn(line: Line, width: int) -> Iterator[Sequence[Styled]]:
    state = line.shown.state
    took = "" if line.seconds is None else figures.long_span(line.seconds)
    end = f"{took:>9}{task_table.cost(line):>9}"
    head = f"{line.sign} {state}"
    room = max(width - _STATE - _ID - len(end), 1)
    name = table.shortened(format.line(line.task), room)
    yield [
        (f"{head:<{_STATE}}", STYLES[state]),
        (f"{line.short_id:<{_ID}}", ""),
        (name + " " * (room - table.width_of(name)), ""),
        (end, ""),
    ]
    if state != "done" and line.detail:
        for part in table.wrapped([(format.line(line.detail), "")], width - _STATE):
            yield [(" " * _STATE, ""), *part]
