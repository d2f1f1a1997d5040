"""What `codex-tasks` cannot do is refused with the fix; nothing is started."""

import os
import subprocess
from pathlib import Path

import pytest
from support.commands import Cli
from support.sabotage import SUPERVISOR, fails, sabotaged
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Ended, is_refused

STRANGE = "dupe\x1b[31m\u202e"
NO_VALUE = "fix:   leave it out, or give it a value: --"
NO_NAME = "fix:   codex-tasks "
LIST, LIST_OF = (f"fix:   codex-tasks{x} --help" for x in ("", " {}"))


WRONG: dict[str, tuple[list[str], list[str]]] = {
    "a repository without a name": (
        ["start", "--repo", "", "--working-dir", "new", "x"],
        ["--repo is empty", NO_VALUE],
    ),
    "a ref without a name": (
        ["start", "--repo", "a", "--working-dir", "new", "--repo-ref=", "x"],
        ["--repo-ref is empty", NO_VALUE],
    ),
    "a program without a name": (
        ["start", "--codex-bin", "", "x"],
        ["--codex-bin is empty", NO_VALUE],
    ),
    "a model without a name": (
        ["start", "-m", "", "x"],
        ["--model/-m is empty", NO_VALUE],
    ),
    "an unknown sandbox": (
        ["start", "-s", "mauve", "x"],
        ["mauve", "read-only", "fix:   --sandbox read-only"],
    ),
    "no setting": (["start", "-c", "", "x"], ["--config/-c is empty", NO_VALUE]),
    "an image without a name": (
        ["start", "--image", "", "x"],
        ["--image is empty", NO_VALUE],
    ),
    "a directory without a name": (
        ["start", "--working-dir", "", "x"],
        ["--working-dir is empty", NO_VALUE],
    ),
    "a place without a name": (
        ["doctor", "--working-dir", ""],
        ["--working-dir is empty", NO_VALUE],
    ),
    "no state": (["ls", "--state", ""], ["--state is empty", NO_VALUE]),
    "an unset state": (
        ["ls", "--state", "RUNNING", ""],
        ["--state is empty", NO_VALUE],
    ),
    "commas alone": (
        ["ls", "--state", ","],
        ["--state ,", "RUNNING", "fix:   codex-tasks ls --state running,held"],
    ),
    "no run of an answer": (["result", "--run", "", "x"], ["--run is empty", NO_VALUE]),
    "no run of a log": (["log", "--run", "", "x"], ["--run is empty", NO_VALUE]),
    "no number of lines": (["log", "-n", "", "x"], ["-n/--lines is empty", NO_VALUE]),
    "nothing to import": (["import", ""], ["DIR is empty", NO_NAME]),
    "no time": (["usage", "--since", ""], ["--since is empty", NO_VALUE]),
    "no title": (["start", "-t", "", "x"], ["-t/--title is empty", NO_VALUE]),
    "a blank title": (
        ["start", "-t", " ", "x"],
        ["--title is empty", "fix:   --title TITLE"],
    ),
    "no task": (["status", ""], ["TASK is empty", NO_NAME]),
    "no task to send to": (["send", "", "x"], ["TASK is empty", NO_NAME]),
    "no task to stop": (["stop", ""], ["TASK is empty", NO_NAME]),
    "none of the tasks": (
        ["ls", "--limit", "0"],
        ["--limit '0'", "1 or more", "fix:   --limit 1"],
    ),
    "nothing that exists to import": (
        ["import", "nowhere"],
        ["DIR nowhere: not a directory", "fix:   codex-tasks import --dry-run"],
    ),
    "a file to work in": (
        ["start", "--working-dir", "/dev/null", "x"],
        ["--working-dir /dev/null: not a directory", "fix:   name a directory: --w"],
    ),
    "a path that Codex cannot read": (
        ["start", "--working-dir", os.fsdecode(b"\xff"), "x"],
        ["the path is not UTF-8"],
    ),
    "no age": (["prune", "--older-than", ""], ["--older-than is empty", NO_VALUE]),
    "no prompt": (
        ["start", ""],
        ["PROMPT is empty", 'fix:   codex-tasks start "Fix the failing test"'],
    ),
    "eleven years": (["start", "--timeout", "4000d", "x"], ["more than ten years"]),
    "no number of seconds, and nothing to wait for": (
        ["status", "-A", "--wait", "--timeout", "soon"],
        ["--timeout: 'soon'"],
    ),
    "less than none": (
        ["ls", "--limit", "-1"],
        ["--limit '-1'", "1 or more", "fix:   --limit 1"],
    ),
    "a prompt like an option": (
        ["send", "x", "-x"],
        [
            "required: PROMPT",
            f"{LIST_OF.format('send')}, or before one that starts with -: --",
        ],
    ),
    "all and one, to look at": (
        ["status", "-a", "x"],
        ["only one of these", "fix:   codex-tasks status "],
    ),
    "all and those at work": (
        ["status", "-a", "-A"],
        ["only one of these", "fix:   codex-tasks status "],
    ),
    "all and one, to stop": (
        ["stop", "-a", "x"],
        ["not both", "fix:   codex-tasks stop TASK, or "],
    ),
    "all and one, to put away": (
        ["archive", "-a", "x"],
        ["not both", "fix:   codex-tasks archive TASK, or "],
    ),
    "an image that is a directory": (
        ["start", "--image", ".", "x"],
        ["--image .", "is a directory"],
    ),
    "a schema that is a directory": (
        ["start", "--output-schema", ".", "x"],
        ["--output-schema .", "is a directory"],
    ),
    "a configuration that is a directory": (
        ["start", "--config-file", ".", "x"],
        ["--config-file .", "is a directory"],
    ),
    "an image that is not there": (["start", "--image", "no", "x"], ["no such file"]),
    "nothing to wait for": (
        ["wait"],
        ["name the tasks", "fix:   codex-tasks wait TASK"],
    ),
    "two ways to wait": (
        ["wait", "--any", "--all", "x"],
        ["not both", "fix:   codex-tasks wait --any TASK, or codex-tasks wait --all"],
    ),
    "nothing to look at": (
        ["status"],
        ["name the tasks", "fix:   codex-tasks status TASK, codex-tasks status -a"],
    ),
    "one object without an object": (
        ["status", "--one", "x"],
        ["--one needs --json", "fix:   codex-tasks status --json --one TASK"],
    ),
    "an age that is missing": (
        ["prune"],
        ["--older-than AGE", "fix:   codex-tasks prune --dry-run --older-than 30d"],
    ),
    "a state that is none": (
        ["ls", "--state", "running,foo"],
        [
            "--state running,foo: give some of",
            "fix:   codex-tasks ls --state running,held",
        ],
    ),
    "an order that is none": (
        ["ls", "--sort", "foo"],
        ["--sort foo", "fix:   codex-tasks ls --sort cost"],
    ),
    "a prompt that does not wait, by a wrong verb": (
        ["queue", "mv", "1"],
        ["give one task", "fix:   codex-tasks queue rm N, codex-tasks queue move N"],
    ),
    "no amount": (
        ["budget", "abc"],
        ["USD-PER-DAY 'abc'", "fix:   codex-tasks budget 20, or codex-tasks budget n"],
    ),
    "a command with two letters the wrong way round": (
        ["sttaus", "x"],
        ["no command 'sttaus'", "fix:   codex-tasks status x"],
    ),
    "the beginning of a command": (
        ["stat"],
        ["no command 'stat'", "fix:   codex-tasks status TASK"],
    ),
    "a word for a command": (
        ["kill", "x"],
        ["no command 'kill'", "fix:   codex-tasks stop x"],
    ),
    "a command almost like one that destroys": (["prun"], ["no command 'prun'", LIST]),
    "a command like no other": (["frobnicate"], ["'frobnicate'", LIST]),
    "an option with two letters the wrong way round": (
        ["start", "--sandbxo", "read-only", "x"],
        [
            "unrecognized arguments: --sandbxo",
            "fix:   --sandbox, or codex-tasks start --help",
        ],
    ),
    "a word too many": (
        ["start", "x", "y"],
        [
            "unrecognized arguments: y",
            LIST_OF.format("start"),
        ],
    ),
    "an option that is none": (
        ["ls", f"--{STRANGE}"],
        [
            r"--dupe\x1b[31m\u202e",
            LIST_OF.format("ls"),
        ],
    ),
}


