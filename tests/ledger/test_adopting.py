"""Runs of this suite that only their meta files know: what is taken of them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs import AT, SESSION, spec

from parsers.struct import replace
from runner.exports import run_exports
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.model import (
    CodexOptions,
    Finished,
    Limits,
    Outcome,
    Prepared,
    Report,
    Run,
    SessionId,
    State,
    Verdict,
)
from runner.run_files import files_of, own_directory
from runner.service import archive
from runner.service.rebuild import adopt, has_foreign_files, lost_run
from runner.terms import Terms

EVIL = CodexOptions(
    bin="/evil/codex",
    sandbox="danger-full-access",
    model="evil",
    overrides=("notify=['evil']",),
    skip_git_repo_check=True,
    extra=("--yolo",),
    once=("-i", "/etc/passwd"),
)
SUCCEEDED = Finished(
    verdict=Verdict(outcome=Outcome.SUCCEEDED, exit_code=0),
    started_at=AT,
    ended_at=AT,
    accounts={
        "token_usage": {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7},
        "left_running": [{"pid": 1, "start_time": 1}],
    },
)
Json = dict[str, Any]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with_one = Ledger(tmp_path / "state")
    yield with_one
    with_one.close()


def write(
    directory: Path,
    state: State = SUCCEEDED,
    *,
    is_flat: bool = True,
    **changes: Any,  # noqa: ANN401 # any field of a spec
) -> Path:
    """Write the meta file of a run as another state directory has left it."""
    directory.mkdir(parents=True, exist_ok=True)
    asked = {
        "directory": str(directory),
        "is_flat": is_flat,
        "codex": EVIL,
        "codex_home": "/evil/home",
        "limits": Limits(timeout=1.0),
        "report": Report(json_out="/evil.json", notify_command="evil"),
        "terms": Terms(notify="evil", verify="evil"),
        "prompt_id": 1,
        **changes,
    }
    run = Run(spec=spec(**asked), state=state, thread=SessionId(SESSION))
    run_exports.write_meta(replace(run, has_begun=True))
    return files_of(run.spec).meta


def changed(meta: Path, **fields: object) -> Path:
    meta.write_text(json.dumps(json.loads(meta.read_text()) | fields))
    return meta


def only(ledger: Ledger) -> Run:
    (session,) = ledger.sessions.all()
    (run,) = ledger.runs.of_session(session.key)
    return run


def test_of_a_foreign_file_history_alone_is_taken(
    ledger: Ledger, tmp_path: Path
) -> None:
    adopt(write(tmp_path / "runs"), ledger)

    run = only(ledger)
    assert run.spec.codex == CodexOptions(bin="codex")
    assert (run.spec.codex_home, run.spec.prompt_id) == (None, None)
    assert (run.spec.limits, run.spec.report) == (Limits(), Report())
    assert run.spec.terms == Terms()
    assert run.accounts["left_running"] == []
    assert (run.outcome, run.has_begun) == (Outcome.SUCCEEDED, True)
    (session,) = ledger.sessions.all()
    assert (session.settings, session.home) == (None, None)
    assert (session.repo, session.is_imported) == ("/repo", True)
    (total,) = ledger.usage.totals("total")
    assert (total.runs, total.total_tokens) == (1, 7)
    assert run_exports.noted_directories(ledger.home) == [tmp_path / "runs"]
    assert has_foreign_files(run.accounts)


def test_a_private_file_in_the_state_directory_is_trusted(ledger: Ledger) -> None:
    place = own_directory(ledger.home, spec().run_id)

    adopt(write(place, is_flat=False), ledger)

    run = only(ledger)
    assert run.spec.codex == EVIL
    (session,) = ledger.sessions.all()
    assert session.settings is not None
    assert (session.home, session.is_imported) == ("/evil/home", False)
    assert not has_foreign_files(run.accounts)


@pytest.mark.parametrize("is_flat", [True, False])
def test_a_file_that_others_can_write_is_not(ledger: Ledger, *, is_flat: bool) -> None:
    place = own_directory(ledger.home, spec().run_id)
    meta = write(place, is_flat=is_flat)
    (place / "owner").touch()
    meta.chmod(0o666)

    adopt(meta, ledger)

    assert only(ledger).spec.codex == CodexOptions(bin="codex")


def test_a_run_that_is_not_over_is_taken_from_a_trusted_file_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    meta = write(tmp_path / "runs", Prepared())
    assert adopt(meta, ledger) is None

    own_directory(ledger.home, spec().run_id).mkdir(parents=True)
    (own_directory(ledger.home, spec().run_id) / "owner").touch()

    assert adopt(meta, ledger) is not None
    assert not only(ledger).is_finished


def test_it_is_taken_once_and_not_when_it_was_removed(
    ledger: Ledger, tmp_path: Path
) -> None:
    meta = write(tmp_path / "runs")
    assert lost_run(meta, None) is not None

    assert adopt(meta, ledger) is not None
    assert adopt(meta, ledger) is None
    archive.remove(ledger.sessions.all()[0], ledger)

    assert adopt(meta, ledger) is None
    assert ledger.sessions.all() == []


def test_one_that_has_used_nothing_is_not_taken_again_either(
    ledger: Ledger, tmp_path: Path
) -> None:
    never = Finished(
        verdict=Verdict(outcome=Outcome.NOT_STARTED, exit_code=127),
        started_at=None,
        ended_at=AT,
    )
    meta = changed(write(tmp_path / "runs", never), session_id=None, has_begun=False)
    assert adopt(meta, ledger) is not None
    archive.remove(ledger.sessions.all()[0], ledger)

    assert adopt(meta, ledger) is None


def test_the_runs_of_a_session_are_in_the_order_of_time(
    ledger: Ledger, tmp_path: Path
) -> None:
    later = write(tmp_path / "runs")
    before = replace(SUCCEEDED, started_at=AT.replace(year=2025))
    earlier = write(tmp_path / "runs", before, run_id="20251120-101201-512345-00000001")

    adopt(later, ledger)
    adopt(earlier, ledger)

    (session,) = ledger.sessions.all()
    runs = ledger.runs.of_session(session.key)
    assert [run.started_at.year for run in runs] == [2025, 2026]
    assert [run.ordinal for run in runs] == [1, 2]


@pytest.mark.parametrize(
    "fields",
    [
        {"run_id": "another"},
        {"run_id": 7},
        {"outcome": "splendid"},
        {"ended_at": "yesterday"},
        {"state": "running"},
        {"token_usage": {"by_model": [], "input_tokens": 1}},
        {"cost": {"usd": "much", "parts": {"m": 1}}, "token_usage": {"by_model": 7}},
        {"request": []},
    ],
)
def test_a_record_that_is_none_of_ours_is_left_out(
    ledger: Ledger, tmp_path: Path, fields: Json
) -> None:
    meta = changed(write(tmp_path / "runs"), **fields)

    assert adopt(meta, ledger) is None
    assert ledger.sessions.all() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"codex_version": "\ud800", "task": "\udc80", "error": "\udfff"},
        {"exit_code": 1, "process_exit_code": 10**30, "rollout_offset": 10**30},
        {"session_id": "--yolo", "resume_session": "--yolo"},
        {"repo": "."},
        {"repo": "/with\0nul"},
    ],
)
def test_what_no_column_can_hold_does_no_harm(
    ledger: Ledger, tmp_path: Path, fields: Json
) -> None:
    meta = changed(write(tmp_path / "runs"), **fields)

    run = adopt(meta, ledger)

    assert run is not None
    told = record.to_json(only(ledger))
    assert "--yolo" not in json.dumps(told)
    (session,) = ledger.sessions.all()
    assert session.repo in {"/repo", None}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_any_bytes_do_no_harm(ledger: Ledger, tmp_path: Path, content: bytes) -> None:
    meta = write(tmp_path / "runs")
    meta.write_bytes(content)

    assert adopt(meta, ledger) is None


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    meta = write(tmp_path / "runs")
    meta.unlink()
    os.mkfifo(meta)

    assert adopt(meta, ledger) is None
