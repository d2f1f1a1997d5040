"""What users read is plain English: the worst of the old words are gone from it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.imports import ROOT, modules
from support.programs import PARSERS as HELP

# The old word, and what it is called now.
OLD_WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"digest(s|ed)?": "summary",
    r"whoever|somebody|nobody": "the name of the program or the person",
    r"chronicles?": "task files",
    r"mailbox(es)?": "queue",
    r"(stand|stands|stood) (behind|apart|above|below|beside)": "wait, follow",
    r"(is|are|was|were) told(?! to)": "the verb of what happens: show, notify, send",
    r"at work": "running",
    r"at rest": "idle",
    r"carr(y|ies|ied) .{,12}\bon(?= ?[:.,;)])|carr(y|ies|ied) on": "resume",
    r"anew": "again",
    r"put(s|ting)? away": "archive",
    r"g(a|i)ven? back|gives back": "free, restore",
    r"br(ings?|ought) .{,12}\bback": "restore, unarchive",
    r"(takes?|took|taken) over": "migrate, resume, claim",
    r"for good|what is so": "the fact itself",
    r"at the (most|least)": "at most, at least",
    r"goes with|one of them at a time": "needs, not both",
    r"the versions? before": "the previous version",
    r"left alone|let go": "the verb of what happens: keep, release",
    r"the index(?! of)": "the ledger",
    r"doors?|houses?|ladders?|the books": "the field's term",
}
PATTERN = re.compile(rf"\b({'|'.join(OLD_WORDS)})\b", re.IGNORECASE)
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "runner" / "skills").rglob("*.md")),
]


def old_words(text: str) -> list[str]:
    """List the old words, each with what is around it."""
    line = " ".join(text.split())
    return [
        line[max(0, found.start() - 30) : found.end() + 30]
        for found in PATTERN.finditer(line)
    ]


def messages(path: Path) -> Iterator[str]:
    """Give the texts of a module that are no docstrings; a part of an f-string is one.

    A text without a space is a name or a key.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_key = " " not in node.value and node.value != "mend"
            if not (is_key or id(node) in docstrings):
                yield node.value


def test_the_old_words_are_recognised() -> None:
    text = (
        "Words that stand behind --. Hold the index against the files; mended at work."
    )

    found = " ".join(old_words(text))

    assert len(old_words(text)) == 4
    assert "stand behind" in found
    assert old_words("A partial unique index. 141: stdout was closed.") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_is_free_of_old_words(page: Path) -> None:
    assert old_words(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("command", HELP)
def test_a_help_text_is_free_of_old_words(command: str) -> None:
    assert old_words(HELP[command].format_help()) == []


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_message_is_free_of_old_words(module: str) -> None:
    found = [text for text in messages(modules()[module]) if old_words(text)]

    assert found == []
