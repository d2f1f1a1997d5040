"""The exit codes that the help of a command names are those that it has."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Sessions
from support.stand_in import StandIn

from runner.cli import codex_tasks
from runner.cli.tasks import COMMANDS

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


def codes_of(command: str) -> set[int]:
    text = codex_tasks.load(command).codes.replace("\n  ", " ")
    found = re.findall(r"(?:^|; )(\d+) ", text.partition("\nwith ")[0])
    return set(map(int, found))


class Seen:
    """Run commands, and keep the exit codes of each."""

    def __init__(self, sessions: Sessions) -> None:
        self.codes: dict[str, set[int]] = defaultdict(set)
        self._sessions = sessions

    def __call__(self, command: str, *words: object) -> int:
        code = self._sessions(command, *words).code
        self.codes[command].add(code)
        return code


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
    seen = Seen(sessions)
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

    for command, codes in seen.codes.items():
        assert codes <= codes_of(command) | {0, 1, 2}, command
    missing = {
        (command, code)
        for command in COMMANDS
        for code in codes_of(command) - seen.codes[command] - {0, 1}
    }
    assert missing <= ELSEWHERE
