"""Taking in foreign histories: ids, figures, and what happens when it goes wrong."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from parsers.struct import replace
from runner import config, foreign, session_files
from runner.accounting.rollouts import Slice
from runner.errors import RunnerFault
from runner.foreign import eventlines
from runner.foreign.history import UNKNOWN, ForeignRun, History, Unreadable
from runner.ledger import record
from runner.ledger.runs import Ledger
from runner.locks import lock
from runner.model import Mode, Outcome
from runner.service import imported_runs, importing
from runner.service.imported_books import Shelf
from runner.service.imported_findings import Empty, Imported, Present
from runner.service.sessions import look

DATA = Path(__file__).parent / "parsers" / "data"
THREAD = "0199d9c2-0000-7000-8000-000000000001"
SPAWNING = "01a1f87a-cfd2-7201-b78a-8a93bc569f69"
SPAWNED = "01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RUN = ForeignRun(
    number=0,
    prompt="do it",
    events=None,
    outcome=Outcome.SUCCEEDED,
    exit_code=None,
    error=None,
    answer=None,
    model=None,
    codex_version=None,
    sandbox=None,
    started_at=AT,
    ended_at=AT,
    log_file=None,
    source_run_id=None,
)
PART = History(
    session_id=THREAD,
    title=None,
    created_at=AT,
    updated_at=AT,
    working_dir="/srv/code",
    config_path=None,
    archived_at=None,
    kind="codex-tasks",
    source=Path("/old/task"),
    runs=(RUN,),
)


class Context:
    """A state directory, its index, and histories that are found somewhere."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        environment = {"HOME": str(place), "CODEX_RUNNER_HOME": str(place / "state")}
        self.settings = config.load(environment)
        self.ledger = Ledger(self.settings.state_home)
        self.found: list[History | Unreadable] = []
        monkeypatch.setattr(importing, "_READERS", (self._read,))
        monkeypatch.setattr(foreign, "readers_of", lambda _: [self._read])
        self.place = place

    def __call__(self, *found: History | Unreadable) -> list[object]:
        self.found = list(found)
        return list(importing.take_in([str(self.place)], self.ledger, self.settings))

    def records(self, key: str = THREAD) -> list[dict[str, Any]]:
        return [record.to_json(run) for run in self.ledger.of_session(key)]

    def totals(self) -> list[int | None]:
        return [each["token_usage"]["total_tokens"] for each in self.records()]

    def _read(self, _: Path) -> Iterator[History | Unreadable]:
        yield from self.found


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    house = Context(tmp_path, monkeypatch)
    yield house
    house.ledger.close()


def runs(*changes: dict[str, Any]) -> tuple[ForeignRun, ...]:
    return tuple(
        replace(
            RUN,
            number=number,
            **{"started_at": AT + timedelta(hours=number), **change},
        )
        for number, change in enumerate(changes)
    )


def events(usage: int | None, answer: str = "done") -> tuple[bytes, ...]:
    line = b'{"type":"turn.completed"}\n'
    if usage is not None:
        figures = {"input_tokens": usage, "output_tokens": 0}
        event = {"type": "turn.completed", "usage": figures}
        line = json.dumps(event).encode() + b"\n"
    item = eventlines.completed(0, eventlines.message(answer))
    return (*eventlines.thread_started(THREAD), item, line)


def test_ids_are_the_same_each_time_and_in_the_order_of_the_runs() -> None:
    at_once = [{"started_at": AT}] * 3
    part = replace(PART, runs=runs(*at_once))

    ids = imported_runs.ids_of(part)

    assert ids == imported_runs.ids_of(replace(part, source=Path("/elsewhere")))
    assert ids == sorted(set(ids))
    assert ids[2].startswith("20260304-050607-000002-")


def test_runs_without_a_thread_are_sessions_of_their_own(house: Context) -> None:
    found = house(replace(PART, session_id=None, runs=runs({}, {})))

    keys = [each.session_id for each in found if isinstance(each, Imported)]
    assert len(keys) == len(set(keys)) == 2
    places = [session_files.active(house.settings.state_home, key) for key in keys]
    assert [place.directory.parent.name for place in places] == [".pending"] * 2
    assert all(place.json.is_file() for place in places)
    again = house(replace(PART, session_id=None, runs=runs({}, {})))
    assert [type(each) for each in again] == [Present, Present]


