"""The summary of a run: one JSON object, made from the run's files that are left."""

from __future__ import annotations

from parsers import loose_json
from parsers.text import strip, uuid, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from parsers.facts import Facts

PREVIEW_LENGTH: Final = 2_000
# The warnings of a turn that Codex calls completed although it did nothing.
_DOUBTS: Final = {
    "sandbox_broken": "every command failed, because the sandbox cannot start",
    "empty_answer": "Codex neither wrote a message nor did anything",
}
_GOOD: Final = "succeeded"
# The error class of a success whose check has failed.
_UNVERIFIED: Final = "verify_failed"
_TITLE_LENGTH: Final = 64
_UNKNOWN: Final = ("unknown_item:", "unknown_record:")
_COUNTS: Final = ("input_tokens", "output_tokens", "total_tokens")
# The names of the newest bash runner, and ours.
_SHORT: Final = {
    "id": "run_id",
    "sid": "session_id",
    "resume": "resume_session",
    "start": "started_at",
    "end": "ended_at",
    "exit": "exit_code",
    "ok": "success",
    "mdl": "model",
    "tier": "model_tier",
    "msrc": "model_source",
    "meta": "meta_file",
}
_LEGACY: Final = (
    *("run_id", "session_id", "resume_session", "repo", "task", "model"),
    *("model_tier", "model_source", "started_at", "ended_at", "elapsed_seconds"),
    *("exit_code", "success", "log_file", "meta_file"),
)


def build(
    facts: Facts,
    meta: object,
    outcome: str | None,
    token_usage: object,
    cost: object,
) -> dict[str, object]:
    """Build a summary; an unknown value is null.

    Args:
        facts: the facts of the run's output.
        meta: the run's unchecked meta JSON; None without one.
            What it does not say, the log's last block may. Its `task_file` and
            `final_message_file` are the files of the whole texts.
        outcome: how the run ended, in one word.
        token_usage: the block that `RunUsage.to_json` made, now or for the record.
        cost: the block that `RunCost.to_json` made, likewise.
    """
    record = loose_json.mapping(meta)

    def value(*names: str) -> object:
        found = record.get(names[0])
        return facts.fields.get(names[-1]) if found is None else found

    def text(*names: str) -> str | None:
        return loose_json.text(value(*names)) or None

    from parsers.error_classes import retryable  # noqa: PLC0415 - not at a launch

    commands = {"run": facts.commands_run, "failed": facts.commands_failed}
    changed = facts.files_changed
    if any(name.startswith(_UNKNOWN) for name in facts.warnings):
        # Each of them may have been a command or an edit: nothing is not known.
        commands = commands if facts.commands_run else dict.fromkeys(commands)
        changed = changed or None
    answer_file, error_class = text("final_message_file"), text("error_class")
    is_unverified = error_class == _UNVERIFIED
    priced_model = loose_json.text(loose_json.mapping(cost).get("model"))
    found = {
        "run_id": text("run_id", "codex_run_id"),
        "session_id": facts.session_id or uuid(text("session_id")),
        "resume_session": text("resume_session"),
        "repo": text("repo"),
        **_preview("task", text("task"), text("task_file")),
        "started_at": text("started_at", "started_at_utc"),
        "ended_at": text("ended_at", "ended_at_utc"),
        "elapsed_seconds": loose_json.number(value("elapsed_seconds")),
        "exit_code": loose_json.integer(value("exit_code", "codex_exit_code")),
        "success": None if outcome is None else outcome == _GOOD and not is_unverified,
        "outcome": outcome,
        "error_class": error_class,
        "retryable": retryable(error_class),
        "model": text("model", "model_selected") or priced_model or facts.model,
        "log_file": text("log_file"),
        "meta_file": text("meta_file"),
        "token_usage": dict(token_usage) if isinstance(token_usage, dict) else None,
        "cost": dict(cost) if isinstance(cost, dict) else None,
        **_preview("final_message", facts.final_message, answer_file),
        "commands": commands,
        "files_changed": None
        if changed is None
        else [{"path": path, "kind": kind} for path, kind in changed.items()],
        "errors": list(facts.errors),
        "warnings": dict(facts.warnings),
    }
    error = text("error") or next(iter(reversed(facts.errors)), None)
    log = text("log_file") or text("events_file")
    names = model_and_cache(record)
    names = {name: value(name) or other for name, other in names.items()}
    return found | _older(found | names, log, None if found["success"] else error)


