"""Every error is an object with --json, and two lines for people."""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import schemas
from support.programs import PROGRAMS

import runner
from runner import errors
from runner.cli.command import enter
from runner.cli.output import Output
from runner.cli.schemas import main as write_schemas
from runner.config import Config
from runner.errors import FileFault, RunnerError, UsageError
from runner.ledger import database
from runner.ledger.sessions import PromptsWaitError

_NO_TASK = ("attach", "deliver", "diff", "log", "merge", "result", "retry")
_NO_TASKS = ("archive", "pause", "resume", "rm", "status", "stop", "unarchive", "wait")
_NO_JOB = ("attach", "capture", "diff", "merge", "output", "send", "status")
_NO_JOBS = ("await-turn", "delete", "kill")
_EVERY = [(program, name) for program, p in PROGRAMS.items() for name in p.commands]
_NAMING = [
    *(("codex-tasks", name) for name in (*_NO_TASK, *_NO_TASKS)),
    *(("codex-agent", name) for name in (*_NO_JOB, *_NO_JOBS)),
]
_LISTED = {"codex-tasks": "codex-tasks ls -a", "codex-agent": "codex-agent jobs --all"}
_THINGS = {"codex-tasks": "task", "codex-agent": "job"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["codex-tasks"])


def _classes() -> Iterator[type[RunnerError]]:
    """Give every class of errors of the suite."""
    for module in pkgutil.walk_packages(runner.__path__, "runner."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    todo: list[type[RunnerError]] = [RunnerError]
    for each in todo:
        todo += [sub for sub in each.__subclasses__() if sub not in todo]
    yield from todo


def _said(capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, str], list[str]]:
    """Give the error object on standard output, and the lines on standard error."""
    out, err = capfd.readouterr()
    schemas.check(out)
    told = json.loads(out)
    assert schemas.kind_of(told) == "error"
    return told["error"], err.splitlines()


def test_the_schemas_in_docs_are_those_of_the_table(tmp_path: Path) -> None:
    write_schemas(tmp_path)

    made = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert made == {each.name: each.read_text() for each in schemas.SCHEMAS.iterdir()}


def test_every_class_of_errors_is_an_object_and_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for each in _classes():
        error = each.__new__(each)
        RunnerError.__init__(error, "the value is wrong", "codex-tasks ls")
        error.exit_code = getattr(error, "exit_code", 1)

        def fail(_: Config, error: RunnerError = error) -> int:
            raise error

        assert enter(fail, Output()) == error.exit_code
        told, lines = _said(capfd)
        assert re.fullmatch("[a-z_]+", each.code)
        assert told == {
            "code": each.code,
            "message": "the value is wrong",
            "hint": "codex-tasks ls",
        }
        if each.code != "interrupted":
            assert lines == ["error: the value is wrong", "fix:   codex-tasks ls"]


def test_the_words_of_the_tree_are_those_of_the_classes() -> None:
    tree = re.findall(r"(\w+(?:Error|Fault)) +(?:(\d+)  )?(\w+)", errors.__doc__ or "")

    assert len(tree) > 15
    for name, code, word in tree:
        found = getattr(errors, name)
        assert (word, code or str(found.exit_code)) == (
            found.code,
            str(found.exit_code),
        )


def test_without_a_hint_there_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: Config) -> int:
        raise FileFault("read", "x\ny", PermissionError(13, "Permission denied"))

    assert enter(fail) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("", "error: cannot read x y: Permission denied\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left"), MemoryError()])
def test_an_error_of_the_machine_is_an_object(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Config) -> int:
        raise error

    assert enter(fail, Output()) == 1
    told, (line,) = _said(capfd)
    assert told["code"] == "machine"
    assert line == f"error: {told['message']}"


def test_after_the_object_of_a_command_there_is_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = Output()

    def fail(_: Config) -> int:
        output.lines(["{}"])
        message = "too late"
        raise UsageError(message)

    assert enter(fail, output) == UsageError.exit_code
    assert capfd.readouterr() == ("{}\n", "error: too late\n")


@pytest.mark.parametrize(("program", "command"), _EVERY)
def test_a_wrong_option_of_each_command_is_an_object(
    program: str, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    line = [command, "--json", "--no-such-option", "x", "y"]
    code = 64 if command == "await-turn" else 2

    assert PROGRAMS[program].main(line) == code
    told, _ = _said(capfd)
    assert told["code"] == "usage"
    assert "--no-such-option" in told["message"]
    assert told["hint"] == f"{program} {command} --help"


@pytest.mark.parametrize(("program", "command"), _NAMING)
def test_an_unknown_task_of_each_command_is_an_object(
    program: str, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = ["Go on."] if command == "send" else []

    assert PROGRAMS[program].main([command, "--json", "0a1b2c3d", *text]) == 3
    out, err = capfd.readouterr()
    schemas.check(out)
    told = json.loads(out)
    error = told["error"] if "error" in told else told["errors"][0]
    assert error["code"] == "no_such_task"
    assert error["hint"] == _LISTED[program]
    assert err.startswith(f"error: no {_THINGS[program]} '0a1b2c3d'")


@pytest.mark.parametrize(
    ("program", "word", "command"),
    [("codex-tasks", "kill", "stop"), ("codex-agent", "stop", "kill")],
)
def test_an_unknown_command_is_an_object(
    program: str, word: str, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert PROGRAMS[program].main([word, "--json", "x y"]) == UsageError.exit_code
    told, lines = _said(capfd)
    assert told["message"] == f"there is no command {word!r}"
    assert told["hint"] == f"{program} {command} --json 'x y'"
    assert lines[1] == f"fix:   {program} {command} --json 'x y'"


# What a line after `fix:` begins with, or ends in after a colon.
TYPED = re.compile(
    r"(.*: )?(codex-tasks|run_codex_task|parse_codex_run|export|git|-+[a-z])[^:]*"
)


def test_a_fix_can_be_typed() -> None:
    fault = OSError(1, "no")
    found = [
        errors.UnpricedError(2, "there is no price"),
        errors.NoSuchTaskError("x"),
        errors.NotRunError("0a1b"),
        errors.LedgerFault("x", "it is locked"),
        errors.SessionBusyError("0a1b", "a run"),
        errors.LeftRunningError("0a1b", "sleep"),
        errors.QuitWaitsError("0a1b", 3),
        errors.MigrationError(["a run"]),
        errors.ArchivedError("0a1b"),
        errors.UnmergedError("0a1b", "is not merged"),
        PromptsWaitError("0a1b", 2),
        PromptsWaitError("0a1b", 2, puts_away=True),
        database.fault(Path("x"), fault),
        database.fault(Path("/"), fault),
    ]

    for error in found:
        assert TYPED.fullmatch(error.hint), error
        assert str(error) == f"{error.message} ({error.hint})"
