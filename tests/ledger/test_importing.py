"""Importing foreign histories: ids, figures, and what happens when it goes wrong."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import old_state

from parsers.facts import Facts
from parsers.struct import replace
from runner import clock, config, files, foreign
from runner.accounting.rollouts import RolloutIndex, Slice, read_rollouts
from runner.cli import codex_tasks
from runner.clock import iso
from runner.codex import home
from runner.errors import UsageError
from runner.exports import run_exports, task_files
from runner.foreign import eventlines, sources
from runner.foreign.sources import ForeignRun, History, Unreadable
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.ledger.settings import OwnSettings
from runner.lifecycle.queue import UndeliverableError, next_request
from runner.model import (
    CodexOptions,
    Finished,
    Limits,
    Mode,
    Outcome,
    Report,
    Run,
    SessionId,
    Verdict,
)
from runner.run_files import files_of, own_directory
from runner.service import archive, foreign_runs, importing, lookup
from runner.service.findings import Finding, Wish
from runner.service.importing import take_in
from runner.service.verify import verify

DATA = Path(__file__).parents[1] / "unit" / "parsers" / "data"
SHARES = [3090, 1545, 3090]
THREAD = "0199d9c2-0000-7000-8000-000000000001"
RECORDED = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
SPAWNING = "01a1f87a-cfd2-7201-b78a-8a93bc569f69"
SPAWNED = "01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DONE = Facts(kind="events", ended="completed", has_begun=True)
RUN = ForeignRun(prompt="do it", facts=DONE, started_at=AT, ended_at=AT)
PART = History(
    session_id=THREAD,
    created_at=AT,
    updated_at=AT,
    working_dir="/srv/code",
    kind="codex-tasks",
    source=Path("/old/task"),
    written_at=1,
    runs=(RUN,),
)
NEWER = {"written_at": 2}
Json = dict[str, Any]


class Place:
    """A state directory, its ledger, and histories that are found somewhere."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        environment = {"HOME": str(place), "CODEX_RUNNER_HOME": str(place / "state")}
        self.settings = config.load(environment)
        self.ledger = Ledger(self.settings.state_home)
        self.found: list[History | Unreadable] = []
        monkeypatch.setattr(foreign, "formats_of", lambda _: ["tasks"])
        monkeypatch.setattr(foreign, "read_tasks", lambda _: iter(self.found))
        self.place = place

    def __call__(
        self, *found: History | Unreadable, is_trial: bool = False
    ) -> list[Finding]:
        self.found = list(found)
        where, ledger = [str(self.place)], self.ledger
        wish = Wish(is_trial=is_trial)
        return list(take_in(where, ledger, self.settings, wish))

    def words(self, *found: History | Unreadable, **how: bool) -> list[str]:
        return [each.word for each in self(*found, **how)]

    @property
    def key(self) -> int:
        key = self.ledger.sessions.of_thread(THREAD)
        assert key is not None
        return key

    def runs(self) -> list[Run]:
        key = self.ledger.sessions.of_thread(THREAD)
        return [] if key is None else self.ledger.runs.of_session(key)

    def records(self) -> list[Json]:
        return [record.to_json(run) for run in self.runs()]

    def totals(self) -> list[int | None]:
        return [each["token_usage"]["total_tokens"] for each in self.records()]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        found = self.ledger._db.execute(f"select * from {table}")  # noqa: S608 # ours
        return [tuple(row) for row in found]

    def add_own_run(self, offset: int | None, at: datetime) -> Run:
        """Put a finished run of our own on record, as `send` does."""
        (first, *_) = self.runs()
        run_id = f"{at:%Y%m%d-%H%M%S-%f}-00000000"
        spec = replace(
            first.spec,
            run_id=run_id,
            mode=Mode.RESUME,
            resume_session=SessionId(THREAD),
            prepared_at=at,
            directory=str(own_directory(self.ledger.home, run_id)),
        )
        verdict = Verdict(outcome=Outcome.SUCCEEDED, exit_code=0)
        state = Finished(verdict=verdict, started_at=at, ended_at=at)
        run = Run(
            spec=spec,
            state=state,
            session=self.key,
            thread=SessionId(THREAD),
            has_begun=True,
            rollout_offset=offset,
        )
        with self.ledger.transaction():
            self.ledger.runs.insert(run)
            self.ledger.usage.record_run(run)
            self.ledger.runs.keep_settings(run)
        return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path, monkeypatch)
    yield found
    found.ledger.close()


def runs(*changes: Json) -> tuple[ForeignRun, ...]:
    return tuple(
        replace(
            RUN,
            number=number,
            **{"started_at": AT + timedelta(hours=number), **change},
        )
        for number, change in enumerate(changes)
    )


def events(usage: int | None, answer: str = "done") -> Json:
    """Make the lines of a run, and what they say."""
    line = b'{"type":"turn.completed"}\n'
    if usage is not None:
        figures = {"input_tokens": usage, "output_tokens": 0}
        event = {"type": "turn.completed", "usage": figures}
        line = json.dumps(event).encode() + b"\n"
    begun = eventlines.turn(THREAD, [eventlines.message(answer)], None)
    lines = (*begun, line)
    return {"lines": lines, "facts": eventlines.facts_of(lines)}


