"""The check of a turn (`--verify`): what its end means, and the turn that it asks for.

The supervisor runs it after a completed turn, before the verdict is stored. A run whose
supervisor was killed before the check ended has failed it: the next turn goes on.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.light import suppress
from parsers.struct import Struct, replace
from runner import clock, files
from runner.config import CHECK_MARKER
from runner.errors import RunnerError
from runner.ledger import record
from runner.lifecycle.judge import Cause
from runner.model import Work
from runner.process.signals import name_of
from runner.process.table import by_environment, is_alive
from runner.process.tree import Termination, below
from runner.run_files import files_of
from runner.terms import VERIFY_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.judge import Exit
    from runner.model import ProcessId, Run, RunRequest, Verdict

# How much of the output the next turn is told.
_MOST_BYTES = 4096
_PACE_SECONDS = 0.02


class CheckEnd(Struct):
    """Hold how a check ended; `fault` is why it failed, None if it has passed."""

    fault: str | None
    exit_code: int | None = None
    seconds: float | None = None


def end_of(program: str, ended: Exit, seconds: float) -> CheckEnd:
    """Return how a check ended that the supervisor has waited for."""
    code, fault = ended.process_exit_code, None
    if ended.cause is Cause.CHECK:
        code, fault = None, f"took longer than {ended.cause_value:g} s"
    elif ended.signal is not None:
        fault = f"was ended by {name_of(ended.signal)}"
    elif code != 0:
        fault = f"exited {code}"
    told = f"{program} {fault}" if fault else None
    return CheckEnd(fault=told, exit_code=code, seconds=round(seconds, 3))


def checked(
    run: Run, judged: Verdict, check: CheckEnd | None, ledger: Ledger
) -> tuple[Verdict, dict[str, object]]:
    """Return the verdict on a completed turn with a check, and its accounts of it.

    Without a `check` the supervisor was killed before that had ended.
    """
    output, terms = files_of(run.spec).verify, run.spec.terms
    if check is None:
        has_begun = files.status(output) is not None
        check = CheckEnd(fault="it was interrupted" if has_begun else "it was not run")
    told = {
        "command": terms.verify,
        "exit_code": check.exit_code,
        "seconds": check.seconds,
        "fault": check.fault,
        "iteration": turn_of(run, ledger),
        "of": terms.max_iterations,
        "output_file": str(output),
    }
    if check.fault is not None:
        error = f"the check failed: {check.fault}"
        judged = replace(judged, error=error, error_class=VERIFY_FAILED, exit_code=1)
    return judged, {record.VERIFY: told}


def turn_of(run: Run, ledger: Ledger) -> int | None:
    """Return which turn of its prompt a run has; None when that is unknown."""
    with suppress(RunnerError):
        failed = ledger.value("checks", prompt=run.spec.prompt_id)
        return None if failed is None else int(failed) + 1
    return None


def next_turn(request: RunRequest, ledger: Ledger) -> RunRequest:
    """Return the request for the next turn of a prompt, after a failed check.

    It is that of the turn before, with the result of the check as its text; any other
    request stays as it is. A prompt that was queued again has no failed check yet.
    """
    number = request.prompt_id
    has_failed = number is not None and ledger.value("checks", prompt=number)
    run = ledger.runs.last_turn(number) if has_failed else None
    verdict = None if run is None else run.verdict
    if run is None or verdict is None or verdict.error_class != VERIFY_FAILED:
        return request
    work = {name: getattr(run.spec, name) for name in Work.field_names()}
    return replace(
        request,
        **{**work, "repo": record.next_place(run)},
        prompt=_text_of(run),
        log_dir=run.spec.directory if run.spec.is_flat else None,
        has_exports=not run.spec.is_flat,
    )


def _text_of(run: Run) -> bytes:
    told = loose_json.mapping(run.accounts.get(record.VERIFY))
    size, data = files.read_end(files_of(run.spec).verify, _MOST_BYTES)
    if size > len(data):
        # Whole lines, unless there is only one.
        data = b"[...]\n" + (data.partition(b"\n")[2] or data)
    output = data.decode(errors="replace").replace("\0", "").strip()
    lines = (
        f"The check of your work has failed: {told.get('fault')}.",
        f"Its command: {run.spec.terms.verify}",
        f"The end of its output:\n\n{output}\n" if output else "It has no output.",
        "Fix the cause, and finish the task. The same check runs after your turn.",
    )
    return "\n".join(lines).encode(errors="replace")


def end_left(run: Run, settings: Config) -> None:
    """End the check of a run whose supervisor was killed, before the run is judged.

    Two checks of a task, or a check and the next turn, never run at once.
    """

    def members() -> list[ProcessId]:
        found = by_environment(CHECK_MARKER).get(run.run_id, [])
        inner = below(*(each.pid for each in found)) if found else []
        return [*filter(is_alive, dict.fromkeys([*found, *inner]))]

    if run.spec.terms.verify is not None and files.status(files_of(run.spec).verify):
        ending = Termination(lambda: None, members, settings.grace_seconds)
        while not ending.step():
            clock.sleep(_PACE_SECONDS)


def is_checked(run: Run) -> bool:
    """Return whether an unfinished run has come to its check."""
    terms, paths = run.spec.terms, files_of(run.spec)
    is_over = run.is_finished or terms.verify is None
    return not is_over and files.status(paths.verify) is not None
