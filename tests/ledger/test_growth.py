"""What a command does not show costs it nothing: no run of a long session is read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import worked
from support.many import fill
from support.runs import PROCESS, settings

from parsers import json_text
from parsers.struct import replace
from runner.accounting.run import account_run
from runner.cli.output import document, pretty
from runner.exports import run_exports
from runner.exports.task_files import render_json
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.model import Finished, Outcome, Run, Running
from runner.run_files import files_of
from runner.service import log, lookup, status
from runner.service.result import result_of
from runner.service.verify import verify

RUNS = 40
FEW = 6


@pytest.fixture
def made(tmp_path: Path) -> list[Run]:
    return fill(tmp_path, sessions=1, runs_per_session=RUNS)


@pytest.fixture
def ledger(tmp_path: Path, made: list[Run]) -> Ledger:
    assert len(made) == RUNS
    return Ledger(tmp_path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect the records that are decoded."""
    found: list[bytes] = []
    unpack = record.unpack

    def counted(stored: bytes) -> record.Json:
        found.append(stored)
        return unpack(stored)

    monkeypatch.setattr(record, "unpack", counted)
    return found


def key_of(ledger: Ledger) -> int:
    (session,) = ledger.sessions.all()
    return session.key


def reported(ledger: Ledger) -> None:
    task = lookup.get(key_of(ledger), ledger)
    found = status.report(task, ledger, settings(ledger.home), None)
    assert found["runs"] == RUNS


def answered(ledger: Ledger) -> None:
    assert result_of(lookup.get(key_of(ledger), ledger), ledger).earlier is not None


def last_line(ledger: Ledger) -> None:
    task = lookup.get(key_of(ledger), ledger)
    list(log.read(task, log.Wish(last=0), ledger, settings(ledger.home)))


def exported(ledger: Ledger) -> None:
    render_json(ledger, key_of(ledger))


@pytest.mark.parametrize("step", [reported, answered, last_line, exported])
def test_few_runs_of_a_long_session_are_read(
    ledger: Ledger, decoded: list[bytes], step: Callable[[Ledger], None]
) -> None:
    step(ledger)

    assert 0 < len(decoded) <= FEW


def test_the_end_of_a_run_reads_few_others(
    ledger: Ledger, made: list[Run], decoded: list[bytes]
) -> None:
    last = ledger.runs.find(made[-1].run_id)
    assert isinstance(last.state, Finished)
    state = Running(supervisor=PROCESS, codex=PROCESS, started_at=last.started_at)
    spec = replace(last.spec, run_id=f"{last.run_id}-next")
    with ledger.transaction():
        ledger.runs.insert(replace(last, spec=spec, state=state))
    was = ledger.runs.find(spec.run_id)
    decoded.clear()

    account_run(was, ledger, settings(ledger.home))
    ledger.runs.finish(was, replace(was, state=last.state))
    render_json(ledger, was.session, "the answer")

    assert 0 < len(decoded) <= FEW


def test_the_run_with_the_last_answer_is_found(ledger: Ledger, made: list[Run]) -> None:
    wanted = [each for each in made if each.has_answer]

    found = ledger.runs.latest(key_of(ledger), "answered")
    before = ledger.runs.latest(key_of(ledger), "answered", before=found.ordinal)  # type: ignore[union-attr]

    assert found is not None
    assert before is not None
    assert [before.run_id, found.run_id] == [each.run_id for each in wanted[-2:]]


def test_a_run_that_only_waited_is_the_last_of_none_but_its_like(
    ledger: Ledger, made: list[Run]
) -> None:
    key = key_of(ledger)
    last = ledger.runs.find(made[-1].run_id)
    spec = replace(last.spec, run_id=f"{last.run_id}-waited")
    with ledger.transaction():
        ledger.runs.insert(replace(last, spec=spec, waits=True))

    found = ledger.runs.latest(key)

    assert found is not None
    assert found.run_id == last.run_id
    assert ledger.runs.ids(key)[-1] == spec.run_id
    assert len(ledger.runs.ends(key, 1)) == RUNS
    assert ledger.runs.ends(key, RUNS) == {last.run_id: last.outcome}


def test_what_a_run_has_left_is_found_without_the_others(
    ledger: Ledger, made: list[Run], decoded: list[bytes]
) -> None:
    key = key_of(ledger)
    assert isinstance(made[0].state, Finished)
    left = {**made[0].accounts, "left_running": [{"pid": 1, "start_time": 2}]}
    spec = replace(made[0].spec, run_id=f"{made[-1].run_id}-left")
    run = replace(made[0], spec=spec, state=replace(made[0].state, accounts=left))
    with ledger.transaction():
        ledger.runs.insert(replace(run, session=key))

    assert [each.run_id for each in ledger.runs.leaving(key)] == [spec.run_id]
    assert len(decoded) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"a": "x},\n    {", "b": None}],
        [
            {"a": '"},\n', "b": 1},
            {"a": "\udcff{", "b": "ü"},
            {"a": "", "b": Outcome.LOST},
        ],
    ],
)
def test_rows_are_written_as_any_other_json(rows: list[dict[str, object]]) -> None:
    text = document("tasks", {"tasks": rows})

    whole = {"schema": "codex-runner/tasks/1", "tasks": rows}
    assert json.loads(text) == json.loads(pretty(whole))
    of_rows = [line.strip(" ,") for line in text.splitlines()[3:-2]]
    assert of_rows == [json_text.dumps(row) for row in rows]


def test_what_agrees_is_compared_without_building_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings(tmp_path / "other", CODEX_RUNNER_HOME=str(tmp_path / "other/state"))
    ledger = Ledger(ours.state_home)
    run = worked.work(ledger, ours)
    worked.work(ledger, ours, answer="Another one.")
    worked.work(ledger, ours, worked.OTHER, log_dir=str(tmp_path / "logs"))
    rendered: list[str] = []
    render = run_exports.render_meta

    def counted(run: Run) -> bytes:
        rendered.append(run.run_id)
        return render(run)

    monkeypatch.setattr(run_exports, "render_meta", counted)
    assert verify(ours).is_good
    assert rendered == []

    meta = files_of(run.spec).meta
    meta.write_bytes(render(run) + b"\n")
    assert [each.subject for each in verify(ours).differences] == [str(meta)]
    assert set(rendered) == {run.run_id}


def test_a_record_of_a_row_is_that_of_its_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    run = worked.work(ledger, ours, outcome=Outcome.FAILED)
    flat = worked.work(ledger, ours, worked.OTHER, log_dir=str(tmp_path / "logs"))

    for each in (run, flat):
        (found,) = ledger.runs.finished(each.session)
        assert record.encode(
            run_exports.meta_in(found.data), indent=2
        ) == run_exports.render_meta(each)
