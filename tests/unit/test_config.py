"""Settings come from one environment, and nothing of it shows."""

import pytest

from parsers.paths import Path
from runner import config
from runner.errors import UsageError


def test_places_lie_below_home_until_they_are_named() -> None:
    found = config.load({"HOME": "/h"})
    named = config.load({"HOME": "/h", "CODEX_HOME": "/c", "CODEX_RUNNER_HOME": "/r"})

    assert (found.codex_home, found.state_home) == (
        Path("/h/.codex"),
        Path("/h/.codex/tasks"),
    )
    assert (named.codex_home, named.state_home) == (Path("/c"), Path("/r"))


def test_what_is_waited_for_has_its_time() -> None:
    usual = config.load({"HOME": "/h"})
    short = {"CODEX_RUNNER_GRACE_SECONDS": "0.5", "CODEX_RUNNER_HOOK_SECONDS": "2"}
    named = config.load({"HOME": "/h", **short})

    assert (usual.grace_seconds, usual.hook_seconds) == (10, 30)
    assert (named.grace_seconds, named.hook_seconds) == (0.5, 2)


@pytest.mark.parametrize(("value", "is_strict"), [("1", True), ("0", False)])
def test_strictness_is_asked_for_by_a_variable(value: str, is_strict: object) -> None:
    named = config.load({"HOME": "/h", "CODEX_RUNNER_STRICT": value})

    assert named.is_strict is is_strict
    assert config.load({"HOME": "/h"}).is_strict is False


def test_an_empty_variable_is_as_good_as_none() -> None:
    names = "CODEX_HOME CODEX_RUNNER_HOME CODEX_TIMEOUT_SECONDS CODEX_LOG_VERBOSITY"
    names += " CODEX_CONTINUE_PROMPT PATH"
    empty = config.load({"HOME": "/h", **dict.fromkeys(names.split(), "")})
    without = config.load({"HOME": "/h"})

    for name in names.split():
        assert name in empty.environment
    assert empty.codex_home == without.codex_home
    assert empty.state_home == without.state_home
    assert empty.timeout_seconds is without.timeout_seconds is None
    assert empty.verbosity == without.verbosity == "low"
    assert empty.continue_prompt == without.continue_prompt
    assert empty.search_path == without.search_path != ""


@pytest.mark.parametrize("name", ["CODEX_HOME", "CODEX_RUNNER_HOME"])
def test_a_relative_place_is_one_place_for_all_programs_of_a_run(name: str) -> None:
    found = config.load({"HOME": "/h", name: "c"})

    place = found.codex_home if name == "CODEX_HOME" else found.state_home
    assert place == Path("c").absolute()
    assert found.environment[name] == str(place)


@pytest.mark.parametrize("name", ["CODEX_HOME", "CODEX_RUNNER_HOME"])
def test_a_tilde_that_no_shell_has_expanded_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: '~/x' begins with ~"):
        config.load({"HOME": "/h", name: "~/x"})


def test_no_home_at_all_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", nobody)

    assert config.load({}).state_home == Path("/.codex/tasks")


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e300"])
def test_a_bad_timeout_names_its_variable(text: str) -> None:
    with pytest.raises(UsageError, match="CODEX_TIMEOUT_SECONDS"):
        config.load({"HOME": "/h", "CODEX_TIMEOUT_SECONDS": text})


def test_the_environment_never_shows() -> None:
    found = config.load({"HOME": "/h", "OPENAI_API_KEY": "squeamish"})

    assert "squeamish" not in repr(found)
    assert "squeamish" not in str(found)


def test_codex_gets_the_callers_environment_and_the_id_of_its_run() -> None:
    caller = {"HOME": "/h", config.HOOK_MARKER: "run", "X": "1"}
    found = config.load(caller)

    assert config.codex_environment(found, "r1") == {
        **caller,
        "CODEX_RUNNER_RUN": "r1",
    }
    assert config.hook_environment(found, "other")[config.HOOK_MARKER] == "other"
