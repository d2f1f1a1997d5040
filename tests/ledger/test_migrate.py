"""A state directory of the versions before is taken over, whole or not at all."""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import old_state
from support.old_state import make, record_of, row_of

from runner import clock, config
from runner.clock import iso
from runner.exports import queue_files
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import Session
from runner.ledger.settings import settings_json
from runner.lifecycle import recover
from runner.model import Launching, Outcome, Prepared, Running, TaskState
from runner.process.table import here
from runner.run_files import files_of
from runner.service.usage import line_of
from runner.service.verify import verify

THREAD = "01a1f000-0000-7000-8000-000000000001"
OTHER = "01a1f000-0000-7000-8000-000000000002"
RUN = "20261120-101201-000000-00000001"
LATER = "20261120-101301-000000-00000002"
LAST = "20261120-101401-000000-00000003"
# As the old commands showed it, and not as it is now; the tests below say why.
DIFFERENT = {
    "verdict_in_meta_only": ("state", "outcome"),
    "mail_file_gone": ("queue_held",),
}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give the ledger of the frozen state directory; nobody changes it."""
    root = tmp_path_factory.mktemp("migrated") / "root"
    ledger = Ledger(old_state.extract(root))
    yield ledger
    ledger.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make the frozen state directory for one test."""
    return old_state.extract(tmp_path / "root")


def opened(state_home: Path) -> contextlib.closing[Ledger]:
    return contextlib.closing(Ledger(state_home))


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def session(ledger: Ledger, name: str) -> Session:
    (found,) = ledger.sessions.named(name)
    return found


def case(ledger: Ledger, name: str) -> Session:
    ids = old_state.expected(ledger.home.parent, "live")["ids"]
    return session(ledger, ids[name])


def shown(found: Session, ledger: Ledger) -> dict[str, Any]:
    """Say of a session what `status` said of it."""
    first = ledger.queue.head(found.key)
    return {
        "id": found.name,
        "title": found.title,
        "state": found.state,
        "outcome": found.outcome,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "working_dir": found.repo,
        "last_run": found.last_run,
        "runs": len(ledger.runs.of_session(found.key)),
        "queue": found.waiting,
        "queue_held": first.detail if first and first.word == "held" else None,
        "skipped": ledger.queue.canceled(found.key),
    }


def notes(ledger: Ledger) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in ledger.all("notes"):
        found.setdefault(row["what"], []).append(row["about"])
    return found


# What is taken over


def test_each_session_is_as_the_version_before_showed_it(migrated: Ledger) -> None:
    live = old_state.expected(migrated.home.parent, "live")
    excepted = {live["ids"][name]: names for name, names in DIFFERENT.items()}

    found = {each.name: shown(each, migrated) for each in migrated.sessions.all()}

    assert found.keys() == live["sessions"].keys()
    for name, was in live["sessions"].items():
        now = found[name]
        same = now.keys() - set(excepted.get(name, ()))
        assert {f: now[f] for f in same} == {f: was[f] for f in same}, name


def test_sessions_are_listed_in_the_order_that_they_had(migrated: Ledger) -> None:
    live = old_state.expected(migrated.home.parent, "live")

    assert [each.name for each in migrated.sessions.all()] == live["order_of_ls"]


def test_exports_are_where_the_session_had_a_directory(migrated: Ledger) -> None:
    live = old_state.expected(migrated.home.parent, "live")["sessions"]

    for each in migrated.sessions.all():
        was = Path(live[each.name]["directory"])
        exports = each.exports_in(migrated.home)
        assert exports == (was if was.is_dir() else None), each.name


