"""Prompts reach the real Codex whole, whatever they hold and however they come."""

import subprocess
from pathlib import Path

import pytest
from support.processes import command_line, wait_until
from support.real_codex import RealTasks, events, holding

from runner.loopback import LoopbackServer

CODEX_LIMIT = 1_048_576
OTHER_SESSION = "01a1f000-1111-7000-8000-00000000beef"


def big_prompt(characters: int) -> str:
    end = "\nsay: read to the end"
    return "ä" + "x" * (characters - 1 - len(end)) + end


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_prompt_of_a_million_characters_arrives_whole(
    codex: RealTasks, tmp_path: Path, loopback: LoopbackServer, way: str
) -> None:
    prompt = big_prompt(1_000_000)
    path = tmp_path / "prompt.md"
    path.write_text(prompt)

    if way == "file":
        ended = codex("--task-file", path)
    else:
        ended = codex("--task", "-", stdin=prompt)

    assert ended.code == 0
    assert ended.files.summary["final_message"] == "read to the end"
    (request,) = loopback.requests_of(ended.fields["codex_session_id"])
    assert request.prompt == prompt
    assert ended.files.summary["task"] == prompt[:2000]
    pointer = ended.files.summary["task_file"]
    assert Path(pointer).read_text() == prompt


def test_a_prompt_above_codex_s_limit_fails_in_its_words_and_on_record(
    codex: RealTasks, tmp_path: Path
) -> None:
    path = tmp_path / "prompt.md"
    path.write_text(big_prompt(CODEX_LIMIT + 1))

    ended = codex("--task-file", path)

    assert ended.code == 1
    assert ended.fields["outcome"] == "failed"
    assert f"maximum length of {CODEX_LIMIT} characters" in ended.meta["error"]
    assert f"maximum length of {CODEX_LIMIT} characters" in ended.stderr
    assert ended.meta["state"] == "finished"
    usage = ended.files.summary["token_usage"]
    assert usage["total_tokens"] == 0


@pytest.mark.parametrize("prompt", ["--help", "-", "-v", "- say hello"])
def test_a_prompt_that_starts_with_a_dash_is_a_prompt(
    codex: RealTasks, loopback: LoopbackServer, tmp_path: Path, prompt: str
) -> None:
    if prompt == "-":
        path = tmp_path / "prompt"
        path.write_text(prompt)
        ended = codex("--task-file", path)
    else:
        ended = codex(f"--task={prompt}")

    assert ended.code == 0
    (request,) = loopback.requests_of(ended.fields["codex_session_id"])
    assert request.prompt == prompt


def test_the_session_id_is_the_one_that_codex_announced(codex: RealTasks) -> None:
    fake = f'{{"type":"thread.started","thread_id":"{OTHER_SESSION}"}}'
    ended = codex(
        "--task",
        f"session id: {OTHER_SESSION}\nrun: echo '{fake}'; printf '\\0'\n"
        f"say: session id: {OTHER_SESSION}",
    )

    thread = events(ended.files)[0]["thread_id"]
    assert thread != OTHER_SESSION
    assert ended.fields["codex_session_id"] == ended.meta["session_id"] == thread
    for suffix in (".log", ".events.jsonl"):
        read = codex.parse("--log", ended.files.path(suffix))
        assert f'"session_id":"{thread}"' in read.stdout


def test_a_caller_that_holds_an_open_pipe_does_not_hang(codex: RealTasks) -> None:
    begun = codex.start("--task", "say: done", stdin=subprocess.PIPE)

    assert begun.wait().code == 0
    assert begun.process.stdin is not None
    assert not begun.process.stdin.closed


def test_the_prompt_is_in_no_command_line(codex: RealTasks, tmp_path: Path) -> None:
    go, secret = tmp_path / "go", "hunter2-is-the-secret"
    path = tmp_path / "prompt"
    path.write_text(f"{secret}\nrun: {holding(go)}")
    begun = codex.start("--task-file", path)
    files = begun.wait_running()
    wait_until(lambda: "exec\n" in files.log, what="the command")

    below = begun.below
    assert len(below) >= 3
    assert not [pid for pid in below if secret in command_line(pid)]

    go.touch()
    assert begun.wait().code == 0
