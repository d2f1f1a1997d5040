"""Codex's command lines: what stands before `resume` and what is never there."""

import pytest
from support.runs import SESSION

from runner.codex.binary import exec_argv
from runner.model import CodexOptions, SessionId

ALL = CodexOptions(
    bin="/opt/codex",
    sandbox="workspace-write",
    model="gpt-5",
    overrides=("a=1", "b=2"),
    skip_git_repo_check=True,
    extra=("--image", "a.png", "b.png"),
)


def test_a_new_run_reads_its_prompt_from_standard_input() -> None:
    argv = exec_argv(CodexOptions(bin="codex"), "/repo", None)

    assert argv == ["codex", "exec", "--json", "--cd", "/repo", "-"]


@pytest.mark.parametrize("resume", [None, SessionId(SESSION)])
def test_every_option_stands_behind_extra_arguments_and_before_resume(
    resume: SessionId | None,
) -> None:
    argv = exec_argv(ALL, "/repo", resume)

    assert argv == [
        *("/opt/codex", "exec", "--image", "a.png", "b.png", "--json", "--cd", "/repo"),
        *(
            "--sandbox",
            "workspace-write",
            "--model",
            "gpt-5",
            "--config",
            "a=1",
            "--config",
            "b=2",
        ),
        "--skip-git-repo-check",
        *(["resume", resume] if resume else []),
        "-",
    ]


def test_the_callers_words_stay_one_word_each() -> None:
    options = CodexOptions(bin="codex", overrides=("a = 'b c'; $(x)",), model="--x")

    argv = exec_argv(options, "/re po", None)

    assert "a = 'b c'; $(x)" in argv
    assert "/re po" in argv
    assert argv[argv.index("--model") + 1] == "--x"
