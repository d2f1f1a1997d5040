"""Check the mailbox of a session: its rows, its files, and what its runs delivered."""

from __future__ import annotations

import contextlib
from functools import partial

from parsers.struct import Struct, replace
from runner import clock, files, session_files
from runner.errors import NoSuchRunError, RunnerError
from runner.ledger.queue import Mail
from runner.model import Outcome
from runner.prompt.read import preview
from runner.service import verify_merge, verify_tree
from runner.service.verify_findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runner.service.verify_session import Case

_PROMPT, _SKIPPED = ".prompt", ".skipped"
_LONGEST = 40


class _Box(Struct):
    """Hold the mailbox of a session.

    `files` has those of prompts by their numbers, `delivered` the runs that have
    delivered one. It is certain what was delivered when every run has a record.
    """

    case: Case
    files: Mapping[int, Path]
    delivered: Mapping[int, str]
    is_certain: bool

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.case.state_home))

    def named(self, mail: Mail) -> str:
        return self.name(self.case.files.mail(mail.mail_id))


def mail_differences(case: Case) -> Iterator[Finding]:
    """Hold the rows of a mailbox against its files and the runs of the session."""
    strayed = [*_strayed(case)]
    yield from strayed
    if any(finding.mend for finding in strayed):
        return  # without them others would seem to be missing
    rows = {mail.mail_id: mail for mail in case.ledger.mail.of_session(case.id)}
    paths = _files(case)
    if not rows and not paths:
        return
    box = _Box(
        case=case,
        files=paths,
        delivered=_delivered(case),
        is_certain=_is_certain(case),
    )
    is_behind = False
    for mail_id, path in paths.items():
        if mail_id not in rows:
            # What stood behind one that gets a new number still does.
            is_behind = is_behind or _is_taken(mail_id, box)
            yield from _unknown(mail_id, path, box, anew=is_behind)
    known: dict[str, int | None] = {run.run_id: run.spec.mail_id for run in case.runs}
    for mail in rows.values():
        if mail.state == "waiting":
            yield from _waiting(mail, box)
        elif mail.state == "skipped":
            yield from _skipped(mail, box)
        elif known.get(mail.run_id or "") != mail.mail_id:
            yield from _delivered_otherwise(mail, box)


def _strayed(case: Case) -> Iterator[Finding]:
    """Name the prompts that lie where the session was before it had a name."""
    for run in case.runs:
        was = session_files.pending(case.state_home, run.run_id)
        if was == case.files or not (prompts := verify_merge.prompts(was)):
            continue
        taken = verify_merge.numbers(case.files)
        bring = partial(verify_merge.merge_mail, was, case.files, case.ledger)
        for path in prompts:
            is_free = path.stem not in taken
            taken.add(path.stem)
            yield Finding(
                subject=str(path.relative_to(case.state_home)),
                kind="prompt-misplaced",
                detail=f"this prompt is for {case.id}"
                + ("" if is_free else ", whose mailbox has another one of its number"),
                mend=bring if is_free else None,
            )


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


def _is_certain(case: Case) -> bool:
    """Tell whether no run may have delivered a prompt that the index does not know."""
    known = {run.run_id for run in case.runs}
    recorded = verify_tree.metas(case.files).keys()
    return recorded <= known and not verify_tree.unrecorded(case.files)


def _is_taken(mail_id: int, box: _Box) -> bool:
    """Tell whether another session has the number of a prompt that still waits."""
    row = box.case.ledger.mail.find(mail_id)
    return row is not None and mail_id not in box.delivered


def _unknown(mail_id: int, path: Path, box: _Box, *, anew: bool) -> Iterator[Finding]:
    if mail_id in box.delivered:
        if box.case.ledger.mail.find(mail_id) is not None:
            return  # another session has its number: its run alone tells of it
        state, anew = "delivered", False
    else:
        state = "skipped" if path.suffix == _SKIPPED else "waiting"
    # A run without a record may have delivered it: it must not be delivered again.
    is_certain = state != "waiting" or box.is_certain
    restore = _restore_anew if anew else _restore
    yield Finding(
        subject=box.name(path),
        kind="prompt-unknown",
        detail=f"this prompt ({state}) is not in the index"
        + ("" if is_certain else "; a run without a record may have delivered it"),
        mend=partial(restore, mail_id, path, state, box) if is_certain else None,
    )


