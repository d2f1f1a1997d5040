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
from support.tasks import Ended, Tasks, is_refused
from support.terminal import on_screen, terminal

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
    """The command, the stand-in and the session's files."""

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
        paths = sorted(self.state_home.glob("runs/*/meta.json"))
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
def context(
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


@pytest.mark.core
def test_all_runs_are_shown_one_after_the_other(context: Context) -> None:
    context.start("First,\nsecond.")
    context.wait()
    context.send("Once more.", *script.begin(), *script.fail("no luck"))

    said = context.log()

    run_id = context.metas[1]["run_id"]
    assert said == (
        "user\n  First,\n  second.\n\n"
        f"session id: {THREAD}\n\n"
        "codex\n  All done.\n\n"
        "tokens used\n1,545\nToken usage: total=1,545 input=1,200 (1,000 cached)"
        " output=345 (reasoning 45)\n"
        "\nuser\n  Once more.\n\n"
        f"session id: {THREAD}\n\n"
        "ERROR: no luck\nturn failed: no luck\n"
        f"run {run_id} failed: no luck\n"
    )
    assert context.log("--run", run_id) == said[said.index("user\n  Once") :]


def test_the_tokens_of_a_resumed_run_are_its_own(context: Context) -> None:
    twice = {name: 2 * count for name, count in script.USAGE.items()}
    context.start()
    context.wait()
    context.send(
        "More.", *script.begin(), script.message("Two."), script.complete(twice)
    )

    own = "tokens used\n1,545\nToken usage: total=1,545 input=1,200 (1,000 cached)"
    assert context.log().count(own) == 2
    assert "3,090" not in context.log()
    assert context.metas[1]["token_usage"]["total_tokens"] == 1545


def test_json_gives_the_lines_of_the_task_log(context: Context) -> None:
    context.start("First.", *script.ordinary(), script.err("oh\n"))
    context.wait()
    context.send("Second.")
    whole = (context.directory / "task.log").read_text(encoding="utf-8")

    assert context.log("--json") == whole
    assert context.log("--json", "-n", 7) == "".join(
        whole.splitlines(keepends=True)[-7:]
    )
    assert context.log("--json", "-n", 0) == ""
    assert context.log("-n", "99999999999999999999", "--json") == whole


def test_the_last_lines_are_counted_before_they_are_rendered(context: Context) -> None:
    context.start()
    context.wait()

    assert context.log("-n", "2").startswith("codex\n  All done.\n\ntokens used\n")


def test_broken_lines_are_shown_as_such_and_wrapped_for_programs(
    context: Context,
) -> None:
    context.start(
        "Go.",
        *script.begin(),
        script.out('no json\n{"type": broken}\n[1]\n\n{"type":"half'),
    )
    context.wait()

    said = context.log()
    assert "unreadable line: no json\n" in said
    assert 'unreadable line: {"type": broken}\n' in said
    assert 'unreadable line: {"type":"half\n' in said
    whole = context.log("--json")
    assert whole == (context.directory / "task.log").read_text(encoding="utf-8")
    found = [json.loads(line) for line in whole.splitlines()]
    assert found[3:] == [
        {"type": "stdout", "message": text}
        for text in ("no json", '{"type": broken}', "[1]", "", '{"type":"half')
    ]


def test_control_sequences_are_shown_not_obeyed(context: Context) -> None:
    context.start(
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
    context.wait()

    said = context.log()

    for word in ("Go", "Said", "Read", "Noise", "ERROR: Failed", "failed: Failed"):
        assert f"{word} {SHOWN}" in said
    assert "[stderr] Err \\x9b31m\\x1b[2J\\x85ERROR: x\n" in said
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)


def test_a_session_that_is_archived_is_shown(context: Context) -> None:
    context.start()
    context.wait()
    said = context.log()
    assert context("archive", THREAD).returncode == 0

    assert context.log() == said
    done = context("log", "-f", "-n0", THREAD)
    assert (done.returncode, done.stdout) == (0, "")
    assert "is ARCHIVED; stopping log follow.\n" in done.stderr


def test_a_session_of_run_codex_task_is_shown(context: Context, task: Tasks) -> None:
    ended = task("--task", "From elsewhere.")
    context.send("And on.")

    said = context.log()

    assert said.index("  From elsewhere.\n") < said.index("  And on.\n")
    events = ended.files.path(".events.jsonl")
    events.unlink()
    done = context("log", THREAD)
    assert done.returncode == 0
    assert "  From elsewhere.\n" in done.stdout
    assert "  And on.\n" in done.stdout
    assert f"cannot read {events}: No such file" in done.stderr


def test_a_launch_that_failed_says_why(context: Context) -> None:
    started = context(
        *("start", "--working-dir", context.repo, "--codex-bin", "no-such-codex", "Go.")
    )
    run_id = started.stderr[started.stderr.rindex(" ") :].strip(" )\n")

    done = context("log", "-f", run_id)

    assert done.returncode == 0
    assert done.stdout.startswith(f"user\n  Go.\n\nrun {run_id} not_started: ")
    assert f"Task {run_id} is DIED; stopping log follow.\n" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-n", "-1", THREAD], 2, ["-n '-1' is not a number of lines", "fix:   -n 1"]),
        (["-n", "x", THREAD], 2, ["-n 'x' is not a number of lines", "fix:   -n 1"]),
        (["--run", "x", THREAD], 2, [f"task {THREAD} has no run 'x'"]),
        (
            ["--from-byte", "x", THREAD],
            2,
            ["'x' is not a number of bytes", "fix:   --from-byte 1"],
        ),
        (["--from-byte", "1", "-n", "1", THREAD], 2, ["--from-byte takes no -n"]),
        (["--from-byte", "1", "--time", THREAD], 2, ["--from-byte takes no --time"]),
        (["no such thing"], 3, ["no task 'no such thing'", "fix:   codex-tasks ls -a"]),
        (
            [],
            2,
            ["required: TASK", "fix:   codex-tasks log --help, or before one that "],
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    context: Context, words: list[str], code: int, said: list[str]
) -> None:
    context.start()
    context.wait()

    done = context("log", *words)

    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert is_refused(ended, code, *said), ended


@pytest.mark.core
def test_following_ends_with_the_work(context: Context, go: Path) -> None:
    context.start("Do it.", *waiting(go))

    follower = context.follow("-f")

    follower.wait_for("Under way.")
    assert "It is done." not in follower.said
    go.touch()
    assert follower.ended() == (0, STOPPED)
    assert follower.said == context.log()


def test_following_goes_through_what_waits_in_the_queue(
    context: Context, go: Path
) -> None:
    context.start("First.", *waiting(go))
    follower = context.follow("-f", "--json")
    assert context("send", "--queue", THREAD, "Second.").returncode == 0
    assert context("send", "--queue", THREAD, "Third.").returncode == 0
    follower.wait_for("Under way.")
    go.touch()

    assert follower.ended() == (0, STOPPED)
    said = follower.said
    assert said == (context.directory / "task.log").read_text(encoding="utf-8")
    assert said.count('"user_message"') == 3


def test_a_line_is_shown_when_its_end_has_come(context: Context, go: Path) -> None:
    line = '{"type":"error","message":"half a line"}'
    context.start(
        "Go.",
        *script.begin(),
        script.out(line[:20]),
        script.err("once\n"),
        script.wait_for(go),
        script.out(line[20:] + "\n"),
        *script.fail("done"),
    )
    follower = context.follow("-f")
    follower.wait_for("[stderr] once\n")
    assert "unreadable" not in context.log()
    go.touch()

    assert follower.ended() == (0, DIED)
    assert "unreadable" not in follower.said


def test_following_tells_of_a_run_that_is_stopped_or_lost(
    context: Context, go: Path
) -> None:
    context.start("Go.", *waiting(go))
    follower = context.follow("-f")
    follower.wait_for("Under way.")
    assert context("stop", THREAD).returncode == 0
    assert follower.ended() == (0, STOPPED)
    assert f"\nrun {context.metas[0]['run_id']} stopped: " in follower.said

    context.stand_in.plays(*waiting(go))
    assert context("send", THREAD, "On.").returncode == 0
    follower = context.follow("-f", "-n", "1")
    follower.wait_for("Under way.")
    processes = context.metas[1]["processes"]
    for name in ("supervisor", "codex"):
        os.kill(processes[name]["pid"], signal.SIGKILL)
    assert follower.ended() == (0, DIED)
    assert f"run {context.metas[1]['run_id']} lost: " in follower.said


def test_following_for_ever_ends_with_an_interrupt(context: Context) -> None:
    context.start("First.")
    context.wait()
    follower = context.follow("-F", "-n", "1")
    wait_until(lambda: follower.said, what="the last line")
    context.send("Second.")
    follower.wait_for("  Second.\n")
    wait_until(lambda: "All done.\n" in follower.said.partition("  Second.\n")[2])
    context.wait()

    follower.process.send_signal(signal.SIGINT)

    assert follower.ended() == (130, "")


def test_an_interrupt_ends_the_following_and_says_how_to_stop_the_run(
    context: Context, go: Path
) -> None:
    context.start("Go.", *waiting(go))
    follower = context.follow("-f")
    follower.wait_for("Under way.")

    follower.process.send_signal(signal.SIGINT)

    told = context("status", "--json", "--one", THREAD).stdout
    short = json.loads(told)["short_id"]
    what = f"still running: {short} (codex-tasks stop {short} ends it)"
    assert follower.ended() == (130, f"codex_tasks: {what}\n")
    go.touch()
    context.wait()


def test_a_reader_who_goes_away_ends_it(context: Context, go: Path) -> None:
    context.start("Go.", *waiting(go))
    process = context.cli.start("log", "-F", THREAD, command="codex_tasks")
    assert process.stdout is not None
    assert process.stdout.readline() == b"user\n"

    process.stdout.close()

    assert process.wait(10) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_session_that_is_archived_meanwhile_is_followed_to_its_end(
    context: Context, go: Path
) -> None:
    context.start("Go.", *waiting(go))
    follower = context.follow("-f")
    follower.wait_for("Under way.")
    follower.process.send_signal(signal.SIGSTOP)
    go.touch()
    context.wait()
    assert context("archive", THREAD).returncode == 0
    follower.process.send_signal(signal.SIGCONT)

    code, notes = follower.ended()

    assert code == 0
    assert "is ARCHIVED; stopping log follow.\n" in notes
    assert "It is done." in follower.said
    assert follower.said == context.log()


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
    context: Context, env: dict[str, str], *, has_colours: bool
) -> None:
    context.start("Go \x1b[2J.")
    context.wait()
    assert "\x1b" not in context.log(env=env)

    with terminal() as screen:
        argv = context.cli.argv("log", THREAD, command="codex_tasks")
        process = screen.start(argv, context.cli.env(env))
        assert process.wait(20) == 0
        shown = screen.shown()

    assert ("\x1b[0m  \x1b[1;36muser\x1b[0m\r\n" in shown) == has_colours
    assert ("\x1b" in shown) == has_colours
    assert "  Go \\x1b[2J.\r\n" in shown


