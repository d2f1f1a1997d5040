"""Find the session or the run that a text names."""

from __future__ import annotations

import re

from parsers.text import uuid
from runner.errors import NoSuchRunError, NoSuchTaskError, UnknownRunError, UsageError
from runner.ledger.runs import read_meta
from runner.lifecycle.recover import reconcile_run
from runner.model import RunId
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.model import Run

_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{5,}")

_TITLE_LENGTH = 60


def find(text: str, ledger: Ledger) -> Row:
    """Return the session that a text names.

    A thread id or a run id names one for certain; else it is a title or the beginning
    of an id, and must fit one session alone.

    Raises:
        NoSuchTaskError: it names none.
        UsageError: it fits several.
    """
    wanted = text.strip()
    exact = ledger.sessions.of(uuid(wanted) or wanted)
    if exact is not None:
        return exact
    # A title was made one line when it was given; another tool's was not.
    titles = {wanted, " ".join(wanted.split())}
    found = {row.session_id: row for t in titles for row in ledger.sessions.titled(t)}
    if _PREFIX.fullmatch(prefix := wanted.lower()):
        found |= {row.session_id: row for row in ledger.sessions.starting_with(prefix)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise UsageError(_ambiguous(text, list(found.values())))
    # Before Codex named threads for it, another tool gave its tasks ids of its own.
    old_id = uuid(wanted)
    was = ledger.sessions.imported_as(old_id) if old_id else None
    if was is None:
        raise NoSuchTaskError(text)
    return was


def find_all(texts: Sequence[str], ledger: Ledger) -> list[Row]:
    """Return the sessions that texts name, each once, in their order.

    Raises:
        NoSuchTaskError, UsageError: as `find`.
    """
    found = [find(text, ledger) for text in texts]
    return list({row.session_id: row for row in found}.values())


def _ambiguous(text: str, rows: Sequence[Row]) -> str:
    shown = ", ".join(
        f"{row.session_id} ({row.title[:_TITLE_LENGTH]})"
        if row.title
        else row.session_id
        for row in rows
    )
    return f"{text!r} fits several tasks: {shown} (name one by its id)"


def find_run(run_id: str, log_dir: Path, ledger: Ledger, settings: Config) -> Run:
    """Return a run that the index knows, or else a meta file in a log directory.

    One that only the file knows (another state directory, a lost index) is taken into
    the index; one that nobody keeps alive is judged.

    Raises:
        UnknownRunError: neither knows it.
        RunnerFault: its record cannot be read.
    """
    try:
        run = ledger.find(run_id)
    except NoSuchRunError:
        found = read_meta(RunFiles(log_dir, RunId(run_id)).meta)
        if found is None:
            looked_in = f"{settings.state_home / 'runs.db'} and {log_dir}"
            raise UnknownRunError(run_id, looked_in) from None
        run = ledger.adopt(found)
    return reconcile_run(run, ledger, settings)
