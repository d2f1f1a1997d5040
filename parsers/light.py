"""Names of the standard library that every start needs, without what they import.

`contextlib`, `enum`, `re`, `shlex`, `signal`, `sqlite3` and `datetime` take 7 ms, about
as long as the interpreter itself. Here each name does what it does there, as far as it
is used here; tests compare the two. To a type checker they are those of the standard
library. What Python offers in C is taken as it is. `paths` and `json_text` do the same
for `pathlib` and `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import sqlite3
    from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
    from datetime import UTC, datetime, timedelta
    from enum import StrEnum
    from re import compile as pattern
    from shlex import quote
else:
    import _signal as signal
    import _sqlite3 as sqlite3
    from _datetime import UTC, datetime, timedelta

    _PLAIN = frozenset(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
    )

    def quote(word):
        """Quote a word for a shell."""
        if word and _PLAIN.issuperset(word):
            return word
        return "'" + word.replace("'", "'\"'\"'") + "'"

    class _Words(type):
        def __init__(cls, name, bases, body):
            super().__init__(name, bases, body)
            cls._members = {}
            for each, text in body.items():
                if each.isupper():
                    member = str.__new__(cls, text)
                    member.name, member.value = each, text
                    cls._members[text] = member
                    type.__setattr__(cls, each, member)

        def __call__(cls, text):
            if (member := cls._members.get(text)) is None:
                message = f"{text!r} is not a valid {cls.__name__}"
                raise ValueError(message)
            return member

        def __iter__(cls):
            return iter(cls._members.values())

        def __len__(cls):
            return len(cls._members)

        def __contains__(cls, text):
            return text in cls._members

    class StrEnum(str, metaclass=_Words):  # noqa: SLOT000 - as in `enum`
        """A closed set of words: the attributes of a subclass in capital letters."""

        def __repr__(self):
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __deepcopy__(self, _):
            return self

    class suppress:
        """A block that an error of these kinds ends quietly."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self._kinds)

    class closing:
        """Close something at the end of a block."""

        def __init__(self, thing):
            self._thing = thing

        def __enter__(self):
            return self._thing

        def __exit__(self, *_):
            self._thing.close()

    class nullcontext:
        """A block around which nothing is done."""

        def __init__(self, value=None):
            self._value = value

        def __enter__(self):
            return self._value

        def __exit__(self, *_):
            return None

    class _Managed:
        def __init__(self, generator):
            self._generator = generator

        def __enter__(self):
            return next(self._generator)

        def __exit__(self, kind, error, trace):
            if error is None:
                for _ in self._generator:
                    message = "the generator yields more than once"
                    raise RuntimeError(message)
                return False
            try:
                self._generator.throw(error)
            except StopIteration:
                return True
            except BaseException as raised:
                if raised is not error:
                    raise
                error.__traceback__ = trace
                return False
            message = "the generator goes on after an error"
            raise RuntimeError(message)

    def contextmanager(function):
        """Make a context manager of a generator function that yields once."""

        def managed(*positional, **named):
            return _Managed(function(*positional, **named))

        managed.__doc__, managed.__name__ = function.__doc__, function.__name__
        managed.__wrapped__ = function
        return managed

    class ExitStack:
        """Things to be undone at the end of a block, the last one first."""

        def __init__(self):
            self._exits = []

        def __enter__(self):
            return self

        def enter_context(self, manager):
            value = manager.__enter__()
            self._exits.append(manager.__exit__)
            return value

        def callback(self, function, *positional, **named):
            self._exits.append(lambda *_: function(*positional, **named) and False)
            return function

        def pop_all(self):
            other = ExitStack()
            other._exits, self._exits = self._exits, []
            return other

        def close(self):
            self.__exit__(None, None, None)

        def __exit__(self, kind, error, trace):
            given = error
            while self._exits:
                try:
                    if self._exits.pop()(error and type(error), error, trace):
                        error = trace = None
                except BaseException as raised:  # noqa: BLE001 - raised below
                    error, trace = raised, raised.__traceback__
            if error is not None and error is not given:
                raise error
            return error is None and given is not None

    class pattern:
        """A regular expression that is compiled when it is first used."""

        def __init__(self, text, flags=0):
            self._made = text, flags

        def __getattr__(self, name):
            import re  # noqa: PLC0415 - 2 ms, and many a run needs no expression

            compiled = re.compile(*self._made)
            for each in ("match", "fullmatch", "search", "sub", "finditer", "split"):
                setattr(self, each, getattr(compiled, each))
            return getattr(compiled, name)


__all__ = [
    "UTC",
    "ExitStack",
    "StrEnum",
    "closing",
    "contextmanager",
    "datetime",
    "nullcontext",
    "pattern",
    "quote",
    "signal",
    "sqlite3",
    "suppress",
    "timedelta",
]