def test_what_was_used_adds_up_by_session_and_model_and_repo(migrated: Ledger) -> None:
    live = old_state.expected(migrated.home.parent, "live")
    # Its verdict, and with it what it has used, is in the meta file alone.
    late = live["ids"]["verdict_in_meta_only"]
    figures = ("runs", "total_tokens", "unknown_usage", "unknown_cost", "unknown_parts")

    was = {
        row["key"]: [row[name] for name in figures]
        for row in live["usage"]["session"]["rows"]
        if row["key"] != late
    }
    found = {
        total.key: [getattr(total, name) for name in figures]
        for total in map(line_of, migrated.usage.totals("session"))
    }

    assert found == was
    for by in ("model", "repo", "day"):
        keys = {row["key"] for row in live["usage"][by]["rows"]}
        assert {total.key for total in migrated.usage.totals(by)} == keys
    (total,) = migrated.usage.totals("total")
    assert (
        total.total_tokens == live["usage"]["session"]["total"]["total_tokens"] - 1545
    )


def test_every_run_can_be_read_and_lies_where_the_ledger_says(migrated: Ledger) -> None:
    gone = {"log_dir_gone", "directory_gone"}
    ids = old_state.expected(migrated.home.parent, "live")["ids"]
    lost = {ids[name] for name in gone}

    for each in migrated.sessions.all():
        for run in migrated.runs.of_session(each.key):
            is_there = Path(run.spec.directory).is_dir()
            assert is_there is (each.name not in lost), each.name
            assert not run.accounts.get("warnings"), each.name


def test_a_record_reads_as_before(migrated: Ledger) -> None:
    index = migrated.home / "runs.db.schema2"
    for run_id, text in rows(index, "select run_id, record from runs"):
        was, now = record.from_json(json.loads(text)), migrated.runs.find(run_id)
        if not was.is_finished:
            continue
        assert (now.spec, now.state, now.thread) == (was.spec, was.state, was.thread)
        assert now.codex_version == was.codex_version
        assert now.rollout_offset == was.rollout_offset


def test_a_path_that_is_no_text_keeps_its_bytes(migrated: Ledger) -> None:
    found = case(migrated, "odd_dir")

    assert found.repo is not None
    assert os.fsencode(found.repo).endswith(b"/r\xffepo")
    assert found.settings is not None
    assert found.settings.repo == found.repo


def test_the_next_prompt_takes_the_settings_of_the_last_launched_run(
    migrated: Ledger,
) -> None:
    found = case(migrated, "held_attempts")
    launched = [run for run in migrated.runs.of_session(found.key) if run.launched_at]

    row = migrated.one("session_by_key", session=found.key)
    assert row is not None
    assert row["settings"] == settings_json(launched[-1].spec)
    assert found.home == launched[-1].spec.codex_home
    assert not found.is_imported


def test_of_an_imported_session_only_the_directory_is_taken_over(
    migrated: Ledger,
) -> None:
    imported = case(migrated, "imported_rollout")
    resumed = case(migrated, "imported_twice")

    assert (imported.is_imported, imported.settings, imported.home) == (
        True,
        None,
        None,
    )
    assert imported.repo == "/srv/code/repo"
    assert (resumed.is_imported, resumed.settings is None) == (False, False)


def test_imports_are_known_each_with_its_run(migrated: Ledger) -> None:
    found = migrated._db.execute(
        "select kind, run_id, identity from imports"
    ).fetchall()
    removed = {row["identity"] for row in found if row["kind"] == "removed"}
    ids = old_state.expected(migrated.home.parent, "live")["ids"]

    assert len(found) - len(removed) == 12
    assert ids["imported_removed"] in removed
    assert all((row["run_id"] is None) is (row["kind"] == "removed") for row in found)


def test_prompts_keep_their_numbers_their_order_and_their_bytes(
    migrated: Ledger,
) -> None:
    waiting = migrated.queue.waiting(case(migrated, "held_limit").key)

    assert [each.id for each in waiting] == [2, 3, 4]
    assert waiting[0].text == "SAY held one ü".encode()
    assert len(waiting[1].text or b"") > 4000
    assert waiting[2].is_quit
    whole = "select id from prompts where id in (2, 3, 4) and digest is not null"
    assert len(migrated._db.execute(whole).fetchall()) == 3
    assert migrated.value("first_waiting", session=0) is None
    numbers = "select seq from sqlite_sequence where name = 'prompts'"
    assert migrated._db.execute(numbers).fetchone()[0] == 9


