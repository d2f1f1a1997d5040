"""`codex-tasks import`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from runner.cli import format
from runner.cli.context import Context
from runner.cli.output import pretty
from runner.clock import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.service.importing import Finding

Json = dict[str, object]
HELP = """\
Import the histories of other tools; their files are left as they are.

--dry-run   only say what would be imported
--json      write one JSON object
DIR ...     tasks of the older codex-tasks, logs of the bash runner, a CODEX_HOME
            (default: the state directory, ~/.codex/tasks, ./runs and CODEX_HOME)

  codex-tasks import --dry-run      (older tasks, ./runs, the threads of CODEX_HOME)
  codex-tasks import ~/.codex ~/projects/app/runs
"""
_TITLE_LENGTH = 60
_LISTS = ("imported", "present", "empty", "unreadable")


def main(found: Namespace, context: Context) -> int:
    """Import sessions, one line each; 1 when something could not be read."""
    from runner.ledger import database  # noqa: PLC0415 - 20 ms, not for the help
    from runner.service.importing import take_in  # noqa: PLC0415

    home, is_trial = context.settings.state_home, found.dry_run
    is_begun = any((home / name).exists() for name in (database.NAME, database.OLD))
    ledger = context.ledger if is_begun or not is_trial else None
    lists: dict[str, list[Json]] = {name: [] for name in _LISTS}
    runs = 0
    for each in take_in(found.dir, ledger, context.settings, is_trial=is_trial):
        context.notes(_notes(each))
        lists[each.word].append(_json(each))
        if each.word == "imported":
            runs += each.runs
            if not found.json:
                title = format.line(each.title or each.asked or "-")[:_TITLE_LENGTH]
                columns = each.session_id, each.kind, format.count(each.runs, "run")
                context.output.lines(["  ".join((*columns, title))])
    if found.json:
        context.output.lines([pretty(lists)])
    word = "would import" if is_trial else "imported"
    sessions = format.count(len(lists["imported"]), "session")
    context.note(
        f"{word} {sessions} ({format.count(runs, 'run')});"
        f" {len(lists['present'])} already on record;"
        f" {len(lists['unreadable'])} not imported"
    )
    return 1 if lists["unreadable"] else 0


def _notes(each: Finding) -> Iterator[str]:
    name = each.session_id
    if each.word == "empty":
        yield f"{each.source}: nothing was ever asked for in it"
    elif each.word == "unreadable":
        yield f"{each.source}: {each.reason}"
    elif each.reason is not None:
        yield f"{name}: not imported: {each.reason}"
    for at in each.left_out:
        yield (
            f"{name}: already on record; its run of {iso(at)} in {each.source} is"
            " left out"
        )


def _json(each: Finding) -> Json:
    source: Json = {"source": str(each.source)}
    if each.word == "empty":
        return source
    if each.word == "unreadable":
        return {**source, "reason": each.reason}
    told = {"id": each.session_id, "kind": each.kind, **source}
    told |= {"title": each.title, "runs": each.runs}
    if each.word == "present":
        told |= {"reason": each.reason, "left_out": [iso(at) for at in each.left_out]}
    return told
