"""A fork does what an interpreter does that is started for the command."""

import pytest
from support.commands import Cli
from support.forks import INTERPRETER, Forks
from support.guard import no_process_left
from support.processes import processes_below
from support.stand_in import StandIn, begin, hang
from support.tasks import Tasks, gone

pytestmark = pytest.mark.core
TASKS, RUN, PARSE = "codex_tasks", "run_codex_task", "parse_codex_run"


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (TASKS, ["--help"], 0),
        (TASKS, ["ls"], 0),
        (TASKS, ["frobnicate"], 2),
        (TASKS, ["status", "nobody"], 3),
        (RUN, ["--help"], 0),
        (RUN, ["--frobnicate"], 2),
        (RUN, ["--repo", ".", "--codex-bin", "nowhere", "--task", "-"], 127),
        (PARSE, ["--version"], 0),
        (PARSE, ["--frobnicate"], 2),
    ],
)
def test_it_says_the_same_and_ends_with_the_same_code(
    cli: Cli, command: str, words: list[str], code: int
) -> None:
    forked, started = (
        cli(*words, command=command, env=env, stdin="Do it.")
        for env in (None, INTERPRETER)
    )

    assert forked.returncode == started.returncode == code
    said = [done.stdout.partition("codex_run_id")[0] for done in (forked, started)]
    assert said[0] == said[1]
    assert forked.stderr == started.stderr


def test_a_supervisor_that_is_left_behind_fails_the_test(
    task: Tasks, stand_in: StandIn, forks: Forks
) -> None:
    stand_in.plays(*begin(), hang())
    files = task("--detach").files
    pids = files.supervisor(), files.codex()

    with (
        pytest.raises(pytest.fail.Exception, match="left behind"),
        no_process_left("nobody", 0.1, lambda: processes_below(forks.pid)),
    ):
        assert set(pids) <= set(processes_below(forks.pid))

    assert gone(*pids)
