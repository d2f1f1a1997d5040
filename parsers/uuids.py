"""UUIDs, which are the ids of Codex's threads, in its own spelling: lower case."""

from __future__ import annotations

import re

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def uuid(value: object) -> str | None:
    """Narrow to a UUID in lower case; anything else is none."""
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if UUID.fullmatch(found) else None
