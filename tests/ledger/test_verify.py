"""What is found is told once, what is mended is told so, and nothing is lost."""

import contextlib
import errno
import json
import os
import sqlite3
from pathlib import Path

import pytest
from support.runs import AT, SESSION, run, settings

from parsers.struct import replace
from runner import clock, files, session_files, session_lock
from runner.config import Config
from runner.errors import RunnerFault
from runner.ledger import record
from runner.ledger.queue import Mail
from runner.ledger.runs import Ledger, read_meta
from runner.ledger.usage import totals
from runner.lifecycle import queue
from runner.model import (
    Finished,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    Verdict,
)
from runner.service import verify_twice
from runner.service.verify import verify
from runner.service.verify_findings import Finding, Findings
from runner.service.verify_session import Case

NUMBER = 3


def fail() -> None:
    message = "the disk is full"
    raise RunnerFault(message)


def finding(**changes: object) -> Finding:
    return replace(Finding(subject="a", kind="k", detail="d"), **changes)


def test_nothing_is_mended_unless_it_is_wanted() -> None:
    findings = Findings(is_repairing=False)

    assert not findings.take([finding(mend=fail), finding(subject="b")])

    assert [each.is_repairable for each in findings.differences] == [True, False]
    assert not any(each.mended for each in findings.differences)


def test_what_is_mended_is_told_so() -> None:
    findings = Findings(is_repairing=True)

    assert findings.take([finding(mend=list), finding(subject="b")])

    assert [each.mended for each in findings.differences] == [True, False]


def test_a_mend_that_fails_says_why() -> None:
    findings = Findings(is_repairing=True)

    assert not findings.take([finding(mend=fail)])

    (difference,) = findings.differences
    assert difference.detail == "d; it cannot be mended: the disk is full"
    assert not difference.is_repairable


def test_what_is_still_so_after_it_was_mended_is_not_mended_for_ever() -> None:
    findings = Findings(is_repairing=True)
    findings.take([finding(mend=list)])

    assert not findings.take([finding(mend=list)])

    (difference,) = findings.differences
    assert not difference.mended


def test_a_session_is_hidden_by_what_is_not_mended() -> None:
    looking, repairing = Findings(is_repairing=False), Findings(is_repairing=True)
    for findings in (looking, repairing):
        findings.take([finding(mend=list, hides=SESSION)])

    assert looking.hidden == {SESSION}
    assert repairing.hidden == set()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return settings(tmp_path, CODEX_RUNNER_HOME=str(tmp_path / "state"))


@pytest.fixture
def ledger(config: Config) -> Ledger:
    return Ledger(config.state_home)


def finished(
    config: Config, number: int, outcome: Outcome = Outcome.SUCCEEDED, **changes: object
) -> Run:
    """Build a run on the session that has delivered a prompt of its mailbox."""
    paths = session_files.active(config.state_home, SESSION)
    files.make_directory(paths.runs)
    verdict = Verdict(outcome=outcome, exit_code=0)
    fields = {
        "run_id": RunId(f"20261120-101201-512345-{number:08x}"),
        "mode": Mode.RESUME,
        "resume_session": SessionId(SESSION),
        "log_dir": str(paths.runs),
        **changes,
    }
    is_started = outcome is not Outcome.NOT_STARTED
    state = Finished(
        verdict=verdict, started_at=AT if is_started else None, ended_at=AT
    )
    return run(state, **fields)


def kinds(config: Config, *, is_repairing: bool = False) -> list[str]:
    report = verify(config, is_repairing=is_repairing)
    return [each.kind for each in report.differences]


def prompt(config: Config) -> Path:
    path = session_files.active(config.state_home, SESSION).mail(NUMBER)
    files.make_directory(path.parent)
    path.touch(0o600)
    path.write_text("More.")
    return path


def mail(ledger: Ledger) -> list[Mail]:
    return ledger.mail.of_session(SESSION)