def model_and_cache(record: Mapping[str, object]) -> dict[str, object]:
    """Return what the bash runner's records say of model and cache, and ours do not."""
    request = loose_json.mapping(record.get("request"))
    source = "codex_default" if request else "unknown"
    return {
        "model_tier": "none",
        "model_source": "explicit_model" if request.get("model") else source,
        "cache_status": "disabled",
        "cache_key": None,
    }


def _older(
    values: Mapping[str, object], log: str | None, error: str | None
) -> dict[str, object]:
    """Return the values of a summary under the names of the newest bash runner."""
    usage = loose_json.mapping(values["token_usage"])
    cost = loose_json.mapping(values["cost"])
    seconds = loose_json.number(values["elapsed_seconds"])
    counts = {name: usage.get(name) for name in _COUNTS}
    evidence = cost.get("price_source") or cost.get("reason")
    return {
        **{short: values[name] for short, name in _SHORT.items()},
        "time": None if seconds is None else round(seconds),
        "log": log,
        "tok": {
            **dict(zip(("in", "out", "tot"), counts.values(), strict=True)),
            "ev": {name: usage[name] for name in ("source", "reason") if name in usage},
        },
        "err": error,
        "cache": {"status": values["cache_status"], "key": values["cache_key"]},
        "src": "run_codex_task",
        "legacy": {
            **{name: values[name] for name in _LEGACY},
            "token_usage": {**counts, "evidence": usage.get("source")},
            "cost": {"usd": cost.get("usd"), "evidence": evidence},
        },
    }


def doubts(warnings: object) -> list[str]:
    """Say why a success may be none, from the warnings of the run."""
    known = loose_json.mapping(warnings)
    return [f"{name}: {text}" for name, text in _DOUBTS.items() if name in known]


def one_line(summary: Mapping[str, object]) -> str:
    """Render a summary as one line of text; never raises on its contents."""
    outcome = loose_json.text(summary.get("outcome"))
    if summary.get("error_class") == _UNVERIFIED:
        outcome = _UNVERIFIED
    words = {_GOOD: "OK", None: "UNKNOWN"}
    usage = loose_json.mapping(summary.get("token_usage"))
    cost = loose_json.mapping(summary.get("cost"))
    title, sign = _flat(summary.get("task")), bound(usage)
    of_cost = "" if usage.get("total_tokens") is None else sign
    if len(title) > _TITLE_LENGTH:
        title = f"{title[: _TITLE_LENGTH - 1]}…"
    return " ".join(
        (
            words.get(outcome, "FAIL"),
            _flat(summary.get("run_id")) or "-",
            outcome or "-",
            _with_unit(loose_json.number(summary.get("elapsed_seconds")), "{:.1f}s"),
            _with_unit(known_total(usage), sign + "{:,} tok"),
            "".join(dollars(cost.get("usd"), cost.get("unpriced"), of_cost) or "-"),
            _flat(summary.get("session_id")) or "-",
            f'"{title}"',
        )
    )


def dollars(
    usd: object, unpriced: object, sign: str = "", form: str = "${:.4f}"
) -> tuple[str, str] | None:
    """Write a cost, and what it lacks: it is a floor if calls have no price.

    `sign` is that of its tokens.
    """
    known, missing = loose_json.number(usd), loose_json.integer(unpriced)
    if known is None:
        return None
    if not missing:
        return f"{sign}{form.format(known)}", ""
    calls = f"{missing:,} call" if missing == 1 else f"{missing:,} calls"
    return f"≥ {form.format(known)}", f", {calls} unpriced"


def bound(usage: Mapping[str, object]) -> str:
    """Return the sign of a figure that is too small or may be too large, else ""."""
    if usage.get("uncounted") or usage.get("uncached_tokens") is not None:
        return "≥ "
    is_whole = usage.get("input_tokens") is not None
    return "≤ " if is_whole and usage.get("reason") else ""


def known_total(usage: Mapping[str, object]) -> int | None:
    """Return the total of a run's tokens, or what a log tells of it."""
    total = loose_json.integer(usage.get("total_tokens"))
    told = loose_json.integer(usage.get("uncached_tokens"))
    return told if total is None else total


def _preview(name: str, text: str | None, path: str | None) -> dict[str, object]:
    preview = None if text is None else text[:PREVIEW_LENGTH]
    pointer = {} if path is None else {f"{name}_file": path}
    return {name: preview, **pointer}


def _with_unit(figure: float | None, form: str) -> str:
    return "-" if figure is None else form.format(figure)


def _flat(value: object) -> str:
    return visible(" ".join(strip(loose_json.text(value) or "").split()))
