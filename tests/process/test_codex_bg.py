"""`codex-bg`: the lines that a shell reads, each at once, and the job's exit code."""

import os
import re
import signal
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Begun, Ended

COMMAND = "codex_bg"


class Shell:
    """Runs `codex-bg` and `codex-agent` of the stand-in in a repository."""

    def __init__(self, sessions: Sessions, repo: Path) -> None:
        self.sessions, self.repo = sessions, repo

    def words(self, prompt: str, *own: str, more: tuple[str, ...] = ()) -> list[str]:
        start = ("codex-agent", "start", "-d", str(self.repo))
        binary = ("--codex-bin", str(self.sessions.stand_in.path))
        return [*own, "--", *start, *binary, "--no-constraints", *more, prompt]

    def __call__(self, prompt: str, *own: str, more: tuple[str, ...] = ()) -> Ended:
        done = self.sessions.cli(*self.words(prompt, *own, more=more), command=COMMAND)
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(self, prompt: str, *own: str) -> Begun:
        place = self.sessions.place / "bg"
        out, err = place.with_suffix(".out"), place.with_suffix(".err")
        with out.open("wb") as stdout, err.open("wb") as stderr:
            words, start = self.words(prompt, *own), self.sessions.cli.start
            process = start(*words, command=COMMAND, stdout=stdout, stderr=stderr)
        return Begun(process, out, err)

    def agent(self, *words: object) -> Ended:
        done = self.sessions.cli(*words, command="codex_agent")
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(sessions: Sessions, repo: Path) -> Shell:
    return Shell(sessions, repo)


def id_of(stdout: str) -> str:
    found = re.match(r"CODEX_AGENT_JOB_ID=([1-9a-f][0-9a-f]{7})\n", stdout)
    assert found is not None, stdout
    return found[1]


@pytest.mark.core
def test_a_job_is_reported_in_lines(shell: Shell) -> None:
    said = shell("Begin.", "-i", "5", "-t")

    job = id_of(said.stdout)
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout.splitlines()[1:] == [
        f"CODEX_AGENT_TURN_COMPLETE={job}",
        f"CODEX_AGENT_DONE={job} status=completed",
    ]
    assert shell.agent("output", job).stdout.count("answer to Begin.") == 1


@pytest.mark.parametrize("words", [(), ("start",), ("codex-agent",)])
def test_the_words_before_the_prompt_may_be_left_out(
    shell: Shell, words: tuple[str, ...]
) -> None:
    line = [*shell.words("Begin."), "-m", "a b"]
    at = line.index("--") + 1
    line[at : at + 2] = words
    done = shell.sessions.cli(*line, command=COMMAND)

    assert done.returncode == 0, done.stderr
    (row,) = shell.sessions.listed().values()
    assert row["last_prompt"] == "Begin."


def test_the_exit_code_is_that_of_the_run(shell: Shell, codex: StandIn) -> None:
    failed_turn = script.event("turn.failed", error={"message": "No."})
    codex.plays(*script.begin(), failed_turn, script.leave(7), thread=script.FRESH)
    said = shell("Fail.")

    job = id_of(said.stdout)
    assert said.code == 7
    assert said.stdout.splitlines()[1:] == [f"CODEX_AGENT_DONE={job} status=failed"]


@pytest.mark.usefixtures("without_timer")
def test_a_job_that_cannot_be_launched_has_no_lines(shell: Shell) -> None:
    said = shell("x", more=("--codex-bin", "/nowhere/codex"))

    assert (said.code, said.stdout) == (1, "")
    assert "/nowhere/codex" in said.stderr


def test_a_program_that_fails_does_not_change_the_exit_code(shell: Shell) -> None:
    for program in ("false", "/nowhere/program"):
        said = shell("Begin.", "-n", program)

        assert said.code == 0
        assert "--notify-on-complete" in said.stderr
        assert said.stdout.endswith(" status=completed\n")


def test_the_output_is_before_the_last_line(shell: Shell) -> None:
    said = shell("Begin.", "-o")

    job = id_of(said.stdout)
    captured = shell.agent("capture", job, "200").stdout
    assert "answer to Begin." in captured
    assert said.stdout == (
        f"CODEX_AGENT_JOB_ID={job}\n{captured}CODEX_AGENT_DONE={job} status=completed\n"
    )


def test_a_program_is_run_at_the_end_without_a_shell(
    shell: Shell, tmp_path: Path, codex: StandIn
) -> None:
    codex.plays(*script.begin(), *script.fail("No."), thread=script.FRESH)
    told, program = tmp_path / "told", tmp_path / "a program"
    program.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$CODEX_AGENT_JOB_ID" "$CODEX_AGENT_STATUS" "$@" > {told}\n'
    )
    program.chmod(0o755)
    said = shell("Fail.", "-n", f"'{program}' '$HOME' '$(id)'")

    assert told.read_text().splitlines() == [
        id_of(said.stdout),
        "failed",
        "$HOME",
        "$(id)",
    ]


def test_each_line_is_written_at_once_and_a_queued_text_is_a_turn(
    shell: Shell, held: Path
) -> None:
    begun = shell.begin("Begin.", "-t")
    wait_until(lambda: begun.out.read_text().endswith("\n"), what="the first line")
    job = id_of(begun.out.read_text())
    assert shell.agent("send", job, "Next.").stdout == f"Queued to {job}: Next.\n"
    held.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert ended.stdout.splitlines()[1:] == [
        *[f"CODEX_AGENT_TURN_COMPLETE={job}"] * 2,
        f"CODEX_AGENT_DONE={job} status=completed",
    ]


def test_an_interrupt_names_the_job_that_goes_on(shell: Shell, held: Path) -> None:
    begun = shell.begin("Begin.")
    wait_until(lambda: begun.out.read_text().endswith("\n"), what="the first line")
    job = id_of(begun.out.read_text())
    wait_until(lambda: f'"{job}"' in shell.agent("jobs", "--json").stdout)
    os.kill(begun.process.pid, signal.SIGINT)
    ended = begun.wait()

    assert ended.code == 130
    assert ended.stdout.count("\n") == 1
    assert f"still running: {job} (codex-agent kill {job} ends it)" in ended.stderr
    held.touch()
    assert shell.agent("await-turn", job).stdout == "answer to Begin.\n"


def test_a_job_whose_text_ends_without_a_run_has_failed(
    shell: Shell, codex: StandIn
) -> None:
    codex.plays(*script.begin(), *script.fail("No."), thread=script.FRESH)
    first = id_of(shell("Fail.").stdout)
    said = shell("Then.", more=("--after", first))

    job = id_of(said.stdout)
    assert said.code == 1
    assert said.stdout.splitlines()[1:] == [f"CODEX_AGENT_DONE={job} status=failed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name the job behind --"),
        (("--", "codex-agent", "start"), "name the job behind --"),
        (("--", "start", "--json", "x"), "--json: codex-bg prints lines"),
        (("--", "start", "--dry-run", "x"), "--dry-run starts no job"),
        (("--", "start", "--no-such", "x"), "--no-such"),
        (("-n", "a", "--", "--notify-on-complete", "b", "x"), "is given twice"),
        (("-n", "a 'b", "--", "x"), "--notify-on-complete"),
        (("start", "x"), "start x"),
    ],
)
def test_a_wrong_line_starts_nothing(
    cli: Cli, state_home: Path, words: tuple[str, ...], message: str
) -> None:
    done = cli(*words, command=COMMAND)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (state_home / "ledger.db").exists()
