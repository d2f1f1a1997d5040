"""Immutable values whose classes take almost no time to define.

To a type checker a subclass of `Struct` is a frozen dataclass with keyword arguments
(PEP 681). The `dataclasses` module takes 13 ms to import and 0.4 ms for each class,
more than everything else that a command does before its first line; this takes 0.01 ms.
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn, TypeVar, dataclass_transform

    V = TypeVar("V", bound="Struct")
else:
    # Only a mark for the type checker; `typing` would take 5 ms to import.
    dataclass_transform = lambda **_: lambda cls: cls  # noqa: E731 - as short as it is

# The default of a field that holds a mapping.
EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Struct:
    """A value: equal to another of the same class with equal fields."""

    _names: tuple[str, ...] = ()
    _fields: frozenset[str] = frozenset()
    _defaults: Mapping[str, object] = EMPTY

    def __init_subclass__(cls, *, kw_only: bool = True) -> None:
        del kw_only  # for the type checker; positions are always accepted
        own = cls.__dict__
        names = tuple(own.get("__annotations__", ()))
        cls._names = (*cls._names, *names)
        cls._fields = frozenset(cls._names)
        cls._defaults = {
            **cls._defaults,
            **{name: own[name] for name in names if name in own},
        }

    def __init__(self, *positional: object, **named: object) -> None:
        cls = type(self)
        if positional:
            if len(positional) > len(cls._names):
                message = f"{cls.__name__}: too many positions"
                raise TypeError(message)
            named = {**dict(zip(cls._names, positional, strict=False)), **named}
        if named.keys() != cls._fields:
            named = {**cls._defaults, **named}
            if wrong := cls._fields.symmetric_difference(named):
                names = ", ".join(sorted(wrong))
                message = f"{cls.__name__}: missing or unknown {names}"
                raise TypeError(message)
        self.__dict__.update(named)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        return cls._names

    def __setattr__(self, name: str, _: object) -> NoReturn:
        message = f"{type(self).__name__}.{name} cannot be changed"
        raise AttributeError(message)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._names)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._names)
        return f"{type(self).__name__}({shown})"


def replace(value: V, **changes: object) -> V:
    """Return a value with some fields changed."""
    return type(value)(**{**value.__dict__, **changes})


def as_dict(value: Struct) -> dict[str, Any]:
    """Return the fields of a value in their order, those of nested values likewise."""
    return {
        name: as_dict(field) if isinstance(field, Struct) else field
        for name, field in ((name, vars(value)[name]) for name in value.field_names())
    }
