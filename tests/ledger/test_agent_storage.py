"""Table and files of job records are compared, repaired, left and taken again."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.many import fill

from parsers.paths import Path as LightPath
from parsers.struct import replace
from runner.cli import codex_agent
from runner.exports.jobs import JobFiles, store_of
from runner.ledger.jobs import Job, JobTable, TurnEnd, touched
from runner.ledger.ledger import Ledger
from runner.service import archive

Json = dict[str, Any]
KINDS = ("sqlite", "json", "dual")
VARIABLE = "CODEX_AGENT_STORAGE"
END = TurnEnd(turn="turn-1", message="Done.", at="2026-12-01T10:00:00.000Z")


class Records:
    """The records of three jobs in both places, and the command."""

    def __init__(self, ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
        self.ledger, self._capfd = ledger, capfd
        self.table, self.files = JobTable(ledger), JobFiles(ledger.home)
        self.ids = sorted(each.short_id for each in ledger.sessions.all())

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        self._capfd.readouterr()
        assert codex_agent.main(words) == code, self._capfd.readouterr()
        return self._capfd.readouterr()

    def different(self, *words: str, code: int = 1) -> dict[str, str]:
        told = json.loads(self("verify-storage", *words, "--json", code=code)[0])
        assert told["ok"] == (code == 0)
        assert all(each["fix"] for each in told["differences"])
        return {each["id"]: each["kind"] for each in told["differences"]}

    def save(self, *places: str, label: str = "first") -> list[Job]:
        made = [touched(Job(id=each, label=label)) for each in self.ids]
        for kind in places:
            for job in made:
                store_of(self.ledger, {VARIABLE: kind}).save(job)
        return made

    def path(self, job_id: str) -> Path:
        return Path(self.ledger.home) / "jobs" / f"{job_id}.json"


@pytest.fixture
def records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Records]:
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex-home"))
    monkeypatch.setenv(VARIABLE, "dual")
    monkeypatch.setattr(sys, "argv", ["codex-agent"])
    fill(tmp_path / "state", 3, 1)
    with closing(Ledger(LightPath(str(tmp_path / "state")))) as opened:
        yield Records(opened, capfd)


def test_records_that_agree_have_no_difference(records: Records) -> None:
    records.save("dual")

    assert records.different(code=0) == {}
    assert records("verify-storage")[1].endswith("dual, 3 jobs: the records agree\n")


def test_each_difference_is_named_with_its_fix(records: Records) -> None:
    first, second, third = records.save("dual")
    records.files.remove(first.id)
    records.table.remove(second.id)
    text = records.path(third.id).read_text()
    records.path(third.id).write_text(text.replace("first", "edited by hand"))

    said = records("verify-storage", code=1)[0].splitlines()

    assert records.different() == {
        first.id: "only_in_table",
        second.id: "only_in_files",
        third.id: "different",
    }
    assert "migrate --to json" in next(each for each in said if first.id in each)
    assert "migrate --to sqlite" in next(each for each in said if second.id in each)
    assert f"{third.id} different: label (codex-agent verify-storage --repair" in (
        next(each for each in said if third.id in each)
    )


def test_a_file_that_cannot_be_read_or_has_no_session_is_named(
    records: Records,
) -> None:
    first, second, third = records.save("dual")
    records.path(first.id).write_text("{")
    records.path(second.id).write_text("[1")
    records.table.remove(second.id)
    session = records.ledger.sessions.named(third.id)[0]
    archive.remove(session, records.ledger)

    found = records.different()

    assert found == {
        first.id: "unreadable_file",
        second.id: "unreadable_file",
        third.id: "no_session",
    }
    assert records.different("--repair", code=0) == found
    assert records.different(code=0) == {}
    assert records.files.load(first.id) == first
    assert records.path(second.id).with_name(f"{second.id}.json.damaged").exists()
    assert records.files.load(second.id) is not None
    assert not records.path(third.id).exists()


def test_a_row_that_cannot_be_read_is_named_and_taken_from_the_file(
    records: Records,
) -> None:
    first, *_ = records.save("dual")
    how = {"id": first.id, "record": "{", "at": first.updated_at}
    records.ledger.write("save_job", **how)

    assert records.different() == {first.id: "unreadable_row"}
    assert records.different("--repair", code=0) == {first.id: "unreadable_row"}
    assert records.table.load(first.id) == first


def test_a_repair_takes_the_newer_record(records: Records) -> None:
    first, second, third = records.save("dual")
    in_file = touched(replace(first, label="newer file"))
    in_table = touched(replace(second, label="newer row"))
    records.files.save(in_file)
    records.table.save(in_table)
    records.files.write_signal(third.id, END)

    assert records.different("--repair", code=0) == {
        first.id: "different",
        second.id: "different",
        third.id: "turn_end",
    }
    assert records.different(code=0) == {}
    assert records.table.load(first.id) == in_file
    assert records.files.load(second.id) == in_table


def test_what_is_not_in_use_may_lack_records_or_have_older_ones(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.save("sqlite")
    monkeypatch.setenv(VARIABLE, "sqlite")
    assert records.different(code=0) == {}
    monkeypatch.setenv(VARIABLE, "json")
    assert [*records.different().values()] == ["only_in_table"] * 3
    records.save("json", label="later")
    assert records.different(code=0) == {}
    monkeypatch.setenv(VARIABLE, "sqlite")
    assert [*records.different().values()] == ["different"] * 3


def test_migrate_writes_the_records_where_they_are_missing(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = records.save("sqlite")
    records.table.write_signal(made[0].id, END)
    monkeypatch.setenv(VARIABLE, "json")
    assert "3 jobs only in the table" in records("jobs")[1]

    assert records("migrate", "--to", "json")[0] == "Wrote 3 job records (json).\n"

    assert records("migrate", "--to", "json")[0] == "Wrote 0 job records (json).\n"
    assert sorted(records.files.list(), key=lambda each: each.id) == made
    assert records.files.read_signal(made[0].id) == END
    assert "only in the table" not in records("jobs")[1]


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("back", KINDS)
def test_a_rollback_of_the_storage_has_all_jobs_again(
    records: Records, monkeypatch: pytest.MonkeyPatch, there: str, back: str
) -> None:
    """Forth, back, and all jobs are equal."""

    def jobs() -> list[Json]:
        listed: list[Json] = json.loads(records("jobs", "--all", "--json")[0])["jobs"]
        return listed

    monkeypatch.setenv(VARIABLE, back)
    records.save(back)
    before = jobs()

    monkeypatch.setenv(VARIABLE, there)
    records("migrate", "--to", there)
    assert jobs() == before
    for job in store_of(records.ledger, {VARIABLE: there}).list():
        changed = touched(replace(job, label="changed meanwhile"))
        store_of(records.ledger, {VARIABLE: there}).save(changed)
    changed_jobs = jobs()

    monkeypatch.setenv(VARIABLE, back)
    records("migrate", "--to", back)
    assert jobs() == changed_jobs
    assert [each["label"] for each in changed_jobs] == ["changed meanwhile"] * 3
    assert len(before) == 3
