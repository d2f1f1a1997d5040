"""The short ids of sessions: eight hex digits of their own."""

from __future__ import annotations

import itertools

from parsers.text import HEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH = 8


def short_ids(seed: str) -> Iterator[str]:
    """Yield the short ids for a session; the first that is free is used.

    They are eight hex digits, the first one not 0, and no prefix of the seed. The end
    of a run id or of a thread id is random.
    """
    yield from filter(_is_short_id, (seed, seed[-LENGTH:]))
    import hashlib  # noqa: PLC0415 - 4 ms, seldom needed

    for salt in itertools.count():
        text = hashlib.sha256(f"{seed} {salt}".encode()).hexdigest()[:LENGTH]
        if _is_short_id(text) and not seed.startswith(text):
            yield text


def _is_short_id(text: str) -> bool:
    return len(text) == LENGTH and text[0] != "0" and HEX.issuperset(text)
