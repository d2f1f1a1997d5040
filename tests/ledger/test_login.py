"""A login or key that is missing is seen in files and variables alone."""

from pathlib import Path

import pytest
from support.runs import settings

from runner.codex.login import missing_login
from runner.config import Config
from runner.model import CodexOptions

LOCAL = """
model_provider = "local"
[model_providers.local]
base_url = "http://127.0.0.1:9/v1"
"""
WITH_KEY = f'{LOCAL}env_key = "LOCAL_KEY"\n'
AS_OPENAI = f"{LOCAL}requires_openai_auth = true\n"
NOT_LOGGED_IN = (
    "not logged in: {home}/auth.json does not exist and CODEX_API_KEY is not set",
    "codex login, or set CODEX_API_KEY",
)
NO_KEY = (
    "model provider local: LOCAL_KEY is not set, which has its key",
    "set LOCAL_KEY",
)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """Make a file that is taken for Codex's own."""
    path = tmp_path / "node_modules" / "@openai" / "codex" / "codex"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o700)
    return str(path)


def made(tmp_path: Path, config: str | None = None, **variables: str) -> Config:
    home = tmp_path / "home" / ".codex"
    home.mkdir(parents=True)
    if config is not None:
        (home / "config.toml").write_text(config)
    return settings(home.parent, **variables)


@pytest.mark.parametrize(
    ("config", "given", "missing"),
    [
        (None, (), NOT_LOGGED_IN),
        ('model = "gpt-5"', (), NOT_LOGGED_IN),
        (AS_OPENAI, (), NOT_LOGGED_IN),
        (LOCAL, (), None),
        (LOCAL, ("model_provider=openai",), NOT_LOGGED_IN),
        (WITH_KEY, (), NO_KEY),
        (LOCAL, ('model_providers.local.env_key="LOCAL_KEY"',), NO_KEY),
        ("", ("model_provider=elsewhere",), None),
        ("", ("-cmodel_provider=elsewhere",), None),
        ('cli_auth_credentials_store = "keyring"', (), None),
        ("model_provider = [", (), NOT_LOGGED_IN),
        (b"\xff".decode(errors="replace"), (), NOT_LOGGED_IN),
    ],
)
def test_what_the_configuration_needs_is_looked_for(
    tmp_path: Path,
    program: str,
    config: str | None,
    given: tuple[str, ...],
    missing: tuple[str, str] | None,
) -> None:
    at = made(tmp_path, config)
    codex = CodexOptions(bin=program, overrides=given)

    found = missing_login(codex, at)

    wanted = missing and (missing[0].format(home=at.codex_home), missing[1])
    assert found == wanted


@pytest.mark.parametrize("config", [None, WITH_KEY])
def test_what_is_there_is_not_missed(
    tmp_path: Path, program: str, config: str | None
) -> None:
    at = made(tmp_path, config, CODEX_API_KEY="k", LOCAL_KEY="k")

    assert missing_login(CodexOptions(bin=program), at) is None


def test_a_stored_login_is_enough_and_needs_no_parsing(
    tmp_path: Path, program: str
) -> None:
    at = made(tmp_path, "model_provider is not TOML")
    (at.codex_home / "auth.json").touch()

    assert missing_login(CodexOptions(bin=program), at) is None


def test_a_login_does_not_replace_the_key_of_another_provider(
    tmp_path: Path, program: str
) -> None:
    at = made(tmp_path, WITH_KEY, CODEX_API_KEY="k")

    assert missing_login(CodexOptions(bin=program), at) == NO_KEY


def test_a_key_that_codex_exec_does_not_use_is_named(
    tmp_path: Path, program: str
) -> None:
    at = made(tmp_path, OPENAI_API_KEY="k")

    found = missing_login(CodexOptions(bin=program), at)

    assert found is not None
    assert "OPENAI_API_KEY, which codex exec does not use" in found[0]


@pytest.mark.parametrize(
    "options",
    [{"bin": "/bin/sh"}, {"bin": "no-such-codex"}, {"extra": ("-p", "work")}],
    ids=["another program", "no program", "another file"],
)
def test_what_cannot_be_known_is_not_told(
    tmp_path: Path, program: str, options: dict[str, object]
) -> None:
    codex = CodexOptions(**{"bin": program, **options})  # type: ignore[arg-type]  # as above

    assert missing_login(codex, made(tmp_path)) is None
