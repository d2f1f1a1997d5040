"""`codex-tasks diff` and `merge`."""

from __future__ import annotations

from parsers.struct import as_dict
from runner.cli import figures, format
from runner.cli.table import GAP, Column
from runner.git import DIFF, total
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.cli.options import Values
    from runner.ledger.record import Json
    from runner.service.changes import Differences

HELP_diff = """\
Show what a task has changed, committed or not.

--stat   only the files and the number of lines
TASK     the task; for a run id, the changes of that run

  codex-tasks diff --stat 01a1f0
  codex-tasks diff 01a1f0
  codex-tasks diff --json 01a1f0 | jq -r '.files[].path'

0 shown, also when nothing has changed; 1 its changes were not recorded, or git fails; 2
  wrong usage; 3 no such task
"""
HELP_merge = """\
Commit what a task has left in its worktree, and merge it into your branch.

TASK   the task

  codex-tasks diff --stat 01a1f0
  codex-tasks merge 01a1f0

0 merged, or there was nothing to merge; 1 a conflict, or changes of yours in the way:
  nothing was changed; 2 wrong usage; 3 no such task; 75 it runs, or prompts wait
"""
_BAR, _COMMIT = 40, 7


def main_diff(found: Values, context: Context) -> int:
    """Show the changes as git does; on standard error, who else worked there."""
    from runner.service.changes import differences  # noqa: PLC0415

    context.sweep()
    (task,) = context.found([found.task])
    session, ledger, named = task.session, task.ledger, found.task.strip()
    run = get(session.key, ledger).last
    if named in ledger.runs.ids(session.key):
        run = ledger.runs.find(named)
    elif not run.launched_at:
        run = ledger.runs.latest(session.key, "launched") or run
    with differences(run, ledger, context.settings) as seen:
        if found.json:
            about = {"id": session.name, "short_id": session.short_id}
            told: Json = {**about, "run_id": run.run_id, **_json(seen)}
            context.tell(found, "diff", told)
        elif found.stat and context.look.is_drawn:
            lines = _stat(seen, context.look.width)
            context.output.text(context.look.text(lines))
        else:
            how = ["--stat"] if found.stat else []
            colour = "always" if context.is_coloured else "never"
            how.append(f"--color={colour}")
            shown = seen.git(*DIFF, *how, seen.since, seen.until, "--")
            context.output.text(shown.decode(errors="surrogateescape"))
            names = (f"untracked, {what}: {name}" for name, what in seen.untracked)
            context.output.lines(map(format.line, names))
    for run_id, other in seen.others:
        context.note(f"run {run_id} of task {other} worked there meanwhile")
    return 0


def _stat(seen: Differences, width: int) -> Iterator[Sequence[Styled]]:
    """Draw how much has changed in each file, and in all."""
    changes = [*seen.git.changes(seen.since, seen.until), *seen.new_files()]
    told = [figures.lines(each.added or 0, each.removed or 0) for each in changes]
    name, more, less = (
        Column("", [format.line(each.path) for each in changes], is_end_kept=True),
        Column("", [text * (text != "+0") for text, _ in told], is_right=True),
        Column("", [text * (text[1:] != "0") for _, text in told], is_right=True),
    )
    room = width - more.width - less.width - 3 * len(GAP)
    bar = min(_BAR, room // 3)
    columns = [name.cut(room - bar), more, less]
    sizes = [(each.added or 0) + (each.removed or 0) for each in changes]
    share = min(1.0, bar / max(sizes, default=1)) if any(sizes) else 0.0
    rows = zip(*(column.padded()[1:] for column in columns), strict=True)
    for each, (path, added, removed) in zip(changes, rows, strict=True):
        plus, minus = (
            max(int(number * share), number > 0)
            for number in (each.added or 0, each.removed or 0)
        )
        is_text = each.added is not None
        yield [
            *((path, ""), (GAP, ""), (added, "green"), (GAP, ""), (removed, "red")),
            (GAP if is_text else f"{GAP}binary", "dim"),
            *(("+" * plus, "green"), ("-" * minus, "red")),
        ]
    for path, what in seen.untracked:
        if what != "new":
            yield [(format.line(f"untracked, {what}: {path}"), "")]
    yield _whole(total(changes), seen.told)


def _whole(counts: Mapping[str, int], told: Json) -> Sequence[Styled]:
    added, removed = figures.lines(counts["lines_added"], counts["lines_removed"])
    branch, base = told.get("branch"), str(told.get("base") or "")
    on = f"   on {format.line(branch)}" if branch else ""
    at = f"   base {base[:_COMMIT]}" if base else ""
    return [
        (f"{format.count(counts['files'], 'file')} ", "bold"),
        *((added, "green"), (" ", ""), (removed, "red")),
        (f"{on}{at}", ""),
    ]


def _json(seen: Differences) -> Json:
    changes = seen.git.changes(seen.since, seen.until)
    counts = total(changes)
    return {
        **seen.told,
        **counts,
        "files": [as_dict(each) for each in changes],
        "untracked": [{"path": name, "what": what} for name, what in seen.untracked],
        "others": [{"run_id": run_id, "task": task} for run_id, task in seen.others],
    }


def main_merge(found: Values, context: Context) -> int:
    """Merge a task, and say how much that has changed."""
    from runner.service.worktrees import merge  # noqa: PLC0415

    context.sweep()
    session = context.session(found.task)
    merged = merge(session, context.ledger, context.settings)
    told: Json = {"id": session.name, "short_id": session.short_id, "branch": None}
    said = f"Task {session.name}: nothing to merge."
    if merged is not None:
        told |= {"branch": merged.branch, **merged.counts}
        changed = format.changed(merged.counts)
        said = f"Task {session.name} merged into {merged.branch}: {changed}."
    context.tell(found, "merge", told, [said])
    return 0
