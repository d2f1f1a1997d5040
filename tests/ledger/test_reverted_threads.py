"""A thread that an application has reverted: two rollout files, one thread.

After "edit from here" Codex goes on in a second file, `…-<thread id>_<revision>.jsonl`,
in the directory of that day. Its totals go on from those of the turn before.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.exec_events.summary import EventSummary
from parsers.rollouts.read import read_rollout
from runner import clock, config
from runner.accounting.rollouts import RolloutIndex, Rollouts, Slice, read_rollouts
from runner.codex import home
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.model import Limits
from runner.service.importing import take_in
from runner.service.summarize import summarize_log
from runner.supervisor.limits import LimitsWatch

DATA = Path(__file__).parents[1] / "unit" / "parsers" / "data"
THREAD = "01a22000-0000-7000-8000-000000000001"
REVISION = "01a22000-9000-7000-8000-0000000000f1"
SHARES = [1100, 1100, 1100, 550]


class Reverted:
    """A state directory, and a CODEX_HOME with the thread."""

    def __init__(self, place: Path) -> None:
        self.settings = config.load({"HOME": str(place)})
        self.home = self.settings.codex_home
        names = {
            "2026/11/30": f"rollout-2026-11-30T02-50-00-{THREAD}.jsonl",
            "2026/12/01": f"rollout-2026-12-01T02-54-00-{THREAD}_{REVISION}.jsonl",
        }
        self.paths = [self.home / "sessions" / day / names[day] for day in names]
        for path, kind in zip(self.paths, ("base", "revision"), strict=True):
            path.parent.mkdir(parents=True)
            path.write_bytes((DATA / f"rollout-revert-{kind}.jsonl").read_bytes())
            os.utime(path, (0, 0))

    def totals(self) -> list[int | None]:
        ledger = Ledger(self.settings.state_home)
        key = ledger.sessions.of_thread(THREAD)
        told = map(record.to_json, ledger.runs.of_session(key or 0))
        found = [each["token_usage"]["total_tokens"] for each in told]  # type: ignore[index]  # JSON
        ledger.close()
        return found

    def take_in(self) -> list[tuple[str, int]]:
        ledger = Ledger(self.settings.state_home)
        found = [*take_in([str(self.home)], ledger, self.settings)]
        ledger.close()
        return [(each.word, each.runs) for each in found]


@pytest.fixture
def thread(tmp_path: Path) -> Reverted:
    return Reverted(tmp_path)


@pytest.mark.parametrize("index", [Rollouts, RolloutIndex])
def test_both_files_are_found_in_order(
    thread: Reverted, index: Callable[[Path], Rollouts]
) -> None:
    assert index(thread.home).paths_of(THREAD) == thread.paths


def test_copies_of_a_file_count_once(thread: Reverted) -> None:
    copies = thread.home / "sessions" / "backup"
    copies.mkdir()
    for path in thread.paths:
        (copies / path.name).write_bytes(path.read_bytes())

    assert home.rollouts_of(thread.home, THREAD) == thread.paths
    assert RolloutIndex(thread.home).paths_of(THREAD) == thread.paths


def test_a_copy_with_another_name_is_no_revision(thread: Reverted) -> None:
    whole, later = thread.paths
    for name in (f"{whole.stem} copy", f"{whole.stem}_backup", "rollout-kept"):
        (whole.parent / f"{name}.jsonl").write_bytes(whole.read_bytes())

    assert home.rollouts_of(thread.home, THREAD) == thread.paths
    assert RolloutIndex(thread.home).paths_of(THREAD) == thread.paths
    assert thread.take_in() == [("imported", 4)]
    assert thread.totals() == SHARES
    for path in (whole, later):
        path.unlink()
    (copy,) = RolloutIndex(thread.home).paths_of(THREAD)
    assert copy.parent == whole.parent


def test_a_run_after_the_revert_has_what_the_second_file_says(thread: Reverted) -> None:
    """Its offset was taken before it: the size of both files, or of the first."""
    first, second = (path.stat().st_size for path in thread.paths)
    header = len(thread.paths[1].read_bytes().splitlines(keepends=True)[0])
    assert home.size_of(thread.paths) == first + second

    for offset in (first, first + header):
        found = read_rollouts(Rollouts(thread.home), THREAD, Slice(offset=offset), ())
        assert found.thread is not None
        assert found.thread.usage.total_tokens == SHARES[-1]


def test_a_total_after_the_revert_holds_that_of_the_turns_before(
    thread: Reverted,
) -> None:
    """Where no usage records are written."""
    both = b"".join(path.read_bytes() for path in thread.paths)
    lines = [each for each in both.splitlines(keepends=True) if b"_record" not in each]

    assert read_rollout(lines).usage.total_tokens == sum(SHARES)


def test_a_provider_may_use_an_id_again_after_the_revert(thread: Reverted) -> None:
    both = b"".join(path.read_bytes() for path in thread.paths)

    found = read_rollout(both.replace(b"resp_4", b"resp_2").splitlines(keepends=True))

    assert [call.usage.total_tokens for call in found.calls] == SHARES


def test_each_turn_of_both_files_is_imported_once(thread: Reverted) -> None:
    assert thread.take_in() == [("imported", 4)]
    assert thread.totals() == SHARES
    assert thread.take_in() == [("present", 4)]


def test_what_was_done_after_the_revert_comes_with_the_next_import(
    thread: Reverted,
) -> None:
    later = thread.paths[1].read_bytes()
    thread.paths[1].unlink()
    assert thread.take_in() == [("imported", 3)]

    thread.paths[1].write_bytes(later)
    os.utime(thread.paths[1], (1, 1))

    assert thread.take_in() == [("imported", 4)]
    assert thread.totals() == SHARES


@pytest.mark.parametrize("number", [0, 1])
def test_either_path_is_that_of_the_whole_thread(thread: Reverted, number: int) -> None:
    found = summarize_log(thread.paths[number], None, thread.settings)

    usage = found["token_usage"]
    assert isinstance(usage, dict)
    assert (usage["total_tokens"], usage["source"]) == (sum(SHARES), "rollout")
    assert found["final_message"] == "delta"


def test_a_saved_stream_names_its_turn_in_the_second_file(
    thread: Reverted, tmp_path: Path
) -> None:
    usage = {"input_tokens": 1500, "output_tokens": 150}
    lines: list[dict[str, object]] = [
        {"type": "thread.started", "thread_id": THREAD},
        {"type": "turn.started"},
        {"type": "turn.completed", "usage": usage},
    ]
    log = tmp_path / "events.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    found = summarize_log(log, None, thread.settings)["token_usage"]

    assert isinstance(found, dict)
    assert (found["total_tokens"], found["source"]) == (SHARES[-1], "rollout")


def test_a_second_file_that_grows_is_progress(
    thread: Reverted, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    watch, seen = LimitsWatch(Limits(stall=100), thread.home), EventSummary()
    seen.feed(json.dumps({"type": "thread.started", "thread_id": THREAD}).encode())

    for _ in range(30):
        assert watch.exceeded(seen) is None
        with thread.paths[1].open("a") as stream:
            stream.write("{}\n")
        now += 10
