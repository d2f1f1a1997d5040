"""Versions of Codex, as far as what it writes depends on them."""

from __future__ import annotations


def release(version: str | None) -> tuple[int, ...] | None:
    """Read the first two numbers of a version; None when it does not tell them."""
    numbers = (version or "").split("-")[0].split(".")[:2]
    if not all(number.isdecimal() for number in numbers):
        return None
    return tuple(map(int, numbers))
