"""The waiting prompts of a ledger that is rebuilt, from their files and their runs."""

from __future__ import annotations

import os
import stat

from parsers import loose_json
from runner import files
from runner.exports import queue_files
from runner.ledger import prompts, queue_rebuild
from runner.model import OUTCOMES, Waiting
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsers.paths import Path
    from runner.ledger.ledger import Ledger
    from runner.model import Run


def restore(ledger: Ledger) -> int:
    """Restore the queue from its files."""
    found = queue_files.all_files(ledger.home)
    for path in found:
        read = queue_files.read(path)
        header, text = read or ({}, files.read_if_there(path))
        if not is_private(path, {"request": header}):
            header = {
                k: v for k, v in header.items() if k not in queue_rebuild.NOT_OF_OTHERS
            }
        hold = None if read else "its file is damaged: codex-tasks stop cancels it"
        queue_rebuild.restore(ledger, int(path.name), header, text, hold)
    for path in found:
        prompts.check_needs(ledger, int(path.name))
    return len(found)


def settle(number: int, run: Run, ledger: Ledger) -> None:
    """Set the state of the prompt of a run; it may be in the queue."""
    if run.outcome is not None and run.has_begun:
        queue_rebuild.close(ledger, number, OUTCOMES[run.outcome].prompt)
    elif run.outcome is not None:
        ledger.change("restore_waiting", prompt=number, run_id=run.run_id)
        if ledger.one("prompt_of_run", run_id=run.run_id) is not None:
            queue_rebuild.close(ledger, number, "failed")  # it came with its command
    else:
        if lacks_file(run, ledger.home):
            text = files.read_if_there(files_of(run.spec).prompt)
            hold = None if text else "its text is lost: codex-tasks stop cancels it"
            header = {"thread": run.spec.resume_session, "preview": run.spec.task}
            queue_rebuild.restore(ledger, number, header, text, hold)
        queue_rebuild.restore_running(ledger, number, run)


def close(ledger: Ledger) -> list[int]:
    """Cancel the prompts of the backup without a file, and return their numbers.

    A migrated prompt may have had no file yet, and is held.
    """
    from runner.ledger import migrate  # noqa: PLC0415 - few commands migrate

    waiting = {row["id"] for row in ledger.all("free_prompts")}
    lost = waiting - {int(path.name) for path in queue_files.all_files(ledger.home)}
    uncertain = lost & migrate.waited_before(ledger.home)
    for number in uncertain:
        ledger.queue.hold(number, migrate.UNCERTAIN)
    with ledger.transaction():
        for number in lost - uncertain:
            queue_rebuild.close(ledger, number)
    return sorted(lost - uncertain)


def is_private(meta: Path, data: Mapping[str, object]) -> bool:
    """Return whether only this user can have written a record, and it is no copy."""
    request = loose_json.mapping(data.get("request"))
    told = loose_json.text(request.get("directory") or request.get("log_dir")) or ""
    if os.path.realpath(told) != os.path.realpath(meta.parent):
        return False
    found = [files.status(each) for each in (meta, meta.parent)]
    return all(
        each is not None
        and each.st_uid == os.getuid()
        and not each.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for each in found
    )


def lacks_file(run: Run, home: Path) -> bool:
    """Return whether the prompt of a waiting run has no file in the queue."""
    path = queue_files.path_of(home, run.spec.prompt_id or 0)
    return isinstance(run.state, Waiting) and not path.exists()
