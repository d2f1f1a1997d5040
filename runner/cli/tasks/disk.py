"""`codex-tasks du` and `uninstall`."""

from __future__ import annotations

from parsers.struct import as_dict
from runner.cli import format, table
from runner.cli.options import whole_number
from runner.cli.output import pretty
from runner.cli.table import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.ledger.sessions import Session
    from runner.service.disk import Share

_TITLE_LENGTH = 60
HELP_du = """\
Show the disk space of the state directory and of log directories.

--limit N   at most N tasks, those with the largest files first [default: 20]
--json      as JSON: one object, with all tasks

  codex-tasks du
  codex-tasks du --json | jq '.sessions[] | select(.size > 1e8) | .id'
"""
HELP_uninstall = """\
Uninstall the suite; refused while tasks run.

--purge   also remove the state directory, with the ledger and all runs in it

  codex-tasks uninstall
  codex-tasks uninstall --purge
"""


def main_du(found: Values, context: Context) -> int:
    """Show sizes by kind and by task; nothing is judged."""
    from runner.service import disk  # noqa: PLC0415

    limit = whole_number(found.limit, "--limit", "tasks", least=1)
    held, home = disk.held(context.ledger), context.settings.state_home
    total = disk.total_of(held.kinds.values())
    if found.json:
        kinds = {name: as_dict(share) for name, share in held.kinds.items()}
        sessions = [
            {
                "id": each.name,
                "title": each.title,
                "state": each.state,
                **as_dict(share),
            }
            for each, share in held.sessions
        ]
        told = {
            "home": str(home),
            "size": total.size,
            "kinds": kinds,
            "sessions": sessions,
        }
        context.output.lines([pretty(told)])
        return 0
    rows = [*held.kinds.items(), ("total", total)]
    lines = table.plain([Column("Kind", [name for name, _ in rows]), *_sizes(rows)])
    if held.sessions:
        lines += ["", *_tasks(held.sessions[:limit])]
    context.output.lines(lines)
    return 0


def _tasks(sessions: Sequence[tuple[Session, Share]]) -> list[str]:
    titles = [format.line(each.title or "-")[:_TITLE_LENGTH] for each, _ in sessions]
    ids = Column("ID", [each.name for each, _ in sessions])
    return table.plain([ids, *_sizes(sessions), Column("Title", titles)])


def _sizes(rows: Sequence[tuple[object, Share]]) -> list[Column]:
    sizes = [format.size(share.size) for _, share in rows]
    counts = [f"{share.files:,}" for _, share in rows]
    return [
        Column("Size", sizes, is_right=True),
        Column("Files", counts, is_right=True),
    ]


def main_uninstall(found: Values, context: Context) -> int:
    """Remove the state if asked to, then become the installer, which removes this."""
    from runner.process.fork import become  # noqa: PLC0415
    from runner.service import uninstall  # noqa: PLC0415

    settings, home = context.settings, context.settings.state_home
    context.sweep()
    uninstall.refuse_unfinished(settings)
    if found.purge:
        purged = uninstall.purge(settings)
        context.notes(f"not removed: {path}" for path in purged.left)
        context.notes(f"files of runs stay in {path}" for path in purged.elsewhere)
        context.output.lines([f"The state in {home} was removed."])
    else:
        context.output.lines([f"The state in {home} stays (--purge removes it)."])
    argv = uninstall.removal(settings)
    if argv is None:
        context.note("this is a clone: remove its directory")
        return 0
    context.note(" ".join(argv))
    return become(argv, settings.environment, ())
