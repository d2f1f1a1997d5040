"""Token and cost figures in a line of text; a line of prose has none.

Codex 0.50 to 0.169 prints `tokens used` and a count, with the separators of the user's
locale (`7,200`, `7.200`, `7 200`); the interactive Codex prints `Token usage: …`. The
bash runner `run_codex_task.sh` and its users wrote the other forms.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import Usage
from parsers.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_COUNT: Final = r"[0-9]{1,3}(?:[,. \u00a0\u202f'’][0-9]{3}){1,5}|[0-9]{1,18}"
_WHOLE_COUNT: Final = pattern(_COUNT)
TIME: Final = r"(?:\[[0-9T:.+Z-]+\] )?"  # up to 0.4x Codex began every line with one

_TOKENS_USED: Final = pattern(rf"(?i){TIME}tokens? used(?:\s*[:=]\s*|\s+)?({_COUNT})?")
# The last line of the interactive Codex: the total and the input leave cached tokens
# out, which follow after a plus. In `parsers.exec_events.transcript` both have them.
_TOKEN_USAGE: Final = pattern(
    rf"{TIME}Token usage: total=(?:≥ )?(?:{_COUNT}) input=({_COUNT})"
    rf"(?: \((\+ )?({_COUNT}) cached\))? output=({_COUNT})"
    rf"(?: \(reasoning ({_COUNT})\))?"
)
_IN_OUT: Final = pattern(
    rf"(?i)\bin(?:put)?\s*=\s*({_COUNT})(?:\s*tok(?:en)?s?)?[\s,;|/]*"
    rf"\bout(?:put)?\s*=\s*({_COUNT})\s*tok(?:en)?s?\b"
)
_PART: Final = (
    r"[\"']?(input|prompt|output|completion|total|cached[_ -]input|reasoning[_ -]output"
    rf"|cache[_ -]write[_ -]input)[_ -]?tokens?[\"']?\s*[:=]\s*({_COUNT})(?![0-9.])"
)
_PARTS: Final = pattern(rf"(?i)\s*{_PART}(?:[\s,;]+{_PART})*[\s,;]*")
_ONE_PART: Final = pattern(rf"(?i){_PART}")
_PART_NAMES: Final = {"prompt": "input", "completion": "output"}
# `\s*` never follows `\s*`: on a line of spaces the search would take quadratic time.
_AMOUNT: Final = (
    r"(?:\$\s*)?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_COST: Final = pattern(
    r"(?i)\s*[\"']?(?:(?:total|estimated)[_ ])?(?:cost(?:[_ ]usd)?|usd)[\"']?"
    rf"\s*[:=]\s*{_AMOUNT}(?:\s*usd)?[\s,;.]*"
)
_COST_KEYS: Final = (
    "cost_usd",
    "total_cost_usd",
    "estimated_cost_usd",
    "total_cost",
    "cost",
)


def count(text: str) -> int | None:
    """Read a whole number, with or without a locale's separators."""
    if _WHOLE_COUNT.fullmatch(text.strip()) is None:
        return None
    return int("".join(filter(str.isdecimal, text)))


def tokens_used(text: str) -> tuple[bool, int | None]:
    """Read Codex's `tokens used`: whether it is that line, and the figure on it."""
    found = _TOKENS_USED.fullmatch(text)
    if found is None:
        return False, None
    return True, count(found.group(1) or "")


def token_usage(text: str) -> tuple[Usage | None, bool]:
    """Read `Token usage: total=… input=… (+ … cached) output=… (reasoning …)`.

    Returns:
        The usage, and whether the line is this suite's: of the run, not of the thread.
    """
    found = _TOKEN_USAGE.fullmatch(text)
    if found is None:
        return None, False
    is_ours = found.group(2) is None and found.group(3) is not None
    told, cached, output, reasoning = (
        count(found.group(place) or "0") or 0 for place in (1, 3, 4, 5)
    )
    usage = Usage(
        input_tokens=told if is_ours else told + cached,
        cached_input_tokens=cached,
        output_tokens=output,
        reasoning_output_tokens=reasoning,
        total_tokens=told + output if is_ours else told + cached + output,
    )
    return usage, is_ours


def parts(text: str) -> dict[str, int]:
    """Read named figures (`input_tokens: 5`, `in=12 out=34 tok`, a JSON usage object).

    A line with more than its figures is prose and has none.
    """
    pair = _IN_OUT.search(text)
    if pair is not None:
        numbers = (count(figure) or 0 for figure in pair.groups())
        return dict(zip(("input_tokens", "output_tokens"), numbers, strict=True))
    if _PARTS.fullmatch(text):
        return {
            _part_name(name): count(figure) or 0
            for name, figure in _ONE_PART.findall(text)
        }
    fields = loose_json.object_in(text)
    found = {
        _part_name(name.removesuffix("_tokens")): loose_json.integer(value)
        for name, value in (loose_json.mapping(fields.get("usage")) or fields).items()
        if _ONE_PART.fullmatch(f"{name}=0")
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def cost(text: str) -> float | None:
    """Read an amount of US dollars from a line that holds a cost and nothing else."""
    found = _COST.fullmatch(text)
    if found is not None:
        return loose_json.number(found.group(1).replace(",", ""))
    fields = loose_json.object_in(text)
    amounts = (loose_json.number(fields.get(key)) for key in _COST_KEYS)
    return next((amount for amount in amounts if amount is not None), None)


def _part_name(name: str) -> str:
    plain = name.lower().replace(" ", "_").replace("-", "_")
    return f"{_PART_NAMES.get(plain, plain)}_tokens"
