"""Narrow untrusted JSON: for any line a caller gets a plain value or None."""

from __future__ import annotations

from parsers import json_text
from parsers.light import pattern
from parsers.text import strip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INTEGER = pattern(r"(?a)\s*-?[0-9]{1,18}\s*")
_INTEGER_LIMIT = 2**63  # what a database column and other languages can hold
_PADDING = " \t\r\n\0\ufeff"


class NotAnObjectError(ValueError):
    """A line holds no JSON object."""


def load_object(line: bytes) -> dict[str, object]:
    """Read the JSON object that a line holds.

    It accepts invalid UTF-8, a byte order mark, NaN, lone surrogates, raw control
    characters in a string, and NUL bytes or terminal sequences around the object.

    Raises:
        NotAnObjectError: the line is not a JSON object, with the reason.
    """
    text = line.decode("utf-8", "replace")
    try:
        value: object = json_text.loads(text)
    except (ValueError, RecursionError):
        value = _load_tolerantly(text)
    if not isinstance(value, dict):
        raise NotAnObjectError("not a JSON object")
    return value


def load_or_empty(line: bytes) -> Mapping[str, object]:
    """Read the JSON object that a line holds; an empty one when it holds none."""
    try:
        return load_object(line)
    except NotAnObjectError:
        return {}


def _load_tolerantly(text: str) -> object:
    start, end = text.find("{"), text.rfind("}") + 1
    around = text[: max(start, 0)] + text[end:]
    if start < 0 or end == 0 or strip(around).strip(_PADDING):
        raise NotAnObjectError("not a JSON object")
    try:
        return json_text.loads(text[start:end], strict=False)
    except RecursionError as error:
        raise NotAnObjectError("nested too deeply") from error
    except ValueError as error:
        raise NotAnObjectError(str(error)) from error


def object_in(text: str) -> Mapping[str, object]:
    """Read the JSON object that a text is; an empty one for any other text."""
    is_object = text.lstrip().startswith("{")
    return load_or_empty(text.encode("utf-8", "replace")) if is_object else {}


def text(value: object) -> str | None:
    """Narrow to a text that can be encoded: lone surrogates become question marks."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def integer(value: object) -> int | None:
    """Narrow to an integer of 63 bits, written as a number or a text; no boolean."""
    if type(value) is int:  # a bool is no number, and most values are one
        found = value
    elif (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        found = int(value)
    else:
        return None
    return found if -_INTEGER_LIMIT < found < _INTEGER_LIMIT else None


def number(value: object) -> float | None:
    """Narrow to a finite number, written as a number or a text; no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def sound(value: object) -> object:
    """Copy a JSON value without what other readers refuse.

    NaN and infinity become null, lone surrogates question marks.
    """
    import json  # noqa: PLC0415 - `json_text` does not replace numbers

    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    found: object = json.loads(text, parse_constant=lambda _: None)
    return found


def mapping(value: object) -> Mapping[str, object]:
    """Narrow to an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """Narrow to a list; an empty one for anything else."""
    return value if isinstance(value, list) else ()
