"""`codex-tasks log`: a session from its first prompt on, at once or as it comes."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.stand_in import THREAD, StandIn
from support.tasks import Tasks
from support.terminal import terminal

STOPPED = f"codex_tasks: Task {THREAD} is STOPPED; stopping log follow.\n"
DIED = f"codex_tasks: Task {THREAD} is DIED; stopping log follow.\n"
FORGED = "\x1b[2J\x1b]0;title\x07 \x9b31m"
SHOWN = "\\x1b[2J\\x1b]0;title\\x07 \\x9b31m"


@dataclass
class Follower:
    """A command that follows; what it says lies in files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def said(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said, what=text)

    def ended(self) -> tuple[int, str]:
        code = self.process.wait(20)
        return code, self.err.read_text(encoding="utf-8")


@dataclass
class Context:
    """The command, the stand-in and the session's directory."""

    cli: Cli
    stand_in: StandIn
    repo: Path
    state_home: Path
    place: Path

    def __call__(
        self,
        *words: object,
        **options: Any,  # noqa: ANN401 # as Cli has them
    ) -> subprocess.CompletedProcess[str]:
        return self.cli(*words, command="codex_tasks", **options)

    def start(self, prompt: str = "Do it.", *steps: script.Step) -> str:
        if steps:
            self.stand_in.plays(*steps)
        words = ["--working-dir", self.repo, "--codex-bin", self.stand_in.path]
        started = self("start", *words, prompt)
        return started.stdout.strip()

    def send(self, prompt: str, *steps: script.Step) -> None:
        self.stand_in.plays(*(steps or script.ordinary()))
        assert self("send", THREAD, prompt).returncode == 0
        self.wait()

    def wait(self) -> None:
        wait_until(
            lambda: (
                {run["state"] for run in self.metas} == {"finished"}
                and not (self.directory / "task.pid").exists()
            ),
            what="the end of the run",
        )

    @property
    def directory(self) -> Path:
        return self.state_home / THREAD

    @property
    def metas(self) -> list[dict[str, Any]]:
        paths = sorted((self.directory / "runs").glob("*.meta.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def log(self, *words: object, **options: Any) -> str:  # noqa: ANN401 # as above
        done = self("log", *words, THREAD, **options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def follow(self, *words: object) -> Follower:
        number = len(list(self.place.glob("follower-*.out")))
        paths = [self.place / f"follower-{number}.{name}" for name in ("out", "err")]
        with paths[0].open("wb") as out, paths[1].open("wb") as err:
            process = self.cli.start(
                *("log", *words, THREAD), command="codex_tasks", stdout=out, stderr=err
            )
        return Follower(process, *paths)


@pytest.fixture
def house(
    cli: Cli, stand_in: StandIn, repo: Path, state_home: Path, tmp_path: Path
) -> Context:
    return Context(cli, stand_in, repo, state_home, tmp_path)


@pytest.fixture
def go(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "go"
    yield path
    path.touch()


def waiting(go: Path) -> list[script.Step]:
    return [
        *script.begin(),
        script.message("Under way."),
        script.wait_for(go),
        script.message("It is done."),
        script.complete(),
    ]


def test_all_runs_are_shown_one_after_the_other(house: Context) -> None:
    house.start("First,\nsecond.")
    house.wait()
    house.send("Once more.", *script.begin(), *script.fail("no luck"))

    said = house.log()

    run_id = house.metas[1]["run_id"]
    assert said == (
        "user\n  First,\n  second.\n\n"
        f"session id: {THREAD}\n\n"
        "codex\n  All done.\n\n"
        "tokens used\n545\n"
        "Token usage: total=545 input=200 (+ 1,000 cached) output=345 (reasoning 45)\n"
        "\nuser\n  Once more.\n\n"
        f"session id: {THREAD}\n\n"
        "ERROR: no luck\nturn failed: no luck\n"
        f"run {run_id} failed: no luck\n"
    )
    assert house.log("--run", run_id) == said[said.index("user\n  Once") :]


def test_json_gives_the_lines_of_the_task_log(house: Context) -> None:
    house.start("First.", *script.ordinary(), script.err("oh\n"))
    house.wait()
    house.send("Second.")
    whole = (house.directory / "task.log").read_text(encoding="utf-8")

    assert house.log("--json") == whole
    assert house.log("--json", "-n", 7) == "".join(whole.splitlines(keepends=True)[-7:])
    assert house.log("--json", "-n", 0) == ""
    assert house.log("-n", "99999999999999999999", "--json") == whole


def test_the_last_lines_are_counted_before_they_are_rendered(house: Context) -> None:
    house.start()
    house.wait()

    assert house.log("-n", "2").startswith("codex\n  All done.\n\ntokens used\n")


def test_broken_lines_are_shown_as_such_and_wrapped_for_programs(
    house: Context,
) -> None:
    house.start(
        "Go.",
        *script.begin(),
        script.out('no json\n{"type": broken}\n[1]\n\n{"type":"half'),
    )
    house.wait()

    said = house.log()
    assert "unreadable line: no json\n" in said
    assert 'unreadable line: {"type": broken}\n' in said
    assert 'unreadable line: {"type":"half\n' in said
    found = [json.loads(line) for line in house.log("--json").splitlines()]
    assert found[3:] == [
        {"type": "stdout", "message": text}
        for text in ("no json", '{"type": broken}', "[1]", "", '{"type":"half')
    ]


def test_control_sequences_are_shown_not_obeyed(house: Context) -> None:
    house.start(
        f"Go {FORGED}",
        *script.begin(),
        script.message(f"Said {FORGED}"),
        script.item(
            "command_execution",
            command=f"cat {FORGED}",
            aggregated_output=f"Read {FORGED}\n\x85codex\r",
            exit_code=0,
            status="completed",
        ),
        script.out(f"Noise {FORGED}\n".encode()),
        script.err("Err \x1b[2J\x9b31m\x1b\x1b[0m[2J\x85ERROR: x\n"),
        *script.fail(f"Failed {FORGED}"),
    )
    house.wait()

    said = house.log()

    for word in ("Go", "Said", "Read", "Noise", "ERROR: Failed", "failed: Failed"):
        assert f"{word} {SHOWN}" in said
    assert "[stderr] Err \\x9b31m\\x1b[2J\\x85ERROR: x\n" in said
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)


def test_a_session_that_is_archived_is_shown(house: Context) -> None:
    house.start()
    house.wait()
    said = house.log()
    archived = house.state_home / "archive/2026/11/20" / THREAD
    archived.parent.mkdir(parents=True)
    house.directory.rename(archived)

    assert house.log() == said
    done = house("log", "-f", "-n0", THREAD)
    assert (done.returncode, done.stdout) == (0, "")
    assert "is ARCHIVED; stopping log follow.\n" in done.stderr


def test_a_session_of_another_door_is_shown(house: Context, task: Tasks) -> None:
    ended = task("--task", "From elsewhere.")
    house.send("And on.")

    said = house.log()

    assert said.index("  From elsewhere.\n") < said.index("  And on.\n")
    events = ended.files.path(".events.jsonl")
    events.unlink()
    done = house("log", THREAD)
    assert done.returncode == 0
    assert "  From elsewhere.\n" in done.stdout
    assert "  And on.\n" in done.stdout
    assert f"cannot read {events}: No such file" in done.stderr


def test_a_launch_that_failed_says_why(house: Context) -> None:
    started = house(
        *("start", "--working-dir", house.repo, "--codex-bin", "no-such-codex", "Go.")
    )
    run_id = started.stderr[started.stderr.rindex(" ") :].strip(" )\n")

    done = house("log", "-f", run_id)

    assert done.returncode == 0
    assert done.stdout.startswith(f"user\n  Go.\n\nrun {run_id} not_started: ")
    assert f"Task {run_id} is DIED; stopping log follow.\n" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-n", "-1", THREAD], 2, "-n '-1' is not a number of lines"),
        (["-n", "x", THREAD], 2, "-n 'x' is not a number of lines"),
        (["--run", "x", THREAD], 2, f"task {THREAD} has no run 'x'"),
        (["no such thing"], 3, "no task 'no such thing'"),
        ([], 2, "required: TASK"),
    ],
)
def test_what_makes_no_sense_is_refused(
    house: Context, words: list[str], code: int, said: str
) -> None:
    house.start()
    house.wait()

    done = house("log", *words)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_following_ends_with_the_work(house: Context, go: Path) -> None:
    house.start("Do it.", *waiting(go))

    follower = house.follow("-f")

    follower.wait_for("Under way.")
    assert "It is done." not in follower.said
    go.touch()
    assert follower.ended() == (0, STOPPED)
    assert follower.said == house.log()


def test_following_goes_through_what_waits_in_the_mailbox(
    house: Context, go: Path
) -> None:
    house.start("First.", *waiting(go))
    follower = house.follow("-f", "--json")
    assert house("send", "--queue", THREAD, "Second.").returncode == 0
    assert house("send", "--queue", THREAD, "Third.").returncode == 0
    follower.wait_for("Under way.")
    go.touch()

    assert follower.ended() == (0, STOPPED)
    said = follower.said
    assert said == (house.directory / "task.log").read_text(encoding="utf-8")
    assert said.count('"user_message"') == 3


def test_a_line_is_shown_when_its_end_has_come(house: Context, go: Path) -> None:
    line = '{"type":"error","message":"half a line"}'
    house.start(
        "Go.",
        *script.begin(),
        script.out(line[:20]),
        script.err("once\n"),
        script.wait_for(go),
        script.out(line[20:] + "\n"),
        *script.fail("done"),
    )
    follower = house.follow("-f")
    follower.wait_for("[stderr] once\n")
    assert "unreadable" not in house.log()
    go.touch()

    assert follower.ended() == (0, DIED)
    assert "unreadable" not in follower.said


def test_following_tells_of_a_run_that_is_stopped_or_lost(
    house: Context, go: Path
) -> None:
    house.start("Go.", *waiting(go))
    follower = house.follow("-f")
    follower.wait_for("Under way.")
    assert house("stop", THREAD).returncode == 0
    assert follower.ended() == (0, STOPPED)
    assert f"\nrun {house.metas[0]['run_id']} stopped: " in follower.said

    house.stand_in.plays(*waiting(go))
    assert house("send", THREAD, "On.").returncode == 0
    follower = house.follow("-f", "-n", "1")
    follower.wait_for("Under way.")
    processes = house.metas[1]["processes"]
    for name in ("supervisor", "codex"):
        os.kill(processes[name]["pid"], signal.SIGKILL)
    assert follower.ended() == (0, DIED)
    assert f"run {house.metas[1]['run_id']} lost: " in follower.said


def test_following_for_ever_ends_with_an_interrupt(house: Context) -> None:
    house.start("First.")
    follower = house.follow("-F", "-n", "0")
    house.wait()
    house.send("Second.")
    follower.wait_for("All done.\n")
    follower.wait_for("  Second.\n")

    follower.process.send_signal(signal.SIGINT)

    assert follower.ended() == (130, "")


def test_a_reader_who_goes_away_ends_it(house: Context, go: Path) -> None:
    house.start("Go.", *waiting(go))
    process = house.cli.start("log", "-F", THREAD, command="codex_tasks")
    assert process.stdout is not None
    assert process.stdout.readline() == b"user\n"

    process.stdout.close()

    assert process.wait(10) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_session_that_is_archived_meanwhile_is_followed_to_its_end(
    house: Context, go: Path
) -> None:
    house.start("Go.", *waiting(go))
    follower = house.follow("-f")
    follower.wait_for("Under way.")
    follower.process.send_signal(signal.SIGSTOP)
    go.touch()
    house.wait()
    archived = house.state_home / "archive/2026/11/20" / THREAD
    archived.parent.mkdir(parents=True)
    house.directory.rename(archived)
    assert house("log", THREAD).returncode == 0
    follower.process.send_signal(signal.SIGCONT)

    code, notes = follower.ended()

    assert code == 0
    assert "is ARCHIVED; stopping log follow.\n" in notes
    assert "It is done." in follower.said
    assert follower.said == house.log()


@pytest.mark.parametrize(
    ("env", "has_colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals(
    house: Context, env: dict[str, str], *, has_colours: bool
) -> None:
    house.start("Go \x1b[2J.")
    house.wait()
    assert "\x1b" not in house.log(env=env)

    with terminal() as screen:
        argv = house.cli.argv("log", THREAD, command="codex_tasks")
        process = screen.start(argv, house.cli.env(env))
        assert process.wait(20) == 0
        shown = screen.shown()

    assert ("\x1b[1;36muser\x1b[0m\r\n" in shown) == has_colours
    assert ("\x1b" in shown) == has_colours
    assert "  Go \\x1b[2J.\r\n" in shown
