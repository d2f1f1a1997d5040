"""`codex-tasks doctor`."""

from __future__ import annotations

from runner.cli.output import doctor_json, doctor_lines
from runner.model import CodexOptions, Limits, Report, Verbosity
from runner.service.request import RunWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Tell what would go wrong here, and how to fix it."
EXAMPLES = """\
  codex-tasks doctor
  codex-tasks doctor --working-dir ~/src/app -s workspace-write
  codex-tasks doctor --json | jq -r '.checks[] | select(.is_good | not) | .fix'
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("--working-dir", metavar="DIR", help="where Codex is to work (default: here)")
    add(
        "--codex-bin", metavar="BIN", default="codex", help="the binary; default: codex"
    )
    add("-s", "--sandbox", metavar="MODE", help="the sandbox that is to be used")
    add(
        "--skip-git-repo-check",
        action="store_true",
        help="it may work outside of a git repository too",
    )
    add("--json", action="store_true", help="as JSON: one object")


def main(found: Namespace, context: Context) -> int:
    """Look at the environment; 1 when something has to be fixed."""
    from runner.service.doctor import examine_tasks  # noqa: PLC0415 - not for --help

    checks = examine_tasks(_request(found), context.settings)
    if found.json:
        context.output.lines([doctor_json(checks)])
    else:
        context.output.lines(doctor_lines(checks))
    return 0 if all(check.is_good for check in checks) else 1


def _request(found: Namespace) -> RunWords:
    return RunWords(
        repo=found.working_dir or ".",
        task=None,
        task_file=None,
        resume=None,
        continue_prompt="",
        log_dir="",
        codex=CodexOptions(
            bin=found.codex_bin,
            sandbox=found.sandbox,
            skip_git_repo_check=found.skip_git_repo_check,
        ),
        limits=Limits(),
        report=Report(),
        wait_for_session=False,
        verbosity=Verbosity.LOW,
    )