STAMP = re.compile(r"\d\d:\d\d:\d\d  |          ")


@pytest.mark.core
def test_times_are_shown_where_they_are_wanted(context: Context) -> None:
    context.start()
    context.wait()

    plain, timed = context.log(), context.log("--time")

    lines = [line for line in timed.splitlines() if line]
    assert all(STAMP.match(line) for line in lines)
    assert "".join(line[10:] for line in lines) == "".join(plain.splitlines())
    entries = [line for line in lines if not line[10:].startswith(" ")]
    firsts = [line[10:] for line in entries if line[:1] != " "]
    assert firsts == ["user", f"session id: {THREAD}", "codex", "tokens used"]


def test_events_have_no_times(context: Context) -> None:
    context.start()
    context.wait()

    done = context("log", "--json", "--time", THREAD)

    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"
    assert "--time: the events of --json are unchanged" in done.stderr


@pytest.mark.core
def test_a_terminal_shows_times_and_how_long_a_command_took(
    context: Context, go: Path
) -> None:
    context.start(
        "Do it.",
        *script.begin(),
        script.item("command_execution", state="started", command="make"),
        script.wait_for(go),
        script.item("command_execution", command="make", status="completed"),
        script.complete(),
    )
    wait_until(lambda: "make" in context.log(), what="the command")
    go.touch()
    context.wait()

    lines = on_screen(context.cli, 80, "log", THREAD)

    (end,) = [line for line in lines if "succeeded: make" in line]
    assert re.fullmatch(r"\d\d:\d\d:\d\d  succeeded: make  (\d\.\ds|\d+s)", end)


