"""What Codex and helper programs answer, with the programs faked."""

from typing import Any

import plumbum  # noqa: F401 - it asks `uname` when it is imported, which is not faked
import pytest
from pytest_subprocess import FakeProcess

from runner.process.start import capture, run_helper

PROGRAM = "/bin/sh"  # somebody must be found at the path; the fake answers for it
ENVIRONMENT = {"PATH": "/bin"}


def ask(
    fake: FakeProcess, answer: dict[str, Any], *, any_exit_code: bool = False
) -> str | None:
    fake.register([PROGRAM, "--version"], **answer)
    return capture([PROGRAM, "--version"], ENVIRONMENT, 5, any_exit_code=any_exit_code)


def test_the_answer_stands_on_standard_output(fp: FakeProcess) -> None:
    assert ask(fp, {"stdout": "codex-cli 0.169.0\n"}) == "codex-cli 0.169.0"


def test_an_answer_on_standard_error_counts_when_there_is_no_other(
    fp: FakeProcess,
) -> None:
    assert ask(fp, {"stderr": "Logged in using ChatGPT\n"}) == "Logged in using ChatGPT"


@pytest.mark.parametrize(
    "answer", [{"returncode": 1, "stdout": "no"}, {"stdout": ""}, {"stdout": " \n"}]
)
def test_a_failure_and_silence_are_no_answers(
    fp: FakeProcess, answer: dict[str, Any]
) -> None:
    assert ask(fp, answer) is None


def test_a_doctor_that_found_something_has_answered(fp: FakeProcess) -> None:
    assert ask(fp, {"returncode": 1, "stdout": "{}"}, any_exit_code=True) == "{}"


def test_a_program_that_is_not_there_has_no_answer() -> None:
    assert capture(["/nowhere/codex"], ENVIRONMENT, 5) is None


def test_bytes_that_are_no_text_do_not_spoil_an_answer(fp: FakeProcess) -> None:
    assert ask(fp, {"stdout": b"codex \xff"}) == "codex \ufffd"


@pytest.mark.parametrize(("code", "is_good"), [(0, True), (128, False)])
def test_a_helper_did_well_or_not(fp: FakeProcess, code: int, is_good: bool) -> None:  # noqa: FBT001 - a row's expectation
    fp.register([PROGRAM, "init"], returncode=code)

    assert run_helper([PROGRAM, "init"], ENVIRONMENT, 5) is is_good


def test_a_helper_that_is_not_installed_did_not_do_well() -> None:
    assert not run_helper(["no-such-helper"], ENVIRONMENT, 5)