@pytest.mark.core
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_command_line_is_refused_with_the_fix(
    sessions: Sessions, codex: StandIn, what: str
) -> None:
    words, said = WRONG[what]

    ended = sessions(*words)

    assert is_refused(ended, 2, *said), ended
    assert codex.records == []
    assert not (sessions.cli.cwd / "new").exists()


def test_a_ref_like_an_option_is_refused_before_anything_is_cloned(
    sessions: Sessions, repo: Path, tmp_path: Path
) -> None:
    place = tmp_path / "parent" / "clone"
    words = ["--repo", str(repo), "--working-dir", str(place), "--repo-ref=-x"]

    ended = sessions(*sessions.starting(*words, "Begin."))

    assert is_refused(ended, 2, "--repo-ref -x", "is required"), ended
    assert not place.parent.exists()


def test_names_are_shown_not_obeyed(sessions: Sessions) -> None:
    for _ in range(2):
        sessions.ended("-t", STRANGE, "Begin.")

    ended = sessions("status", STRANGE)

    assert is_refused(
        ended,
        2,
        "matches several tasks",
        "fix:   give more of the id, from: codex-tasks ls -a",
    ), ended
    assert ended.stderr.count(r"(dupe\x1b[31m\u202e)") == 2


def test_a_program_that_is_a_directory_is_told(
    sessions: Sessions, tmp_path: Path
) -> None:
    ended = sessions(*sessions.starting("--codex-bin", tmp_path, "Begin."))

    assert is_refused(ended, 1, f"cannot be run: {tmp_path}: it is a directory"), ended


