"""`codex-tasks doctor`, `verify`, `import`, `migrate` and `restore`.

Each function imports what it needs: the commands share little.
"""

from __future__ import annotations

import gc
import os

from parsers.paths import Path
from parsers.struct import as_dict
from runner import clock, config_files
from runner.cli.format import count, line
from runner.cli.options import sandbox_of
from runner.cli.output import checks_json, checks_shown, visible
from runner.clock import iso
from runner.model import CodexOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.cli.options import Values
    from runner.service.compare import Difference
    from runner.service.doctor import Check
    from runner.service.findings import Finding

HELP = """\
Check the environment, and show how to fix each problem.

--working-dir DIR       where Codex would work (default: here)
--codex-bin BIN         the binary [default: codex]
-s, --sandbox MODE      the sandbox to check
--skip-git-repo-check   do not require a git repository

  codex-tasks doctor
  codex-tasks doctor --working-dir ~/app -s workspace-write
  codex-tasks doctor --json | jq -r '.checks[].fix'

0 all is well; 1 something has to be fixed; 2 wrong usage
"""
HELP_verify = """\
Check the ledger, and the exported files against it.

--repair   fix differences; restore a lost ledger
--full     compare whole logs and answers
--json     write one JSON object

  codex-tasks verify
  codex-tasks verify --repair

0 no difference is left; 1 there are differences; 2 wrong usage
"""
HELP_import = """\
Import the histories of other tools; their files are not changed.

--all-originators   threads of every program, also of an IDE (default: those of
                    codex exec and the SDK)
--dry-run           only list what would be imported
--json              write one JSON object
DIR ...             tasks of the older codex-tasks, logs of the bash runner, a
                    CODEX_HOME, its sessions, another folder of rollouts, a rollout
                    file (default: the state directory, ~/.codex/tasks, ./runs and
                    CODEX_HOME)

  codex-tasks import --dry-run
  codex-tasks import
  codex-tasks import ~/.codex ~/projects/app/runs

0 imported; 1 something could not be read; 2 wrong usage
"""
HELP_migrate = """\
Migrate the state directory of the previous version.

--stop   stop the unfinished runs of that version instead of waiting for them

  codex-tasks migrate
  codex-tasks migrate --stop

0 migrated, or there was nothing to migrate; 1 it cannot be migrated; 2 wrong usage
"""
HELP_restore = """\
Restore the state directory for the previous version.

  codex-tasks restore

0 restored; 1 it was not migrated, or cannot be restored; 2 wrong usage; 75 runs in it
  have not ended
"""
_TITLE_LENGTH = 60
_IMPORTED = ("id", "kind", "source", "title", "runs")
# The fields that are written, by the kind of finding.
_FIELDS = {
    "imported": _IMPORTED,
    "present": (*_IMPORTED, "reason", "left_out"),
    "removed": (*_IMPORTED, "reason"),
    "empty": ("source",),
    "other": ("id", "source", "originator"),
    "unreadable": ("source", "reason"),
}
# What the last line says of those that are not imported.
_REST = {
    "present": "already on record",
    "removed": "removed here",
    "empty": "without prompts",
    "other": "of other programs",
    "unreadable": "not imported",
}
_ALWAYS = ("present", "unreadable")
_PROGRESS_SECONDS = 2.0


def main(found: Values, context: Context) -> int:
    """Check the environment; return 1 when something has to be fixed."""
    from runner.service.doctor import examine_tasks  # noqa: PLC0415
    from runner.service.request import RunWords  # noqa: PLC0415

    repo = found.working_dir or "."
    here = Path(repo).absolute()
    own = config_files.in_force(context.settings, here, lambda w: context.notes([w]))
    words = RunWords(
        repo=repo,
        codex=CodexOptions(
            bin=found.codex_bin,
            sandbox=sandbox_of(found) or own.sandbox,
            skip_git_repo_check=found.skip_git_repo_check,
        ),
    )
    checks = examine_tasks(words, context.settings)
    if context.look.is_drawn and not found.json:
        lines = _checks(checks, context.look.width)
        context.output.text(context.look.text(lines))
    else:
        context.tell(found, "checks", checks_json(checks), checks_shown(checks))
    return 0 if all(check.is_good for check in checks) else 1


def _checks(checks: Sequence[Check], width: int) -> Iterator[Sequence[Styled]]:
    """Draw checks, each with its fix, and how many problems there are."""
    from runner.cli import table  # noqa: PLC0415 - on a terminal only

    longest = max(len(check.name) for check in checks) + len(table.GAP)
    indent = len("✓ ok    ") + longest
    for check in checks:
        said = [(visible(" ".join(check.detail.split())), "")]
        first, *rest = table.wrapped(said, max(width - indent, 20))
        sign, style = ("✓ ok    ", "green") if check.is_good else ("✗ fail  ", "red")
        yield [(sign, style), (f"{check.name:<{longest}}", ""), *first]
        if check.fix:
            fix = [(f"→ {visible(' '.join(check.fix.split()))}", "bold")]
            rest += table.wrapped(fix, max(width - indent, 20))
        yield from ([(" " * indent, ""), *line] for line in rest)
    bad = sum(not check.is_good for check in checks)
    yield []
    told = f"{count(bad, 'problem')}  (exit 1)" if bad else "no problems"
    yield [(told, "bold" if bad else "")]


