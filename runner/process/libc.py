"""Call the C library for what Python has no function for."""

from __future__ import annotations


def call(name: str, *arguments: int | bytes) -> int:
    """Call a function of the C library and return its result, an int.

    Raises:
        OSError: the result is negative, or the library has no such function.
    """
    # `ctypes` itself, which takes 3 ms to import, makes objects of functions of it.
    import _ctypes  # noqa: PLC0415

    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]
    result = int(_ctypes.call_function(function, arguments))
    if result < 0:
        message = f"{name} fails"
        raise OSError(message)
    return result
