"""Token figures as Codex 0.50 to 0.169 counts them, added and subtracted by parts."""

from __future__ import annotations

from operator import attrgetter

from parsers import loose_json
from parsers.struct import Struct, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from parsers.light import datetime

QUARTER_SECONDS = 900


class Usage(Struct):
    """Tokens of one model call, of a run or of a thread.

    Cached and cache-write tokens are parts of the input, reasoning tokens a part of the
    output. A difference of two figures may have negative parts.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            **{part: getattr(self, part) + getattr(other, part) for part in PARTS}
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            **{part: getattr(self, part) - getattr(other, part) for part in PARTS}
        )

    @property
    def is_negative(self) -> bool:
        """Whether a part is below zero: a difference across a restart, no usage."""
        return any(getattr(self, part) < 0 for part in PARTS)

    @property
    def uncached_tokens(self) -> int:
        """The total as Codex's texts for people say it: without cached input."""
        return self.total_tokens - self.cached_input_tokens

    def to_json(self) -> dict[str, int]:
        return as_dict(self)


PARTS = Usage.field_names()
_PARTS_OF = attrgetter(*PARTS)
# The parts that are added up over runs; cache writes are shown per run only.
SUMMED = tuple(part for part in PARTS if part != "cache_write_input_tokens")


def quarter_of(at: datetime) -> int:
    """Return the number of a quarter of an hour since 1970."""
    return int(at.timestamp()) // QUARTER_SECONDS


def sum_usage(figures: Iterable[Usage]) -> Usage:
    """Add figures up; without any the sum is `Usage()`."""
    return Usage(*map(sum, zip(*map(_PARTS_OF, figures), strict=True)))


def read_usage(value: object) -> Usage | None:
    """Read a usage object of Codex (every version's) or one that `to_json` made.

    Parts that are missing or nonsense count 0; a missing total is input + output. None
    when the value is no object, or names neither a part nor a total.
    """
    fields = loose_json.mapping(value)
    told = zip(PARTS, map(loose_json.integer, map(fields.get, PARTS)), strict=True)
    figures = {part: max(figure, 0) for part, figure in told if figure is not None}
    if not figures:
        return None
    total = figures.get("input_tokens", 0) + figures.get("output_tokens", 0)
    return Usage(**{"total_tokens": total, **figures})
