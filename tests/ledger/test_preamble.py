"""The debug preamble shows what is run and where, never a secret."""

from pathlib import Path

import pytest
from support.runs import SESSION, settings, spec

from runner.exports.key_values import masked, preamble, redacted, unmasked
from runner.model import CodexOptions, Mode, SessionId, Verbosity

SECRET = "squeamish"  # noqa: S105  # that is the point


@pytest.mark.parametrize(
    "word",
    [
        f"api_key={SECRET}",
        f"model_providers.x.API_KEY={SECRET}",
        f"token={SECRET}",
        f"a.access_token = {SECRET}",
        f"client-secret={SECRET}",
        f"password={SECRET}",
        f"PASSWD={SECRET}",
        f'http_headers={{Authorization="Bearer {SECRET}"}}',
        f"--auth={SECRET}",
        f"credentials.x={SECRET}",
        f'x="sk-{SECRET}"',
        f'notify=["curl", "-H", "Authorization: Bearer {SECRET}"]',
        f'mcp_servers.x.args=["--with", "ghp_{SECRET}"]',
        f'x.base_url="https://me:{SECRET}@example.com/v1"',
        f"x=ghp_{SECRET}",
        f"x = Bearer {SECRET}",
        f"bearer={SECRET}\nin two lines {SECRET}",
        f'projects={{"/x"={{api_key="{SECRET}"}}}}',
        f'model_providers.x={{name="x", experimental_bearer_token="{SECRET}"}}',
    ],
)
def test_values_of_secrets_are_left_out(word: str) -> None:
    shown = redacted(["codex", "-c", word, "-"])

    assert SECRET not in shown
    assert "***" in shown
    assert shown.startswith("codex -c ")
    assert shown.endswith(" -")


@pytest.mark.parametrize(
    "word",
    [
        *("model=gpt-5", "a.b=1", "token_limit=200000", "-C", "/some/token/path"),
        *("x.base_url=https://example.com:80/v1", "model=task-sk-x", "a=/home/sky/b"),
    ],
)
def test_other_words_are_shown_as_a_shell_would_take_them(word: str) -> None:
    assert redacted(["codex", word, "two words"]) == f"codex {word} 'two words'"


def test_it_names_the_mode_and_the_session(tmp_path: Path) -> None:
    new = preamble(spec(), settings(tmp_path))
    resumed = preamble(
        spec(mode=Mode.RESUME, resume_session=SessionId(SESSION)), settings(tmp_path)
    )

    assert "\nmode=new\nresume_session_id=none\n" in new
    assert f"\nmode=resume\nresume_session_id={SESSION}\n" in resumed
    assert new.startswith("===== run_codex_task debug preamble =====\n")
    assert new.endswith("===== end preamble =====\n")


def test_no_value_breaks_its_line(tmp_path: Path) -> None:
    shown = preamble(
        spec(repo="/a\nmode=forged", codex=CodexOptions(bin="a\rb")),
        settings(tmp_path),
    )

    assert "\nmode=forged" not in shown
    assert "\r" not in shown


def test_the_environment_is_not_in_it(tmp_path: Path) -> None:
    shown = preamble(
        spec(verbosity=Verbosity.LOW), settings(tmp_path, OPENAI_API_KEY=SECRET)
    )

    assert SECRET not in shown


def test_a_masked_setting_is_never_given_to_codex() -> None:
    words = ["-c", f"api_key={SECRET}", "--image", "a=b", "-c", "x=1"]

    assert unmasked([*map(masked, words)]) == ("--image", "a=b", "-c", "x=1")
    assert unmasked([masked(f"api_key={SECRET}"), "a=1"]) == ("a=1",)