@pytest.mark.parametrize(
    ("outcome", "process", "code"),
    [
        (Outcome.SUCCEEDED, None, 0),
        (Outcome.SUCCEEDED, 1, 0),
        (Outcome.FAILED, None, 1),
        (Outcome.FAILED, 7, 7),
        (Outcome.TIMED_OUT, None, 124),
        (Outcome.STOPPED, None, 143),
        (Outcome.LOST, 0, 1),
    ],
)
def test_an_exit_code_goes_with_the_outcome(
    house: Context, outcome: Outcome, process: int | None, code: int
) -> None:
    house(replace(PART, runs=runs({"outcome": outcome, "exit_code": process})))

    (told,) = house.records()
    assert (told["outcome"], told["exit_code"]) == (outcome, code)
    assert told["process_exit_code"] == process


def test_the_files_of_a_run_are_those_of_our_own(house: Context) -> None:
    house(replace(PART, runs=runs({"lines": events(5), "stderr": ("oh",)})))

    (run,) = house.ledger.of_session(THREAD)
    files = record.files_of(run.spec)
    assert files.prompt.read_text() == "do it"
    assert files.stderr.read_text() == "oh\n"
    assert files.events.read_bytes() == b"".join(events(5))
    assert json.loads(files.meta.read_text()) == record.to_json(run)
    assert json.loads(files.summary.read_text())["final_message"] == "done"
    assert "done" in files.log.read_text()
    row = house.ledger.sessions.find(THREAD)
    assert row is not None
    assert look(row, house.ledger, house.settings).runs == (run,)


def test_options_that_codex_would_not_take_are_left_out(
    house: Context, tmp_path: Path
) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    house(
        replace(
            PART,
            working_dir=str(tmp_path / "repo"),
            runs=runs({"sandbox": "disabled"}, {"sandbox": "read-only", "model": "m"}),
        )
    )

    first, last = house.ledger.of_session(THREAD)
    assert (first.spec.mode, last.spec.mode) == (Mode.NEW, Mode.RESUME)
    assert (first.spec.codex.sandbox, last.spec.codex.sandbox) == (None, "read-only")
    assert last.spec.codex.model == "m"
    assert not last.spec.codex.skip_git_repo_check


@pytest.mark.parametrize("directory", [None, "relative", "/with\0nul"])
def test_a_working_directory_that_is_none_is_the_root(
    house: Context, directory: str | None
) -> None:
    house(replace(PART, working_dir=directory))

    assert house.records()[0]["repo"] == "/"


def test_an_answer_that_only_the_record_has_is_kept(house: Context) -> None:
    house(replace(PART, runs=runs({"answer": "it was this"})))

    (run,) = house.ledger.of_session(THREAD)
    assert run.has_answer
    said = record.files_of(run.spec).events.read_text()
    assert '"text":"it was this"' in said
    assert said.endswith('{"type":"turn.completed"}\n')
    files = session_files.active(house.settings.state_home, THREAD)
    assert files.result.read_text() == "it was this"


def test_a_share_is_the_difference_to_the_run_before(house: Context) -> None:
    house(replace(PART, runs=runs(*({"lines": events(n)} for n in (10, 25, 40)))))

    assert house.totals() == [10, 15, 15]


def test_before_2026_codex_told_what_one_process_had_used(house: Context) -> None:
    year = timedelta(days=365)
    told = [{"lines": events(n), "started_at": AT - year} for n in (10, 25)]
    house(replace(PART, runs=runs(*told)))

    assert house.totals() == [10, 25]
    assert "thread_usage" not in house.records()[1]["accounts"]


def test_a_version_tells_better_than_the_date(house: Context) -> None:
    told = [{"lines": events(n), "codex_version": "0.50.0"} for n in (10, 25)]
    house(replace(PART, runs=runs(*told)))

    assert house.totals() == [10, 25]


