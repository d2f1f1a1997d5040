"""The exit codes that the help of a command names are those that it has."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli
from support.programs import COMMANDS as EVERY
from support.programs import PROGRAMS
from support.sessions import Sessions
from support.stand_in import StandIn

from runner.cli.agent import COMMANDS as AGENT
from runner.cli.tasks import COMMANDS

AGENT_NAMED = (
    *("status", "await-turn", "capture", "output", "watch", "attach", "diff"),
    *("merge", "kill", "delete"),
)

NAMED = (
    *("status", "wait", "result", "log", "attach", "diff", "merge", "stop", "queue"),
    *("pause", "resume", "deliver", "retry", "archive", "unarchive", "rm"),
)
# These need a terminal, an installed suite, a state directory of the version before, a
# process that was left running, or a supervisor that is killed at the right moment.
ELSEWHERE = {
    *(("attach", 3), ("attach", 75), ("uninstall", 75), ("restore", 75)),
    *(("prune", 75), ("unarchive", 75)),
}


_FULL = (
    "Codex ran out of room in the model's context window. Start a new thread or clear"
    " earlier history before retrying."
)
_LIMIT = "You've hit your usage limit. Try again at 11:59 PM."


def codes_of(program: str, command: str) -> set[int]:
    text = EVERY[f"{program} {command}"].codes.replace("\n  ", " ")
    found = re.findall(r"(?:^|; )((?:\d+, )*\d+) ", text.partition("\nwith ")[0])
    return {int(code) for codes in found for code in codes.split(", ")}


class Seen:
    """Run commands of a program, and keep the exit codes of each."""

    def __init__(self, cli: Cli, program: str = "codex-tasks") -> None:
        self.codes: dict[str, set[int]] = defaultdict(set)
        self._cli, self._program = cli, program

    def __call__(self, command: str, *words: object) -> int:
        module = self._program.replace("-", "_")
        code = self._cli(command, *words, command=module).returncode
        self.codes[command].add(code)
        return code

    def check(self, elsewhere: set[tuple[str, int]]) -> None:
        """Compare the codes with those that the help of each command names."""
        for command, codes in self.codes.items():
            assert codes <= codes_of(self._program, command) | {0, 1, 2}, command
        missing = {
            (command, code)
            for command in PROGRAMS[self._program].commands
            for code in codes_of(self._program, command) - self.codes[command] - {0, 1}
        }
        assert missing <= elsewhere


@pytest.mark.core
def test_every_exit_code_that_a_help_names_is_one_that_the_command_has(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.when("Wait.", script.wait_for(go)),
        script.when("Fail.", *script.fail("it did not work")),
        script.message("It is done."),
        script.complete(),
        thread=script.FRESH,
    )
    seen = Seen(sessions.cli)
    done, failed = sessions.ended().id, sessions.ended("Fail.").id
    runs = sessions.start("Wait.").id
    start = sessions.starting()[1:]

    for command in COMMANDS:
        assert seen(command, "--no-such-option") == 2
    for command in NAMED:
        code = seen(command, "no such task")
        assert code == (2 if command == "attach" else 3)
    assert seen("send", "no such task", "Go on.") == 3
    assert seen("start", *start, "--queue", "--after", "no such task", "x") == 3

    for command in ("result", "archive", "rm", "merge"):
        assert seen(command, runs) == 75
    assert seen("send", runs, "Go on.") == 75
    seen("send", "--queue", runs, "Go on.")
    assert seen("deliver", runs) == 75
    assert seen("wait", "--timeout", "0.1", runs) == 124
    assert seen("status", "--wait", "--timeout", "0.1", runs) == 124
    seen("stop", runs)

    for command in ("status", "log", "result", "diff", "stop", "queue"):
        seen(command, done)
    assert seen("result", failed) == 1
    assert seen("wait", done) == 0
    assert seen("wait", done, failed) == 1
    assert seen("status", "--wait", failed) == 1
    assert seen("merge", done) == 1
    assert seen("retry", done) == 1
    assert seen("deliver", done) == 1
    assert seen("queue", "rm", 99_999) == 1
    assert seen("send", done, "Once more.") == 0
    seen("wait", done)
    for words in (("pause", done), ("resume", done), ("retry", failed)):
        assert seen(*words) == 0
    seen("wait", failed)
    assert seen("slots", 0) == 0
    assert seen("start", *start, "x") == 75
    assert seen("slots", "none") == 0
    codex.plays(script.wait_for(go), thread=script.FRESH)
    assert seen("start", *start, "--start-timeout", "0.1", "x") == 124
    assert seen("start", *start, "--codex-bin", "no-such-codex", "x") == 1
    assert seen("archive", done) == 0
    assert seen("send", done, "Once more.") == 1
    for words in (("unarchive", done), ("rm", done)):
        assert seen(*words) == 0
    for command in ("ls", "usage", "budget", "du", "verify", "reprice", "config"):
        assert seen(command) == 0
    seen("prune", "--older-than", "30d")
    seen("import", "--dry-run")
    seen("completion", "bash")

    seen.check(ELSEWHERE)


@pytest.mark.core
@pytest.mark.usefixtures("without_timer")
def test_so_it_is_with_the_commands_of_jobs(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.when("Wait.", script.wait_for(go)),
        script.when("Fail.", *script.fail("it did not work")),
        script.when("Full.", *script.fail(_FULL)),
        script.when("Limit.", *script.fail(_LIMIT)),
        script.message("It is done."),
        script.complete(),
        thread=script.FRESH,
    )
    seen = Seen(sessions.cli, "codex-agent")
    options = ("-d", sessions.repo, "--codex-bin", codex.path)

    def started(*words: object) -> str:
        begun = sessions.cli("start", *options, *words, command="codex_agent")
        assert begun.returncode == 0, begun.stderr
        return begun.stdout.splitlines()[0].removeprefix("Job started: ")

    for command in AGENT:
        wrong = 64 if command == "await-turn" else 2
        assert seen(command, "--no-such-option") == wrong
    for command in AGENT_NAMED:
        assert seen(command, "no such job") == 3
    assert seen("send", "no such job", "Go on.") == 3
    assert seen("start", *options, "--after", "no such job", "x") == 3
    assert seen("start", *options, "--codex-bin", "no-such-codex", "x") == 1

    runs, done, failed = started("Wait."), started("Begin."), started("Fail.")
    for command in ("attach", "merge", "delete"):
        assert seen(command, runs) == 75
    assert seen("await-turn", "--timeout", "0.1", runs) == 124
    assert seen("send", runs, "Go on.") == 0
    assert seen("kill", runs) == 0
    assert seen("await-turn", done) == 0
    assert seen("await-turn", done, failed) == 1
    assert seen("await-turn", started("Full.")) == 2
    assert seen("start", *options, "-w", "Fail.") == 1
    assert seen("start", *options, "-w", "Begin.") == 0
    for command in ("status", "output", "capture", "watch", "diff", "attach"):
        assert seen(command, done) == 0
    sessions.cli("slots", 0, command="codex_tasks")
    assert seen("kill", started("Never.")) == 0
    assert seen("send", done, "Later.") == 0
    assert seen("attach", done) == 75
    sessions.cli("slots", "none", command="codex_tasks")
    for command in ("jobs", "sessions", "clean"):
        assert seen(command) == 0
    assert seen("health", "--codex-bin", codex.path) == 0
    assert seen("health", "--codex-bin", "/nowhere/codex") == 1
    assert seen("map", "-d", sessions.repo) == 0
    assert seen("install-skill", "--dir", sessions.place / "skills") == 0
    assert seen("kill", done, failed) == 0
    assert seen("delete", done, failed) == 0
    assert seen("await-turn", started("Limit.")) == 4
    seen.check(set())
