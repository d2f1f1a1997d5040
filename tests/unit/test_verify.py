"""What is found is told once, what is mended is told so, and nothing is lost."""

import os
from pathlib import Path

import pytest
from support.runs import AT, SESSION, run, settings

from parsers.value import replace
from runner import artifacts, clock, mailbox, record, session_files
from runner.config import Config
from runner.errors import RunnerFault
from runner.model import (
    Finished,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    Verdict,
)
from runner.service.verify import verify
from runner.service.verify_findings import Finding, Findings
from runner.store.ledger import Ledger
from runner.store.mail import Mail

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
    files = session_files.active(config.state_home, SESSION)
    artifacts.make_directory(files.runs)
    verdict = Verdict(outcome=outcome, exit_code=0)
    fields = {
        "run_id": RunId(f"20261120-101201-512345-{number:08x}"),
        "mode": Mode.RESUME,
        "resume_session": SessionId(SESSION),
        "log_dir": str(files.runs),
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
    artifacts.make_directory(path.parent)
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


def test_a_number_that_is_another_sessions_is_left_to_it(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    theirs = Mail(NUMBER, "other", clock.iso(AT), "waiting", "Theirs.", None, 0)
    ledger.mail.restore(theirs)
    prompt(config)

    report = verify(config, is_repairing=True)

    assert not report.is_good
    assert ledger.mail.of_session("other") == [theirs]
    assert mail(ledger) == []


def test_a_skip_is_seen_in_the_names_of_the_files(
    config: Config, ledger: Ledger
) -> None:
    ledger.prepare(finished(config, 1))
    numbers = [
        mailbox.put(SESSION, text, ledger, config.state_home) for text in (b"1", b"2")
    ]
    files = session_files.active(config.state_home, SESSION)
    files.mail(numbers[0]).unlink()

    skipped = mailbox.skip(SESSION, ledger, config.state_home)

    assert [each.mail_id for each in skipped] == numbers
    assert [path.name for path in files.mailbox.iterdir()] == ["00000002.skipped"]
    assert [row.state for row in mail(ledger)] == ["skipped", "skipped"]


def test_a_file_that_is_being_written_is_no_difference(
    config: Config, ledger: Ledger
) -> None:
    ledger.close()
    directory = config.state_home / ".pending" / "20261120-101201-512345-00000009"
    runs = directory / "runs"
    artifacts.make_directory(runs)
    for name in (
        "codex-run-20261120-101201-512345-00000009.prompt",
        ".codex-run-20261120-101201-512345-00000009.meta.json.00.tmp",
    ):
        (runs / name).touch(0o600)

    assert kinds(config) == []


def test_an_old_record_that_nobody_finished_is_named_not_removed(
    config: Config, ledger: Ledger
) -> None:
    ledger.close()
    runs = config.state_home / ".pending" / "20261120-101201-512345-00000009" / "runs"
    artifacts.make_directory(runs)
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
    ledger.prepare(replace(finished(config, 2), session_id=other))
    verify(config, is_repairing=True)

    assert kinds(config) == []
    files = session_files.active(config.state_home, SESSION)
    bucket = config.state_home / "archive" / "2026" / "01" / "02"
    artifacts.make_directory(bucket)
    files.directory.rename(bucket / SESSION)

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
