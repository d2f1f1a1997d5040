"""A record holds a run whole, and reads back as the same run."""

import json
from datetime import UTC, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner.clock import iso
from runner.ledger import record, settings
from runner.model import (
    CodexOptions,
    Finished,
    Launching,
    Limits,
    Mode,
    Outcome,
    Prepared,
    ProcessId,
    Report,
    Run,
    RunId,
    Running,
    SessionId,
    Spec,
    Verbosity,
    Verdict,
    Waiting,
)

# What a command line can hold: no NUL, any other byte, stray ones as surrogates.
TEXT = st.text(st.characters(exclude_characters="\0", codec=None), max_size=30)
SOME = st.none() | TEXT.filter(bool)
UUIDS = st.uuids().map(lambda uuid: SessionId(str(uuid)))
FINE_INSTANTS = st.datetimes(
    AT.replace(year=2020, tzinfo=None),
    AT.replace(year=2100, tzinfo=None),
    timezones=st.just(UTC),
)
INSTANTS = FINE_INSTANTS.map(
    lambda at: at - timedelta(microseconds=at.microsecond % 1000)
)
SECONDS = st.none() | st.floats(0.001, 1e8)
PROCESSES = st.builds(
    ProcessId,
    pid=st.integers(1, 1 << 22),
    start_time=st.integers(0, 1 << 50),
    boot_id=TEXT,
    namespace=TEXT,
    machine_id=TEXT,
)
SPECS = st.builds(
    Spec,
    run_id=TEXT.filter(bool).map(RunId),
    mode=st.sampled_from([*Mode]),
    repo=TEXT.map("/".__add__),
    task=TEXT,
    task_file=SOME,
    resume_session=st.none() | UUIDS,
    directory=TEXT.map("/".__add__),
    is_flat=st.booleans(),
    cwd=TEXT,
    umask=st.integers(0, 0o777),
    codex=st.builds(
        CodexOptions,
        bin=TEXT,
        sandbox=SOME,
        model=SOME,
        overrides=st.lists(TEXT, max_size=3).map(tuple),
        skip_git_repo_check=st.booleans(),
        extra=st.lists(TEXT, max_size=3).map(tuple),
        once=st.lists(TEXT, max_size=3).map(tuple),
    ),
    limits=st.builds(Limits, timeout=SECONDS, stall=SECONDS, announcement=SECONDS),
    report=st.builds(Report, json_out=SOME, event_stream=SOME, notify_command=SOME),
    wait_for_session=st.booleans(),
    verbosity=st.sampled_from([*Verbosity]),
    prepared_at=INSTANTS,
    codex_home=SOME,
    prompt_id=st.none() | st.integers(1, 1 << 40),
)
VERDICTS = st.builds(
    Verdict,
    outcome=st.sampled_from([*Outcome]),
    exit_code=st.integers(0, 255),
    process_exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    error=st.none() | TEXT,
    error_class=SOME,
)
ACCOUNTS = st.fixed_dictionaries(
    {
        "model": st.none() | TEXT.filter(bool),
        "token_usage": st.none() | st.dictionaries(TEXT, st.integers(), max_size=2),
        "cost": st.none() | st.just({"usd": None, "reason": "no price"}),
        "warnings": st.dictionaries(TEXT, st.integers(1, 9), max_size=2),
        "left_running": st.lists(st.just({"pid": 1, "name": "sleep"}), max_size=2),
    },
    optional={"thread_usage": st.just({"input_tokens": 1})},
)
STATES = st.one_of(
    st.builds(Waiting, supervisor=st.none() | PROCESSES),
    st.builds(Prepared),
    st.builds(Launching, supervisor=PROCESSES),
    st.builds(Running, supervisor=PROCESSES, codex=PROCESSES, started_at=INSTANTS),
    st.builds(
        Finished,
        verdict=VERDICTS,
        started_at=st.none() | INSTANTS,
        ended_at=INSTANTS,
        accounts=ACCOUNTS,
    ),
)
RUNS = st.builds(
    Run,
    spec=SPECS,
    state=STATES,
    thread=st.none() | UUIDS,
    has_begun=st.booleans(),
    codex_version=SOME,
    rollout_offset=st.none() | st.integers(0, 1 << 40),
)
# As the suite has them in hand: finer times, accounts that lack a part.
FRESH_RUNS = st.builds(
    replace,
    RUNS,
    spec=st.builds(replace, SPECS, prepared_at=FINE_INSTANTS),
    state=STATES
    | st.builds(
        Running, supervisor=PROCESSES, codex=PROCESSES, started_at=FINE_INSTANTS
    )
    | st.builds(
        Finished,
        verdict=VERDICTS,
        started_at=st.none() | FINE_INSTANTS,
        ended_at=FINE_INSTANTS,
        accounts=ACCOUNTS | st.just({}),
    ),
)


def without_default_model(run: Run) -> bool:
    """Leave out what cannot happen: accounts that deny the model that was asked for."""
    state = run.state
    return not (
        isinstance(state, Finished)
        and state.accounts["model"] is None
        and run.spec.codex.model is not None
    )


@given(FRESH_RUNS)
def test_a_record_that_is_read_and_written_again_is_the_same(run: Run) -> None:
    written = record.to_json(run)

    assert record.to_json(record.from_json(written)) == written


@given(RUNS.filter(without_default_model))
def test_a_record_reads_back_as_the_same_run(run: Run) -> None:
    assert record.from_json(record.to_json(run)) == run


