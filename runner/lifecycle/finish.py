"""Close a run: judge it, count it, price it, write its summary and its record.

Whoever sees a run finished finds its other files complete: the record is written
last, by the caller. A fault in the accounts never costs the verdict.
"""

from __future__ import annotations

from pathlib import Path

from parsers.struct import Struct, replace
from runner import clock, files
from runner.accounting.rollouts import AFTERMATH
from runner.accounting.run import (
    account_run,
    evidence_of,
    read_events,
    summary_of,
    unknown,
)
from runner.codex.version import version_of
from runner.errors import FileFault
from runner.exports import key_values
from runner.ledger import record
from runner.lifecycle.judge import Exit, judge, not_started
from runner.model import Ended, Mode, Prepared
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from parsers.facts import Facts
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.model import Run, Verdict


class RunEnd(Struct):
    """Hold how a run came to its end, as far as somebody was there to see it.

    `seen` is what the events said to whoever attended Codex, `warnings` are what went
    wrong beside it; `is_late` says that a reader closes it.
    """

    at: datetime
    exit: Exit
    seen: Facts | None = None
    left_running: Sequence[dict[str, object]] = ()
    warnings: Sequence[str] = ()
    is_late: bool = False


def ignore(_: str) -> None:
    """Take a warning that nobody waits for: the record has it."""


def finish(
    run: Run,
    closing: RunEnd,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None] = ignore,
) -> Run:
    """Return a run as finished that Codex was started for; its files are complete.

    `warn` is told of those that cannot be written.
    """
    if run.spec.mode is Mode.RESUME:
        # A rollout names the version that opened its thread, not those that went on.
        run = replace(run, codex_version=version_of(run.spec.codex.bin, settings))
    kept = _accounts(run, closing, ledger, settings)
    verdict = judge(evidence_of(run, closing.exit, kept))
    version = run.codex_version or kept.codex_version
    named = replace(
        run,
        session_id=run.session_id or kept.session_id,
        codex_version=version or version_of(run.spec.codex.bin, settings),
    )
    return _write(named, verdict, closing, kept, warn)


def finish_unstarted(
    run: Run,
    verdict: Verdict,
    warnings: Sequence[str] = (),
    warn: Callable[[str], None] = ignore,
) -> Run:
    """Return a run as finished that Codex was never started for, as `conclude`."""
    closing = RunEnd(at=clock.now(), exit=Exit(), warnings=warnings)
    kept = unknown("Codex was not started")
    return _write(run, verdict, closing, kept, warn)


def finish_abandoned(run: Run, ended: Exit, ledger: Ledger, settings: Config) -> Run:
    """Return a run as finished that no supervisor was left to close."""
    paths = record.files_of(run.spec)
    if not _may_have_begun(run):
        reason = (
            "its supervisor was gone before it had started Codex"
            f" (why may stand at the end of {paths.log})"
        )
        return finish_unstarted(run, not_started(1, reason))
    _complete_log(run)
    at = _last_write(paths.events, paths.stderr) or clock.now()
    closing = RunEnd(at=max(at, run.started_at), exit=ended, is_late=True)
    return finish(run, closing, ledger, settings)


def _may_have_begun(run: Run) -> bool:
    """Tell whether Codex may have had the prompt of a run that was left behind.

    Once a supervisor has taken the run over, nothing proves that it had not: better
    told as lost than worked on twice, by whoever sends it again or from a mailbox.
    """
    if not isinstance(run.state, Prepared):
        return True
    paths = record.files_of(run.spec)
    return _last_write(paths.events, paths.stderr) is not None


def _accounts(
    run: Run, closing: RunEnd, ledger: Ledger, settings: Config
) -> RunAccounting:
    until = closing.at + AFTERMATH if closing.is_late else None
    try:
        return account_run(run, ledger, settings, until, closing.seen)
    except Exception:  # noqa: BLE001 - a bug in counting must not cost the verdict
        import traceback  # noqa: PLC0415 - a rare end

        fault = " ".join(traceback.format_exc(limit=-1).split())
        kept = unknown("the accounts failed", closing.seen or _facts(run))
        return replace(kept, faults=(fault,))


def _facts(run: Run) -> Facts | None:
    """Read what the events say; what the accounts have failed at may fail here too."""
    try:
        return read_events(record.files_of(run.spec).events)
    except Exception:  # noqa: BLE001 - see _accounts
        return None


def _write(
    run: Run,
    verdict: Verdict,
    closing: RunEnd,
    kept: RunAccounting,
    warn: Callable[[str], None],
) -> Run:
    found = kept.to_json()
    warnings = {**kept.warnings, **dict.fromkeys(closing.warnings, 1)}
    found |= {"warnings": warnings, "left_running": list(closing.left_running)}
    finished = run.advanced(Ended(verdict=verdict, at=closing.at, accounts=found))
    faults = [
        *_try(lambda: _write_summary(finished, kept)),
        *_try(lambda: _write_footer(finished)),
    ]
    for fault in faults:
        warn(fault)
    return finished.with_warnings(faults)


def _write_summary(run: Run, kept: RunAccounting) -> None:
    text = record.encode(summary_of(run, kept), indent=2)
    files.replace(record.files_of(run.spec).summary, text)
    if run.spec.report.json_out:
        files.copy_to(Path(run.spec.report.json_out), text)


def _write_footer(run: Run) -> None:
    files.append_text(
        record.files_of(run.spec).log, "\n" + key_values.text(key_values.verdict(run))
    )


def _try(writing: Callable[[], None]) -> list[str]:
    try:
        writing()
    except FileFault as error:
        return [str(error)]
    return []


def _last_write(*paths: Path) -> datetime | None:
    """Return when something was last written to files that are not empty."""
    times = [
        status.st_mtime
        for path in paths
        if (status := files.status(path)) and status.st_size
    ]
    return clock.at(max(times)) if times else None


def _complete_log(run: Run) -> None:
    """Write the readable log anew from the events, behind the head it has.

    How far a supervisor came before it died cannot be told from outside; what it
    has written is the same text, so the log is made whole at once.
    """
    paths = record.files_of(run.spec)
    watch = RunTail(paths)
    body = [written.text for written in watch.finish()]
    head = files.read_text(paths.log)
    if first := next((text for text in body if text), ""):
        head = head.partition(first.splitlines(keepends=True)[0])[0]
    _try(lambda: files.replace(paths.log, "".join([head, *body]).encode()))
