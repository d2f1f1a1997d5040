"""Fills a CODEX_HOME with rollouts as large as those of a real one."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.many import UNTIL, figures, new_thread

from runner.clock import iso

CALLS = 20
_MODEL = "gpt-5.1-codex"
_LETTERS = "abcdefgh ijkl\nmnop"
_INSTRUCTIONS, _REASONING, _OUTPUT = 16_000, 800, 1_000


def fill(codex_home: Path, threads: int) -> list[Path]:
    """Write threads of one to three turns with tool calls; return their files."""
    chance, paths = random.Random(7), []  # noqa: S311  # the same ones every time
    for number in range(threads):
        at = UNTIL - timedelta(minutes=20 * (threads - number))
        thread = new_thread(chance, at)
        path = codex_home / "sessions" / f"{at:%Y/%m/%d}"
        path.mkdir(parents=True, exist_ok=True)
        path /= f"rollout-{at:%Y-%m-%dT%H-%M-%S}-{thread}.jsonl"
        records = _thread(chance, thread, 1 + number % 3)
        with path.open("w", encoding="utf-8") as stream:
            for ordinal, (kind, payload) in enumerate(records):
                at += timedelta(seconds=0.2)
                head = {"timestamp": iso(at), "ordinal": ordinal}
                line = {**head, "type": kind, "payload": payload}
                text = json.dumps(line, separators=(",", ":"))
                stream.write(text + "\n")
        paths.append(path)
    return paths


def _thread(
    chance: random.Random, thread: str, turns: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    text = "".join(chance.choices(_LETTERS, k=_INSTRUCTIONS))
    yield (
        "session_meta",
        {
            "id": thread,
            "session_id": thread,
            "timestamp": iso(UNTIL - timedelta(days=30)),
            "cwd": "/srv/src/app",
            "originator": "codex_exec",
            "cli_version": "0.169.0",
            "source": "exec",
            "base_instructions": {"text": text},
        },
    )
    call = 0
    for number in range(turns):
        turn = f"{thread[:-12]}{number:012x}".replace("-8", "-9", 1)
        turn = max(turn, thread)
        names = {"turn_id": turn, "root_turn_id": turn}
        yield "event_msg", {"type": "task_started", **names}
        yield "turn_context", {**names, "cwd": "/srv/src/app", "model": _MODEL}
        asked = f"Prompt {number} of this thread."
        user = [{"type": "input_text", "text": asked}]
        yield "response_item", {"type": "message", "role": "user", "content": user}
        heard = {"type": "UserMessage", "content": [{"type": "text", "text": asked}]}
        yield "event_msg", {"type": "item_completed", **names, "item": heard}
        for _ in range(CALLS):
            call += 1
            yield from _call(chance, thread, names, call)
        answer = [{"type": "Text", "text": f"Answer {number}."}]
        item = {"type": "AgentMessage", "id": "m1", "content": answer}
        yield "event_msg", {"type": "item_completed", **names, "item": item}
        end = {"last_agent_message": f"Answer {number}."}
        yield "event_msg", {"type": "task_complete", **names, **end}


def _call(
    chance: random.Random, thread: str, names: dict[str, str], number: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Let the model think, run a command, and be told what it has printed."""
    name, output = f"call_{number}", "".join(chance.choices(_LETTERS, k=_OUTPUT))
    secret = f"{chance.getrandbits(_REASONING * 4):x}"
    yield "response_item", {"type": "reasoning", "encrypted_content": secret}
    command = ["/bin/bash", "-lc", f"cat file-{number}.py"]
    call = {"type": "function_call", "name": "exec_command", "call_id": name}
    yield "response_item", {**call, "arguments": json.dumps({"cmd": command[-1]})}
    one = figures(20_000, 15_000, 300)
    total = {part: value * number for part, value in one.items()}
    yield (
        "token_usage_record",
        {
            **names,
            "thread_id": thread,
            "session_id": thread,
            "response_id": f"resp_{number}",
            "usage": one,
            "thread_token_usage": total,
        },
    )
    done = {"type": "CommandExecution", "id": name, "command": command, "exit_code": 0}
    done |= {"status": "completed", "stdout": output, "aggregated_output": output}
    yield "event_msg", {"type": "item_completed", **names, "item": done}
    told = f"Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\n{output}"
    answer = {"type": "function_call_output", "call_id": name, "output": told}
    yield "response_item", answer
    info = {"total_token_usage": total, "last_token_usage": one}
    limits = {"primary": {"used_percent": 1.0, "window_minutes": 300}}
    yield "event_msg", {"type": "token_count", "info": info, "rate_limits": limits}