NOWHERE: list[tuple[list[str], dict[str, str]]] = [
    (["start", "x"], {}),
    (["start", "--working-dir", "below", "x"], {}),
    (["start", "--repo", "a", "--working-dir", "b", "x"], {}),
    (["doctor"], {}),
    (["import"], {}),
    (["import", "--dry-run", "a"], {}),
    (["ls"], {"CODEX_RUNNER_HOME": "relative"}),
]


def nowhere(
    cli: Cli, gone: Path, *words: str, env: dict[str, str] | None = None
) -> Ended:
    """Run a command in a directory that is removed before it begins."""
    gone.mkdir()
    command = cli.argv(*words, command="codex_tasks")
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$0"; exec "$@"', gone, *command],  # noqa: S607  # any sh
        cwd=gone,
        env=cli.env(env),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(("words", "env"), NOWHERE, ids=str)
def test_a_current_directory_that_is_gone_is_named(
    cli: Cli, tmp_path: Path, words: list[str], env: dict[str, str]
) -> None:
    ended = nowhere(cli, tmp_path / "gone", *words, env=env)

    assert is_refused(ended, 2, "the current directory is gone"), ended


def test_a_current_directory_that_is_gone_is_no_matter_where_none_is_needed(
    cli: Cli, tmp_path: Path
) -> None:
    ended = nowhere(cli, tmp_path / "gone", "ls")

    assert ended == Ended(0, "", "")


def test_a_disk_that_takes_no_session_is_told_with_the_way_out(
    sessions: Sessions, codex: StandIn
) -> None:
    sessions("ls")
    full = sabotaged(fails(SUPERVISOR, "os.mkdir", "/runs/"))

    ended = sessions(*sessions.starting("Begin."), env=full)

    way_out = "fix:   use another state directory: export CODEX_RUNNER_HOME=DIR"
    assert is_refused(ended, 1, "No space left on device", way_out), ended
    assert codex.records == []


def test_what_a_task_cannot_do_is_refused_with_what_it_can(sessions: Sessions) -> None:
    session = sessions.ended()
    more = f'fix:   codex-tasks send {session.id} "PROMPT"'
    for words, told, fix in (
        (["queue", "rm", "9999"], "prompt 9999 does not exist", "fix:   codex-tasks q"),
        (["retry", session.id], "is done", more),
        (["deliver", session.id], "no waiting prompt", more),
        (["restore"], "was not migrated", "fix:   use another state directory: export"),
    ):
        ended = sessions(*words)
        assert is_refused(ended, 1, told, fix), ended