def test_a_prompt_that_was_tried_in_vain_waits_again_with_its_tries(
    config: Config, ledger: Ledger
) -> None:
    for number in (1, 2):
        ledger.prepare(finished(config, number))
    ledger.adopt(finished(config, 3, Outcome.NOT_STARTED, mail_id=NUMBER))
    prompt(config)

    verify(config, is_repairing=True)

    (row,) = mail(ledger)
    assert (row.mail_id, row.state, row.attempts) == (NUMBER, "waiting", 1)
    assert row.task == "More."


def test_a_prompt_that_a_run_names_has_been_delivered(
    config: Config, ledger: Ledger
) -> None:
    delivering = finished(config, 1, mail_id=NUMBER)
    ledger.adopt(delivering)
    prompt(config)

    verify(config, is_repairing=True)

    (row,) = mail(ledger)
    assert (row.state, row.run_id) == ("delivered", delivering.run_id)


def test_a_run_that_is_taken_in_takes_its_prompt_out_of_the_mailbox(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    prompt(config)
    verify(config, is_repairing=True)
    assert [row.state for row in mail(ledger)] == ["waiting"]

    ledger.adopt(finished(config, 2, mail_id=NUMBER))

    assert [row.state for row in mail(ledger)] == ["delivered"]


def test_prompts_whose_number_is_another_sessions_get_new_ones_in_their_order(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    ledger.adopt(finished(config, 2, Outcome.NOT_STARTED, mail_id=NUMBER))
    theirs = Mail(NUMBER, "other", clock.iso(AT), "waiting", "Theirs.", None, 0)
    ledger.mail.restore(theirs)
    first = prompt(config)
    files.create(first.with_name("00000002.skipped"), b"Before.")
    files.create(first.with_name("00000004.prompt"), b"Then.")

    assert verify(config, is_repairing=True).is_good

    assert kinds(config) == []
    assert ledger.mail.of_session("other") == [theirs]
    assert [
        (row.mail_id, row.task, row.state, row.attempts) for row in mail(ledger)
    ] == [
        (2, "Before.", "skipped", 0),
        (5, "More.", "waiting", 1),
        (6, "Then.", "waiting", 0),
    ]
    paths = session_files.active(config.state_home, SESSION)
    assert paths.mail(5).read_text() == "More."
    assert paths.mail(6).read_text() == "Then."
    assert queue.put(SESSION, b"Last.", ledger, config.state_home) == 7


def test_a_prompt_that_was_delivered_under_a_number_of_another_session_is_in_order(
    config: Config, ledger: Ledger
) -> None:
    ledger.adopt(finished(config, 1, mail_id=NUMBER))
    theirs = Mail(NUMBER, "other", clock.iso(AT), "waiting", "Theirs.", None, 0)
    ledger.mail.restore(theirs)
    prompt(config)

    assert verify(config, is_repairing=True).is_good

    assert kinds(config) == []
    assert mail(ledger) == []


def test_a_prompt_that_cannot_get_a_new_number_stays_as_it_is(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.prepare(finished(config, 1))
    theirs = Mail(NUMBER, "other", clock.iso(AT), "waiting", "Theirs.", None, 0)
    ledger.mail.restore(theirs)
    path = prompt(config)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "rename", refuse)
        assert not verify(config, is_repairing=True).is_good
    assert mail(ledger) == []
    assert path.exists()
    assert verify(config, is_repairing=True).is_good


def test_a_skip_is_seen_in_the_names_of_the_files(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    numbers = [
        queue.put(SESSION, text, ledger, config.state_home) for text in (b"1", b"2")
    ]
    paths = session_files.active(config.state_home, SESSION)
    paths.mail(numbers[0]).unlink()

    skipped = queue.skip(SESSION, ledger, config.state_home)

    assert [each.mail_id for each in skipped.prompts] == numbers
    assert [path.name for path in paths.mailbox.iterdir()] == ["00000002.skipped"]
    assert [row.state for row in mail(ledger)] == ["skipped", "skipped"]


def test_a_file_that_is_being_written_is_no_difference(
    config: Config, ledger: Ledger
) -> None:
    ledger.close()
    directory = config.state_home / ".pending" / "20261120-101201-512345-00000009"
    runs = directory / "runs"
    files.make_directory(runs)
    for name in (
        "codex-run-20261120-101201-512345-00000009.prompt",
        ".codex-run-20261120-101201-512345-00000009.meta.json.0a1b2c3d.tmp",
    ):
        (runs / name).touch(0o600)

    assert kinds(config) == []


def test_an_old_record_that_nobody_finished_is_named_not_removed(
    config: Config, ledger: Ledger
) -> None:
    ledger.close()
    runs = config.state_home / ".pending" / "20261120-101201-512345-00000009" / "runs"
    files.make_directory(runs)
    path = runs / "codex-run-20261120-101201-512345-00000009.prompt"
    path.touch(0o600)
    os.utime(path, (0, 0))

    assert kinds(config, is_repairing=True) == ["unrecorded"]
    assert path.exists()


def test_a_run_on_one_session_that_codex_gave_to_another_lies_well(
    config: Config, ledger: Ledger
) -> None:
    other = SessionId(SESSION.replace("1", "2"))
    ledger.prepare(finished(config, 1))
    begun = finished(config, 2, mode=Mode.NEW, resume_session=None)
    ledger.prepare(replace(begun, session_id=other))
    verify(config, is_repairing=True)

    assert kinds(config) == []
    paths = session_files.active(config.state_home, SESSION)
    bucket = config.state_home / "archive" / "2026" / "01" / "02"
    files.make_directory(bucket)
    paths.directory.rename(bucket / SESSION)

    assert kinds(config) == ["misplaced", "misplaced"]
    assert verify(config, is_repairing=True).is_good
    assert kinds(config) == []


def test_a_session_without_runs_is_taken_out(config: Config, ledger: Ledger) -> None:
    ledger.prepare(finished(config, 1))
    with ledger.database.transaction() as db:
        db.execute("update sessions set session_id = 'x' || session_id")

    assert kinds(config) == ["row-differs", "no-runs"]
    assert verify(config, is_repairing=True).is_good
    assert ledger.sessions.ids() == {SESSION}


def test_an_index_without_a_table_is_damaged(config: Config, ledger: Ledger) -> None:
    ledger.prepare(finished(config, 1))
    elsewhere = finished(config, 2, log_dir=str(config.state_home.parent))
    ledger.prepare(elsewhere)
    with ledger.database.transaction() as db:
        db.execute("drop table usage")
    ledger.close()

    assert kinds(config) == ["index-damaged"]
    assert verify(config, is_repairing=True).is_good

    again = Ledger(config.state_home)
    assert len(again.known()) == 2
    found = again.find(elsewhere.run_id)
    assert record.to_json(found) == record.to_json(elsewhere)


OTHER = SessionId(SESSION.replace("1", "2"))


def misplaced(config: Config, ledger: Ledger) -> session_files.SessionFiles:
    """Leave a run of a named session where it was before it had the name."""
    run_id = "20261120-101201-512345-00000001"
    was = session_files.pending(config.state_home, run_id)
    files.make_directory(was.runs)
    prompt(config).unlink()
    there = finished(config, 1, mode=Mode.NEW, resume_session=None)
    stray = replace(
        session_files.moved(there, was),
        session_id=SessionId(SESSION),
    )
    ledger.prepare(stray)
    files.make_directory(was.mailbox)
    return was


def test_a_prompt_whose_number_is_taken_stays_where_it_is_and_is_named(
    config: Config, ledger: Ledger
) -> None:
    was = misplaced(config, ledger)
    there = prompt(config)
    waits = Mail(NUMBER, SESSION, clock.iso(AT), "waiting", "More.", None, 0)
    ledger.mail.restore(waits)
    for path in (was.mail(NUMBER), was.skipped(NUMBER), was.mail(NUMBER + 1)):
        files.create(path, b"Another.")

    report = verify(config, is_repairing=True)

    found = [(each.kind, each.mended) for each in report.differences]
    assert found[0] == ("misplaced", True)
    assert [each for each in found if each[0] == "prompt-misplaced"] == [
        ("prompt-misplaced", False)
    ] * 2
    assert there.read_text() == "More."
    assert was.mail(NUMBER).read_text() == "Another."
    assert there.with_name(was.mail(NUMBER + 1).name).read_text() == "Another."
    again = verify(config, is_repairing=True).differences
    assert [(each.kind, each.is_repairable) for each in again] == [
        ("prompt-misplaced", False)
    ] * 2
    assert SESSION in again[0].detail


def test_a_prompt_that_was_left_behind_is_brought_home(
    config: Config, ledger: Ledger
) -> None:
    was = misplaced(config, ledger)
    verify(config, is_repairing=True)
    waits = Mail(NUMBER, SESSION, clock.iso(AT), "waiting", "More.", None, 0)
    ledger.mail.restore(waits)
    files.make_directory(was.mailbox)
    files.create(was.mail(NUMBER), b"More.")

    assert kinds(config) == ["prompt-misplaced"]
    assert verify(config, is_repairing=True).is_good

    paths = session_files.active(config.state_home, SESSION)
    assert paths.mail(NUMBER).read_text() == "More."
    assert mail(ledger) == [waits]
    assert not was.directory.exists()


def test_files_of_a_run_are_not_overwritten(config: Config, ledger: Ledger) -> None:
    was = misplaced(config, ledger)
    paths = session_files.active(config.state_home, SESSION)
    (name,) = [path.name for path in was.runs.iterdir()]
    files.create(paths.runs / name, b"mine")

    report = verify(config, is_repairing=True)

    (difference,) = [each for each in report.differences if each.kind == "misplaced"]
    assert not difference.mended
    assert name in difference.detail
    assert (paths.runs / name).read_text() == "mine"
    assert (was.runs / name).exists()


def test_a_directory_without_runs_is_left_behind_all_the_same(
    config: Config, ledger: Ledger
) -> None:
    was = misplaced(config, ledger)
    paths = session_files.active(config.state_home, SESSION)
    for path in was.runs.iterdir():
        path.rename(paths.runs / path.name)
    was.runs.rmdir()

    assert verify(config, is_repairing=True).is_good
    assert not was.directory.exists()
    assert kinds(config) == []


@pytest.mark.parametrize("delivers", [None, NUMBER, NUMBER + 1])
def test_a_prompt_that_no_run_of_its_session_has_delivered_waits_again(
    config: Config, ledger: Ledger, delivers: int | None
) -> None:
    ledger.prepare(finished(config, 1))
    if delivers is not None:
        # A number alone is another session's too, of another state directory.
        theirs = replace(
            finished(config, 2, mail_id=delivers, resume_session=OTHER),
            session_id=OTHER,
        )
        ledger.adopt(theirs)
    run_id = "20261120-101201-512345-00000002"
    says = Mail(NUMBER, SESSION, clock.iso(AT), "delivered", "More.", run_id, 1)
    ledger.mail.restore(says)
    prompt(config)

    found = verify(config).differences
    assert [each.kind for each in found if "/mail/" in each.subject] == [
        "prompt-misdelivered"
    ]
    verify(config, is_repairing=True)

    assert mail(ledger) == [replace(says, state="waiting", run_id=None)]


def misdelivered(config: Config) -> bool:
    """Tell whether a prompt that was not delivered rightly can be put back."""
    found = verify(config, is_repairing=True).differences
    (difference,) = [each for each in found if each.kind == "prompt-misdelivered"]
    assert difference.mended == difference.is_repairable
    return difference.is_repairable


def test_a_prompt_that_may_have_been_delivered_is_not_given_again(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    says = Mail(NUMBER, SESSION, clock.iso(AT), "delivered", "More.", "gone", 0)
    ledger.mail.restore(says)

    assert not misdelivered(config), "its file is not there"
    stray = prompt(config).parent.parent / "runs" / "codex-run-stray.prompt"
    stray.touch(0o600)
    assert not misdelivered(config), "a run without a record may have delivered it"
    stray.unlink()
    damaged = stray.with_name("codex-run-stray.meta.json")
    damaged.touch(0o600)
    assert not misdelivered(config), "so may one whose record cannot be read"
    damaged.unlink()
    ledger.adopt(finished(config, 2, mail_id=NUMBER))
    assert not misdelivered(config), "another run of the session has delivered it"
    assert mail(ledger) == [says]


def test_a_prompt_is_not_judged_by_a_run_that_cannot_be_read(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    theirs = finished(config, 2, mail_id=NUMBER, resume_session=OTHER)
    ledger.adopt(theirs)
    says = Mail(NUMBER, SESSION, clock.iso(AT), "delivered", "More.", theirs.run_id, 0)
    ledger.mail.restore(says)
    prompt(config)
    with ledger.database.transaction() as db:
        db.execute("update runs set record = '{}' where run_id = ?", (theirs.run_id,))

    assert "prompt-misdelivered" not in kinds(config)


def test_what_a_run_has_delivered_is_no_difference(
    config: Config, ledger: Ledger
) -> None:
    delivering = finished(config, 1, mail_id=NUMBER)
    ledger.adopt(delivering)
    ledger.mail.restore(
        Mail(NUMBER, SESSION, clock.iso(AT), "delivered", "More.", delivering.run_id, 0)
    )

    assert not [each for each in kinds(config) if each.startswith("prompt")]


@pytest.fixture
def two_places(config: Config, ledger: Ledger) -> tuple[Path, Path]:
    """Give the directory of a session, and a second one with views of it only."""
    ledger.prepare(finished(config, 1))
    verify(config, is_repairing=True)
    assert kinds(config) == []
    first = session_files.active(config.state_home, SESSION).directory
    second = config.state_home / "archive" / "2026" / "01" / "02" / SESSION
    files.make_directory(second)
    files.create(second / "task.json", (first / "task.json").read_bytes())
    files.create(second / "task.log", b"Older.")
    return first, second


def test_views_of_a_second_directory_are_removed(
    config: Config, two_places: tuple[Path, Path]
) -> None:
    first, second = two_places

    assert kinds(config) == ["twice"]
    assert verify(config, is_repairing=True).is_good
    assert kinds(config) == []
    assert first.exists()
    assert not second.exists()


def test_the_directory_with_the_runs_is_the_right_one(
    config: Config, two_places: tuple[Path, Path]
) -> None:
    first, second = two_places
    (first / "runs").rename(second / "runs")

    assert verify(config, is_repairing=True).is_good
    assert kinds(config) == []
    assert not first.exists()


def test_of_two_with_views_the_one_of_the_index_stays(
    config: Config, two_places: tuple[Path, Path]
) -> None:
    first, second = two_places
    for path in (first / "runs").iterdir():
        path.unlink()
    (first / "runs").rmdir()

    assert verify(config, is_repairing=True).is_good
    assert first.exists()
    assert not second.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "mine"),
        ("mail/00000001.prompt", "More."),
        ("task.json", json.dumps({"id": SESSION, "state": "STOPPED"})),
    ],
)
def test_a_second_directory_with_more_than_views_stays(
    config: Config, two_places: tuple[Path, Path], name: str, content: str
) -> None:
    path = two_places[1] / name
    files.make_directory(path.parent)
    path.touch(0o600)
    path.write_text(content)

    assert "twice" in kinds(config, is_repairing=True)
    assert "twice" in kinds(config)
    assert path.read_text() == content


def test_two_directories_of_a_session_that_is_not_known_stay(
    config: Config, two_places: tuple[Path, Path], ledger: Ledger
) -> None:
    (two_places[0] / "runs").rename(config.state_home.parent / "runs")
    ledger.sessions.remove(SESSION)

    assert "twice" in kinds(config, is_repairing=True)
    assert all(place.exists() for place in two_places)


def test_views_of_a_session_that_is_held_stay(
    config: Config,
    two_places: tuple[Path, Path],
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.session_lock._MOMENT_SECONDS", 0)
    holder = RunId("holder")
    taken = session_lock.take(config.state_home, ledger, SessionId(SESSION), holder)
    assert isinstance(taken, session_lock.Held)

    (difference,) = verify(config, is_repairing=True).differences

    os.close(taken.descriptor)
    assert "is busy: run holder" in difference.detail
    assert two_places[1].exists()
    assert verify(config, is_repairing=True).is_good


def test_views_stay_when_something_happens_before_they_go(
    config: Config, two_places: tuple[Path, Path], ledger: Ledger
) -> None:
    def mends() -> Finding:
        (found,) = verify_twice.twice_differences(ledger, config.state_home)
        return found

    changed, begun = Findings(is_repairing=True), Findings(is_repairing=True)
    found = mends()
    (two_places[1] / "task.result").symlink_to("elsewhere")
    changed.take([found])
    (two_places[1] / "task.result").unlink()
    found = mends()
    ledger.prepare(replace(finished(config, 2), state=run().state))
    begun.take([found])

    (difference,) = changed.differences
    assert "it has just changed" in difference.detail
    (difference,) = begun.differences
    assert "is busy" in difference.detail
    assert (two_places[1] / "task.json").exists()


def test_the_index_is_not_kept_from_others_while_files_are_read(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.prepare(finished(config, 1))
    kept: list[bool] = []

    def look(path: Path) -> Run | None:
        kept.append(not write(config, "begin immediate"))
        return read_meta(path)

    monkeypatch.setattr("runner.service.verify_session.read_meta", look)

    assert verify(config, is_repairing=True).is_good
    assert kept
    assert not any(kept)


def test_what_is_written_during_a_look_is_no_difference(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.prepare(finished(config, 1))
    verify(config, is_repairing=True)
    queued: list[int] = []

    def put(case: Case) -> dict[int, Path]:
        if len(queued) < 2:
            other = Ledger(config.state_home)
            queued.append(queue.put(SESSION, b"More.", other, config.state_home))
            other.close()
        return {int(path.stem): path for path in case.files.mailbox.glob("*.prompt")}

    monkeypatch.setattr("runner.service.verify_mail._files", put)

    assert kinds(config) == []
    assert len(queued) == 2


def test_who_writes_all_the_time_waits_for_the_last_look(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.prepare(finished(config, 1))
    verify(config, is_repairing=True)
    paths = session_files.active(config.state_home, SESSION)
    next(paths.runs.glob("*.meta.json")).unlink()
    written: list[bool] = []

    def look(path: Path) -> Run | None:
        written.append(
            write(config, "update sessions set updated_at = updated_at || 0")
        )
        return read_meta(path)

    monkeypatch.setattr("runner.service.verify_session.read_meta", look)

    assert kinds(config) == ["meta-missing"]
    assert written == [True, True, True, True, False]


def write(config: Config, statement: str) -> bool:
    """Write to the index as another process does; tell whether that was let."""
    path = config.state_home / "runs.db"
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as db:
        try:
            db.execute(statement)
            db.commit()
        except sqlite3.OperationalError:
            return False
    return True


def test_the_work_grows_with_the_runs_of_a_session_not_with_their_square(
    config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Run] = []
    real = session_files.of_run

    def of_run(home: Path, each: Run) -> session_files.SessionFiles | None:
        asked.append(each)
        return real(home, each)

    for number in range(30):
        ledger.prepare(finished(config, number))
    verify(config, is_repairing=True)
    monkeypatch.setattr("runner.service.verify_session.session_files.of_run", of_run)

    assert kinds(config) == []
    assert len(asked) <= 30 * 5, "each run some times, not each for each"


def test_rows_that_an_older_supervisor_has_written_are_counted_anew(
    config: Config, ledger: Ledger
) -> None:
    one = finished(config, 1)
    figures = {"input_tokens": 7, "total_tokens": 7}
    accounts = {"token_usage": {"by_model": {"a": figures, "b": figures}}}
    one = replace(one, state=replace(one.state, accounts=accounts))
    ledger.adopt(one)
    with ledger.database.transaction() as db:
        db.execute("delete from usage where model = 'b'")
        db.execute("update usage set model = 'unknown'")

    verify(config, is_repairing=True)

    found = totals(ledger.database, "model")
    assert [(total.key, total.total_tokens) for total in found] == [("a", 7), ("b", 7)]
