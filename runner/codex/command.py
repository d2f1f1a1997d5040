"""The command lines that Codex accepts (0.50 to 0.169), as argv lists.

The prompt is never among them: it reaches Codex on standard input.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model import CodexOptions, SessionId

PROMPT_ON_STDIN = "-"


def exec_argv(options: CodexOptions, repo: str, resume: SessionId | None) -> list[str]:
    """Build `codex exec` for a new session, or to carry one on.

    Every option stands before `resume`, which rejects `-C`, `-s` and others behind
    it. The caller's extra arguments come first: one that takes several values
    (`-i FILE…`) would otherwise swallow the `-` at the end.
    """
    given = (*options.extra, *options.once)
    argv = [options.bin, "exec", *given, "--json", "-C", repo]
    if options.sandbox:
        argv += ["-s", options.sandbox]
    if options.model:
        argv += ["-m", options.model]
    for override in options.overrides:
        argv += ["-c", override]
    if options.skip_git_repo_check:
        argv.append("--skip-git-repo-check")
    if resume:
        argv += ["resume", resume]
    return [*argv, PROMPT_ON_STDIN]