def test_a_share_behind_a_gap_is_unknown_and_says_why(house: Context) -> None:
    house(replace(PART, runs=runs(*({"lines": events(n)} for n in (10, None, 40)))))

    assert house.totals() == [10, None, None]
    reasons = [each["token_usage"].get("reason") for each in house.records()]
    assert all(reasons[1:])


def test_figures_of_different_kinds_are_not_subtracted(house: Context) -> None:
    told = [{"lines": events(None), "meta": {"total_tokens": 7}}]
    told += [{"lines": events(None), "meta": {"total_tokens": 9}}]
    told += [{"lines": events(50)}]
    house(replace(PART, kind="run_codex_task.sh", runs=runs(*told)))

    assert house.totals() == [7, 2, None]


def test_a_resumed_run_of_an_unknown_thread_has_no_share(house: Context) -> None:
    meta = {"resume_session": THREAD}
    house(replace(PART, runs=runs({"lines": events(10), "meta": meta})))

    assert house.totals() == [None]
    assert house.records()[0]["mode"] == "resume"


def test_sub_agents_are_counted_with_their_parent(tmp_path: Path) -> None:
    day = tmp_path / "home" / "sessions" / "2026" / "11" / "20"
    day.mkdir(parents=True)
    names = {SPAWNING: "rollout-0.169-spawn", SPAWNED: "rollout-0.169-subagent"}
    for thread, name in names.items():
        shutil.copy(DATA / f"{name}.jsonl", day / f"rollout-x-{thread}.jsonl")
    (day / "rollout-damaged.jsonl").write_text("{")
    shelf = Shelf(tmp_path / "home")

    books = shelf.open(SPAWNING, Slice(offset=0), ())

    assert books.thread is not None
    assert [agent.thread_id for agent in books.agents] == [SPAWNED]
    assert shelf.open(THREAD, Slice(offset=0), ()).thread is None


def test_nothing_was_asked_for(house: Context) -> None:
    assert [type(each) for each in house(replace(PART, runs=()))] == [Empty]


def test_what_cannot_be_read_keeps_nothing_else_back(house: Context) -> None:
    gone = replace(RUN, events=(Path("/nowhere/task.log"), 0, 10))
    damaged = Unreadable(Path("/x"), "why")

    found = house(damaged, replace(PART, runs=(gone,)), replace(PART, runs=(RUN,)))

    assert [type(each) for each in found] == [Unreadable, Unreadable, Imported]
    assert not list(house.settings.state_home.glob(".import-*"))


def test_one_import_at_a_time(house: Context) -> None:
    house(PART)
    held = lock(house.settings.state_home / "locks" / "import.lock")
    assert held is not None

    with pytest.raises(RunnerFault, match="another codex-tasks import"):
        house(PART)


def test_a_run_at_another_time_is_left_out_and_named(house: Context) -> None:
    later = replace(RUN, started_at=AT + timedelta(days=1), ended_at=AT + timedelta(2))
    house(PART)

    (found,) = house(
        replace(PART, kind="rollout", runs=(RUN, replace(later, number=1)))
    )

    assert isinstance(found, Present)
    assert [run.started_at for run in found.left_out] == [later.started_at]
    assert len(house.records()) == 1


def test_of_runs_without_times_those_beyond_the_known_are_left_out_and_named(
    house: Context,
) -> None:
    vague: dict[str, Any] = {"started_at": AT, "meta": {UNKNOWN: ["started_at"]}}
    house(replace(PART, runs=runs(vague, vague)))

    (same,) = house(replace(PART, runs=runs(vague, vague)))
    (more,) = house(replace(PART, runs=runs(vague, vague, vague, {})))

    assert isinstance(same, Present)
    assert isinstance(more, Present)
    assert same.left_out == ()
    assert [run.number for run in more.left_out] == [2, 3]
    assert len(house.records()) == 2


