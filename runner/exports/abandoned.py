"""The files of a run that was judged in a supervisor's place."""

from __future__ import annotations

import contextlib

from runner import files
from runner.errors import RunnerError
from runner.exports import queue_files, run_exports, task_files
from runner.run_files import files_of
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.model import Run


def write(run: Run, ledger: Ledger) -> None:
    """Complete the files of a run and of its session; what cannot be written waits.

    Raises:
        LedgerFault: the ledger cannot be read.
    """
    if run.spec.is_flat:
        with contextlib.suppress(RunnerError):
            files.export(files_of(run.spec).log, render_log(run))
    run_exports.write_end(run)
    with contextlib.suppress(RunnerError):
        task_files.write_all(ledger, run.session)
    session = ledger.sessions.get(run.session)
    if (paths := task_files.files_in(session, ledger.home)) is not None:
        files.remove([paths.pid])
    if run.spec.prompt_id is not None:
        with contextlib.suppress(RunnerError):
            queue_files.refresh(ledger, run.session, [run.spec.prompt_id])


def render_log(run: Run) -> bytes:
    """Make the readable log anew from the events, behind the head it has.

    How far a supervisor came before it was killed cannot be told from outside; what it
    has written is the same text, so the log is made whole at once.
    """
    paths = files_of(run.spec)
    body = [appended.text for appended in RunTail(paths).finish()]
    head = files.read_text(paths.log)
    if first := next((text for text in body if text), ""):
        head = head.partition(first.splitlines(keepends=True)[0])[0]
    return "".join([head, *body]).encode(errors="backslashreplace")
