"""The model is gone: the real Codex reconnects for ever, and that is no progress."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import wait_until
from support.real_codex import (
    RealTasks,
    events,
    holding,
    parts,
    used,
    wait_for_command,
)

from runner.loopback import LoopbackServer, scripted, write_home

_PROVIDER = "model_providers.loopback"
PATIENT = (*("-c", f"{_PROVIDER}.stream_max_retries=100"),)


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Hold a port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def reconnects(found: list[dict[str, object]]) -> list[str]:
    texts = [str(e["message"]) for e in found if e["type"] == "error"]
    return [text for text in texts if text.startswith("Reconnecting...")]


def test_an_absent_model_server_is_a_stall(codex: RealTasks, dead_port: int) -> None:
    address = f'{_PROVIDER}.base_url="http://127.0.0.1:{dead_port}/v1"'
    ended = codex("--stall-timeout", "2", *PATIENT, "-c", address, "--task", "say: hi")

    assert ended.code == 124
    assert ended.fields["outcome"] == "stalled"
    said = reconnects(events(ended.files))
    assert said[0].startswith("Reconnecting... waiting for network (")
    assert ended.meta["error"] == f"no progress for 2 s; last: {said[-1]}"
    assert ended.meta["elapsed_seconds"] < 5
    assert ended.files.summary["warnings"] == {}


def test_a_model_server_that_goes_in_the_middle_of_a_run_is_a_stall(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with LoopbackServer(scripted) as server:
        write_home(codex.home, server.config_toml())
        task = ("--task", f"run: {holding(go)}\nsay: never")
        begun = codex.start("--stall-timeout", "2", *PATIENT, *task)
        files = begun.wait_running()
        wait_for_command(files)
    go.touch()

    ended = begun.wait()

    assert ended.code == 124
    assert ended.fields["outcome"] == "stalled"
    assert reconnects(events(files))
    assert parts(files.summary["token_usage"]) == used(1)
    assert files.summary["commands"] == {"run": 1, "failed": 0}


@pytest.mark.parametrize("directive", ["drop", "fail: 500"])
def test_a_stream_that_breaks_again_and_again_is_a_stall(
    codex: RealTasks, directive: str
) -> None:
    task = f"run: true\n{directive}"
    ended = codex("--stall-timeout", "3", *PATIENT, "--task", task)

    assert ended.code == 124
    assert ended.fields["outcome"] == "stalled"
    said = reconnects(events(ended.files))
    assert len(said) >= 3
    assert said[0].startswith("Reconnecting... 1/100 (")
    assert ended.meta["elapsed_seconds"] < 6
    usage = ended.files.summary["token_usage"]
    assert parts(usage) == used(1)
    assert ("failed_calls" in usage.get("uncounted", {})) == (directive == "drop")


def test_codex_notes_each_broken_stream_in_its_rollout(codex: RealTasks) -> None:
    """Why a rollout that grows is not progress by itself."""
    begun = codex.start("--stall-timeout", "60", *PATIENT, "--task", "drop")
    files = begun.wait_running()
    wait_until(lambda: len(reconnects(events(files))) >= 3, what="three reconnects")
    (thread,) = [e["thread_id"] for e in events(files) if e["type"] == "thread.started"]

    notes = codex.records(thread, "token_count")

    assert len(notes) >= 3
    assert {str(note["info"]) for note in notes} == {"None"}
    begun.send(15)
    assert begun.wait().code == 143


def test_a_command_that_is_silent_for_long_is_no_stall(codex: RealTasks) -> None:
    ended = codex("--stall-timeout", "1", "--task", "run: sleep 3\nsay: slept well")

    assert ended.code == 0
    assert ended.files.summary["final_message"] == "slept well"


def test_a_model_that_thinks_for_too_long_is_a_stall(codex: RealTasks) -> None:
    ended = codex("--stall-timeout", "1", "--task", "slow: 60\nsay: never")

    assert ended.code == 124
    assert ended.fields["outcome"] == "stalled"
    assert ended.meta["error"] == "no progress for 1 s"
