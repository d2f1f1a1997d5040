"""What the real Codex does before a turn begins: its lock, and how it refuses."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
from support.processes import kill, processes_below, wait_until
from support.real_codex import RealTasks, holding

from runner.codex import home
from runner.codex.home import writer_of
from runner.codex.stderr import error_class
from runner.loopback import LoopbackServer, Reply, Request, scripted, write_home

NOBODY = "01a1f000-1111-7000-8000-00000000beef"
TRIES = 5


def thread_of(stdout: str) -> str:
    """Read the thread's id in the first event."""
    event = json.loads(stdout.splitlines()[0])
    assert event["type"] == "thread.started"
    return str(event["thread_id"])


@pytest.fixture
def thread(codex: RealTasks) -> str:
    """Make a thread with one turn."""
    said = codex.by_hand("say: one", "--json")
    assert said.code == 0
    return thread_of(said.stdout)


class Writer:
    """A `codex exec` that runs in the background."""

    def __init__(self, codex: RealTasks, directory: Path, prompt: str) -> None:
        self.events = directory / "by-hand.jsonl"
        asked = directory / "by-hand.prompt"
        asked.write_text(prompt)
        usual = ["exec", "--json", "-C", str(codex.repo), "-s", "danger-full-access"]
        with asked.open("rb") as stdin, self.events.open("wb") as stdout:
            self.process = codex.cli.launch(
                [codex.stand_in.path, *usual, "-"],
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
            )
        wait_until(lambda: "turn.started" in self.events.read_text(), what="a turn")
        self.thread = thread_of(self.events.read_text())

    @property
    def pids(self) -> list[int]:
        """List the launcher and what is below it."""
        return [self.process.pid, *processes_below(self.process.pid)]


def test_the_native_process_is_the_writer_and_a_second_one_is_refused(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    writer = Writer(codex, tmp_path, f"slow: 1\nrun: {holding(go)}\nsay: one")

    pid = writer_of(codex.home, writer.thread)
    refused = codex.by_hand("say: two", "--json", "resume", writer.thread)
    still = writer_of(codex.home, writer.thread)
    go.touch()

    assert pid in writer.pids
    assert Path(f"/proc/{pid}/exe").readlink().name == "codex"
    assert still == pid
    assert refused.code == 1
    assert refused.stdout == ""
    assert error_class(refused.stderr) == "writer"
    assert writer.process.wait(30) == 0
    assert writer_of(codex.home, writer.thread) is None
    assert codex.by_hand("say: two", "resume", writer.thread).code == 0


def test_a_killed_codex_leaves_its_lock_to_whoever_comes(
    codex: RealTasks, tmp_path: Path
) -> None:
    writer = Writer(codex, tmp_path, "slow: 30\nsay: one")
    lock = codex.home / "thread-writer-locks" / f"{writer.thread}.lock"
    pid = writer_of(codex.home, writer.thread)
    assert pid

    kill(pid)
    writer.process.wait(30)

    assert lock.read_bytes() == b""
    assert writer_of(codex.home, writer.thread) is None
    assert codex.by_hand("say: two", "resume", writer.thread).code == 0
    assert not lock.exists()


def test_whoever_asks_without_pause_makes_no_codex_fail(
    codex: RealTasks, thread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a container, where the kernel's table does not name the writer.
    monkeypatch.setattr(home, "_KERNEL_LOCKS", tmp_path / "nothing")
    answers = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.add(writer_of(codex.home, thread))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        lock = codex.home / "thread-writer-locks" / f"{thread}.lock"
        for _ in range(TRIES):
            lock.touch()  # as a killed one leaves it
            assert codex.by_hand("say: more", "resume", thread).code == 0
    finally:
        done.set()
        asking.join()
    assert answers == {None, 0}


def test_a_turn_begins_in_the_events_before_the_model_is_asked(
    codex: RealTasks, tmp_path: Path
) -> None:
    begun = []

    def noting(request: Request) -> Reply:
        begun.append("turn.started" in (tmp_path / "by-hand.jsonl").read_text())
        return scripted(request)

    with LoopbackServer(noting) as server:
        write_home(codex.home, server.config_toml())
        assert Writer(codex, tmp_path, "say: one").process.wait(30) == 0

    assert begun == [True]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("\nfoo = [1,\n", "configuration"),
        ("\nsandbox_mode = 5\n", "configuration"),
        ('\nmodel_provider = "nowhere"\n', "configuration"),
    ],
)
def test_a_broken_configuration_is_refused(
    codex: RealTasks, thread: str, text: str, named: str
) -> None:
    config = codex.home / "config.toml"
    old = config.read_text().replace('model_provider = "loopback"\n', "")
    head, table = old.split("[analytics]")
    config.write_text(f"{head}{text}[analytics]{table}")

    for words in ((), ("resume", thread)):
        refused = codex.by_hand("say: hi", "--json", *words)

        assert (refused.code, refused.stdout) == (1, "")
        assert error_class(refused.stderr) == named


@pytest.mark.parametrize("way", ["unknown", "archived", "deleted", "removed", "empty"])
def test_a_thread_that_is_gone_is_refused(
    codex: RealTasks, thread: str, way: str
) -> None:
    match way:
        case "archived":
            subcommand(codex, "archive", thread)
        case "deleted":
            subcommand(codex, "delete", "--force", thread)
        case "removed":
            codex.rollout(thread).unlink()
        case "empty":
            codex.rollout(thread).write_bytes(b"")
        case _:
            thread = NOBODY

    refused = codex.by_hand("say: hi", "--json", "resume", thread)

    assert (refused.code, refused.stdout) == (1, "")
    assert error_class(refused.stderr) == "thread_gone"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--nonsense"], 2, "option"),
        (["--color", "mauve"], 2, "option"),
        (["-c", "foo"], 1, "option"),
        (["--enable", "nonsense"], 1, "option"),
        (["-c", "sandbox_mode='mauve'"], 1, "configuration"),
        (["-c", "model_provider='nowhere'"], 1, "configuration"),
        (["--output-schema", "/nowhere"], 1, "option"),
    ],
)
def test_an_option_is_refused(
    codex: RealTasks, words: list[str], code: int, named: str
) -> None:
    refused = codex.by_hand("say: hi", "--json", *words)

    assert (refused.code, refused.stdout) == (code, "")
    assert error_class(refused.stderr) == named


def test_an_untrusted_directory_is_refused(codex: RealTasks, tmp_path: Path) -> None:
    codex.repo = tmp_path / "plain"
    codex.repo.mkdir()

    refused = codex.by_hand("say: hi", "--json")

    assert (refused.code, refused.stdout) == (1, "")
    assert error_class(refused.stderr) == "untrusted"


def subcommand(codex: RealTasks, *words: str) -> None:
    done = subprocess.run(
        [codex.stand_in.path, *words],
        env=codex.cli.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
