"""Assemble a prompt: codebase map, the user's text, files, constraints."""

from __future__ import annotations

import math

from parsers.struct import Struct
from runner.errors import UsageError
from runner.prompt.attached import Attached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 1_048_576
_CHARACTERS_A_TOKEN = 4
_RULE = "\n\n---\n\n"
CONSTRAINTS = {
    "design_and_scope_constraints": """\
Do what the task asks, completely, and nothing beside it. Follow the conventions of the
code around you: names, layout, error handling, tests. Prefer the smallest change that
is right to a new abstraction; add no dependency, option or file that the task does not
need. Leave files alone that the task does not concern, also when they look wrong: name
them at the end instead. If the task cannot be done as it is described, say why.""",
    "context_loading": """\
Before you change anything, read the files that you will change and what calls them, and
the instructions of the repository (AGENTS.md, README, CONTRIBUTING). Search for code
that does the job already. Take facts from the files, not from memory, and check your
work with the tests and tools of the repository before you report it as done.""",
}


class Assembled(Struct):
    """Hold an assembled prompt, and how much of each part is in it.

    `map_name` is the file of the codebase map, `constraints` the blocks that were
    added; a block in the user's own text is none.
    """

    text: str
    attached: Attached = Attached()
    map_name: str | None = None
    constraints: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Estimate the tokens of the whole."""
        return math.ceil(len(self.text) / _CHARACTERS_A_TOKEN)


def assemble(
    text: str,
    attached: Attached = Attached(),  # noqa: B008 - a frozen value
    code_map: tuple[str, str] | None = None,
    *,
    is_constrained: bool = True,
) -> Assembled:
    """Assemble a prompt; one that was assembled like this before stays as it is.

    Args:
        text: the user's prompt.
        attached: the files.
        code_map: the name of the file with the codebase map, and its text.
        is_constrained: add the constraint blocks that the text does not have.

    Raises:
        UsageError: the whole is longer than Codex accepts.
    """
    names = [n for n in CONSTRAINTS if is_constrained and f"<{n}>" not in text]
    head = "" if code_map is None else f"## Codebase Map\n\n{code_map[1]}{_RULE}"
    tail = "".join(_files(attached))
    whole = text if head in text else f"{head}{text}"
    whole += "" if tail in text else tail
    for name in names:
        whole += f"\n\n<{name}>\n{CONSTRAINTS[name]}\n</{name}>"
    if len(whole) > MOST_CHARACTERS:
        message = (
            f"the assembled prompt has {len(whole):,} characters, Codex accepts"
            f" {MOST_CHARACTERS:,}"
        )
        raise UsageError(message, "attach fewer files, or name them for Codex to read")
    return Assembled(
        text=whole,
        attached=attached,
        map_name=None if code_map is None else code_map[0],
        constraints=tuple(names),
    )


def _files(attached: Attached) -> Iterator[str]:
    if attached.texts:
        yield f"{_RULE}## File Context\n\n"
    for name, text in attached.texts:
        fence = "```"
        while fence in text:
            fence += "`"
        kind = name.rpartition("/")[2].rpartition(".")[2] if "." in name else ""
        end = "" if text.endswith("\n") or not text else "\n"
        yield f"### {name}\n\n{fence}{kind}\n{text}{end}{fence}\n\n"