@given(RUNS.filter(without_default_model))
def test_a_record_reads_back_through_a_file_too(run: Run) -> None:
    text = record.encode(record.to_json(run), indent=2)

    assert record.from_json(json.loads(text)) == run
    assert text.endswith(b"}\n")


def test_a_record_has_its_times_from_the_start_and_its_end_when_it_is_over() -> None:
    running = record.to_json(
        run(Running(supervisor=PROCESS, codex=PROCESS, started_at=AT))
    )
    verdict = Verdict(outcome=Outcome.FAILED, exit_code=1, error="No.")
    ended = AT + timedelta(seconds=1.2345)
    over = record.to_json(run(Finished(verdict=verdict, started_at=AT, ended_at=ended)))

    assert running["started_at"] == "2026-11-20T10:12:01.512Z"
    assert running["ended_at"] is running["outcome"] is running["exit_code"] is None
    assert over["ended_at"] == "2026-11-20T10:12:02.746Z"
    assert over["elapsed_seconds"] in {1.234, 1.235}


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert record.elapsed(iso(AT), iso(AT - timedelta(hours=1))) == 0.0


PROMISED = """
run_id session_id resume_session mode repo task task_file codex_bin codex_version model
sandbox log_file events_file meta_file started_at ended_at elapsed_seconds exit_code
signal outcome error token_usage cost
"""


def test_the_names_that_others_rely_on_are_there_from_the_start() -> None:
    assert set(PROMISED.split()) <= set(record.to_json(run()))


@pytest.mark.parametrize(
    "damage",
    [
        {"state": "dreaming"},
        {"mode": "sideways"},
        {"processes": None, "state": "running"},
        {"processes": []},
        {"prepared_at": "yesterday"},
        {"request": []},
        {"outcome": "splendid", "state": "finished", "ended_at": "2026-11-20"},
    ],
)
def test_a_damaged_record_is_named(damage: dict[str, object]) -> None:
    data = {**record.to_json(run()), **damage}

    with pytest.raises(record.DamagedRecordError, match="20261120-101201"):
        record.from_json(data)


def test_a_record_without_a_field_is_damaged() -> None:
    whole = record.to_json(run())
    for name in ("run_id", "state", "request", "prepared_at"):
        damaged = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(record.DamagedRecordError):
            record.from_json(damaged)


def test_text_is_utf_8_and_stray_bytes_are_kept_as_escapes() -> None:
    assert record.encode({"a": "Größe"}) == '{"a": "Größe"}\n'.encode()
    assert json.loads(record.encode({"a": "\udcff"})) == {"a": "\udcff"}


def test_the_thread_that_was_asked_for_and_the_one_announced_are_kept() -> None:
    asked = run(resume_session=SessionId(SESSION))
    announced = replace(asked, thread=SessionId(SESSION))

    assert record.to_json(asked)["resume_session"] == SESSION
    assert record.to_json(asked)["session_id"] is None
    assert record.to_json(announced)["session_id"] == SESSION
    assert record.from_json(record.to_json(announced)) == announced


# What only the columns of a run hold: a record does not know them.
COLUMNS = {"session": 7, "ordinal": 3, "waits": True, "is_stop_asked": True}


def test_what_only_the_columns_hold_is_not_in_the_record() -> None:
    stored = replace(run(), **COLUMNS)

    assert record.to_json(stored) == record.to_json(run())


@given(RUNS.filter(without_default_model))
def test_a_record_is_packed_and_unpacked_without_loss(run: Run) -> None:
    whole = record.to_json(run)
    others = ("session_id", "has_begun", "processes")
    columns = {name: whole[name] for name in (*record.COLUMNS, *others)}
    request = {"directory": run.spec.directory, "is_flat": run.spec.is_flat}
    request["prompt_id"] = run.spec.prompt_id

    stored = record.unpack(record.pack(run))

    assert not stored.keys() & columns.keys()
    assert record.to_json(record.of_row(stored, columns, request)) == whole


@pytest.mark.parametrize("damaged", [b"", b"no zlib", record.pack(run())[:-9]])
def test_a_packed_record_that_is_damaged_is_an_empty_one(damaged: bytes) -> None:
    assert record.unpack(damaged) == {}


def test_where_a_column_and_the_record_differ_the_column_counts() -> None:
    stored = record.to_json(run())

    found = record.of_row(stored, {"session_id": SESSION}, {"directory": "/moved"})

    assert found.thread == SESSION
    assert found.spec.directory == "/moved"
    assert found.spec.umask == run().spec.umask


def test_a_damaged_record_costs_what_only_it_has() -> None:
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    whole = record.to_json(run(running))
    names = ("run_id", "state", "prepared_at", "launched_at", "processes")
    columns = {name: whole[name] for name in names}

    found = record.of_row({"mode": 5}, columns, {"directory": "/d", "is_flat": True})

    assert (found.run_id, found.state) == (run().run_id, running)
    assert found.spec.directory == "/d"


@given(SPECS)
def test_the_settings_of_a_run_are_those_of_the_next_one(spec: Spec) -> None:
    kept = settings.read_settings(settings.settings_json(spec))

    assert kept is not None
    assert (kept.repo, kept.umask) == (spec.repo, spec.umask)
    assert kept.codex == replace(spec.codex, once=())
    assert kept.limits == replace(spec.limits, announcement=None)


def test_a_session_without_settings_has_none() -> None:
    assert settings.read_settings("{}") is None
