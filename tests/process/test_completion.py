"""`codex-tasks completion`: real shells complete commands, options and tasks."""

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.commands import Cli
from support.many import fill
from support.terminal import Terminal, terminal

from runner.cli.tasks import COMMANDS
from runner.ledger.runs import Ledger
from runner.model import Run

SHELLS = ("bash", "zsh", "fish")
TITLE = "Fix the tests 0"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _codex_tasks
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Outside of a line that is typed zsh has no builtins for completions.
ZSH = """
compdef() { : }
source $1; shift
_describe() { local name=$@[-1]; print -rl -- ${(P)name} }
_files() { print -r -- files $@ }
words=("$@"); CURRENT=$#; PREFIX=${(q)@[-1]}
_codex_tasks
"""
FISH = "source $argv[1]; complete -C $argv[2]"


def need(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.fixture
def made(state_home: Path) -> list[Run]:
    """Put six sessions on record; the first has a title, so has the fourth."""
    return fill(state_home, sessions=6, runs_per_session=1)


@pytest.fixture
def line(cli: Cli, tmp_path: Path) -> "Line":
    return Line(cli, tmp_path / "bin")


class Line:
    """Completes lines in shells that know the command by its name."""

    def __init__(self, cli: Cli, place: Path) -> None:
        place.mkdir()
        self.cli, self.place = cli, place
        command = shlex.join(cli.argv(command="codex_tasks"))
        program = place / "codex-tasks"
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
        path = f"{place}:{cli.environment['PATH']}"
        self.environment = {**cli.environment, "PATH": path}

    def script(self, shell: str) -> Path:
        done = self.cli("completion", shell, command="codex_tasks")
        assert (done.returncode, done.stderr) == (0, "")
        path = self.place / f"script.{shell}"
        path.write_text(done.stdout)
        return path

    def run(self, *argv: str | Path) -> list[str]:
        done = subprocess.run(
            argv,
            env=self.environment,
            cwd=self.cli.cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return [text for text in done.stdout.splitlines() if text]

    def bash(self, *words: str) -> list[str]:
        """Give COMPREPLY for words as bash cuts them."""
        bash = need("bash")
        flags = ["--norc", "--noprofile", "-c", BASH, "bash"]
        return self.run(bash, *flags, self.script("bash"), "codex-tasks", *words)

    def zsh(self, *words: str) -> list[str]:
        """Give what zsh is told to describe: `word:what it means`."""
        zsh = need("zsh")
        script = self.script("zsh")
        return self.run(zsh, "-f", "-c", ZSH, "zsh", script, "codex-tasks", *words)

    def fish(self, text: str) -> list[str]:
        """Give what fish itself makes of a line: word, tab, what it means."""
        fish = need("fish")
        script = self.script("fish")
        return self.run(fish, "--no-config", "-c", FISH, script, f"codex-tasks {text}")

    def asked(self, shell: str, *words: str) -> list[str]:
        """Give the words that a shell would offer for plain words."""
        if shell == "bash":
            return self.bash(*words)
        if shell == "zsh":
            return [each.partition(":")[0] for each in self.zsh(*words)]
        found = self.fish(shlex.join(words[:-1]) + " " + words[-1])
        return [each.partition("\t")[0] for each in found]


def each_shell(shells: Sequence[str] = SHELLS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shell", shells)


@each_shell()
def test_the_script_is_one_that_its_shell_understands(line: Line, shell: str) -> None:
    assert line.run(need(shell), "-n", line.script(shell)) == []


@each_shell()
def test_commands_are_completed(line: Line, shell: str) -> None:
    assert sorted(line.asked(shell, "")) == sorted(COMMANDS)
    assert line.asked(shell, "st") == ["start", "status", "stop"]
    assert line.asked(shell, "no-such-") == []


@each_shell()
def test_options_and_their_values_are_completed(line: Line, shell: str) -> None:
    assert line.asked(shell, "usage", "--s") == ["--since"]
    assert line.asked(shell, "usage", "--by", "") == ["day", "model", "repo", "session"]
    assert line.asked(shell, "start", "-s", "work") == ["workspace-write"]
    assert line.asked(shell, "ls", "--state", "R") == ["RUNNING"]
    assert line.asked(shell, "completion", "") == ["bash", "zsh", "fish"]


@each_shell()
def test_an_option_is_offered_once_unless_it_can_be_repeated(
    line: Line, shell: str
) -> None:
    used = ("start", "--model", "m", "--image", "f")

    assert "--model" not in line.asked(shell, *used, "--")
    assert "--image" in line.asked(shell, *used, "--")


@each_shell()
def test_hidden_options_are_not_offered(line: Line, shell: str) -> None:
    assert line.asked(shell, "completion", "--") == ["--help"]


def test_a_value_behind_an_equals_sign_is_completed(line: Line) -> None:
    assert line.bash("usage", "--by", "=", "m") == ["model"]
    assert line.bash("usage", "--by", "=")[:2] == ["day", "model"]
    assert line.bash("usage", "--by=m") == ["--by=model"]


@each_shell(("zsh", "fish"))
def test_a_value_behind_an_equals_sign_keeps_its_option(line: Line, shell: str) -> None:
    assert line.asked(shell, "usage", "--by=m") == ["--by=model"]


@each_shell()
def test_tasks_are_completed_by_their_ids(
    line: Line, shell: str, made: list[Run]
) -> None:
    every = [run.key for run in reversed(made)]

    assert line.asked(shell, "status", "") == every
    assert line.asked(shell, "result", every[2][:13]) == [every[2]]
    assert line.asked(shell, "status", every[0], every[0][:13]) == []
    assert line.asked(shell, "send", every[0], "") == []


@each_shell()
def test_titles_are_completed_too(line: Line, shell: str, made: list[Run]) -> None:
    assert len(made) == 6
    (found,) = line.asked(shell, "status", "Fix")

    assert found.replace("\\", "") == TITLE


def test_titles_stand_beside_the_ids(line: Line, made: list[Run]) -> None:
    key = made[0].key

    assert line.zsh("status", key[:20]) == [f"{key}:{TITLE}"]
    assert line.fish(f"status {key[:20]}") == [f"{key}\t{TITLE}"]


def test_a_title_is_put_in_as_the_shell_reads_it(line: Line, made: list[Run]) -> None:
    ledger = Ledger(line.cli.cwd / "state")
    ledger.sessions.set_title(made[0].key, "Rate: it's $5 (ü)")
    ledger.close()

    (plain,) = line.bash("status", "Ra")
    (behind_colon,) = line.bash("status", "Rate", ":", "\\ it")

    assert shlex.split(plain) == ["Rate: it's $5 (ü)"]
    assert shlex.split(f"Rate:{behind_colon}") == ["Rate: it's $5 (ü)"]
    assert line.bash("status", "'Do") == ["Docs 3"]
    assert line.bash("status", '"Rate') == []  # a $ would not stand for itself
    assert line.fish('status "Rate: it') == [f"Rate: it's $5 (ü)\t{made[0].key}"]


@each_shell()
def test_only_tasks_that_a_command_takes_are_offered(
    line: Line, shell: str, made: list[Run], state_home: Path
) -> None:
    ledger = Ledger(state_home)
    ledger.sessions.archive(made[1].key, "archive/2026/11/20/x", "2026-11-20")
    ledger.close()

    assert line.asked(shell, "unarchive", "") == [made[1].key]
    assert made[1].key not in line.asked(shell, "send", "")
    assert made[1].key in line.asked(shell, "status", "")


@each_shell()
def test_without_a_ledger_nothing_is_offered_and_nothing_is_made(
    line: Line, shell: str, state_home: Path
) -> None:
    assert line.asked(shell, "status", "") == []
    assert not state_home.exists()


@each_shell()
def test_a_broken_ledger_is_not_complained_of(
    line: Line, shell: str, state_home: Path
) -> None:
    state_home.mkdir()
    (state_home / "runs.db").write_text("This is no database, and long enough. " * 40)

    assert line.asked(shell, "status", "") == []


@each_shell()
def test_a_command_that_is_gone_is_not_complained_of(line: Line, shell: str) -> None:
    line.script(shell)
    asked = {
        "bash": lambda: line.run(
            need("bash"), "-c", BASH, "bash", line.place / "script.bash", "codex-x", ""
        ),
        "zsh": lambda: line.run(
            need("zsh"), "-fc", ZSH, "zsh", line.place / "script.zsh", "codex-x", ""
        ),
        "fish": lambda: line.run(
            need("fish"),
            "--no-config",
            "-c",
            "source $argv[1]; function commandline; echo codex-x; end;"
            " __codex_tasks_complete",
            line.place / "script.fish",
        ),
    }

    assert asked[shell]() == []


def test_files_and_directories_are_left_to_the_shell(line: Line, repo: Path) -> None:
    assert line.fish(f"start --config-file {repo}/READ") == [f"{repo}/README.md"]
    assert line.fish(f"start --working-dir {repo}/READ") == []
    assert line.fish(f"start --working-dir {repo.parent}/re") == [f"{repo}/"]
    assert line.zsh("start", "--config-file", "x") == ["files"]
    assert line.zsh("start", "--working-dir", "x") == ["files -/"]


def shown_by(opened: Terminal, wanted: str, seconds: float = 20) -> str:
    """Read the screen until it shows this."""
    text, until = "", time.monotonic() + seconds
    while wanted not in (clean := CONTROL.sub("", text)):
        assert time.monotonic() < until, f"{wanted!r} is not in {clean!r}"
        text += opened.shown()
        time.sleep(0.02)
    return clean


@pytest.mark.parametrize(
    ("shell", "flags"), [("bash", ["--norc", "--noprofile"]), ("zsh", ["-f"])]
)
def test_the_tab_key_completes_in_a_terminal(
    line: Line, made: list[Run], shell: str, flags: list[str]
) -> None:
    program, script, key = need(shell), line.script(shell), made[0].key
    env = {**line.environment, "TERM": "xterm", "PS1": "ready> ", "COLUMNS": "200"}
    with terminal() as opened:
        opened.start([program, *flags, "-i"], env)
        shown_by(opened, "ready> ")
        opened.press(f"source {shlex.quote(str(script))}; echo do''ne\n".encode())
        shown_by(opened, "done")
        opened.press(f"codex-tasks status {key[:13]}\t".encode())
        shown_by(opened, key)
        opened.press(b"\x15codex-tasks stat\t")
        shown_by(opened, "codex-tasks status ")
        opened.press(b"\x15codex-tasks st\t\t")
        listed = shown_by(opened, "everything that they have started")

    assert "Tell how tasks are" in listed