def turns(*places: int) -> tuple[ForeignRun, ...]:
    return runs(*({"place": place, **events(None)} for place in places))


# Ids and values


def test_ids_are_the_same_each_time_and_in_the_order_of_the_runs() -> None:
    at_once = [{"started_at": AT}] * 3
    part = replace(PART, runs=runs(*at_once))

    ids = foreign_runs.ids_of(part)

    assert ids == foreign_runs.ids_of(replace(part, source=Path("/elsewhere")))
    assert ids == sorted(set(ids))
    assert ids[2].startswith("20260304-050607-000002-")


def test_ids_are_those_of_version_0_1() -> None:
    assert foreign_runs.ids_of(PART) == ["20260304-050607-000000-d79916db"]
    nameless = replace(PART, session_id=None)
    assert foreign_runs.ids_of(nameless) == ["20260304-050607-000000-b47ae00e"]


def test_runs_without_a_thread_are_sessions_of_their_own(place: Place) -> None:
    nameless = replace(PART, session_id=None, runs=runs({}, {}))

    found = place(nameless)

    assert [each.word for each in found] == ["imported"] * 2
    names = [each.session_id for each in found]
    assert len(set(names)) == 2
    assert {each.name for each in place.ledger.sessions.all()} == set(names)
    copied = replace(nameless, source=Path("/elsewhere/task"), **NEWER)
    assert place.words(copied) == ["present"] * 2
    assert place.words(nameless) == ["present"] * 2


@pytest.mark.parametrize(
    ("change", "process", "code"),
    [
        ({}, None, 0),
        ({}, 1, 0),
        ({"facts": Facts(kind="events", ended="failed")}, None, 1),
        ({"facts": Facts(kind="events", ended="failed")}, 7, 7),
        ({"facts": Facts(kind="empty"), "stated": Outcome.TIMED_OUT}, None, 124),
        ({"facts": Facts(kind="empty"), "stated": Outcome.STOPPED}, None, 143),
        ({"facts": Facts(kind="empty")}, None, 1),
    ],
)
def test_an_exit_code_goes_with_the_outcome(
    place: Place, change: Json, process: int | None, code: int
) -> None:
    place(replace(PART, runs=runs({**change, "exit_code": process})))

    (told,) = place.records()
    assert (told["exit_code"], told["process_exit_code"]) == (code, process)


def test_the_files_of_a_run_are_those_of_our_own(place: Place) -> None:
    place(replace(PART, runs=runs({**events(5), "stderr": ("oh",)})))

    (run,) = place.runs()
    paths = files_of(run.spec)
    assert paths.directory == place.ledger.home / "runs" / run.run_id
    assert paths.prompt.read_text() == "do it"
    assert paths.stderr.read_text() == "oh\n"
    assert paths.events.read_bytes() == b"".join(events(5)["lines"])
    assert paths.meta.read_bytes() == run_exports.render_meta(run)
    assert paths.summary.read_bytes() == run_exports.render_summary(run)
    assert json.loads(paths.summary.read_text())["final_message"] == "done"
    assert {p.stat().st_mode & 0o777 for p in paths.directory.iterdir()} == {0o600}
    assert verify(place.settings, is_full=True).differences == ()


def test_a_session_has_the_times_and_the_title_of_its_source(place: Place) -> None:
    later = AT + timedelta(hours=1)
    place(replace(PART, title="A name", created_at=AT - timedelta(1), updated_at=later))

    session = place.ledger.sessions.get(place.key)

    assert (session.title, session.is_imported) == ("A name", True)
    assert session.created_at == iso(AT - timedelta(1))
    assert session.updated_at == iso(later)
    assert (session.exports, session.repo) == (None, "/srv/code")


def test_an_archived_session_stays_archived(place: Place) -> None:
    place(replace(PART, archived_at=AT, updated_at=AT + timedelta(hours=1)))

    session = place.ledger.sessions.get(place.key)

    assert (session.state, session.archived_at) == ("ARCHIVED", iso(AT))
    assert session.updated_at == iso(AT + timedelta(hours=1))
    archive.unarchive(session, place.ledger)
    assert place.ledger.sessions.get(place.key).state == "STOPPED"


# Nothing of a foreign record decides what is run


def test_no_option_of_a_foreign_record_is_taken_over(place: Place) -> None:
    place(replace(PART, runs=runs({"model": "m", **events(5)}, {})))

    for run in place.runs():
        assert run.spec.codex == CodexOptions(bin="codex")
        assert (run.spec.limits, run.spec.report) == (Limits(), Report())
        assert run.spec.codex_home is None
    assert [run.spec.mode for run in place.runs()] == [Mode.NEW, Mode.RESUME]
    assert place.records()[0]["model"] == "m"
    session = place.ledger.sessions.get(place.key)
    assert (session.settings, session.home) == (None, None)
    own = OwnSettings(repo="/")
    request = next_request(session, b"go", place.settings, own=own)
    assert request.codex == CodexOptions(bin="codex")
    assert request.codex_home == str(place.settings.codex_home)