def _restore(mail_id: int, path: Path, state: str, box: _Box) -> None:
    box.case.ledger.mail.restore(_found(mail_id, path, state, box))


def _restore_anew(mail_id: int, path: Path, state: str, box: _Box) -> None:
    """Take a prompt in under a new number; one that waits stands at the end then."""

    def move(to: int) -> None:
        paths = box.case.files
        path.rename(paths.skipped(to) if state == "skipped" else paths.mail(to))

    mail = _found(mail_id, path, state, box)
    box.case.ledger.mail.restore_anew(mail, move, above=box.case.files.last_mail)


def _found(mail_id: int, path: Path, state: str, box: _Box) -> Mail:
    """Build the row of a prompt that the index does not know."""
    failed = [
        run
        for run in box.case.runs
        if run.spec.mail_id == mail_id and run.outcome is Outcome.NOT_STARTED
    ]
    return Mail(
        mail_id=mail_id,
        session_id=box.case.id,
        queued_at=clock.iso(clock.at(path.stat().st_mtime)),
        state=state,
        task=preview(files.read_bytes(path)),
        run_id=box.delivered.get(mail_id),
        attempts=len(failed),
    )


def _waiting(mail: Mail, box: _Box) -> Iterator[Finding]:
    """See whether a prompt that waits is there, and is still to be delivered."""
    path, run_id = box.files.get(mail.mail_id), box.delivered.get(mail.mail_id)
    put = box.case.ledger.mail.restore
    if run_id is not None:
        yield Finding(
            subject=box.named(mail),
            kind="prompt-delivered",
            detail=f"it waits in the index, but run {run_id} has delivered it",
            mend=partial(put, replace(mail, state="delivered", run_id=run_id)),
        )
    elif path is None:
        text = " ".join(mail.task.split())[:_LONGEST]
        yield Finding(
            subject=box.named(mail),
            kind="prompt-missing",
            detail=f"this prompt waits ({text!r} …), its file is not there:"
            " codex-tasks stop skips it",
        )
    elif path.suffix == _SKIPPED:
        yield Finding(
            subject=box.named(mail),
            kind="prompt-skipped",
            detail="it waits in the index, but has been skipped",
            mend=partial(put, replace(mail, state="skipped")),
        )


def _skipped(mail: Mail, box: _Box) -> Iterator[Finding]:
    path = box.files.get(mail.mail_id)
    if path is not None and path.suffix == _PROMPT:
        yield Finding(
            subject=box.name(path),
            kind="prompt-skipped",
            detail="it has been skipped, its file says that it waits",
            mend=partial(path.rename, box.case.files.skipped(mail.mail_id)),
        )


def _delivered_otherwise(mail: Mail, box: _Box) -> Iterator[Finding]:
    """See why a prompt has been delivered, but by no run that the session has."""
    why = _why_not_by(mail, box.case)
    if why is None:
        return
    path = box.files.get(mail.mail_id)
    is_there = path is not None and path.suffix == _PROMPT
    waits = is_there and mail.mail_id not in box.delivered and box.is_certain
    again = replace(mail, state="waiting", run_id=None)
    yield Finding(
        subject=box.named(mail),
        kind="prompt-misdelivered",
        detail=f"run {mail.run_id} is said to have delivered it, but {why}"
        + ("" if is_there else "; its file is not there"),
        mend=partial(box.case.ledger.mail.restore, again) if waits else None,
    )


def _why_not_by(mail: Mail, case: Case) -> str | None:
    """Say why a run cannot have delivered a prompt; None when it has, or may have."""
    try:
        run = case.ledger.find(mail.run_id or "")
    except NoSuchRunError:
        return "it is not on record"
    except (RunnerError, ValueError, TypeError):
        return None  # its row is damaged, which is named elsewhere
    if run.spec.mail_id != mail.mail_id:
        return "its record does not say so"
    return None if run.key == case.id else f"it is of {run.key}"
