"""`codex-tasks wait`, and the wait of `start --wait` and `send --wait`."""

from __future__ import annotations

from parsers.struct import replace
from runner import config
from runner.cli import figures, format
from runner.cli.options import Values, refuse
from runner.cli.output import is_terminal
from runner.errors import WaitTimeoutError
from runner.service import listing, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.service.listing import Line

HELP = """\
Wait until tasks have finished; print each once, as it ends.

--any            wait until one of them has finished
--all            wait for all that are named (the default)
--strict         a success with sandbox_broken or empty_answer is none
                 (CODEX_RUNNER_STRICT=1)
--timeout TIME   wait at most this long, then exit 124 (default, and 0: no limit)
TASK ...         the tasks

  codex-tasks wait 01a1f0 && codex-tasks result 01a1f0
  codex-tasks wait --any 01a1f0 3f9a | cut -f1

0 all that have finished have succeeded; 1 one of them has not; 2 wrong usage; 3 no such
  task; 124 --timeout has passed
"""


def main(found: Values, context: Context) -> int:
    """Wait for tasks; in a pipe each is a line of exact values between tabs."""
    refuse(
        (not found.task, "name the tasks to wait for"),
        (found.any and found.all, "give --any or --all, not both"),
    )
    timeout = config.seconds(found.timeout or "0", "--timeout")
    is_strict = found.strict or context.settings.is_strict
    context.sweep()
    tasks = context.found(found.task)
    settings = replace(context.settings, is_strict=is_strict)
    how = {"for_any": found.any, "timeout": timeout}
    waited = status.wait(tasks, context.ledger, settings, context.notes, **how)
    lines, code = list[dict[str, object]](), 0
    with context.waiting(tasks):
        try:
            for task, is_good in waited:
                code = code if is_good else 1
                line = listing.line_of(task.again(), settings)
                lines.append(line.to_json())
                if not found.json:
                    text = _drawn(line) if is_terminal() else [_piped(line)]
                    context.output.lines(text)
        except WaitTimeoutError as error:
            context.keep(error)
            raise
        finally:
            context.tell(found, "tasks", {"tasks": lines})
    return code


def answer(name: str, found: Values, context: Context) -> int:
    """Wait for a task that was just started or sent to, and print its answer."""
    from runner.cli.tasks import log  # noqa: PLC0415 - after the end

    tasks = context.found([name])
    with context.waiting(tasks):
        waited = status.wait(tasks, context.ledger, context.settings, context.notes)
        for _ in waited:
            pass
    asked = Values()
    vars(asked).update(task=name, run=None, strict=False, json=found.json)
    return log.main_result(asked, context)


def _piped(line: Line) -> str:
    told = line.shown
    seconds = "" if line.seconds is None else f"{line.seconds:.0f}"
    usd = "" if line.usd is None else f"{line.usd:.6f}{'+' * line.is_floor}"
    return "\t".join((line.short_id, told.state, told.reason or "", seconds, usd))


def _drawn(line: Line) -> list[str]:
    cells = [
        f"{line.sign} {line.shown.state:<8}",
        line.short_id,
        format.line(line.task),
    ]
    if line.seconds is not None:
        cells.append(figures.long_span(line.seconds))
    if line.usd is not None:
        cells.append(figures.money(line.usd, is_floor=line.is_floor))
    more = [] if line.shown.state == "done" else [f"{'':10}{format.line(line.detail)}"]
    return ["  ".join(cells), *more]
