"""The skill for agents: what it names exists, and its figures are the defaults."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs import COMMANDS, PARSERS, PROGRAMS

from runner import clock, config
from runner.cli import codex_agent, codex_bg, terms
from runner.cli.agent import closing, jobs, output, start
from runner.prompt.attached import MOST_FILES

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "runner" / "skills" / "codex-runner" / "SKILL.md"
TEXT = SKILL.read_text(encoding="utf-8")
NAMES = ("codex-agent", "codex-tasks", "codex-bg")
MOST_WORDS = 1200
SHORTEST_DESCRIPTION, LONGEST_DESCRIPTION = 50, 1024


def lines() -> Iterator[list[str]]:
    """Give the command lines in blocks and in running text, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    found = [line for block in blocks for line in joined(block)]
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    found += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)
    for line in found:
        words = shlex.split(line, comments=True)
        if words and words[0] in NAMES and len(words) > 1:
            yield words


def joined(block: str) -> Iterator[str]:
    """Give the lines of a block; an open quote goes on in the next line."""
    line = ""
    for each in block.splitlines():
        line = f"{line} {each.strip()}".strip()
        if line.count('"') % 2 == 0:
            yield line
            line = ""


def of_program(words: list[str]) -> tuple[str, list[str]]:
    """Name the command of a line, and give its arguments."""
    program, *rest = words[: words.index("<")] if "<" in words else words
    if program == codex_bg.PROG:
        return program, rest
    return f"{program} {rest[0]}", rest[1:]


LINES = [*lines()]
EXAMPLES = pytest.mark.parametrize("words", LINES, ids=" ".join)


def test_there_are_examples_of_the_main_commands() -> None:
    named = {of_program(words)[0] for words in LINES}

    assert {
        *("codex-bg", "codex-tasks usage", "codex-tasks budget"),
        *(f"codex-agent {c}" for c in ("start", "await-turn", "send", "status")),
        *(f"codex-agent {c}" for c in ("output", "diff", "merge", "kill", "jobs")),
    } <= named


@EXAMPLES
def test_a_command_line_is_one_that_its_command_reads(words: list[str]) -> None:
    name, rest = of_program(words)

    assert name in PARSERS
    if name == codex_bg.PROG:
        codex_bg.parse(rest)
    else:
        PARSERS[name].values(rest)


def test_every_option_that_is_named_exists() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+|(?<=`)-[a-z](?= )", TEXT))
    known = {
        word
        for name, parser in PARSERS.items()
        if name.split()[0] in NAMES
        for word in parser._option_string_actions
    }

    assert len(named) > 15
    assert named <= known


def test_the_time_limits_are_the_defaults() -> None:
    stall = f"{config.DEFAULT_STALL_SECONDS / 3600:g}h"
    days = closing._OLD_SECONDS / 86_400

    assert f"no progress for {stall}" in TEXT
    assert f"default: {stall}" in COMMANDS["codex-agent start"].options
    assert f"ended more than {days:g} days ago" in TEXT
    assert "There is no time limit without\n`--timeout`" in TEXT
    assert "no limit" in COMMANDS["codex-agent await-turn"].options
    times = set(map(clock.read_duration, re.findall(r"--timeout (\w+)", TEXT)))
    assert times == {600.0}
    assert "at most 10 minutes" in TEXT


def test_the_other_figures_are_the_defaults() -> None:
    assert f"the last 200 lines (default: {output._LINES})" in TEXT
    assert codex_bg._LINES == 200
    assert f"({jobs._LIMIT} unless `--limit`" in TEXT
    assert f"at most {MOST_FILES};" in TEXT
    assert f"The default is `{start._SANDBOX}`" in TEXT
    assert f"{terms._ITERATIONS} turns in all unless" in TEXT


def test_the_exit_codes_are_those_of_the_commands() -> None:
    codes = set(map(int, re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)))
    known = {
        int(code)
        for name, command in COMMANDS.items()
        if name.startswith("codex-agent ")
        for code in re.findall(r"(?:^|; )(\d+) ", command.codes.replace("\n  ", " "))
    }

    assert codes == known


def test_it_says_when_to_stop_and_names_no_shared_log() -> None:
    assert "fewer than 50 lines in a single file" in TEXT
    assert "after 3 rounds at the latest" in TEXT
    assert "agents.log" not in TEXT


def test_its_front_matter_names_it_and_says_when_it_is_of_use() -> None:
    head = re.match(r"---\nname: (.+)\ndescription: (.+)\n---\n", TEXT)

    assert head is not None
    assert head[1] == SKILL.parent.name
    assert SHORTEST_DESCRIPTION < len(head[2]) <= LONGEST_DESCRIPTION
    assert len(TEXT.split()) <= MOST_WORDS


def test_it_is_installed_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["codex-agent"])
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for words, place in (
        (["--dir", str(tmp_path / "a b")], tmp_path / "a b"),
        ([], tmp_path / ".claude" / "skills"),
        ([], tmp_path / ".claude" / "skills"),  # again
    ):
        assert codex_agent.main(["install-skill", *words]) == 0
        target = place / "codex-runner" / "SKILL.md"
        assert capfd.readouterr().out == f"Wrote {target}\n"
        assert target.read_bytes() == SKILL.read_bytes()
    assert not (tmp_path / "state").exists()


def test_it_is_a_file_of_the_wheel() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert '"skills/*/SKILL.md"' in project
    assert PROGRAMS["codex-agent"].commands["install-skill"]