@pytest.mark.parametrize("directory", [None, "relative", "/with\0nul"])
def test_a_working_directory_that_is_none_is_unknown(
    place: Place, directory: str | None
) -> None:
    place(replace(PART, working_dir=foreign.sources.directory(directory)))

    session = place.ledger.sessions.get(place.key)
    assert session.repo is None
    assert [run.spec.repo for run in place.runs()] == [""]
    with pytest.raises(UndeliverableError, match="--working-dir"):
        next_request(session, b"go", place.settings)


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[..., Path]:
    """Make a CODEX_HOME with recorded rollouts."""

    def make(*names: str, where: str = "home") -> Path:
        day = tmp_path / where / "sessions" / "2026" / "11" / "20"
        day.mkdir(parents=True)
        for name in names:
            shutil.copy(DATA / f"rollout-{name}.jsonl", day / f"rollout-{name}.jsonl")
        return tmp_path / where

    return make


@pytest.mark.parametrize(
    ("told", "guess", "found"),
    [
        ("/srv/told", "/srv/guess", "/srv/told"),
        (None, "/srv/guess", "/srv/code/repo"),
        (None, None, "/srv/code/repo"),
    ],
)
def test_a_directory_that_the_source_leaves_open_is_the_rollouts(
    place: Place,
    make_home: Callable[..., Path],
    told: str | None,
    guess: str | None,
    found: str,
) -> None:
    make_home("0.169-new+2resumes", where=".codex")
    part = replace(PART, session_id=RECORDED, working_dir=told, likely_dir=guess)
    place(part)

    (session,) = place.ledger.sessions.all()
    assert session.repo == found


def test_without_a_rollout_the_guess_stands(place: Place) -> None:
    place(replace(PART, working_dir=None, likely_dir="/srv/guess"))

    assert place.ledger.sessions.get(place.key).repo == "/srv/guess"


def imported_from(
    where: list[str], settings: config.Config, ledger: Ledger
) -> list[str | None]:
    assert [each.word for each in take_in(where, ledger, settings)] == ["imported"]
    return [session.home for session in ledger.sessions.all()]


def test_a_thread_is_resumed_in_the_home_that_the_user_named(
    tmp_path: Path, make_home: Callable[..., Path]
) -> None:
    settings = config.load({"HOME": str(tmp_path), "CODEX_HOME": str(tmp_path / "own")})
    named = make_home("0.169-new+2resumes", where="theirs")

    homes = imported_from([str(named)], settings, Ledger(settings.state_home))

    assert homes == [str(named)]


