"""The stand-in does what the tests that rely on it believe."""

import json
import signal
import subprocess
import uuid
from contextlib import ExitStack
from pathlib import Path

from support import stand_in as script
from support.processes import is_alive, kill, start_time, wait_until
from support.stand_in import StandIn


def play(
    stand_in: StandIn, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    argv = [str(stand_in.path), *arguments]
    return subprocess.run(
        argv, input=stdin, capture_output=True, check=False, timeout=30
    )


def test_an_ordinary_run_prints_events_and_ends_with_zero(stand_in: StandIn) -> None:
    done = play(stand_in, "exec", "--json", "-")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["thread.started", "turn.started"]
    assert kinds[-2:] == ["item.completed", "turn.completed"]
    assert events[0]["thread_id"] == script.THREAD
    assert done.returncode == 0


def test_a_resumed_run_announces_the_thread_that_was_asked_for(
    stand_in: StandIn,
) -> None:
    other = "01a1f000-0000-7000-8000-00000000000f"

    done = play(stand_in, "exec", "-s", "read-only", "resume", "--json", other, "-")

    assert json.loads(done.stdout.splitlines()[0])["thread_id"] == other


def test_what_a_call_was_given_is_recorded(stand_in: StandIn) -> None:
    play(stand_in, "--version")
    play(stand_in, "exec", "-", stdin="Grüße".encode())

    (run,) = stand_in.runs
    assert run["argv"] == ["exec", "-"]
    assert run["stdin"] == "Grüße"
    assert [each["argv"] for each in stand_in.records][:1] == [["--version"]]


def test_bytes_are_written_as_they_are(stand_in: StandIn) -> None:
    stand_in.plays(script.out(b"\x00\x1b[31m\xff no end"), script.err("oh"))

    done = play(stand_in)

    assert done.stdout == b"\x00\x1b[31m\xff no end"
    assert done.stderr == b"oh"


def test_a_line_may_be_longer_than_any_pipe(stand_in: StandIn) -> None:
    stand_in.plays(script.fill(3_000_000))

    assert len(play(stand_in).stdout) == 3_000_000


def test_it_exits_as_told(stand_in: StandIn) -> None:
    stand_in.plays(*script.fail("no"))

    assert play(stand_in).returncode == 1


def test_it_dies_by_the_signal_named(stand_in: StandIn) -> None:
    stand_in.plays(script.die("KILL"))

    assert play(stand_in).returncode == -signal.SIGKILL


def test_signals_are_ignored_or_answered(stand_in: StandIn) -> None:
    stand_in.plays(
        script.ignore("TERM"),
        script.on_signal("INT", script.out("last words"), script.leave(1)),
        script.out("ready"),
        script.hang(),
    )
    with subprocess.Popen([stand_in.path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        process.terminate()
        process.send_signal(signal.SIGINT)

        assert process.stdout.read() == b"last words"
        assert process.wait() == 1


def test_children_outlive_it_in_sessions_of_their_own(stand_in: StandIn) -> None:
    stand_in.plays(
        script.spawn(ignoring=["INT", "TERM"]), script.spawn(double_fork=True)
    )

    play(stand_in)

    assert len(stand_in.children) == 2
    for pid in stand_in.children:
        assert is_alive(pid, start_time(pid))
        kill(pid)
    wait_until(lambda: not any(map(is_alive, stand_in.children)))


def test_it_waits_for_the_test(stand_in: StandIn, tmp_path: Path) -> None:
    go = tmp_path / "go"
    stand_in.plays(script.out("a"), script.wait_for(go), script.out("b"))
    with subprocess.Popen([stand_in.path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"a"
        assert process.poll() is None
        go.touch()

        assert process.stdout.read() == b"b"


def test_it_writes_into_codex_home(
    stand_in: StandIn, tmp_path: Path, environment: dict[str, str]
) -> None:
    stand_in.plays(script.write("$CODEX_HOME/sessions/x.jsonl", '{"id":"$THREAD"}'))

    subprocess.run([stand_in.path], env=environment, check=True, input=b"")

    written = Path(environment["CODEX_HOME"]) / "sessions" / "x.jsonl"
    assert json.loads(written.read_text()) == {"id": script.THREAD}
    assert tmp_path in written.parents


def test_every_first_run_opens_a_fresh_thread_if_told_so(stand_in: StandIn) -> None:
    stand_in.plays(*script.begin(), thread=script.FRESH)

    for _ in range(2):
        play(stand_in, "exec", "-")
    asked = stand_in.runs[0]["thread"]
    play(stand_in, "exec", "resume", asked, "-", stdin=b"Again.")

    threads = [run["thread"] for run in stand_in.runs]
    assert len(set(threads)) == 2
    assert threads[2] == asked
    assert all(uuid.UUID(thread).version == 7 for thread in threads)
    assert stand_in.given(asked) == ["", "Again."]


def test_it_answers_by_its_prompt(stand_in: StandIn) -> None:
    stand_in.plays(
        script.when("left", script.out("L")),
        script.message("> $PROMPT"),
        script.out("."),
    )

    assert play(stand_in, stdin=b"to the left").stdout == b"L"
    line = play(stand_in, stdin=b'"right"\n').stdout.splitlines()[0]
    assert json.loads(line)["item"]["text"] == '> "right"\n'


def test_two_at_once_on_a_thread_are_noticed(stand_in: StandIn) -> None:
    stand_in.plays(script.alone(), script.out("a"), script.hang())
    other = "01a1f000-0000-7000-8000-00000000000f"
    noticed = []

    with ExitStack() as stack:
        for words in ([], ["exec", "resume", other, "-"], []):
            process = stack.enter_context(
                subprocess.Popen(
                    [stand_in.path, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.read(1) == b"a"
            noticed.append(stand_in.together)

    assert noticed == [[], [], [script.THREAD]]