def main_verify(found: Values, context: Context) -> int:
    """Print differences, one line each; return 0 when none is left."""
    from runner.service.verify import verify  # noqa: PLC0415

    # A fifth of the time would be the search for cycles, of which there are none.
    gc.disable()
    report = verify(context.settings, is_repairing=found.repair, is_full=found.full)
    differences = [as_dict(each) for each in report.differences]
    listed = {"ok": report.is_good, "differences": differences, "notes": report.notes}
    context.tell(found, "verify", listed, map(_line, report.differences))
    context.notes(report.notes)
    told = "the ledger and the exported files agree"
    if report.differences:
        fixed = sum(difference.fixed for difference in report.differences)
        told = f"{count(len(report.differences), 'difference')}, {fixed} of them fixed"
    context.note(
        f"{count(report.sessions, 'task')}, {count(report.runs, 'run')}: {told}"
    )
    return 0 if report.is_good else 1


def _line(difference: Difference) -> str:
    text = f"{difference.kind} {difference.subject}: {difference.detail}"
    if difference.fixed:
        text += " (fixed)"
    elif difference.is_repairable:
        text += " (verify --repair fixes it)"
    return visible(" ".join(text.splitlines()))


def main_import(found: Values, context: Context) -> int:
    """Import sessions, one line each; return 1 when something could not be read."""
    from runner.ledger import database  # noqa: PLC0415
    from runner.service.findings import Wish  # noqa: PLC0415
    from runner.service.importing import take_in  # noqa: PLC0415

    gc.disable()  # as verify
    home, is_trial = context.settings.state_home, found.dry_run
    database.refuse_closed(home)
    is_begun = any((home / name).exists() for name in (database.NAME, database.OLD))
    ledger = context.ledger if is_begun or not is_trial else None
    lists: dict[str, list[dict[str, object]]] = {name: [] for name in _FIELDS}
    wish = Wish(
        is_trial=is_trial,
        all_originators=found.all_originators,
        progress=_progress(context),
    )
    runs, others = 0, dict[str, int]()
    for each in take_in(found.dir, ledger, context.settings, wish):
        context.notes(_notes(each))
        lists[each.word].append(_json(each))
        if each.originator is not None:
            others[each.originator] = others.get(each.originator, 0) + 1
        if each.word == "imported":
            runs += each.runs
            if not found.json:
                title = line(each.title or each.asked or "-")[:_TITLE_LENGTH]
                columns = each.session_id, each.kind, count(each.runs, "run")
                context.output.lines(["  ".join((*columns, title))])
    context.tell(found, "import", lists)
    for name, number in sorted(others.items()):
        told = f"{count(number, 'thread')} of {line(name)} not imported"
        context.note(f"{told} (--all-originators imports them)")
    word = "would import" if is_trial else "imported"
    sessions = count(len({each["id"] for each in lists["imported"]}), "session")
    rest = [
        f"{len(lists[name]):,} {what}"
        for name, what in _REST.items()
        if lists[name] or name in _ALWAYS
    ]
    context.note(f"{word} {sessions} ({count(runs, 'run')}); {'; '.join(rest)}")
    return 1 if lists["unreadable"] else 0


def _progress(context: Context) -> Callable[[int, int], None]:
    """Return a function that shows on a terminal how many rollouts were read."""
    shown_at, is_shown = clock.monotonic(), os.isatty(2)

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        if is_shown and clock.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = clock.monotonic()
            context.note(f"{done:,} of {count(total, 'rollout')} read")

    return show


def _notes(each: Finding) -> Iterator[str]:
    name = each.session_id
    if each.word == "empty":
        yield f"{each.source}: it has no prompts"
    elif each.word == "unreadable":
        yield f"{each.source}: {each.reason}"
    elif each.reason is not None:
        yield f"{name}: not imported: {each.reason}"
    for at in each.left_out:
        yield (
            f"{name}: already in the ledger; its run of {iso(at)} in {each.source} is"
            " not imported"
        )


def _json(each: Finding) -> dict[str, object]:
    told: dict[str, object] = {**as_dict(each), "id": each.session_id}
    told["source"], told["left_out"] = str(each.source), [*map(iso, each.left_out)]
    return {name: told[name] for name in _FIELDS[each.word]}


def main_migrate(found: Values, context: Context) -> int:
    """Migrate; name on standard error the records that were changed or skipped."""
    from runner.service import migrate  # noqa: PLC0415

    done = migrate.migrate(context.settings, context.note, stops=found.stop)
    if done is None:
        said = "There is nothing to migrate."
        context.tell(found, "migrate", {"ledger": None, "is_new": False}, [said])
        return 0
    context.notes(done.notes)
    counts = {"tasks": done.sessions, "runs": done.runs, "waiting": done.waiting}
    said = f"{done.path} is already of this version."
    if done.is_new:
        tasks, runs = count(done.sessions, "task"), count(done.runs, "run")
        waiting = count(done.waiting, "waiting prompt")
        said = f"Migrated to {done.path}: {tasks}, {runs}, {waiting}."
    told = {"ledger": str(done.path), "is_new": done.is_new, **counts}
    context.tell(found, "migrate", told, [said])
    return 0


def main_restore(found: Values, context: Context) -> int:
    """Restore; name on standard error the runs and prompts since the migration."""
    from runner.service import migrate  # noqa: PLC0415

    done = migrate.restore(context.settings)
    since = "since the migration"
    if done.ledger is not None:
        context.note(f"the ledger is {done.ledger} now")
    if done.runs:
        runs = count(done.runs, "run")
        context.note(f"{runs} {since}: the previous version sees their files only")
    if done.waiting:
        prompts = count(done.waiting, "prompt")
        context.note(f"{prompts} sent {since} and not delivered: send again")
    home = context.settings.state_home
    said = f"{home} is of the previous version again: do not use this version there."
    path = None if done.ledger is None else str(done.ledger)
    told = {"home": str(home), "ledger": path}
    counts = {"runs_since": done.runs, "prompts_since": done.waiting}
    context.tell(found, "restore", {**told, **counts}, [said])
    return 0
