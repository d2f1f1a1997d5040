"""A CODEX_HOME that sends Codex to a server on 127.0.0.1, and nowhere else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MODEL = "gpt-5.1-codex"
_MARK = (
    "# Appended by runner.loopback: Codex talks to a model server on this machine.\n"
)


class ForeignConfigError(OSError):
    """The directory holds a configuration that this package did not write."""


def config_toml(base_url: str, *, model: str = DEFAULT_MODEL, retries: int = 0) -> str:
    """Write the text of a `config.toml`.

    Args:
        base_url: Of the model provider, with its `/v1`.
        model: A name that the price table knows makes costs visible.
        retries: Of requests and of streams; with 0 Codex reports a failure at once.
    """
    return f"""{_MARK}model = "{model}"
model_provider = "loopback"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.loopback]
name = "loopback"
base_url = "{base_url}"
wire_api = "responses"
request_max_retries = {retries}
stream_max_retries = {retries}
"""


def write_home(directory: Path, config: str) -> None:
    """Make a CODEX_HOME, 0700.

    Raises:
        ForeignConfigError: the directory has a `config.toml` of the user's own.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "config.toml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_MARK):
        msg = f"{path} was not written by the loopback server; choose another directory"
        raise ForeignConfigError(msg)
    part = directory / f"config.toml.{os.getpid()}"
    part.write_text(config, encoding="utf-8")
    part.replace(path)