@pytest.mark.parametrize(
    ("harm", "why"),
    [(MemoryError(), "it is too large"), (RecursionError(), "it nests too deeply")],
)
def test_a_source_that_is_too_much_for_its_reader_ends_itself_alone(
    house: Context, monkeypatch: pytest.MonkeyPatch, harm: Exception, why: str
) -> None:
    def broken(_: Path) -> Iterator[History | Unreadable]:
        yield PART
        raise harm

    readers = [broken, house._read]
    monkeypatch.setattr(importing, "_READERS", readers)
    monkeypatch.setattr(foreign, "readers_of", lambda _: readers)
    other = replace(PART, session_id=SPAWNING)

    found = house(other)

    assert [type(each) for each in found] == [Imported, Unreadable, Imported]
    assert isinstance(found[1], Unreadable)
    assert found[1].reason == why


def test_a_thread_that_is_at_work_is_not_taken_in(house: Context) -> None:
    lost = runs({"outcome": Outcome.LOST})
    at_work = replace(PART, kind="rollout", runs=lost, is_at_work=True)

    (found,) = house(at_work)

    assert isinstance(found, Unreadable)
    assert "import it when it has ended" in found.reason
    assert house.records() == []
    (later,) = house(replace(at_work, runs=runs({}), is_at_work=False))
    assert isinstance(later, Imported)


def test_a_thread_on_record_may_be_at_work(house: Context) -> None:
    house(PART)

    (found,) = house(replace(PART, kind="rollout", is_at_work=True))

    assert isinstance(found, Present)


def test_a_lost_run_that_has_its_end_now_is_written_anew(house: Context) -> None:
    part = replace(PART, kind="rollout", title="A name")
    before = {"lines": events(10), "codex_version": "0.169.0"}
    lost = {"outcome": Outcome.LOST, "lines": events(30, "I will")[:-1]}
    house(replace(part, runs=runs(before, lost)))
    was = house.records()
    ended = {"lines": events(35), "ended_at": AT + timedelta(hours=2)}

    (found,) = house(replace(part, runs=runs(before, ended)))

    assert isinstance(found, Imported)
    assert [run.number for run in found.history.runs] == [1]
    now = house.records()
    assert [each["run_id"] for each in now] == [each["run_id"] for each in was]
    assert (was[1]["outcome"], now[1]["outcome"]) == ("lost", "succeeded")
    assert now[0] == was[0]
    files = session_files.active(house.settings.state_home, THREAD)
    assert files.result.read_text() == "done"
    assert files.log.read_text().count("I will") == 0
    (meta,) = files.runs.glob(f"*{now[1]['run_id']}.meta.json")
    assert json.loads(meta.read_text())["outcome"] == "succeeded"
    row = house.ledger.sessions.find(THREAD)
    assert row is not None
    assert (row.title, row.outcome) == ("A name", "succeeded")
    assert list(house.settings.state_home.glob(".import-*")) == []
    (again,) = house(replace(part, runs=runs(before, ended)))
    assert isinstance(again, Present)


@pytest.mark.parametrize(
    "change",
    [
        {"runs": runs({"outcome": Outcome.LOST})},
        {"kind": "codex-tasks"},
        {"is_at_work": True},
        {"runs": runs({"started_at": AT + timedelta(seconds=1)})},
    ],
    ids=["still lost", "another source", "at work", "another run"],
)
def test_a_lost_run_stays_without_its_own_end(
    house: Context, change: dict[str, Any]
) -> None:
    part = replace(PART, kind="rollout")
    house(replace(part, runs=runs({"outcome": Outcome.LOST})))
    was = house.records()

    (found,) = house(replace(part, **change))

    assert isinstance(found, Present)
    assert house.records() == was


def test_a_dry_run_only_says_that_a_lost_run_has_its_end(house: Context) -> None:
    part = replace(PART, kind="rollout")
    house(replace(part, runs=runs({"outcome": Outcome.LOST})))
    was = house.records()
    house.found = [part]

    looked = importing.look_around([str(house.place)], house.ledger, house.settings)

    assert [type(each) for each in looked] == [Imported]
    assert house.records() == was