def test_a_prompt_whose_text_is_lost_is_held_and_says_so(migrated: Ledger) -> None:
    found = case(migrated, "mail_file_gone")
    (prompt,) = migrated.queue.waiting(found.key)

    assert prompt.text is None
    assert prompt.detail is not None
    assert "its text was lost" in prompt.detail
    assert found.state is TaskState.DIED


def test_what_cannot_be_taken_over_as_it_was_is_named(migrated: Ledger) -> None:
    found = notes(migrated)

    assert {what: len(each) for what, each in found.items()} == {
        "file of a prompt without a row": 2,
        "files of a run missing": 2,
        "run ended by the migration": 1,
        "text of a prompt lost": 1,
    }


def test_damaged_records_cost_what_only_they_have(state: Path) -> None:
    old_state.damage(state.parent)
    live = old_state.expected(state.parent, "live")

    with opened(state) as ledger:
        for name in ("record_damaged", "record_wrong_type"):
            found = case(ledger, name)
            was = live["sessions"][found.name]
            now = shown(found, ledger)
            assert {f: now[f] for f in now} == {f: was[f] for f in now}
            (run,) = ledger.runs.of_session(found.key)
            assert run.outcome is Outcome.SUCCEEDED
        assert len(notes(ledger)["record damaged"]) == 2
        assert [each.name for each in ledger.sessions.all()] == live["order_of_ls"]
        assert case(ledger, "record_damaged").settings is None


def test_a_removed_session_that_is_still_on_record_gets_its_directory_back(
    state: Path,
) -> None:
    key = "01a1f000-0000-7000-8000-000000000001"
    (state / key).rename(state / f".removed-{key}-0123abcd")

    with opened(state) as ledger:
        assert session(ledger, key).exports == key
        for run in ledger.runs.of_session(session(ledger, key).key):
            assert Path(run.spec.directory) == state / key / "runs"
    left = [each.name for each in state.iterdir() if each.name.startswith(".removed")]
    assert left == [".removed-01a1f000-0000-7000-8000-000000000010-0a1b2c3d"]


