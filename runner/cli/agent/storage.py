"""`codex-agent migrate` and `verify-storage`."""

from __future__ import annotations

from parsers.struct import as_dict, replace
from runner.cli.format import count, line
from runner.cli.options import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.service.older_jobs import Migrated

HELP = """\
Import the jobs of the older codex-agent; its files are not changed.

DIR ...                  its directories (default: ~/.codex-agent)
--dry-run                only list what would be imported, or written
--to {json,sqlite,dual}  write the job records of this suite where they are missing

  codex-agent migrate --dry-run
  codex-agent migrate
  CODEX_AGENT_STORAGE=json codex-agent migrate --to json

0 imported; 1 something could not be read or written; 2 wrong usage
"""
HELP_verify_storage = """\
Compare the job records of the table and the files.

--repair  write what is missing; of two different records the newer wins

  codex-agent verify-storage
  codex-agent verify-storage --repair

0 no difference is left; 1 there are differences; 2 wrong usage
"""
_WORDS = ("imported", "present", "removed", "running", "unreadable")


def main(found: Values, context: Context) -> int:
    """Import jobs, one line each; name on standard error what was not imported."""
    from runner.ledger import database  # noqa: PLC0415 - as in codex-tasks import
    from runner.service.older_jobs import migrate  # noqa: PLC0415 - for this alone

    refuse((found.to and found.dir, "give --to or DIR, not both"))
    if found.to:
        return _write(found, context)
    home, is_trial = context.settings.state_home, found.dry_run
    database.refuse_closed(home)
    is_begun = any((home / name).exists() for name in (database.NAME, database.OLD))
    ledger = context.ledger if is_begun or not is_trial else None
    lists: dict[str, list[Migrated]] = {word: [] for word in _WORDS}
    copies = list[str]()

    def copied(place: object) -> None:
        copies.append(f"{place}")
        context.note(f"the ledger and the files of the jobs were copied to {place}")

    settings = context.settings
    for each in migrate(found.dir, ledger, settings, copied, is_trial=is_trial):
        lists[each.word].append(each)
        if each.word == "imported" and not found.json:
            renamed = (
                f" (was {each.older})" if each.id not in {each.older, None} else ""
            )
            context.output.lines([f"{each.id or each.older}{renamed}"])
        context.notes([_said(each)] if each.word in _WORDS[2:] else [])
    rows = {word: [_row(each) for each in told] for word, told in lists.items()}
    context.tell(found, "jobs_import", {"copies": copies, **rows})
    word = "would migrate" if is_trial else "migrated"
    jobs = count(len(rows["imported"]), "new job")
    rest = ", ".join(f"{len(rows[each]):,} {each}" for each in _WORDS[1:])
    context.note(f"{word} {jobs} ({rest})")
    return 1 if rows["unreadable"] else 0


def _row(each: Migrated) -> dict[str, object]:
    return {**as_dict(each), "source": f"{each.source}"}


def _said(each: Migrated) -> str:
    if each.word == "running":
        doubt = f"; {each.reason}" if each.reason else ""
        return f"{each.older}: the older codex-agent runs it (pid {each.pid}){doubt}"
    return f"{each.source}: not imported: {line(each.reason)}"


def _write(found: Values, context: Context) -> int:
    """Write records where they are missing, or older."""
    from runner.service.job_storage import Storage  # noqa: PLC0415 - for this alone

    refuse((found.dry_run, "--dry-run is for an import: verify-storage compares"))
    storage = Storage(context.ledger, context.settings.environment)
    written, gone = storage.copy(found.to)
    context.notes(f"{each}: not written: its session is gone" for each in gone)
    said = f"Wrote {count(written, 'job record')} ({found.to})."
    told = {"storage": found.to, "written": written, "gone": [*gone]}
    context.tell(found, "jobs_written", told, [said])
    return 1 if gone else 0


def main_verify_storage(found: Values, context: Context) -> int:
    """Print differences, one line each with its fix; return 0 when none is left."""
    from runner.service.job_storage import Storage  # noqa: PLC0415 - for this alone

    storage = Storage(context.ledger, context.settings.environment)
    differences = storage.differences()
    if found.repair:
        differences = [storage.repair(each) for each in differences]
    is_good = all(each.fixed for each in differences)
    fixed = [replace(each, fix="fixed") if each.fixed else each for each in differences]
    lines = [f"{each.id} {each.kind}: {each.detail} ({each.fix})" for each in fixed]
    rows = [as_dict(each) for each in differences]
    told = {"ok": is_good, "storage": storage.kind, "jobs": len(storage.ids)}
    context.tell(found, "verify_storage", {**told, "differences": rows}, lines)
    agree = "the records agree" if not differences else count(len(rows), "difference")
    context.note(f"{storage.kind}, {count(len(storage.ids), 'job')}: {agree}")
    return 0 if is_good else 1
