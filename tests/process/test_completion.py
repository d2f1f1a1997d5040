"""Completion in real shells: what only the TAB key in a terminal can show."""

import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Cli
from support.many import entitle, fill
from support.terminal import Terminal, terminal

TITLE = "Rate: it's $5 (ü)"
BEHIND = ("-t", "--", "codex-agent", "start", "-r", "medium")
PROMPT = "ready> "
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\x1b\(B|\r")
SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "-i", "-C", f"function fish_prompt; echo '{PROMPT}'; end"),
}
# Complete, or else tell how it was called.
PROGRAM = """#!/bin/sh
[ "$1" = completion ] && exec {command} "$@"
printf '<%s>' "${{0##*/}}" "$@"; echo END
"""
PROGRAMS = (
    *("codex-tasks", "run_codex_task", "parse_codex_run"),
    *("codex-agent", "codex-bg"),
)


class Shell:
    """A shell in a terminal."""

    def __init__(self, opened: Terminal, directory: Path) -> None:
        self.opened, self.directory = opened, directory
        self._raw, self._seen = "", 0

    def press(self, keys: str) -> None:
        self.opened.press(keys.encode())

    def shown(self, wanted: str, seconds: float = 20) -> str:
        """Read the screen up to this, from where it was read to before."""
        until = time.monotonic() + seconds
        while (at := (text := CONTROL.sub("", self._raw)).find(wanted, self._seen)) < 0:
            assert time.monotonic() < until, f"{wanted!r}: {text[self._seen :]!r}"
            self._raw += self.opened.shown()
            time.sleep(0.01)
        begin, self._seen = self._seen, at + len(wanted)
        return text[begin : self._seen]

    def run(self, line: str) -> list[str]:
        """Give the words of the command that a line, a TAB and ENTER run."""
        self.press(f"{line}\t\n")
        called = self.shown(">END\n").rpartition("\n<")[2]
        self.shown(PROMPT)
        return called.removesuffix(">END\n").split("><")


@pytest.fixture(params=SHELLS)
def shell(
    request: pytest.FixtureRequest, cli: Cli, tmp_path: Path, repo: Path
) -> Iterator[Shell]:
    name = str(request.param)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    directory = tmp_path / "bin"
    directory.mkdir()
    command = shlex.join(cli.argv(command="codex_tasks"))
    for program in PROGRAMS:
        (directory / program).write_text(PROGRAM.format(command=command))
        (directory / program).chmod(0o755)
    others = cli.environment["PATH"].split(":")
    # A user may have the suite's commands there.
    others = [each for each in others if not Path(each, PROGRAMS[0]).exists()]
    path = ":".join([str(directory), *others])
    env = {**cli.environment, "PATH": path, "TERM": "xterm", "PS1": PROMPT}
    script = {
        "bash": 'eval "$(codex-tasks completion bash)"',
        "zsh": "source <(codex-tasks completion zsh)",
        "fish": "codex-tasks completion fish | source",
    }
    with terminal() as opened:
        opened.start([found, *SHELLS[name]], {**env, "COLUMNS": "200"})
        shell = Shell(opened, directory)
        for line in (f"cd {repo}", script[name]):
            shell.shown(PROMPT)
            shell.press(f"{line}; echo do''ne\n")
            shell.shown("done\n")
        shell.shown(PROMPT)
        yield shell


def test_a_tab_writes_what_the_shell_then_reads(
    shell: Shell, state_home: Path, repo: Path
) -> None:
    first, second = fill(state_home, sessions=2, runs_per_session=1)
    thread = str(second.thread)
    entitle(state_home, first, TITLE)
    (repo / "a file.md").touch()
    (repo / "a directory").mkdir()
    (note := repo.parent / "home" / "a note").touch()
    program = shell.directory / "codex-tasks"

    for line, *words in (
        ("codex-tasks stat", "status"),
        ("true; codex-tasks usage --by mo", "usage", "--by", "model"),
        (f"{program} start --sandbox=wo", "start", "--sandbox=workspace-write"),
        ("run_codex_task --sandbox wo", "--sandbox", "workspace-write"),
        ("parse_codex_run --format=te", "--format=text"),
        ("codex-agent awa", "await-turn"),
        ("codex-bg -t -- codex-agent start -r med", *BEHIND),
        (f"codex-tasks status {thread[:-4]}", "status", thread),
        ("codex-tasks status Rat", "status", TITLE),
        ("codex-tasks status Rate:", "status", TITLE),
        ("codex-tasks status Rate:\\ it", "status", TITLE),
        ('codex-tasks status "Rate: i', "status", TITLE),
        ("codex-tasks status 'Rat", "status", TITLE),
        ("run_codex_task --task-file a\\ f", "--task-file", "a file.md"),
        ("parse_codex_run --log=a\\ f", "--log=a file.md"),
        ('codex-tasks start --image "a f', "start", "--image", "a file.md"),
        ("run_codex_task --task-file ~/a", "--task-file", str(note)),
    ):
        assert shell.run(line)[1:] == words, line
    for line in ("run_codex_task --repo a", "codex-tasks start --working-dir=a"):
        assert shell.run(line)[-1].rstrip("/").endswith("a directory"), line


def test_a_list_tells_what_its_words_mean(shell: Shell, state_home: Path) -> None:
    fill(state_home, sessions=4, runs_per_session=1)

    shell.press("codex-tasks rm \t\t\t")
    shell.shown("Fix the tests 0")


def test_a_command_that_is_gone_is_not_complained_of(shell: Shell) -> None:
    (shell.directory / "codex-tasks").unlink()

    shell.press("run_codex_task --verb\t\n")
    screen = shell.shown("<run_codex_task><--verb>END\n")
    assert re.search("not found|No such|nknown", screen) is None
