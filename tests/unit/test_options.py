"""Two readers of a command line, made from one table, never differ."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from support.programs import TABLES

from runner import config
from runner.cli import run_codex_task
from runner.cli.options import Values, read_plain, read_table
from runner.cli.parser import Parser
from runner.errors import UsageError

WORDS = {
    word
    for table in TABLES.values()
    for each in read_table(table)
    for word in each.words
}
VALUES = ["x", "-", "", "--", "-x", "a=b", "low", "bash", "0", "-1", "--task=x", "-s=x"]
LINES = some.lists(some.sampled_from(sorted(WORDS) + VALUES), max_size=6)
READABLE = some.tuples(some.sampled_from(sorted(TABLES)), LINES)


@given(READABLE)
@settings(max_examples=400, deadline=None)
@example(("run_codex_task", ["--repo", "x", "--task=", "-s", "low"]))
@example(("run_codex_task", ["-c", "a=b", "--config=c=d", "--config", "x"]))
@example(("codex-tasks start", ["x", "--image", "a", "-t", "x", "--image=b"]))
@example(("codex-tasks archive", ["a", "--all", "b"]))
@example(("codex-agent start", ["a", "-f", "b", "c", "--file=d", "-w"]))
@example(("codex-agent capture", ["a", "--clean", "9"]))
@example(("codex-agent await-turn", ["a", "--any", "b", "--timeout", "0"]))
def test_what_the_plain_reader_takes_argparse_takes_for_the_same(
    line: tuple[str, list[str]],
) -> None:
    name, words = line
    found = read_plain(TABLES[name], words, {"stall_timeout": "1"})

    if found is not None:
        parser = Parser(TABLES[name], prog=name)
        parser.set_defaults(stall_timeout="1")
        try:
            wanted = parser.values(words)
        except UsageError:
            # argparse itself takes the tasks only when no option is between them.
            wanted = parser.parse_intermixed_args(words, Values())
        assert vars(found) == vars(wanted)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "run_codex_task",
            ["--repo", ".", "--task", "-", "--detach", "-s", "read-only"],
        ),
        ("codex-tasks start", ["-t", "A title", "-c", "a=b", "-c", "c=d", "Fix it"]),
        ("codex-tasks status", ["--json", "01a1", "01a2"]),
        ("codex-tasks ls", []),
        ("codex-agent start", ["-r", "high", "-f", "src/**", "Fix it"]),
        ("codex-agent jobs", ["--json", "--limit", "20"]),
        ("codex-agent await-turn", ["--any", "01a1", "01a2"]),
        ("codex-bg", ["-t", "-o", "-n", "a b"]),
    ],
)
def test_an_ordinary_line_does_not_need_argparse(name: str, words: list[str]) -> None:
    assert read_plain(TABLES[name], words, {}) is not None


@pytest.mark.parametrize(
    "words", [["--help"], ["--rep", "."], ["--repo"], ["--task", ""], ["--task", "-x"]]
)
def test_help_and_mistakes_are_left_to_argparse(words: list[str]) -> None:
    assert read_plain(TABLES["run_codex_task"], words, {}) is None


def test_a_mistake_is_told_as_before() -> None:
    with pytest.raises(UsageError, match=r"\(--repo, or "):
        run_codex_task.parse(["--rep", "."], config.load({}))
