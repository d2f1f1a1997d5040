"""The transcript of an imported thread stays in Codex's rollout, and is read there."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from parsers.rollouts import records
from runner import config, foreign
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.run_files import files_of
from runner.service import log
from runner.service.importing import take_in
from runner.service.lookup import get
from runner.service.result import result_of
from runner.service.verify import verify

DATA = Path(__file__).parents[1] / "unit" / "parsers" / "data"
THREADS = {
    "new+2resumes": "01a1f87a-1edb-7772-a295-bcdec2d6d2fd",
    "revert": "01a22000-0000-7000-8000-000000000001",
}
LONG = "An answer. " * 1_000


class Imported:
    """A thread that was imported, and its rollout."""

    def __init__(self, place: Path, name: str) -> None:
        self.settings = config.load({"HOME": str(place)})
        self.ledger = Ledger(self.settings.state_home)
        self.home, self.thread = self.settings.codex_home, THREADS[name]
        day = self.home / "sessions/2026/11/20"
        day.mkdir(parents=True)
        names = {"": f"rollout-0.169-{name}.jsonl"}
        if name == "revert":
            names = {
                each: f"rollout-revert{each}.jsonl" for each in ("-base", "-revision")
            }
        self.paths = []
        for end, data in names.items():
            revision = "_01a22000-9000-7000-8000-0000000000f1" * (end == "-revision")
            path = day / f"rollout-2026-11-20T10-00-00-{self.thread}{revision}.jsonl"
            text = (DATA / data).read_text()
            path.write_text(text.replace("done: say hi", LONG))
            self.paths.append(path)
        found = foreign.read_rollout(*self.paths)
        assert isinstance(found, foreign.sources.History)
        turns = [each.rollout for each in found.runs if each.rollout]
        self.lines = [[*foreign.read_turn(*turn).lines] for turn in turns]
        (told,) = take_in([str(self.home)], self.ledger, self.settings)
        assert told.word == "imported"

    @property
    def key(self) -> int:
        return self.ledger.sessions.of_thread(self.thread) or 0

    def pieces(self, last: int | None = None) -> Sequence[log.Piece]:
        task, wish = get(self.key, self.ledger), log.Wish(last=last)
        return [*log.read(task, wish, self.ledger, self.settings)]

    def shown(self, last: int | None = None) -> list[bytes]:
        """Return the lines of the log, with the prompts."""
        found: list[bytes] = []
        for each in self.pieces(last):
            if isinstance(each, log.Lines):
                found += [line + b"\n" for line in each.lines]
            elif isinstance(each, log.Prompt):
                found.append(each.text)
        return found

    def notes(self) -> list[str]:
        return [each.text for each in self.pieces() if isinstance(each, log.Note)]

    def answers(self) -> list[str | None]:
        task = get(self.key, self.ledger)
        ids = self.ledger.runs.ids(self.key)
        return [result_of(task, self.ledger, run_id).answer for run_id in ids]


@pytest.fixture
def thread(tmp_path: Path) -> Imported:
    return Imported(tmp_path, "new+2resumes")


@pytest.mark.parametrize("name", THREADS)
def test_the_log_is_read_in_the_rollout(tmp_path: Path, name: str) -> None:
    thread = Imported(tmp_path, name)
    runs = thread.ledger.runs.of_session(thread.key)

    found = thread.shown()

    prompts = [run.spec.task.encode() for run in runs]
    both = zip(prompts, thread.lines, strict=True)
    whole = [line for prompt, lines in both for line in (prompt, *lines)]
    assert found == whole
    for last in (0, 1, 3, len(thread.lines[-1]), len(thread.lines[-1]) + 2, 99):
        assert thread.shown(last) == whole[max(0, len(whole) - last) :]
    for run in runs:
        paths = files_of(run.spec)
        assert sorted(path.name for path in paths.directory.iterdir()) == [
            "meta.json",
            "prompt",
            "summary.json",
        ]
        assert str(record.to_json(run)["events_file"]) in map(str, thread.paths)
    assert verify(thread.settings, is_repairing=False, is_full=True).is_good


def test_a_long_answer_is_read_in_the_rollout(thread: Imported) -> None:
    assert thread.answers()[1] == LONG


def test_only_the_turn_itself_is_read(
    thread: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, decode = list[str](), records.read_record

    def counting(line: bytes) -> records.Record:
        read.append((found := decode(line)).kind)
        return found

    monkeypatch.setattr(records, "read_record", counting)
    thread.answers()

    assert read.count("session_meta") == 1
    assert read.count("task_complete") == 1


def test_a_thread_that_codex_has_archived_is_read_where_it_is_now(
    thread: Imported,
) -> None:
    before, archive = thread.shown(), thread.home / "archived_sessions"
    archive.mkdir()
    thread.paths[0].rename(archive / thread.paths[0].name)

    assert thread.shown() == before
    assert thread.answers()[1] == LONG


def test_what_the_ledger_has_stays_when_the_rollout_is_gone(thread: Imported) -> None:
    thread.paths[0].unlink()

    reason = f"cannot read {thread.paths[0]}: No such file or directory"
    assert thread.notes() == [reason] * 3
    found = [json.loads(line) for line in thread.shown() if line.startswith(b"{")]
    assert [each["item"]["text"] for each in found] == [
        "done: run: echo hello > f.txt; cat f.txt",
        LONG[:2_000],
        "done: run: false",
    ]
    short = thread.answers()
    assert short == [found[0]["item"]["text"], None, found[2]["item"]["text"]]
    assert verify(thread.settings, is_repairing=False, is_full=True).is_good


def test_a_rollout_with_other_turns_is_not_taken_for_the_run(thread: Imported) -> None:
    lines = thread.paths[0].read_text().splitlines(keepends=True)
    thread.paths[0].write_text("".join((lines[0], "{}\n", *lines[1:])))

    assert (
        thread.notes()
        == [f"cannot read {thread.paths[0]}: the turn is no longer there"] * 3
    )