def test_a_thread_is_resumed_in_the_current_home(
    tmp_path: Path, make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = config.load({"HOME": str(tmp_path)})
    make_home("0.169-new+2resumes", where=".codex")

    homes = imported_from([], settings, Ledger(settings.state_home))

    assert homes == [str(settings.codex_home)]


def test_a_home_that_the_user_has_not_named_is_only_read(
    tmp_path: Path, make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home("0.169-new+2resumes", where="runs")  # a repository may bring one
    monkeypatch.chdir(tmp_path)
    settings = config.load({"HOME": str(tmp_path)})

    homes = imported_from([], settings, Ledger(settings.state_home))

    assert homes == [None]


def test_a_rollout_that_is_a_link_out_of_the_home_is_only_named(
    tmp_path: Path, make_home: Callable[..., Path]
) -> None:
    settings = config.load({"HOME": str(tmp_path), "CODEX_HOME": str(tmp_path / "own")})
    named = make_home("0.169-new+2resumes", where="theirs")
    (path,) = named.rglob("rollout-*.jsonl")
    path.rename(tmp_path / "elsewhere.jsonl")
    path.symlink_to(tmp_path / "elsewhere.jsonl")

    ledger = Ledger(settings.state_home)
    (found,) = take_in([str(named)], ledger, settings)

    assert (found.word, found.source) == ("unreadable", path)
    assert found.reason == "it is a link out of the directory"
    assert ledger.sessions.all() == []


def test_the_tasks_of_an_older_state_directory_come_in(tmp_path: Path) -> None:
    """Their runs lie in the directories of the tasks there."""
    was = old_state.extract(tmp_path / "old")
    settings = config.load({"HOME": str(tmp_path / "elsewhere")})
    ledger = Ledger(settings.state_home)

    found = [*take_in([str(was)], ledger, settings)]

    told = {each.session_id: each for each in found if each.word == "imported"}
    archived = "01a1f000-0000-7000-8000-000000000008"
    assert {"01a1f000-0000-7000-8000-000000000001", archived} <= told.keys()
    kept = {each.thread: each.title for each in ledger.sessions.all()}
    titles = {each.session_id: each.title for each in told.values() if each.title}
    assert titles
    assert titles.items() <= kept.items()
    again = [*take_in([str(was)], ledger, settings)]
    assert not [each for each in again if each.word == "imported"]
    ledger.close()


# Threads as Codex writes them: turns by their ids and places


class Home:
    """A CODEX_HOME with the recorded thread of three turns, and imports of it."""

    def __init__(self, place: Path) -> None:
        self.settings = config.load({"HOME": str(place)})
        self.ledger = Ledger(self.settings.state_home)
        self.path = place / ".codex/sessions" / f"rollout-x-{RECORDED}.jsonl"
        self.path.parent.mkdir(parents=True)
        self.lines = (DATA / "rollout-0.169-new+2resumes.jsonl").read_text()
        self.write(self.lines)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def __call__(self, *, all_originators: bool = False) -> list[Finding]:
        where = [str(self.settings.codex_home)]
        wish = Wish(all_originators=all_originators)
        return list(take_in(where, self.ledger, self.settings, wish))

    def totals(self) -> list[int | None]:
        key = self.ledger.sessions.of_thread(RECORDED)
        runs = self.ledger.runs.of_session(key or 0)
        told: list[Json] = [record.to_json(run) for run in runs]
        return [each["token_usage"]["total_tokens"] for each in told]


@pytest.fixture
def thread(tmp_path: Path) -> Home:
    return Home(tmp_path)


SPAWN_DAY = "2026/11/20"


@pytest.mark.parametrize(
    ("named", "is_in_a_home"),
    [
        ("codex", True),
        ("codex/sessions", True),
        (f"codex/sessions/{SPAWN_DAY[:4]}", True),
        (f"codex/sessions/{SPAWN_DAY}", True),
        (f"codex/sessions/{SPAWN_DAY}/rollout-x-{SPAWNING}.jsonl", True),
        ("folder", False),
        ("years", False),
        (f"folder/rollout-x-{SPAWNING}.jsonl", False),
        ("folder/saved.jsonl", False),
    ],
)
def test_rollouts_are_imported_from_a_home_a_folder_and_a_file(
    tmp_path: Path, named: str, *, is_in_a_home: bool
) -> None:
    """With the calls of the sub-agent, whose rollout is beside it."""
    files = {
        f"rollout-x-{SPAWNING}.jsonl": "rollout-0.169-spawn.jsonl",
        f"rollout-x-{SPAWNED}.jsonl": "rollout-0.169-subagent.jsonl",
    }
    for where in (f"codex/sessions/{SPAWN_DAY}", "folder", f"years/{SPAWN_DAY}"):
        (tmp_path / where).mkdir(parents=True)
        for name, data in files.items():
            shutil.copy(DATA / data, tmp_path / where / name)
    if named.endswith("saved.jsonl"):
        (tmp_path / f"folder/rollout-x-{SPAWNING}.jsonl").rename(tmp_path / named)
    settings = config.load({"HOME": str(tmp_path / "home")})
    ledger = Ledger(settings.state_home)

    (found,) = take_in([str(tmp_path / named)], ledger, settings)

    assert (found.word, found.session_id, found.runs) == ("imported", SPAWNING, 1)
    session = ledger.sessions.all()[0]
    (run,) = ledger.runs.of_session(session.key)
    usage = record.to_json(run)["token_usage"]
    assert isinstance(usage, dict)
    assert [each["thread_id"] for each in usage["subagents"]] == [SPAWNED]
    assert session.home == (str(tmp_path / "codex") if is_in_a_home else None)
    (again,) = take_in([str(tmp_path / named)], ledger, settings)
    assert again.word == "present"
    ledger.close()


def test_a_linked_directory_is_only_named(thread: Home, tmp_path: Path) -> None:
    thread.path.rename(tmp_path / thread.path.name)
    link, inside = thread.path.parent / "2026", thread.path.parent / "2025"
    link.symlink_to(tmp_path)
    inside.symlink_to(thread.path.parent)

    (found,) = thread()

    assert (found.word, found.source) == ("unreadable", link)
    assert found.reason == "it is a link out of the directory"


def test_a_file_that_is_no_rollout_is_named(thread: Home, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")

    (found,) = take_in([str(path)], thread.ledger, thread.settings)

    assert (found.word, found.source) == ("unreadable", path)
    with pytest.raises(UsageError, match="not a rollout file"):
        list(take_in([str(tmp_path / "missing")], thread.ledger, thread.settings))


@pytest.mark.parametrize("shift", [timedelta(0), timedelta(seconds=-30)])
def test_no_call_counts_twice_whatever_the_clock_says(
    thread: Home, shift: timedelta
) -> None:
    """Give the second turn the time of the first one, or an earlier one."""
    records = [json.loads(line) for line in thread.lines.splitlines()]
    first, at = clock.parse_iso(records[0]["timestamp"]), timedelta(0)
    for number, each in enumerate(records):
        at = shift if number > len(records) // 2 else at
        each["timestamp"] = iso(first + at)
    thread.write("".join(f"{json.dumps(each)}\n" for each in records))

    assert [each.word for each in thread()] == ["imported"]

    assert thread.totals() == SHARES


def test_the_later_turns_of_a_thread_come_with_the_next_import(thread: Home) -> None:
    ends = [at for at in range(len(thread.lines)) if thread.lines[at] == "\n"]
    third = next(
        end for end in reversed(ends) if '"task_started"' in thread.lines[end:][:120]
    )
    thread.write(thread.lines[: third + 1])
    os.utime(thread.path, (0, 0))
    assert [each.runs for each in thread()] == [2]

    thread.write(thread.lines)

    assert [(each.word, each.runs) for each in thread()] == [("imported", 3)]
    assert thread.totals() == SHARES
    assert [each.word for each in thread()] == ["present"]


def test_turns_by_hand_are_added_to_the_thread_of_an_older_task(
    thread: Home, tmp_path: Path
) -> None:
    """The task's second run is the third turn: the prompts say so, not the times."""
    task = tmp_path / "old" / RECORDED
    task.mkdir(parents=True)
    log = b""
    for prompt, name in {
        "run: echo hello > f.txt; cat f.txt": "new",
        "run: false": "resume2",
    }.items():
        asked = {"type": "user_message", "message": prompt}
        log += json.dumps(asked).encode() + b"\n"
        log += (DATA / f"events-0.169-{name}.jsonl").read_bytes()
    (task / "task.json").write_text(json.dumps({"id": RECORDED, "state": "STOPPED"}))
    (task / "task.log").write_bytes(log)
    list(take_in([str(task.parent)], thread.ledger, thread.settings))
    assert thread.totals() == [SHARES[0], SHARES[2]]

    assert [(each.word, each.runs) for each in thread()] == [("imported", 1)]

    assert thread.totals() == SHARES
    assert [each.word for each in thread()] == ["present"]
    again = take_in([str(task.parent)], thread.ledger, thread.settings)
    assert [(each.word, each.left_out) for each in again] == [("present", ())]


def test_the_last_line_counts_a_session_of_two_sources_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = [
        Finding(word="imported", source=tmp_path, session_id=name, runs=1, kind="run")
        for name in (RECORDED, RECORDED, "other")
    ]
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(importing, "take_in", lambda *_: told)

    assert codex_tasks.main(["import"]) == 0

    assert "imported 2 sessions (3 runs); " in capfd.readouterr().err


def test_a_thread_that_has_not_changed_is_not_read_again(
    thread: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread()
    monkeypatch.setattr(foreign, "read_rollout", lambda *_, **__: 1 / 0)

    (found,) = thread()

    assert (found.word, found.session_id, found.runs) == ("present", RECORDED, 3)
    archive.remove(thread.ledger.sessions.all()[0], thread.ledger)
    monkeypatch.undo()
    assert [each.word for each in thread()] == ["removed"]
    monkeypatch.setattr(foreign, "read_rollout", lambda *_, **__: 1 / 0)
    assert [each.word for each in thread()] == ["removed"]


def test_a_rollout_is_read_once_for_all_of_its_turns(
    thread: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, lines_of = list[int](), sources.lines_of

    def counting(paths: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
        read.append(len(paths))
        return lines_of(paths)

    monkeypatch.setattr(sources, "lines_of", counting)
    monkeypatch.setattr(files, "lines_of", lambda _: 1 / 0)
    thread()

    assert (read, thread.totals()) == ([1], SHARES)


@pytest.mark.parametrize("origin", ["codex_vscode", "codex-tui", "Codex Desktop"])
def test_threads_of_other_programs_are_named_and_come_when_asked_for(
    thread: Home, origin: str
) -> None:
    thread.write(thread.lines.replace('"codex_exec"', f'"{origin}"'))
    for _ in range(2):
        (found,) = thread()
        assert (found.word, found.originator) == ("other", origin)

    assert [each.word for each in thread(all_originators=True)] == ["imported"]

    assert thread.totals() == SHARES
    assert [each.word for each in thread()] == ["present"]


def test_threads_of_the_sdk_come_in(thread: Home) -> None:
    thread.write(thread.lines.replace('"codex_exec"', '"codex_sdk_ts"'))

    assert [each.word for each in thread()] == ["imported"]


def test_what_codex_has_imported_from_elsewhere_is_no_run(thread: Home) -> None:
    turn = "01a1f87a-212d-7483-8f8e-e124d78eeb2c"
    thread.write(thread.lines.replace(turn, "external-import-turn-1"))

    assert [(each.word, each.runs) for each in thread()] == [("imported", 2)]

    assert thread.totals() == [SHARES[0], SHARES[2]]


# Usage


def test_a_share_is_the_difference_to_the_run_before(place: Place) -> None:
    place(replace(PART, runs=runs(*(events(n) for n in (10, 25, 40)))))

    assert place.totals() == [10, 15, 15]
    (total,) = place.ledger.usage.totals("total")
    assert (total.runs, total.total_tokens) == (3, 40)


def test_before_2026_codex_told_what_one_process_had_used(place: Place) -> None:
    year = timedelta(days=365)
    told = [{**events(n), "started_at": AT - year} for n in (10, 25)]
    place(replace(PART, runs=runs(*told)))

    assert place.totals() == [10, 25]
    assert "thread_usage" not in place.records()[1]["accounts"]


def test_a_version_tells_better_than_the_date(place: Place) -> None:
    told = [{**events(n), "codex_version": "0.50.0"} for n in (10, 25)]
    place(replace(PART, runs=runs(*told)))

    assert place.totals() == [10, 25]


def test_a_share_behind_a_gap_is_unknown_and_says_why(place: Place) -> None:
    place(replace(PART, runs=runs(*(events(n) for n in (10, None, 40)))))

    assert place.totals() == [10, None, None]
    reasons = [each["token_usage"].get("reason") for each in place.records()]
    assert all(reasons[1:])


def test_figures_of_different_kinds_are_not_subtracted(place: Place) -> None:
    log = Facts(kind="log", ended="completed")
    told: list[Json] = [{"facts": replace(log, uncached_tokens=n)} for n in (7, 9)]
    place(replace(PART, kind="run_codex_task.sh", runs=runs(*told, events(50))))

    usages = [each["token_usage"] for each in place.records()]
    assert [each.get("uncached_tokens") for each in usages] == [7, 2, None]


def test_a_resumed_run_of_an_unknown_thread_has_no_share(place: Place) -> None:
    resumed = runs({**events(10), "asked_for": THREAD})
    place(replace(PART, kind="run_codex_task.sh", runs=resumed))

    assert place.totals() == [None]
    assert place.records()[0]["mode"] == "resume"


def test_sub_agents_are_counted_with_their_parent(
    make_home: Callable[..., Path],
) -> None:
    where = make_home("0.169-spawn", "0.169-subagent")
    (where / "sessions" / "rollout-damaged.jsonl").write_text("{")
    index = RolloutIndex(where)

    found = read_rollouts(index, SPAWNING, Slice(offset=0), ())

    assert found.thread is not None
    assert [agent.thread_id for agent in found.agents] == [SPAWNED]
    assert read_rollouts(index, THREAD, Slice(offset=0), ()).thread is None
    assert len(index.threads) == 3


def test_an_index_finds_what_a_search_finds(make_home: Callable[..., Path]) -> None:
    where = make_home("0.169-spawn", "0.169-subagent")
    index = RolloutIndex(where)

    assert [*index.children_of(SPAWNING, None)] == [SPAWNED]
    assert index.paths_of(SPAWNED)[0] == where / "sessions/2026/11/20" / (
        "rollout-0.169-subagent.jsonl"
    )


def test_guessed_times_are_those_of_the_turns_with_the_same_prompts(
    make_home: Callable[..., Path],
) -> None:
    path = RolloutIndex(make_home("0.169-new+2resumes")).paths_of(RECORDED)[0]
    assert path is not None
    rollout = foreign.read_rollout(path)
    assert isinstance(rollout, History)
    part = replace(PART, session_id=RECORDED)
    prompts = ("run: echo hello > f.txt; cat f.txt", "say hi")
    same, other = (
        replace(part, runs=runs(*({"is_dated": False, "prompt": p} for p in asked)))
        for asked in (prompts, "ab")
    )

    dated = foreign_runs.matched(same, rollout)

    assert [run.started_at.microsecond for run in dated.runs] == [336000, 892000]
    assert all(run.is_dated for run in dated.runs)
    assert foreign_runs.matched(other, rollout) == other
    assert foreign_runs.matched(same, None) == same


# What is on record


def test_nothing_was_asked_for(place: Place) -> None:
    assert place.words(replace(PART, runs=())) == ["empty"]


def test_what_cannot_be_read_keeps_nothing_else_back(place: Place) -> None:
    gone = replace(RUN, events=(Path("/nowhere/task.log"), 0, 10))
    damaged = Unreadable(Path("/x"), "why")

    words = place.words(damaged, replace(PART, runs=(gone,)), PART)

    assert words == ["unreadable", "unreadable", "imported"]
    (run,) = place.runs()
    assert [p.name for p in (place.ledger.home / "runs").iterdir()] == [run.run_id]


def test_a_source_that_is_on_record_is_left_alone(place: Place) -> None:
    place(PART)
    was = place.rows("runs"), place.rows("imports"), place.rows("usage")

    assert place.words(PART) == ["present"]
    assert place.words(replace(PART, written_at=0)) == ["present"]
    assert (place.rows("runs"), place.rows("imports"), place.rows("usage")) == was


def test_a_thread_that_two_sources_know_counts_once(place: Place) -> None:
    part = replace(PART, runs=runs(events(10), events(30)))
    other = replace(part, kind="rollout", source=Path("/home/rollout"), **NEWER)

    found = place(part, replace(other, runs=turns(0, 9, 99)))

    assert [each.word for each in found] == ["imported", "present"]
    assert found[1].left_out == (AT + timedelta(hours=2),)
    assert place.totals() == [10, 20]


def test_a_source_that_was_written_since_is_replaced_whole(place: Place) -> None:
    lost = {**events(30, "I will"), "facts": Facts(kind="events", has_begun=True)}
    part = replace(PART, kind="rollout", title="A name")
    place(replace(part, runs=runs(events(10), lost)))
    was, imported = place.records(), place.rows("imports")
    more = runs(events(10), {**events(35), "ended_at": AT + timedelta(2)}, events(40))

    (found,) = place(replace(part, runs=more, **NEWER))

    assert (found.word, found.runs) == ("imported", 3)
    now = place.records()
    assert [each["run_id"] for each in now[:2]] == [each["run_id"] for each in was]
    assert [each["outcome"] for each in was] == ["succeeded", "lost"]
    assert [each["outcome"] for each in now] == ["succeeded"] * 3
    assert place.totals() == [10, 25, 5]
    (total,) = place.ledger.usage.totals("total")
    assert (total.runs, total.total_tokens) == (3, 40)
    session = place.ledger.sessions.get(place.key)
    assert (session.title, session.is_imported) == ("A name", True)
    assert len(place.rows("imports")) == len(imported) + 1
    assert place.words(replace(part, runs=more, **NEWER)) == ["present"]
    assert verify(place.settings, is_full=True).differences == ()


def test_what_the_importer_of_version_0_1_left_is_not_replaced(place: Place) -> None:
    place(replace(PART, runs=runs(events(10))))
    place.ledger._db.execute("update imports set mtime = null")

    (found,) = place(replace(PART, runs=runs(events(10), events(30)), **NEWER))

    assert found.word == "present"
    assert len(found.left_out) == 1


def test_a_run_that_a_source_has_no_more_is_gone_with_its_files(place: Place) -> None:
    place(replace(PART, runs=runs(events(10), events(30))))

    assert place.words(replace(PART, runs=runs(events(10)), **NEWER)) == ["imported"]

    (run,) = place.runs()
    assert [p.name for p in (place.ledger.home / "runs").iterdir()] == [run.run_id]
    assert place.ledger.usage.known_ids() == {run.run_id}


def test_a_failing_ledger_leaves_nothing_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(place.ledger.usage), "record_run", fail)
    with pytest.raises(KeyboardInterrupt):
        place(PART)

    assert place.rows("sessions") == place.rows("imports") == []
    assert list((place.ledger.home / "runs").iterdir()) == []


def test_a_session_that_another_import_was_faster_with_is_present(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = foreign_runs.Maker.make

    def slow(maker: foreign_runs.Maker, wanted: set[int]) -> dict[str, Run]:
        monkeypatch.undo()
        monkeypatch.setattr(foreign, "formats_of", lambda _: ["tasks"])
        monkeypatch.setattr(foreign, "read_tasks", lambda _: iter([PART]))
        where = [str(place.place)]
        faster = list(take_in(where, place.ledger, place.settings))
        assert [each.word for each in faster] == ["imported"]
        return make(maker, wanted)

    monkeypatch.setattr(foreign_runs.Maker, "make", slow)
    other = replace(
        PART, kind="run_codex_task.sh", runs=runs({"started_at": AT - AT.resolution})
    )

    assert place.words(other) == ["present"]

    (run,) = place.runs()
    assert [p.name for p in (place.ledger.home / "runs").iterdir()] == [run.run_id]
    assert files_of(run.spec).events.exists()


@pytest.mark.parametrize(
    ("offset", "numbers"),
    [
        (90, [0, 1]),  # the run's turn is the third, whatever its time
        (40, [0, 2]),
        (None, [0]),  # it may be any of them
    ],
)
def test_what_a_thread_did_beside_runs_of_our_own_is_added(
    place: Place, offset: int | None, numbers: list[int]
) -> None:
    part = replace(PART, kind="rollout")
    place(replace(part, runs=turns(0)))
    own = place.add_own_run(offset, AT + timedelta(hours=1, minutes=30))
    settings = place.ledger.sessions.get(place.key).settings

    (found,) = place(replace(part, runs=turns(0, 50, 100), **NEWER))

    times = [run.started_at for run in place.runs() if run.run_id != own.run_id]
    assert times == [AT + timedelta(hours=number) for number in numbers]
    assert found.runs == (1 if len(numbers) > 1 else 3)
    assert found.word == ("imported" if len(numbers) > 1 else "present")
    everything = place.runs()
    assert [run.started_at for run in everything] == sorted(
        run.started_at for run in everything
    )
    assert [run.ordinal for run in everything] == [*range(1, len(everything) + 1)]
    session = place.ledger.sessions.get(place.key)
    assert (session.settings, session.is_imported) == (settings, False)


def test_a_session_with_a_run_that_is_not_over_is_left_alone(place: Place) -> None:
    part = replace(PART, kind="rollout")
    place(replace(part, runs=turns(0)))
    own = place.add_own_run(40, AT + timedelta(hours=1))
    place.ledger._db.execute(
        "update runs set state = 'prepared', outcome = null where run_id = ?",
        [own.run_id],
    )

    assert place.words(replace(part, runs=turns(0, 50, 90), **NEWER)) == ["present"]

    assert len(place.runs()) == 2


def test_what_rm_removed_does_not_come_back(place: Place) -> None:
    nameless = replace(PART, session_id=None)
    place(replace(PART, runs=turns(0)), nameless)
    for session in place.ledger.sessions.all():
        archive.remove(session, place.ledger)

    found = place(replace(PART, runs=turns(0, 9), **NEWER), replace(nameless, **NEWER))

    assert [each.word for each in found] == ["removed"] * 2
    assert {each.reason for each in found} == {"it was removed here"}
    assert place.ledger.sessions.all() == []


def test_what_rm_removed_of_our_own_does_not_come_back(place: Place) -> None:
    place(PART)
    place.add_own_run(0, AT)
    place.ledger._db.execute("delete from imports where id > 1")
    archive.remove(place.ledger.sessions.get(place.key), place.ledger)

    (found,) = place(replace(PART, kind="rollout", source=Path("/r"), **NEWER))

    assert found.reason == "it was removed here"


def test_the_older_id_of_a_task_finds_it(place: Place) -> None:
    place(replace(PART, kind="codex-tasks-fifo", source=Path("/old") / SPAWNED))

    assert lookup.find(SPAWNED, place.ledger).thread == THREAD


@pytest.mark.parametrize(
    ("harm", "why"),
    [(MemoryError(), "it is too large"), (RecursionError(), "it nests too deeply")],
)
def test_a_source_that_is_too_much_for_its_reader_ends_itself_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch, harm: Exception, why: str
) -> None:
    def broken(_: Path) -> Iterator[History | Unreadable]:
        yield PART
        raise harm

    other = replace(PART, session_id=SPAWNING)
    monkeypatch.setattr(foreign, "formats_of", lambda _: ["tasks", "bash"])
    monkeypatch.setattr(foreign, "read_tasks", broken)
    monkeypatch.setattr(foreign, "read_bash_runs", lambda _: iter([other]))

    found = place()

    assert [each.word for each in found] == ["imported", "unreadable", "imported"]
    assert found[1].reason == why


# Threads that are still written


@pytest.fixture
def open_rollout(tmp_path: Path) -> History:
    source = tmp_path / "rollout.jsonl"
    source.touch()
    os.utime(source, (0, 0))
    lost = runs({"facts": Facts(kind="events", has_begun=True), "place": 0})
    return replace(PART, kind="rollout", source=source, runs=lost, is_open=True)


def test_a_thread_that_is_written_is_not_imported(
    place: Place, open_rollout: History
) -> None:
    os.utime(open_rollout.source)

    (found,) = place(open_rollout)

    assert found.word == "unreadable"
    assert "import it after its end" in (found.reason or "")
    assert place.records() == []


def test_a_thread_that_codex_holds_is_not_imported(
    place: Place, open_rollout: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    holders: list[int | None] = [4242, None]
    monkeypatch.setattr(home, "writer_of", lambda *_: holders.pop(0))

    assert place.words(open_rollout) == ["unreadable"]
    assert place.words(open_rollout) == ["imported"]

    assert [each["outcome"] for each in place.records()] == ["lost"]


def test_a_thread_on_record_may_be_written(place: Place, open_rollout: History) -> None:
    place(replace(open_rollout, is_open=False))
    os.utime(open_rollout.source)

    assert place.words(replace(open_rollout, **NEWER)) == ["present"]


# A trial


def test_a_trial_writes_nothing_and_says_the_same(place: Place) -> None:
    other = replace(PART, kind="rollout", source=Path("/r"))
    changed = replace(PART, runs=runs({}, {}), **NEWER)

    assert place.words(PART, other, is_trial=True) == ["imported", "present"]
    assert place.rows("runs") == []
    assert place.words(PART, other) == ["imported", "present"]
    was = place.rows("runs")
    assert place.words(changed, is_trial=True) == ["imported"]
    assert place.rows("runs") == was
    assert [*take_in([str(place.place)], None, place.settings, Wish(is_trial=True))]


# Files of an older tool in our own directory


def test_what_an_older_tool_keeps_in_our_directory_is_never_lost(place: Place) -> None:
    directory = place.ledger.home / THREAD
    directory.mkdir()
    texts = {"task.json": "{}", "task.result": "old", "task.log": '{"type":"x"}\n'}
    for name, text in texts.items():
        (directory / name).write_text(text)
    (directory / "task.pid").write_text("2147483647")

    place(replace(PART, source=directory))

    assert {p.name: p.read_text() for p in directory.iterdir()} == {
        **texts,
        "task.pid": "2147483647",
        "task.json.imported": "{}",
        "task.result.imported": "old",
    }
    assert place.ledger.sessions.get(place.key).exports is None
    # Later our own run exports into the same directory.
    place.ledger.write("set_exports", session=place.key, exports=THREAD)
    task_files.write_json(place.ledger, place.key)
    archive.remove(place.ledger.sessions.get(place.key), place.ledger)


def test_a_transcript_is_kept_beside_too(place: Place) -> None:
    directory = place.ledger.home / THREAD
    directory.mkdir()
    (directory / "task.json").write_text("{")
    (directory / "task.log").write_text("[2025-09-22T19:02:11] user\n")

    place(replace(PART, kind="rollout"))  # whatever tells of the thread

    kept = sorted(p.name for p in directory.glob("*.imported"))
    assert kept == ["task.json.imported", "task.log.imported"]
    (directory / "task.json.imported").write_text("kept")
    place(replace(PART, kind="rollout", **NEWER))
    assert (directory / "task.json.imported").read_text() == "kept"


def test_exports_that_are_ours_are_the_sessions_again(place: Place) -> None:
    directory = place.ledger.home / THREAD
    directory.mkdir()
    (directory / "task.json").write_text('{"runs": []}')

    place(PART)

    assert place.ledger.sessions.get(place.key).exports == THREAD
    assert [p.name for p in directory.iterdir()] == ["task.json"]


def test_a_thread_is_quiet_for_an_hour_before_it_counts_as_lost(
    place: Place, open_rollout: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.at(3601))

    assert place.words(open_rollout) == ["imported"]
