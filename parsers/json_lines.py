"""JSON Lines, written by the `jsonlines` package."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def written(values: Iterable[object]) -> str:
    """Write each value as JSON on a line of its own, in ASCII."""
    import io  # noqa: PLC0415 - with the next 29 ms, only where lines are written

    import jsonlines  # noqa: PLC0415

    buffer = io.StringIO()
    with jsonlines.Writer(buffer, compact=True) as writer:
        writer.write_all(values)
    return buffer.getvalue()
