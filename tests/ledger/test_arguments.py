"""The command line is understood as it is documented, or refused with the fix."""

from pathlib import Path

import pytest
from support.runs import settings

from runner.cli import parse_codex_run
from runner.cli.run_codex_task import Arguments, parse
from runner.errors import UsageError
from runner.model import Verbosity


@pytest.fixture
def understand(tmp_path: Path) -> "Understand":
    return Understand(tmp_path)


class Understand:
    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, *words: str, **environment: str) -> Arguments:
        usual = ["--repo", "."] if "--repo" not in words[:1] else []
        return parse([*usual, *words], settings(self._home, **environment))


def test_what_is_not_said_has_its_default(understand: Understand) -> None:
    found = understand("--task", "x")

    assert found.words.task == "x"
    assert found.words.log_dir == "./runs"
    assert found.words.codex.bin == "codex"
    assert found.words.limits.timeout is None
    assert found.words.limits.stall == 3600
    assert found.words.verbosity is Verbosity.LOW
    assert found.words.continue_prompt == "Continue where you left off."
    assert not found.detach
    assert not found.words.wait_for_session


@pytest.mark.parametrize(
    "value", ["x", "-x", "--help", "--", "-", "a=b", "=", " ", "-1", "--task=y"]
)
def test_any_value_works_after_an_equals_sign(
    understand: Understand, value: str
) -> None:
    found = understand(f"--task={value}", f"--model={value}", f"--config={value}")

    assert found.words.task == value
    assert found.words.codex.model == value
    assert found.words.codex.overrides == (value,)


@pytest.mark.parametrize("value", ["-x", "--help-me", "-1 is odd", "- a list"])
def test_a_text_may_begin_with_a_dash(understand: Understand, value: str) -> None:
    found = understand("--task", value, "--continue-prompt", value, "-m", "x")

    assert (found.words.task, found.words.continue_prompt) == (value, value)
    assert found.words.codex.model == "x"


@pytest.mark.parametrize("verbosity", ["extreme", "high"])
def test_the_bash_runners_extreme_is_high(
    understand: Understand, verbosity: str
) -> None:
    by_flag = understand("--verbosity", verbosity)
    by_variable = understand(CODEX_LOG_VERBOSITY=verbosity)

    assert by_flag.words.verbosity is by_variable.words.verbosity is Verbosity.HIGH


def test_empty_values_of_a_script_count_as_not_given(understand: Understand) -> None:
    empty = ("--json-out", "--notify-cmd", "--event-stream", "--task-file", "--resume")
    words = [word for flag in empty for word in (flag, "")]

    found = understand("--task", "x", *words, "--cache-dir", "", "--summarizer=")
    resumed = understand("--resume", "x", "--task", "")

    assert found == understand("--task", "x")
    assert resumed == understand("--resume", "x")


def test_options_of_the_bash_runner_without_effect_are_named(
    understand: Understand, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--no-cache", "--cache-dir", "x", "--summarize", "--summarizer", "y")

    found = understand("--task", "x", *words)

    assert found == understand("--task", "x")
    said = capfd.readouterr().err.splitlines()
    named = [word for word in words if word.startswith("--")]
    assert [line.split()[1] for line in said] == named


@pytest.mark.parametrize("value", ["--help", "-v", "--"])
def test_a_value_that_looks_like_a_flag_needs_the_equals_sign(
    understand: Understand, value: str
) -> None:
    with pytest.raises(UsageError, match="--task"):
        understand("--task", value)


def test_a_dash_alone_is_a_value(understand: Understand) -> None:
    assert understand("--task", "-").words.task == "-"


def test_repeated_settings_are_kept_in_order(understand: Understand) -> None:
    found = understand("-c", "b=1", "--config", "a=2", "-cb=3", "-c", "b=4")

    assert found.words.codex.overrides == ("b=1", "a=2", "b=3", "b=4")


def test_of_a_repeated_flag_the_last_counts(understand: Understand) -> None:
    assert understand("--task", "a", "--task", "b").words.task == "b"


def test_what_stands_behind_two_dashes_is_codexs(understand: Understand) -> None:
    found = understand("--task", "x", "--", "--full-auto", "--", "--repo", "y")

    assert found.words.codex.extra == ("--full-auto", "--", "--repo", "y")
    assert found.words.repo == "."


@pytest.mark.parametrize("name", ["--timeout", "--stall-timeout"])
@pytest.mark.parametrize(
    "text", ["x", "-1", "nan", "inf", "-inf", "1e9999", "0x10", "1,5", "400000000"]
)
def test_a_bad_number_is_named(understand: Understand, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        understand(f"{name}={text}")

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1.0), ("0.5", 0.5), ("0", None), ("0.0", None), ("5m", 300.0), ("2h", 7200)],
)
def test_a_good_number_is_seconds_and_zero_is_no_limit(
    understand: Understand, text: str, seconds: float | None
) -> None:
    limits = understand("--timeout", text, "--stall-timeout", text).words.limits

    assert (limits.timeout, limits.stall) == (seconds, seconds)


