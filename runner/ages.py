"""How long ago something was, as people write it: 90m, 12h, 30d, 2w."""

from __future__ import annotations

import re
from datetime import timedelta

_AGE = re.compile(r"([0-9]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = 19  # digits: of longer ones Python makes no number at all


def read(text: str) -> timedelta | None:
    """Read a number and its unit; None when it is something else.

    Raises:
        OverflowError: it is longer than any time.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        return None
    if len(found[1]) > _LONGEST:
        raise OverflowError(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
