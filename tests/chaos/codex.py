"""A Codex for the chaos: it plays what its prompt says, and logs what it does.

A prompt is `p17 ok 30`: its tag, what happens, and how long each step takes in ms; one
that begins with `The check` is the next turn of the prompt that it names, any other one
continues a turn. Run as `codex.pyc HOME [codex arguments]`; HOME/codex.log
gets one line for each step. As the real Codex does, it locks its thread and refuses one
that another process writes.
What it imports is in the interpreter: it is started hundreds of times.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = (
    '{"type":"item.completed","item":'
    '{"id":"item_1","type":"agent_message","text":"answer to %s"}}'
)
FAILED = '{"type":"turn.failed","error":{"message":"%s"}}'
FAILURES = {
    "fail": "it did not work",
    "limit": "You have hit your usage limit.",
    "busy": "exceeded retry limit, last status: 429 Too Many Requests",
}
COMPLETED = (
    '{"type":"turn.completed","usage":'
    '{"input_tokens":12,"cached_input_tokens":10,"output_tokens":3}}'
)


def main() -> int:
    home, arguments = sys.argv[1], sys.argv[2:]
    if "--version" in arguments:
        sys.stdout.write("codex-cli 0.169.0\n")
        return 0
    thread = _asked_thread(arguments) or _fresh_thread()
    tag, how, pause = _prompt(home)
    seconds = int(pause) / 1000

    def log(what: str) -> None:
        line = f"{what} {tag} {thread} {os.environ['CODEX_RUNNER_RUN']} {os.getpid()}\n"
        _append(f"{home}/codex.log", line)

    log("start")
    if how == "beside":
        log("together")
    if not _lock(f"{home}/held/{thread}"):
        log("together")
    locks = os.environ["CODEX_HOME"] + "/thread-writer-locks"
    if not _lock(f"{locks}/{thread}.lock"):
        sys.stderr.write(
            "Error: thread/resume: thread/resume failed: thread"
            f" {thread} already has an active writer (code -32600)\n"
        )
        return 1
    time.sleep(seconds)
    _say(f'{{"type":"thread.started","thread_id":"{thread}"}}')
    if how == "early":
        sys.stderr.write("Error: something went wrong\n")
        return 1
    time.sleep(seconds)
    _say('{"type":"turn.started"}')
    log("turn")
    if how == "tool":
        _leave_a_tool()
    time.sleep(seconds)
    return _end(how, tag, log)


def _prompt(home: str) -> list[str]:
    """Read the prompt; its tag, and what happens."""
    text = sys.stdin.read()
    if text.startswith("Continue "):
        return ["continue", "ok", "5"]
    if not text.startswith("The check "):
        return text.split()
    checked = text.partition("Its command: ")[2].split()[1]
    is_alone = _lock(f"{home}/held/check-{checked}")
    return [f"{checked}/{os.getpid()}", "ok" if is_alone else "beside", "5"]


def _end(how: str, tag: str, log: Callable[[str], None]) -> int:
    """End the turn as the prompt says."""
    if how == "crash":
        return 3
    if how in FAILURES:
        _say(FAILED % FAILURES[how])
        return 1
    _say(MESSAGE % tag)
    _say(COMPLETED)
    log("end")
    return 0


def _asked_thread(arguments: list[str]) -> str | None:
    """Find the id in `exec [options] resume [options] ID -`."""
    if "resume" not in arguments:
        return None
    after = arguments[arguments.index("resume") + 1 :]
    return next(word for word in reversed(after) if word.count("-") == 4)


def _fresh_thread() -> str:
    """Make a thread id as Codex does: a UUID of version 7."""
    text = f"{time.time_ns() // 1_000_000:012x}" + os.urandom(10).hex()
    parts = (text[:8], text[8:12], f"7{text[13:16]}", f"8{text[17:20]}", text[20:])
    return "-".join(parts)


def _lock(path: str) -> bool:
    """Lock a file until our end; tell whether no other process had it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say(event: str) -> None:
    os.write(1, f"{event}\n".encode())


def _append(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def _leave_a_tool() -> None:
    """Start a tool that outlives us; `stop` ends it."""
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 256)
        time.sleep(300)
        os._exit(0)


if __name__ == "__main__":
    os._exit(main())
