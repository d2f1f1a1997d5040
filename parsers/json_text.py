"""JSON by the C part of `json` alone: importing the rest takes 5 ms, most of it `re`.

`loads` and `dumps` answer as those of `json` do; whatever is not usual goes to them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import dumps, loads
else:
    import _json

    class _Settings:
        strict, object_hook, object_pairs_hook, memo = True, None, None, {}
        parse_float, parse_int, parse_constant = float, int, float

    _scan = _json.make_scanner(_Settings)
    _BLANKS = " \t\r\n"

    def loads(text, *, strict=True):
        """Read a JSON text.

        Raises:
            ValueError: it is none, with the place.
        """
        value, end, plain = None, -1, ""
        try:
            plain = (text if isinstance(text, str) else text.decode()).strip(_BLANKS)
            value, end = _scan(plain, 0)
        except (StopIteration, ValueError):
            pass
        if end == len(plain):
            return value
        import json  # noqa: PLC0415 - see above

        return json.loads(text, strict=strict)

    def dumps(value, *, indent=None, separators=None, ensure_ascii=True, default=None):
        """Write a value as JSON, on one line or indented.

        Raises:
            TypeError: it holds something that JSON has no form for.
        """
        between, after = separators or (", " if indent is None else ",", ": ")
        quote = (
            _json.encode_basestring_ascii if ensure_ascii else _json.encode_basestring
        )
        encode = _json.make_encoder(
            {}, default or _refuse, quote, None, after, between, False, False, True
        )

        def written(value, margin):
            if not value or not isinstance(value, dict | list | tuple):
                return "".join(encode(value, 0))
            inner = margin + " " * indent
            if isinstance(value, dict):
                first, last = "{}"
                parts = (
                    f"{quote(key)}{after}{written(each, inner)}"
                    for key, each in value.items()
                )
            else:
                first, last = "[]"
                parts = (written(each, inner) for each in value)
            return f"{first}{inner}{f'{between}{inner}'.join(parts)}{margin}{last}"

        return "".join(encode(value, 0)) if indent is None else written(value, "\n")

    def _refuse(value):
        message = f"Object of type {type(value).__name__} is not JSON serializable"
        raise TypeError(message)


__all__ = ["dumps", "loads"]
