"""The help of every command: made of its options, and as wide as the terminal."""

import re
from collections.abc import Iterator

import pytest
from support.programs import PARSERS, PROGRAMS

from runner import clock
from runner.cli.options import read_table
from runner.cli.parser import Parser
from runner.loopback import __main__ as loopback

QUESTIONS = ("prompt", "where", "which", "when", "queue", "limits", "output", "other")
EXAMPLE_COLUMNS = 60
MOST_OPTIONS_IN_A_LIST = 8
every_command = pytest.mark.parametrize("name", PARSERS)


def shown(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    return PARSERS[name].format_help()


def examples_of(name: str) -> list[str]:
    about = PARSERS[name].about
    assert about is not None
    return about.examples.splitlines()


def codes_of(text: str) -> Iterator[int]:
    for item in re.split("; |\n(?! )", text):
        head = re.match(r"(?:with --\w+: )?((?:\d+, )*\d+) ", item)
        if head:
            yield from map(int, head[1].split(", "))


@every_command
@pytest.mark.parametrize("columns", [60, 64, 80, 120])
def test_no_line_is_longer_than_the_terminal(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(name, columns, monkeypatch).splitlines()

    assert max(map(len, lines)) <= min(columns, 100)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("columns", [60, 64, 80, 120])
def test_nor_one_of_the_list_of_commands(
    columns: int,
    program: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    assert PROGRAMS[program].main(["--help"]) == 0

    said = capfd.readouterr().out
    assert max(map(len, said.splitlines())) <= columns
    assert said.split() == PROGRAMS[program].overview.split()


def test_the_help_of_the_loopback_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert max(map(len, loopback._parser().format_help().splitlines())) <= 80


def test_a_wide_terminal_is_used_up_to_100_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widest = [
        max(map(len, shown("codex-tasks start", columns, monkeypatch).splitlines()))
        for columns in (20, 62, 90, 300)
    ]

    assert widest[0] <= widest[1] <= 62
    assert 80 < widest[2] <= 90 < widest[3] <= 100


@every_command
def test_every_option_is_listed_once_and_no_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = PARSERS[name]
    assert parser.about is not None
    told = [each for each in read_table(parser.about.options) if each.told]
    lines = shown(name, 100, monkeypatch).splitlines()

    for option in told:
        label = rf"(?:\w+ +| +){re.escape(option.spelt)}(?:  .*)?"
        assert len([line for line in lines if re.fullmatch(label, line)]) == 1
    known = {word for each in told for word in each.words}
    listed = {line[: 8 + 22].partition("-")[0] for line in lines}
    assert listed
    hidden = {"-h", "--help", *(w for e in _hidden(parser) for w in e)}
    assert known | hidden == set(parser._option_string_actions)


def _hidden(parser: Parser) -> Iterator[tuple[str, ...]]:
    assert parser.about is not None
    yield from (e.words for e in read_table(parser.about.options) if not e.told)


@every_command
def test_many_options_are_grouped_by_the_question_that_they_answer(name: str) -> None:
    about = PARSERS[name].about
    assert about is not None
    options = [each for each in read_table(about.options) if each.told]
    groups = list(dict.fromkeys(each.group for each in options))

    assert len(options) <= MOST_OPTIONS_IN_A_LIST + 1 or None not in groups
    if groups != [None] and groups:
        assert groups == [each for each in QUESTIONS if each in groups]


@every_command
def test_examples_are_few_and_fit_a_narrow_terminal(name: str) -> None:
    examples = examples_of(name)

    assert 1 <= len(examples) <= 3
    for line in examples:
        command = line.strip().partition("  ")[0]
        assert len(command) <= EXAMPLE_COLUMNS
        assert name.split(maxsplit=1)[0] in command


@every_command
def test_options_of_examples_exist(name: str) -> None:
    for line in examples_of(name):
        for program in re.findall(
            r"(codex-(?:tasks|agent) [a-z][\w-]*|run_codex_task|parse_\w+)", line
        ):
            assert program in PARSERS
        known = set(PARSERS[name]._option_string_actions)
        own = line.partition("|")[0].partition("&&")[0].partition(" # ")[0]
        # Behind `--` are the words of another command.
        own = own.partition(" -- ")[0]
        if own.strip().startswith(name):
            used = set(re.findall(r"(?<= )--?[a-zA-Z][\w-]*", own.partition('"')[0]))
            assert used <= known


@every_command
def test_a_long_comment_is_below_its_example(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (64, 100):
        text = shown(name, columns, monkeypatch)
        for line in examples_of(name):
            command, _, comment = line.strip().partition("  ")
            assert f"  {command}" in text
            assert comment.strip() in text


@every_command
def test_a_grammar_of_times_is_told_once_where_one_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = PARSERS[name].about
    assert about is not None
    text = shown(name, 100, monkeypatch)
    taken = {each.value for each in read_table(about.options)} & {"TIME", "AGE"}

    assert text.count("90, 90s, 5m, 2h or 30d.") == len(taken)
    assert clock.DURATIONS == "90, 90s, 5m, 2h, 30d"


@every_command
@pytest.mark.parametrize(("word", "what"), [("TASK", "A TASK is"), ("ID", "An ID is")])
def test_only_a_command_that_takes_a_task_says_what_one_is(
    name: str, word: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_one = any(each.metavar == word for each in PARSERS[name]._actions)

    assert (what in shown(name, 80, monkeypatch)) == takes_one


@every_command
def test_all_says_in_words_what_it_means_there(name: str) -> None:
    about = PARSERS[name].about
    assert about is not None
    told = [e.told for e in read_table(about.options) if "--all" in e.words]

    assert all(re.search(r"every|all|also", each) for each in told)
    assert not any(re.search("RUNNING|STOPPED|DIED", each) for each in told)


@every_command
def test_every_command_has_its_own_exit_codes_in_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = PARSERS[name].about
    assert about is not None
    codes = list(codes_of(about.codes.partition("\nwith ")[0].replace("\n  ", " ")))
    text = shown(name, 80, monkeypatch)

    assert codes[0] == 0
    assert 2 in codes
    assert codes == sorted(codes)
    assert re.search(r"^exit  0 ", text, re.MULTILINE)
    assert "any command: 130 interrupted   141 standard output was closed" in text


@pytest.mark.parametrize(
    "usage",
    [
        "codex-tasks start [options] PROMPT",
        "codex-tasks pause [options] [TASK...]",
        "codex-tasks rm [options] TASK...",
        "codex-tasks send [options] TASK PROMPT",
        "codex-tasks restore [options]",
        "codex-tasks queue [options] [WHAT...]",
        "codex-agent start [options] PROMPT...",
        "codex-agent send [options] ID TEXT...",
        "codex-agent await-turn [options] ID...",
        "codex-agent capture [options] ID [N...]",
        "codex-agent clean [options]",
    ],
)
def test_the_first_line_is_the_command_line(
    usage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = " ".join(usage.split()[:2])

    assert shown(command, 80, monkeypatch).startswith(f"{usage}\n\n")
