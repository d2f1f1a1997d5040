"""Check the mailbox of a session: its rows, its files, and what its runs delivered."""

from __future__ import annotations

import contextlib
from functools import partial

from parsers.value import replace
from runner import clock
from runner.model import Outcome
from runner.prompt import preview
from runner.service import verify_tree
from runner.service.verify_findings import Finding
from runner.store.mail import Mail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.service.verify_session import Case

_PROMPT, _SKIPPED = ".prompt", ".skipped"
_LONGEST = 40


def mail_differences(case: Case) -> Iterator[Finding]:
    """Hold the rows of a mailbox against its files and the runs of the session."""
    rows = {mail.mail_id: mail for mail in case.ledger.mail.of_session(case.id)}
    files = _files(case)
    delivered = _delivered(case)
    for mail_id, path in files.items():
        if mail_id not in rows:
            yield _unknown(mail_id, path, case, delivered.get(mail_id))
    for mail in rows.values():
        if mail.state == "waiting":
            run_id = delivered.get(mail.mail_id)
            yield from _waiting(mail, files.get(mail.mail_id), case, run_id)
        elif mail.state == "skipped":
            yield from _skipped(mail, files.get(mail.mail_id), case)


def _files(case: Case) -> dict[int, Path]:
    """Find the files of prompts by their numbers."""
    found: dict[int, Path] = {}
    with contextlib.suppress(OSError):
        for path in sorted(case.files.mailbox.iterdir()):
            if path.suffix in {_PROMPT, _SKIPPED} and path.stem.isdecimal():
                found.setdefault(int(path.stem), path)
    return found


def _delivered(case: Case) -> dict[int, str]:
    """Name the runs that have delivered prompts, by the numbers of these."""
    return {
        run.spec.mail_id: run.run_id
        for run in case.runs
        if run.spec.mail_id is not None and run.outcome is not Outcome.NOT_STARTED
    }


def _unknown(mail_id: int, path: Path, case: Case, run_id: str | None) -> Finding:
    if run_id is not None:
        state = "delivered"
    else:
        state = "skipped" if path.suffix == _SKIPPED else "waiting"
    # A run without a record may have delivered it: it must not be delivered again.
    is_certain = state != "waiting" or not verify_tree.unrecorded(case.files)
    return Finding(
        subject=_name(path, case),
        kind="prompt-unknown",
        detail=f"this prompt ({state}) is not in the index"
        + ("" if is_certain else "; a run without a record may have delivered it"),
        mend=partial(_restore, mail_id, path, case, state) if is_certain else None,
    )


def _restore(mail_id: int, path: Path, case: Case, state: str) -> None:
    failed = [
        run
        for run in case.runs
        if run.spec.mail_id == mail_id and run.outcome is Outcome.NOT_STARTED
    ]
    mail = Mail(
        mail_id=mail_id,
        session_id=case.id,
        queued_at=clock.iso(clock.at(path.stat().st_mtime)),
        state=state,
        task=preview(path.read_bytes()),
        run_id=_delivered(case).get(mail_id),
        attempts=len(failed),
    )
    case.ledger.mail.restore(mail)


def _waiting(
    mail: Mail, path: Path | None, case: Case, run_id: str | None
) -> Iterator[Finding]:
    """See whether a prompt that waits is there, and is still to be delivered."""
    named = _name(case.files.mail(mail.mail_id), case)
    put = case.ledger.mail.restore
    if run_id is not None:
        yield Finding(
            subject=named,
            kind="prompt-delivered",
            detail=f"it waits in the index, but run {run_id} has delivered it",
            mend=partial(put, replace(mail, state="delivered", run_id=run_id)),
        )
    elif path is None:
        text = " ".join(mail.task.split())[:_LONGEST]
        yield Finding(
            subject=named,
            kind="prompt-missing",
            detail=f"this prompt waits ({text!r} …), its file is not there: it can only"
            " be skipped",
            mend=partial(put, replace(mail, state="skipped")),
        )
    elif path.suffix == _SKIPPED:
        yield Finding(
            subject=named,
            kind="prompt-skipped",
            detail="it waits in the index, but has been skipped",
            mend=partial(put, replace(mail, state="skipped")),
        )


def _skipped(mail: Mail, path: Path | None, case: Case) -> Iterator[Finding]:
    if path is not None and path.suffix == _PROMPT:
        yield Finding(
            subject=_name(path, case),
            kind="prompt-skipped",
            detail="it has been skipped, its file says that it waits",
            mend=partial(path.rename, case.files.skipped(mail.mail_id)),
        )


def _name(path: Path, case: Case) -> str:
    return str(path.relative_to(case.state_home))