def test_a_flag_beats_its_variable(understand: Understand) -> None:
    variables = {
        "CODEX_TIMEOUT_SECONDS": "60",
        "CODEX_LOG_VERBOSITY": "high",
        "CODEX_CONTINUE_PROMPT": "Weiter.",
    }
    by_variable = understand(**variables).words
    by_flag = understand(
        *("--timeout", "5", "--verbosity", "low", "--continue-prompt", "On."),
        **variables,
    ).words

    assert by_variable.limits.timeout == 60
    assert by_variable.verbosity is Verbosity.HIGH
    assert by_variable.continue_prompt == "Weiter."
    assert by_flag.limits.timeout == 5
    assert by_flag.verbosity is Verbosity.LOW
    assert by_flag.continue_prompt == "On."


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], "low"),
        (["-v"], "normal"),
        (["-vv"], "high"),
        (["-vvv"], "high"),
        (["-v", "-v"], "high"),
        (["--verbosity", "high"], "high"),
        (["-vv", "--verbosity", "low"], "low"),
    ],
)
def test_verbosity_is_counted_or_named(
    understand: Understand, words: list[str], level: str
) -> None:
    assert understand(*words).words.verbosity == level


@pytest.mark.parametrize(
    "words",
    [["--nonsense"], ["stray"], ["--tas", "x"]],
)
def test_what_is_not_known_is_refused_and_help_is_pointed_to(
    understand: Understand, words: list[str]
) -> None:
    with pytest.raises(UsageError, match="--help"):
        understand(*words)


@pytest.mark.parametrize("run_id", ["", "x"])
def test_a_summary_of_a_run_without_an_id_or_in_a_directory_is_refused(
    run_id: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"RUN_ID is empty|is a directory, name a"):
        parse_codex_run.parse([run_id, "--json-out", str(tmp_path)])


def test_a_choice_that_is_none_is_refused_with_all_that_are(
    understand: Understand,
) -> None:
    with pytest.raises(UsageError, match=r"\(choose from [^)]*high[^)]*\)$"):
        understand("--verbosity", "loud")


def test_only_the_doctor_does_without_a_repo(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--repo"):
        parse(["--task", "x"], settings(tmp_path))

    assert parse(["--doctor", "--json"], settings(tmp_path)).doctor


@pytest.mark.parametrize(
    "name", ["--repo", "--model", "--config", "--timeout", "--log-dir", "-s"]
)
def test_an_empty_value_is_refused_by_name(understand: Understand, name: str) -> None:
    for words in ([name, ""], [f"{name}="]):
        with pytest.raises(UsageError, match=f"{name}.* is empty"):
            understand("--task", "x", *words)


@pytest.mark.parametrize("words", [("--log", ""), ("--log=",), ("r", "--log-dir=")])
def test_an_empty_value_is_no_place_to_look_in(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="is empty"):
        parse_codex_run.parse(words)


@pytest.mark.parametrize(
    ("words", "model", "rest"),
    [
        (["--", "-m", "a"], "a", ()),
        (["--", "--search", "-ma"], "a", ("--search",)),
        (["--", "-m=a", "--search"], "a", ("--search",)),
        (["--", "--model=a"], "a", ()),
        (["--", "-c", "model=a", "-c", 'model = "b"'], "b", None),
        (["--", "--config=model='a'"], "a", None),
        (["-c", "model=a"], "a", None),
        (["-c", "model_provider=a"], None, None),
        (["-m", "a", "--", "-c", "model=b"], "a", None),
        # Codex refuses these.
        (["-m", "a", "--", "-m", "b"], "a", ("-m", "b")),
        (["--", "-m", "a", "-m", "b"], None, ("-m", "a", "-m", "b")),
        (["--", "-m"], None, ("-m",)),
    ],
)
def test_a_model_is_on_record_in_whatever_way_codex_gets_it(
    understand: Understand,
    words: list[str],
    model: str | None,
    rest: tuple[str, ...] | None,
) -> None:
    codex = understand("--task", "x", *words).words.codex

    assert codex.model == model
    extra = tuple(words[words.index("--") + 1 :]) if "--" in words else ()
    assert codex.extra == (extra if rest is None else rest)


def test_a_directory_behind_the_dashes_is_where_codex_works(
    understand: Understand, tmp_path: Path
) -> None:
    """Codex accepts `--cd` only once."""
    found = understand("--task", "x", "--", "--search", "-C", str(tmp_path))

    assert found.words.repo == str(tmp_path)
    assert found.words.codex.extra == ("--search",)
    with pytest.raises(UsageError, match="-C nowhere: not a directory"):
        understand("--task", "x", "--", "--cd=nowhere")