def _lose(ledger: Ledger) -> None:
    with ledger.database.transaction() as db:
        for table in ("runs", "sessions", "usage"):
            db.execute(f"delete from {table}")  # noqa: S608 # a table of ours


def test_a_session_in_place_that_the_index_lacks_is_taken_over(house: Context) -> None:
    house(replace(PART, title="A name", runs=runs({}, {})))
    was = house.ledger.of_session(THREAD)
    _lose(house.ledger)
    # Its source was touched: the same run would get another id.
    touched = replace(
        PART, title="A name", runs=runs({"started_at": AT - timedelta(1)})
    )

    (found,) = house(touched)

    assert isinstance(found, Imported)
    assert house.ledger.of_session(THREAD) == was
    row = house.ledger.sessions.find(THREAD)
    assert row is not None
    assert row.title == "A name"


def test_a_session_of_our_own_that_the_index_lacks_is_left_to_verify(
    house: Context,
) -> None:
    house(PART)
    (run,) = house.ledger.of_session(THREAD)
    meta = record.files_of(run.spec).meta
    told = json.loads(meta.read_text())
    del told["accounts"]["imported"]
    meta.write_text(json.dumps(told))
    _lose(house.ledger)

    (found,) = house(PART)

    assert isinstance(found, Present)
    assert "verify --repair" in (found.reason or "")
    assert house.ledger.of_session(THREAD) == []


@pytest.mark.parametrize("has_source", [True, False])
def test_an_archived_session_lies_in_the_archive_of_its_day(
    house: Context, *, has_source: bool
) -> None:
    place = house.settings.state_home / "archive" / "2025" / "01" / "02" / THREAD
    if has_source:
        place.mkdir(parents=True)

    house(replace(PART, archived_at=AT, updated_at=AT + timedelta(hours=1)))

    row = house.ledger.sessions.find(THREAD)
    assert row is not None
    day = "2025/01/02" if has_source else "2026/03/04"
    assert row.archived_in == f"archive/{day}/{THREAD}"
    assert row.updated_at == "2026-03-04T06:06:07.000Z"
    assert (house.settings.state_home / row.archived_in / "task.json").is_file()


def test_guessed_times_are_those_of_the_turns_with_the_same_prompts(
    tmp_path: Path, make_home: Callable[[str], Path]
) -> None:
    home = make_home("rollout-0.169-new+2resumes")
    thread = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
    guessed = {"meta": {"unknown": ["started_at"], "state": "STOPPED"}}
    part = replace(PART, session_id=thread)
    prompts = ("run: echo hello > f.txt; cat f.txt", "say hi")
    same = replace(part, runs=runs(*({**guessed, "prompt": p} for p in prompts)))
    other = replace(part, runs=runs(*({**guessed, "prompt": p} for p in "ab")))

    dated = Shelf(home).dated(same)

    assert [run.started_at.microsecond for run in dated.runs] == [336000, 892000]
    assert dated.runs[0].meta == {"state": "STOPPED"}
    assert Shelf(home).dated(other) == other
    assert Shelf(tmp_path / "nowhere").dated(same) == same


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[[str], Path]:
    """Make a CODEX_HOME with one recorded rollout."""

    def make(name: str) -> Path:
        day = tmp_path / "home" / "sessions" / "2026" / "11" / "20"
        day.mkdir(parents=True)
        shutil.copy(DATA / f"{name}.jsonl", day / f"{name}.jsonl")
        return tmp_path / "home"

    return make


def test_the_bash_runner_s_own_figure_stands_where_no_log_is_left(
    tmp_path: Path,
) -> None:
    meta = {"run_id": "R1", "session_id": THREAD, "task": "do it", "exit_code": 0}
    (tmp_path / "codex-run-R1.meta.json").write_text(json.dumps(meta))
    told = {"tok": {"tot": 7200}}
    (tmp_path / "codex-run-R1.summary.json").write_text(json.dumps(told))

    (found,) = foreign.read_bash_runs(tmp_path)

    assert isinstance(found, History)
    assert found.runs[0].meta["total_tokens"] == 7200
