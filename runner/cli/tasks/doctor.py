"""`codex-tasks doctor`."""

from __future__ import annotations

from argparse import Namespace

from runner.cli.context import Context
from runner.cli.output import checks_shown
from runner.model import CodexOptions
from runner.service.request import RunWords

HELP = """\
Tell what would go wrong here, and how to fix it.

--working-dir DIR       where Codex is to work (default: here)
--codex-bin BIN         the binary [default: codex]
-s, --sandbox MODE      the sandbox that is to be used
--skip-git-repo-check   it may work outside of a git repository too
--json                  as JSON: one object

  codex-tasks doctor
  codex-tasks doctor --working-dir ~/src/app -s workspace-write
  codex-tasks doctor --json | jq -r '.checks[] | select(.is_good | not) | .fix'
"""


def main(found: Namespace, context: Context) -> int:
    """Look at the environment; 1 when something has to be fixed."""
    from runner.service.doctor import examine_tasks  # noqa: PLC0415 - not for --help

    words = RunWords(
        repo=found.working_dir or ".",
        codex=CodexOptions(
            bin=found.codex_bin,
            sandbox=found.sandbox,
            skip_git_repo_check=found.skip_git_repo_check,
        ),
    )
    checks = examine_tasks(words, context.settings)
    context.output.lines(checks_shown(checks, as_json=found.json))
    return 0 if all(check.is_good for check in checks) else 1
