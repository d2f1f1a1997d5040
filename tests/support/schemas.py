"""Checks what commands print with --json against docs/schemas."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
_START = '{\n  "schema": "codex-runner/'


@cache
def _validator(kind: str) -> Draft202012Validator:
    text = (SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(json.loads(text), format_checker=checker)


def kind_of(told: dict[str, Any]) -> str:
    """Give the kind that an object says that it is of."""
    suite, kind, version = told["schema"].split("/")
    assert (suite, version) == ("codex-runner", "1")
    return str(kind)


def check(stdout: str) -> None:
    """Check an object that a command has printed; other output is not looked at."""
    if stdout.startswith(_START):
        told = json.loads(stdout)
        _validator(kind_of(told)).validate(told)