def test_a_state_directory_that_was_moved_finds_its_runs(
    state: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    state.rename(moved)
    link = tmp_path / "link"
    link.symlink_to(moved)

    with opened(link) as ledger:
        found = [
            r for s in ledger.sessions.all() for r in ledger.runs.of_session(s.key)
        ]
        inside = [run for run in found if Path(run.spec.directory).is_relative_to(link)]
        there = [run for run in inside if Path(run.spec.directory).is_dir()]
        assert (len(found), len(inside), len(there)) == (55, 42, 42)


def test_another_migration_makes_the_same_ledger(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        state = old_state.extract(tmp_path / "root")
        Ledger(state).close()
        with contextlib.closing(sqlite3.connect(state / "ledger.db")) as db:
            made.append([*db.iterdump()])
        shutil.rmtree(tmp_path / "root")

    assert made[0] == made[1]


# Runs that are not over


def unfinished(state: str, run_id: str = RUN, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Build the record of a run that no process owns."""
    process = {"pid": 4_000_000, "start_time": 1, "boot_id": "another"}
    owners = {"prepared": {"launcher": process}, "launching": {"supervisor": process}}
    both = {"supervisor": process, "codex": process}
    told = {
        "state": state,
        "ended_at": None,
        "outcome": None,
        "exit_code": None,
        "processes": owners.get(state, both),
        **({} if state == "running" else {"launched_at": None}),
    }
    found: dict[str, Any] = record_of(run_id, THREAD, "/nowhere", **{**told, **changes})
    return found


def settings(state: Path) -> config.Config:
    return config.load({"CODEX_RUNNER_HOME": str(state), "HOME": str(state.parent)})


def write_meta(directory: Path, data: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"codex-run-{data['run_id']}.meta.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("state", "kind"),
    [("prepared", Prepared), ("launching", Launching), ("running", Running)],
)
def test_a_run_that_no_process_owns_is_left_for_the_first_sweep(
    tmp_path: Path, state: str, kind: type
) -> None:
    make(tmp_path, 2, row_of(unfinished(state), THREAD))

    with opened(tmp_path) as ledger:
        (run,) = ledger.runs.unfinished()
        assert isinstance(run.state, kind)
        if run.supervisor is not None:
            assert run.supervisor.boot_id == here()["boot_id"]
        assert session(ledger, THREAD).state is TaskState.RUNNING

        recover.sweep(ledger, settings(tmp_path), delivers=False)
        outcome = session(ledger, THREAD).outcome
        assert outcome == ("not_started" if state == "prepared" else "lost")


def test_the_first_sweep_judges_by_the_meta_file_and_counts(state: Path) -> None:
    live = old_state.expected(state.parent, "live")
    settled = old_state.expected(state.parent, "settled")["sessions"]
    name = live["ids"]["verdict_in_meta_only"]

    with opened(state) as ledger:
        assert session(ledger, name).state is TaskState.RUNNING

        swept = recover.sweep(ledger, settings(state), delivers=False)

        assert (swept.faults, dict(swept.unknown)) == ((), {})
        was = settled[name]
        now = shown(session(ledger, name), ledger)
        assert {f: now[f] for f in now} == {f: was[f] for f in now}
        (total,) = ledger.usage.totals("total")
        assert total.total_tokens == live["usage"]["session"]["total"]["total_tokens"]


def test_one_that_only_waited_for_the_session_ends(tmp_path: Path) -> None:
    waits = unfinished(
        "launching",
        LATER,
        session_id=None,
        resume_session=THREAD,
        request={"wait_for_session": True},
    )
    make(
        tmp_path,
        2,
        row_of(unfinished("running"), THREAD),
        row_of(waits, THREAD),
    )

    with opened(tmp_path) as ledger:
        runs = ledger.runs.of_session(session(ledger, THREAD).key)
        assert [(run.run_id, run.outcome, run.waits) for run in runs] == [
            (RUN, None, False),
            (LATER, Outcome.NOT_STARTED, True),
        ]
        assert session(ledger, THREAD).last_run == RUN
        told = runs[1].verdict
        assert told is not None
        assert told.error_class == "killed"


def test_of_two_launched_runs_the_first_ends_as_its_meta_file_says(
    tmp_path: Path,
) -> None:
    logs = tmp_path / "logs"
    first = unfinished("running", request={"log_dir": str(logs)})
    lost = unfinished("running", LATER, request={"log_dir": str(logs)})
    last = unfinished("running", LAST, request={"log_dir": str(logs)})
    write_meta(logs, record_of(RUN, THREAD, str(logs), exit_code=1, outcome="failed"))
    make(tmp_path / "state", 2, *(row_of(each, THREAD) for each in (first, lost, last)))

    with opened(tmp_path / "state") as ledger:
        runs = ledger.runs.of_session(session(ledger, THREAD).key)
        outcomes = [run.outcome for run in runs]
        assert outcomes == [Outcome.FAILED, Outcome.LOST, None]
        # What it has used is in its meta file.
        (total,) = ledger.usage.totals("total")
        assert (total.runs, total.input_tokens) == (2, 1200)


def test_a_run_that_nothing_is_known_of_is_lost(tmp_path: Path) -> None:
    damaged = {**unfinished("running"), "processes": 5}
    make(tmp_path, 2, row_of(damaged, THREAD))

    with opened(tmp_path) as ledger:
        assert ledger.runs.unfinished() == []
        assert session(ledger, THREAD).outcome == "lost"


# Prompts


def mail(number: int, state: str, run_id: str | None = None, **changes: Any) -> Any:  # noqa: ANN401 - a row
    row = {
        "mail_id": number,
        "session_id": THREAD,
        "queued_at": "2026-11-20T10:20:00.000Z",
        "state": state,
        "task": f"prompt {number}",
        "run_id": run_id,
        "attempts": 0,
        **changes,
    }
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    return f"insert into mail ({names}) values ({marks})", [*row.values()]  # noqa: S608


def a_session(**changes: Any) -> Any:  # noqa: ANN401 - a row
    row = {
        "session_id": THREAD,
        "title": None,
        "created_at": "2026-11-20T10:12:01.000Z",
        "updated_at": "2026-11-20T10:15:00.000Z",
        "last_run": RUN,
        "outcome": None,
        "archived_in": None,
        "last_place": RUN,
        **changes,
    }
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    sql = f"insert into sessions ({names}) values ({marks})"  # noqa: S608
    return sql, [*row.values()]


def write_prompt(state: Path, number: int) -> None:
    box = state / THREAD / "mail"
    box.mkdir(parents=True, exist_ok=True)
    (box / f"{number:08d}.prompt").write_text(f"prompt {number}")


def prompts(ledger: Ledger) -> list[dict[str, Any]]:
    found = ledger._db.execute("select * from prompts order by id").fetchall()
    return [dict(row) for row in found]


def test_a_delivered_prompt_has_ended_as_its_run_has(tmp_path: Path) -> None:
    runs = [
        record_of(RUN, THREAD, "/nowhere", request={"mail_id": 1}),
        record_of(
            LATER,
            THREAD,
            "/nowhere",
            exit_code=1,
            outcome="failed",
            request={"mail_id": 2},
        ),
    ]
    make(
        tmp_path,
        2,
        a_session(),
        *(row_of(each, THREAD) for each in runs),
        mail(1, "delivered", RUN),
        mail(2, "delivered", LATER),
        mail(3, "skipped"),
        mail(4, "delivered", LAST),
    )

    with opened(tmp_path) as ledger:
        found = [(p["state"], p["reason"], p["begun"]) for p in prompts(ledger)]
        assert found == [
            ("done", "succeeded", 1),
            ("failed", "failed", 1),
            ("canceled", "stopped", 0),
            ("failed", "lost", 0),
        ]
        assert "run of a prompt lost" in notes(ledger)
        assert ledger.queue.canceled(session(ledger, THREAD).key) == 1


def test_the_prompt_of_a_run_that_is_not_over_ends_with_it(tmp_path: Path) -> None:
    run = unfinished("running", request={"mail_id": 1})
    make(tmp_path, 2, a_session(), row_of(run, THREAD), mail(1, "delivered", RUN))
    write_prompt(tmp_path, 1)

    with opened(tmp_path) as ledger:
        (prompt,) = prompts(ledger)
        assert (prompt["state"], prompt["run_id"], prompt["begun"]) == (
            "running",
            RUN,
            1,
        )
        assert prompt["text"] == b"prompt 1"

        recover.sweep(ledger, settings(tmp_path), delivers=False)
        (prompt,) = prompts(ledger)
        # It may have been worked on: it is never delivered twice.
        assert (prompt["state"], prompt["reason"]) == ("failed", "lost")


def test_the_prompt_of_a_run_that_never_was_waits_again(tmp_path: Path) -> None:
    run = unfinished("launching", request={"mail_id": 1, "wait_for_session": True})
    make(tmp_path, 2, a_session(), row_of(run, THREAD), mail(1, "delivered", RUN))
    write_prompt(tmp_path, 1)

    with opened(tmp_path) as ledger:
        (prompt,) = ledger.queue.waiting(session(ledger, THREAD).key)
        assert (prompt.text, prompt.run_id) == (b"prompt 1", None)


def make_limited(place: Path, ends: int) -> None:
    """Write a session whose run met a limit that ends then, and a prompt behind it."""
    limits = {"primary": {"used_percent": 100, "resets_at": ends}}
    limited = record_of(
        RUN,
        THREAD,
        "/nowhere",
        exit_code=1,
        outcome="usage_limited",
        accounts={"rate_limits": limits},
    )
    make(place, 2, a_session(), row_of(limited, THREAD), mail(1, "waiting"))
    write_prompt(place, 1)


def test_a_prompt_behind_a_usage_limit_is_held_until_the_reset(tmp_path: Path) -> None:
    ends = int(clock.now().timestamp()) + 3600
    make_limited(tmp_path, ends)

    with opened(tmp_path) as ledger:
        (prompt,) = prompts(ledger)
        until = iso(clock.at(ends))
        assert prompt["hold"] == f"the usage limit lasts until {until}"
        assert (prompt["wake_at"], prompt["wake_why"]) == (until, "limit")
        assert session(ledger, THREAD).state is TaskState.DIED


def test_a_usage_limit_that_is_over_holds_nothing(tmp_path: Path) -> None:
    make_limited(tmp_path, 1_700_000_000)

    with opened(tmp_path) as ledger:
        assert session(ledger, THREAD).state is TaskState.RUNNING


def test_numbers_of_prompts_are_never_given_twice(tmp_path: Path) -> None:
    run = record_of(RUN, THREAD, "/nowhere", request={"mail_id": 7})
    make(tmp_path, 2, a_session(), row_of(run, THREAD), mail(3, "skipped"))

    with opened(tmp_path) as ledger:
        key = session(ledger, THREAD).key
        assert ledger.queue.add(key, b"next", "next", clock.now()) == 8


# Older and other indexes


def test_an_index_of_version_0_1_is_taken_over_and_counted(tmp_path: Path) -> None:
    named = record_of(RUN, THREAD, "/nowhere")
    del named["request"]["mail_id"], named["request"]["codex_home"]
    lost = record_of(LATER, None, "/nowhere", outcome="lost", exit_code=1)
    make(tmp_path, 1, row_of(named, THREAD), row_of(lost, None))

    with opened(tmp_path) as ledger:
        found = {each.name: each for each in ledger.sessions.all()}
        assert found.keys() == {THREAD, LATER}
        assert found[THREAD].state is TaskState.STOPPED
        assert found[THREAD].settings is not None
        assert found[LATER].state is TaskState.DIED
        (total,) = ledger.usage.totals("total")
        assert (total.runs, total.input_tokens, total.unknown_cost) == (2, 2400, 2)
        assert total.cached_input_tokens == 2000


def test_an_index_that_was_never_filled_becomes_an_empty_ledger(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()

    with opened(tmp_path) as ledger:
        assert ledger.sessions.all() == []


def test_a_run_without_a_session_gets_one(tmp_path: Path) -> None:
    make(tmp_path, 2, row_of(record_of(RUN, THREAD, "/nowhere"), THREAD))

    with opened(tmp_path) as ledger:
        found = session(ledger, THREAD)
        assert (found.outcome, found.last_run) == ("succeeded", RUN)


def test_what_removed_runs_have_used_is_taken_from_their_file_too(
    tmp_path: Path,
) -> None:
    make(tmp_path, 2)
    figures = ("input", "cached_input", "output", "reasoning_output", "total")
    used = {f"{name}_tokens": 10 for name in figures}
    row = {
        "model": "gpt-5.1-codex",
        "session_id": THREAD,
        "repo": "/repo",
        "prepared_at": "2026-11-20T10:12:01.000Z",
        **used,
        "usd": 0.5,
    }
    line = json.dumps({"run_id": RUN, "usage": [row]})
    (tmp_path / "removed.jsonl").write_text(f"\n{line}\n\n{line}\nno line of ours\n")

    with opened(tmp_path) as ledger:
        (total,) = ledger.usage.totals("session")
        assert (total.key, total.runs, total.total_tokens) == (THREAD, 1, 10)
        assert len(notes(ledger)["line of removed.jsonl damaged"]) == 1
        assert ledger.value("was_removed", name="", identity=RUN)


def test_the_directories_that_hold_runs_are_noted_for_a_rebuild(state: Path) -> None:
    Ledger(state).close()

    root = os.fsencode(state.parent)
    lines = (state / "log-dirs").read_bytes().splitlines()
    assert lines == [root + b"/repo/runs", root + b"/runs", root + b"/gone"]


@pytest.mark.parametrize(
    "changes",
    [
        {"codex_bin": 5},
        {"request": {"overrides": ["a", 5]}},
        {"request": {"limits": {"timeout": "soon", "stall": None}}},
        {"request": {"umask": None}},
    ],
)
def test_settings_that_are_damaged_are_not_taken_over(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    sound = record_of(RUN, THREAD, "/nowhere", sandbox="read-only")
    damaged = record_of(LATER, THREAD, "/nowhere", sandbox="danger", **changes)
    make(tmp_path, 2, row_of(sound, THREAD), row_of(damaged, THREAD))

    with opened(tmp_path) as ledger:
        found = session(ledger, THREAD)
        assert found.settings is not None
        assert found.settings.codex.sandbox == "read-only"
        assert len(ledger.runs.of_session(found.key)) == 2
        assert notes(ledger)["record damaged"] == [LATER]


def test_a_run_that_waited_comes_when_it_was_launched(tmp_path: Path) -> None:
    first = record_of(RUN, THREAD, "/nowhere")
    waited = record_of(
        LATER,
        THREAD,
        "/nowhere",
        launched_at="2026-11-20T10:15:00.000Z",
        request={"wait_for_session": True},
    )
    between = record_of(LAST, THREAD, "/nowhere")
    make(tmp_path, 2, *(row_of(each, THREAD) for each in (first, waited, between)))

    with opened(tmp_path) as ledger:
        runs = ledger.runs.of_session(session(ledger, THREAD).key)
        assert [run.run_id for run in runs] == [RUN, LAST, LATER]
        assert session(ledger, THREAD).last_run == LATER


def test_an_outcome_of_another_make_is_a_failure(tmp_path: Path) -> None:
    odd = record_of(RUN, THREAD, "/nowhere", outcome="exploded")
    make(tmp_path, 2, row_of(odd, THREAD))

    with opened(tmp_path) as ledger:
        assert session(ledger, THREAD).outcome == "failed"
        (run,) = ledger.runs.of_session(session(ledger, THREAD).key)
        assert run.outcome is Outcome.FAILED
        assert notes(ledger)["record damaged"] == [RUN]


# Its exports


def differing(state: Path, **options: bool) -> list[tuple[str, str]]:
    told = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": str(state.parent)})
    return [(d.kind, d.subject) for d in verify(told, **options).differences]


def test_what_a_migration_leaves_agrees_with_the_files(state: Path) -> None:
    """Two runs of the frozen directory have no files, one has a damaged meta file."""
    found = differing(state)
    (damaged,) = (each for each in found if each[0] == "export")
    with pytest.raises(json.JSONDecodeError):
        json.loads(Path(damaged[1]).read_text())
    assert [kind for kind, _ in found if kind != "export"] == ["files-gone"] * 2
    assert not (state / "queue").exists()

    with opened(state) as ledger:
        waiting = [row["id"] for row in ledger.all("free_prompts")]
        told = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": "/"})
        recover.sweep(ledger, told, delivers=False)
        files = {int(path.name) for path in queue_files.all_files(state)}
        assert files == {*waiting} - {9}, "the text of one is lost"
        assert ledger.runs.unexported() == []

    assert differing(state, is_full=True) == found
    assert differing(state, is_repairing=True) == found
    assert differing(state) == [each for each in found if each != damaged]


def test_a_run_that_the_migration_has_ended_gets_its_exports(state: Path) -> None:
    with opened(state) as ledger:
        (text,) = notes(ledger)["run ended by the migration"]
        told = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": "/"})
        recover.sweep(ledger, told, delivers=False)
        run = ledger.runs.find(text.partition(":")[0])

    paths = files_of(run.spec)
    assert json.loads(paths.meta.read_text())["outcome"] == "not_started"
    assert json.loads(paths.summary.read_text())["outcome"] == "not_started"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"garbage", b'{"run_id": "another"}', b"[]"]
)
def test_a_file_of_before_that_tells_something_else_differs(
    state: Path, content: bytes
) -> None:
    with opened(state) as ledger:
        run = next(
            run
            for each in ledger.sessions.all()
            for run in ledger.runs.of_session(each.key)
            if run.is_finished and files_of(run.spec).meta.exists()
        )
    path = files_of(run.spec).meta
    path.write_bytes(content)
    os.utime(path, (0, 0))

    assert ("export", str(path)) in differing(state)
