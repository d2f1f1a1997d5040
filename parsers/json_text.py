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
    _CONTAINERS, _PLAIN = (dict, list, tuple), {str, int, float, bool}

    def loads(text, *, strict=True):
        """Read a JSON text.

        Raises:
            ValueError: it is none, with the place.
        """
        value, end, plain = None, -1, ""
        try:
            plain = (text if isinstance(text, str) else text.decode()).strip(_BLANKS)
            value, end = _scan(plain, 0)
        except (StopIteration, ValueError, SystemError):
            pass  # without `json.decoder` the scanner of 3.11 sets no exception
        if end == len(plain):
            return value
        import json  # noqa: PLC0415 - see above

        return json.loads(text, strict=strict)

    def dumps(value, *, indent=None, separators=None, ensure_ascii=True, default=None):
        """Write a value as JSON, on one line or indented.

        Raises:
            TypeError: it holds something that JSON has no form for.
        """
        between, after = separators or (", " if indent is None else ",\0", ": ")
        quote = (
            _json.encode_basestring_ascii if ensure_ascii else _json.encode_basestring
        )
        encode = _json.make_encoder(
            {}, default or _refuse, quote, None, after, between, False, False, True
        )

        def written(value, margin):
            # One call writes a container without what is in its own containers. No
            # text in JSON has a null byte, so it separates the parts.
            items = [*(value.values() if isinstance(value, dict) else value)]
            inner, deep = margin + " " * indent, {}
            for at, each in enumerate(items):
                if each and type(each) not in _PLAIN and isinstance(each, _CONTAINERS):
                    deep[at], items[at] = written(each, inner), None
            if deep:
                is_map = isinstance(value, dict)
                value = dict(zip(value, items, strict=True)) if is_map else items
            text = "".join(encode(value, 0))
            parts = text[1:-1].split(between)
            for at, whole in deep.items():
                parts[at] = parts[at][: -len("null")] + whole
            return f"{text[0]}{inner}{f',{inner}'.join(parts)}{margin}{text[-1]}"

        is_deep = indent is not None and value and isinstance(value, _CONTAINERS)
        return written(value, "\n") if is_deep else "".join(encode(value, 0))

    def _refuse(value):
        message = f"Object of type {type(value).__name__} is not JSON serializable"
        raise TypeError(message)


__all__ = ["dumps", "loads"]
