"""The lines that scripts read: always the same names, each on one line."""

from support.runs import AT, SESSION, run, spec

from runner.exports import key_values
from runner.model import Finished, Outcome, SessionId, Verdict

FAILED = Verdict(outcome=Outcome.FAILED, exit_code=3, error="No.")


def test_the_header_names_the_run_and_its_files() -> None:
    run_id = "20261120-101201-512345-9f3a1c07"

    assert key_values.header(spec()) == [
        f"codex_run_id={run_id}",
        f"log_file=/logs/codex-run-{run_id}.log",
        f"meta_file=/logs/codex-run-{run_id}.meta.json",
        f"summary_file_pending=/logs/codex-run-{run_id}.summary.json",
    ]


def test_the_footer_names_the_thread_or_says_that_it_is_unknown() -> None:
    over = run(Finished(verdict=FAILED, started_at=AT, ended_at=AT.replace(second=3)))
    asked = run(over.state, resume_session=SessionId(SESSION))

    assert key_values.footer(over)[1:5] == [
        "codex_exit_code=3",
        "elapsed_seconds=2.0",
        "codex_session_id=unknown",
        "outcome=failed",
    ]
    assert "codex_session_id=unknown" in key_values.footer(asked)


def test_a_line_break_in_a_value_is_shown_not_obeyed() -> None:
    assert key_values.pairs({"a": "1\nb=2\r\n"}) == ["a=1\\nb=2\\r\\n"]
    assert key_values.text(["a", "b"]) == "a\nb\n"