@pytest.mark.core
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_program_that_polls_gets_each_byte_once(
    context: Context, tmp_path: Path, form: list[str]
) -> None:
    gates = [tmp_path / f"go-{number}" for number in range(3)]
    steps = [
        *script.begin(),
        script.err("warning: ü\n"),
        script.wait_for(gates[0]),
        script.message("Größe."),
        script.err("and \x1b[2J more\n"),
        script.wait_for(gates[1]),
        script.out('{"type":"error","mess'),
        script.wait_for(gates[2]),
        script.out('age":"x"}\n'),
        script.complete(),
    ]
    context.start("Do it.", *steps)
    got, sizes = b"", list[int]()

    def poll() -> None:
        nonlocal got
        piece = context.log(*form, "--from-byte", len(got))
        got += piece.encode(errors="surrogateescape")
        sizes.append(len(got))

    poll()
    for gate in gates:
        gate.touch()
        poll()
    context.wait()
    poll()
    context.send("Once more.", *script.begin(), script.err("oh\n"), *script.fail("no"))
    poll()
    poll()

    whole = context.log(*form).encode(errors="surrogateescape")
    assert got == whole
    assert got == context.log(*form, "--from-byte", 0).encode(errors="surrogateescape")
    assert sizes[-1] == sizes[-2] > sizes[-3] > sizes[0] > 0
    middle = len(whole.partition("ü".encode())[0]) + 1
    assert context.log(*form, "--from-byte", len(whole) + 9) == ""
    assert context.log(*form, "--from-byte", "9" * 30) == ""
    rest = context.log(*form, "--from-byte", middle)
    assert rest == whole[middle:].decode(errors="replace")


@pytest.mark.core
def test_a_follower_goes_on_where_another_one_stopped(
    context: Context, go: Path
) -> None:
    context.start("Do it.", *waiting(go))
    first = context.follow("-f", "--json")
    first.wait_for("Under way.")
    first.process.kill()
    first.process.wait()
    second = context.follow("-f", "--json", "--from-byte", first.out.stat().st_size)
    go.touch()

    assert second.ended() == (0, STOPPED)
    assert first.said + second.said == context.log("--json")


def test_what_is_polled_has_neither_times_nor_colours(context: Context) -> None:
    context.start()
    context.wait()

    with terminal() as screen:
        argv = context.cli.argv(
            "log", "--from-byte", "0", THREAD, command="codex_tasks"
        )
        assert screen.start(argv, context.cli.env({"TERM": "xterm"})).wait(20) == 0
        shown = screen.shown()

    assert shown.replace("\r\n", "\n") == context.log()
