"""Lets something happen in the moment between two looks of a command."""

from collections.abc import Callable
from typing import Any


def first_of_all(do: Callable[[], object], called: Callable[..., Any]) -> Any:  # noqa: ANN401  # called as it is
    """Let something happen just before something is called for the first time."""
    todo = [do]

    def call(*arguments: object, **options: object) -> object:
        if todo:
            todo.pop()()
        return called(*arguments, **options)

    return call


def afterwards(do: Callable[[], object], called: Callable[..., Any]) -> Any:  # noqa: ANN401  # called as it is
    """Let something happen just after something was called for the first time."""
    todo = [do]

    def call(*arguments: object, **options: object) -> object:
        found = called(*arguments, **options)
        if todo:
            todo.pop()()
        return found

    return call
