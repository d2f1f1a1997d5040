"""Job records are stored in the ledger, in files, or in both: one contract."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.many import fill

from parsers.paths import Path as LightPath
from parsers.struct import replace
from runner.errors import UsageError
from runner.exports.jobs import BothStores, JobFiles, store_of
from runner.ledger.jobs import Job, JobTable, StaleJobError, TurnEnd, touched
from runner.ledger.ledger import Ledger

if TYPE_CHECKING:
    from runner.ledger.jobs import JobStore

END = TurnEnd(turn="turn-1", message="Done.\n\U0001f600", at="2026-12-01T10:00:00.000Z")
KINDS = ("sqlite", "json", "dual")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    fill(tmp_path / "state", 3, 1)
    with closing(Ledger(LightPath(str(tmp_path / "state")))) as opened:
        yield opened


@pytest.fixture
def ids(ledger: Ledger) -> list[str]:
    return [each.short_id for each in ledger.sessions.all()]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, ledger: Ledger) -> "JobStore":
    return stored(ledger, request.param)


def stored(ledger: Ledger, kind: str) -> "JobStore":
    return store_of(ledger, {"CODEX_AGENT_STORAGE": kind})


def job(name: str, **more: object) -> Job:
    full = {"label": "a 'label'\n", "effort": "high", "files": ("src/ä b.py", "c")}
    return touched(Job(id=name, parent_session="0a1b", **{**full, **more}))  # type: ignore[arg-type]  # one is left out


def test_what_is_saved_is_loaded_and_listed(store: "JobStore", ids: list[str]) -> None:
    jobs = [job(each, map_name="docs/CODEBASE_MAP.md") for each in ids]
    for each in jobs:
        store.save(each)

    assert [store.load(each) for each in ids] == jobs
    assert sorted(store.list(), key=lambda each: ids.index(each.id)) == jobs
    later = touched(replace(jobs[0], label=None))
    store.save(later)
    assert store.load(ids[0]) == later
    assert store.load("0a1b2c3d") is None


def test_a_record_that_is_older_is_refused(store: "JobStore", ids: list[str]) -> None:
    first = job(ids[0])
    store.save(replace(first, updated_at="2026-12-01T10:00:01.000Z"))

    with pytest.raises(StaleJobError, match=f"job {ids[0]} was changed or deleted"):
        store.save(replace(first, updated_at="2026-12-01T10:00:00.000Z"))
    kept = store.load(ids[0])
    assert kept is not None
    assert kept.updated_at == "2026-12-01T10:00:01.000Z"


def test_a_removed_job_leaves_nothing(store: "JobStore", ids: list[str]) -> None:
    store.save(job(ids[0]))
    store.write_signal(ids[0], END)

    store.remove(ids[0])
    store.remove(ids[0])
    assert (store.load(ids[0]), store.list(), store.read_signal(ids[0])) == (
        *(None, [], None),
    )


def test_the_end_of_a_turn_is_there_until_it_is_cleared(
    store: "JobStore", ids: list[str]
) -> None:
    store.save(job(ids[0]))
    assert store.read_signal(ids[0]) is None

    store.write_signal(ids[0], END)
    assert store.read_signal(ids[0]) == END
    assert store.read_signal(ids[1]) is None
    store.clear_signal(ids[0])
    store.clear_signal(ids[0])
    assert store.read_signal(ids[0]) is None


def test_an_unknown_kind_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="'yaml' is none of sqlite, json, dual"):
        stored(ledger, "yaml")
    assert isinstance(store_of(ledger, {"CODEX_AGENT_STORAGE": ""}), JobTable)


def test_in_files_no_row_is_written_and_modes_are_narrow(
    ledger: Ledger, ids: list[str]
) -> None:
    place = Path(ledger.home) / "jobs"
    place.mkdir(mode=0o755)
    jobs = stored(ledger, "json")
    jobs.save(job(ids[0]))
    jobs.write_signal(ids[0], END)

    assert JobTable(ledger).list() == []
    assert place.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in place.iterdir()} == {0o600}
    assert not [each for each in place.iterdir() if each.suffix == ".tmp"]


def test_a_file_that_is_cut_anywhere_harms_its_own_job_alone(
    ledger: Ledger, ids: list[str]
) -> None:
    jobs = JobFiles(ledger.home)
    whole = job(ids[0])
    jobs.save(whole)
    jobs.save(job(ids[1]))
    jobs.write_signal(ids[0], END)
    record, signal = (
        Path(ledger.home) / "jobs" / f"{ids[0]}{kind}"
        for kind in (".json", ".turn-complete")
    )
    texts = record.read_bytes(), signal.read_bytes()

    for path, text in zip((record, signal), texts, strict=True):
        for end in range(len(text)):
            path.write_bytes(text[:end])
            assert ids[1] in {each.id for each in jobs.list()}
            assert jobs.load(ids[0]) in {None, whole}
            assert jobs.read_signal(ids[0]) in {None, END}
        path.write_bytes(text)
    record.write_bytes(b'{"id": "other", "updated_at": "x"}')
    assert jobs.load(ids[0]) is None
    record.write_bytes(b"[" * 100_000)
    assert jobs.load(ids[0]) is None


def test_both_take_in_a_file_without_a_row_when_it_is_read(
    ledger: Ledger, ids: list[str]
) -> None:
    mine = job(ids[0])
    stored(ledger, "json").save(mine)

    assert stored(ledger, "dual").list() == [mine]
    assert JobTable(ledger).load(ids[0]) == mine


def test_of_both_the_newer_record_wins(ledger: Ledger, ids: list[str]) -> None:
    both, jobs, table = (stored(ledger, kind) for kind in ("dual", "json", "sqlite"))
    first = job(ids[0], label="first")
    both.save(first)
    edited = touched(replace(first, label="edited as a file"))
    jobs.save(edited)

    assert both.load(ids[0]) == edited
    assert table.load(ids[0]) == edited
    newest = touched(replace(edited, label="newest"))
    table.save(newest)
    assert both.load(ids[0]) == newest


def test_a_change_is_newer_than_what_it_changes(ids: list[str]) -> None:
    ahead = replace(job(ids[0]), updated_at="2999-01-01T00:00:00.000Z")

    assert touched(ahead).updated_at == "2999-01-01T00:00:00.001Z"


def test_each_kind_can_be_left_and_taken_again_without_a_loss(
    ledger: Ledger, ids: list[str]
) -> None:
    def all_of(kind: str) -> list[Job]:
        return sorted(stored(ledger, kind).list(), key=lambda each: each.id)

    for name, kind in zip(ids, ("json", "dual", "dual"), strict=True):
        stored(ledger, kind).save(job(name))
    everything = all_of("dual")

    assert [each.id for each in everything] == sorted(ids)
    assert all_of("json") == all_of("sqlite") == all_of("dual") == everything
    assert isinstance(stored(ledger, "dual"), BothStores)
    text = (Path(ledger.home) / "jobs" / f"{ids[0]}.json").read_text()
    assert json.loads(text)["id"] == ids[0]
