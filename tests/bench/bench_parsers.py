"""How fast the parsers read, beside `json.loads` on each line of the same file.

Run it: `.venv/bin/python tests/bench/bench_parsers.py [MEGABYTES]`. It prints MB per
second of CPU, the ratio to the peer in the same run, and the memory needed on top.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path

from parsers.any_log import read_log
from parsers.exec_events.summary import EventSummary
from parsers.exec_events.transcript import render
from parsers.rollouts.read import read_rollout

ROUNDS = 3
WORDS = 'the quick "brown" fox\tjumps\n\x1b[32mover\x1b[0m grüße ✓ \\ a/lazy/dog.py:17 '
THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
TURN = "01a1f87a-1eee-7d51-bc6a-0b69d8e3a561"


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        of_events = {"EventSummary": digest, "read_log": read, "render": show}
        for name, lines, separators, readers in (
            ("events", events(), (",", ":"), of_events),
            ("events with blanks", events(), (", ", ": "), of_events),
            ("rollout", records(), (",", ":"), {"rollout.read": referee}),
        ):
            path = Path(folder, f"{name}.jsonl")
            write(path, lines, size * 1_000_000, separators)
            compare(name, path, {"json.loads": loads, **readers})


def compare(
    name: str, path: Path, readers: dict[str, Callable[[BufferedReader], None]]
) -> None:
    size = path.stat().st_size / 1e6
    print(f"{name}: {size:.0f} MB, best of {ROUNDS}")
    peer = 0.0
    for reader, read_all in readers.items():
        before = resident()
        seconds = min(timed(read_all, path) for _ in range(ROUNDS))
        peer = peer or seconds
        speed = f"{size / seconds:8.0f} MB/s {peer / seconds:6.1f} x json.loads"
        print(f"  {reader:14}{speed} {resident() - before:+6.1f} MB")


def timed(read_all: Callable[[BufferedReader], None], path: Path) -> float:
    start = time.process_time()
    with path.open("rb") as stream:
        read_all(stream)
    return time.process_time() - start


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loads(stream: BufferedReader) -> None:
    for line in stream:
        json.loads(line)


def digest(stream: BufferedReader) -> None:
    EventSummary().read(stream)


def read(stream: BufferedReader) -> None:
    read_log(stream)


def show(stream: BufferedReader) -> None:
    for line in stream:
        render(line)


def referee(stream: BufferedReader) -> None:
    read_rollout(stream)


def write(
    path: Path, lines: Iterator[object], size: int, separators: tuple[str, str]
) -> None:
    with path.open("wb") as file:
        while file.tell() < size:
            text = json.dumps(next(lines), ensure_ascii=False, separators=separators)
            file.write(text.encode() + b"\n")


def words(chance: random.Random, longest: int) -> str:
    return WORDS * (chance.randrange(longest) // len(WORDS) + 1)


def events() -> Iterator[object]:
    """Seven commands in ten items, with up to 4 KB of output."""
    chance = random.Random(7)  # noqa: S311  # the same file every time
    yield {"type": "thread.started", "thread_id": THREAD}
    number = 0
    while True:
        yield {"type": "turn.started"}
        for _ in range(1_000):
            number += 1
            yield from item_events(chance, f"item_{number}")
        yield {"type": "turn.completed", "usage": figures(number)}


def item_events(chance: random.Random, item_id: str) -> Iterator[object]:
    if chance.random() < 0.3:
        kind = chance.choice(("agent_message", "reasoning"))
        item = {"id": item_id, "type": kind, "text": words(chance, 800)}
        yield {"type": "item.completed", "item": item}
        return
    command = {"id": item_id, "type": "command_execution", "command": "bash -lc 'x'"}
    running = {"aggregated_output": "", "exit_code": None, "status": "in_progress"}
    yield {"type": "item.started", "item": {**command, **running}}
    output = words(chance, 4_000)
    done = {"aggregated_output": output, "exit_code": 0, "status": "completed"}
    yield {"type": "item.completed", "item": {**command, **done}}


def records() -> Iterator[object]:
    """A call of the model between outputs of up to 8 KB, as 0.169 writes them."""
    chance = random.Random(7)  # noqa: S311  # the same file every time
    meta = {"session_id": THREAD, "id": THREAD, "cli_version": "0.169.0"}
    yield record("session_meta", meta)
    started = {"type": "task_started", "turn_id": TURN, "root_turn_id": TURN}
    yield record("event_msg", started)
    yield record("turn_context", {"turn_id": TURN, "model": "gpt-5.1-codex"})
    number = 0
    while True:
        number += 1
        output = {"type": "function_call_output", "output": words(chance, 8_000)}
        yield record("response_item", output)
        call = {"thread_id": THREAD, "turn_id": TURN, "response_id": f"resp_{number}"}
        totals = {"usage": figures(1), "thread_token_usage": figures(number)}
        yield record("token_usage_record", {**call, **totals})
        info = {"total_token_usage": figures(number), "last_token_usage": figures(1)}
        yield record("event_msg", {"type": "token_count", "info": info})


def record(kind: str, payload: Mapping[str, object]) -> object:
    return {
        "timestamp": "2026-11-20T10:12:01.509Z",
        "ordinal": 7,
        "type": kind,
        "payload": payload,
    }


def figures(calls: int) -> dict[str, int]:
    return {
        "input_tokens": 1200 * calls,
        "cached_input_tokens": 1000 * calls,
        "cache_write_input_tokens": 0,
        "output_tokens": 345 * calls,
        "reasoning_output_tokens": 45 * calls,
        "total_tokens": 1545 * calls,
    }


if __name__ == "__main__":
    main()
