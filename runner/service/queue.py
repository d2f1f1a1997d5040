"""The queue as a person sees and changes it: what waits, the slots, pause, retry."""

from __future__ import annotations

import os

from parsers.light import datetime
from parsers.paths import Path
from parsers.struct import replace
from runner import clock, config, config_files, files
from runner.clock import iso
from runner.codex.login import KEYS
from runner.errors import (
    NoSlotError,
    NoSuchTaskError,
    RefusedPromptError,
    UsageError,
)
from runner.exports import queue_files
from runner.ledger import edits, environments, homes, slots
from runner.ledger.environments import Senders
from runner.ledger.prompts import PromptOptions
from runner.ledger.settings import OwnSettings
from runner.lifecycle import timer
from runner.lifecycle.launch import environment_of
from runner.lifecycle.queue import deliver_all, deliver_next
from runner.lifecycle.recover import sweep
from runner.prompt.read import is_quit, preview
from runner.run_files import files_of
from runner.service.lookup import find
from runner.service.request import working_directory
from runner.service.start import once_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session

    Json = dict[str, Any]

_MOST_PRIORITY = 100
_COLUMNS = (
    *("id", "task", "short_id", "title", "why", "until", "detail", "group", "priority"),
    *("not_before", "expires_at", "queued_at", "prompt"),
)


def waiting(ledger: Ledger, session: Session | None, settings: Config) -> list[Json]:
    """Return what waits, the next to be delivered first, with the reasons.

    `why` is one word, null for a prompt that can be delivered by this process.
    """
    found, senders = [], Senders(ledger, settings)
    for row in ledger.all("all_waiting"):
        if session is not None and row["session"] != session.key:
            continue
        told = {**row, "task": row["thread"] or row["short_id"]}
        told |= senders.explain(told, told["task"])
        told["why"] = told["word"]
        told |= {"group": row["grp"] or None, "prompt": row["preview"]}
        found.append({name: told[name] for name in _COLUMNS})
    return found


def limits(ledger: Ledger) -> list[Json]:
    """Return the slots of the whole queue and of each group, and what uses them."""
    return [
        {
            "group": each.name or None,
            "slots": each.slots,
            "starts_per_minute": each.starts_per_minute,
            "is_paused": bool(each.paused),
            "running": each.running,
            "waiting": each.waiting,
        }
        for each in slots.limits(ledger)
    ]


def options(
    found: Json,
    ledger: Ledger,
    settings: Config,
    own: OwnSettings = OwnSettings(),  # noqa: B008 - frozen
) -> PromptOptions:
    """Read how a prompt waits.

    Args:
        found: the options of `--queue` as on the command line.
        ledger: for the tasks.
        settings: those in force where the prompt is run.
        own: what the prompt has instead of the settings of its session.

    Raises:
        UsageError: a value is wrong.
        NoSuchTaskError: there is no such task, or it has had no prompt.
    """
    now = clock.now()
    return PromptOptions(
        group=found["group"] or "",
        priority=priority(found["priority"]),
        not_before=when(found["not_before"], "--not-before", now),
        expires_at=when(found["expires"], "--expires", now),
        after=tuple(_last_prompt(text, ledger) for text in found["after"]),
        after_any_end=tuple(_last_prompt(t, ledger) for t in found["after_any_end"]),
        key=found["key"],
        dedup=found["dedup"],
        retries=_count(found, "retries", settings),
        recoveries=_count(found, "recoveries", settings),
        settings=replace(own, park=not found["no_park"]).to_json(),
    )


def _count(found: Json, name: str, settings: Config) -> int:
    text = found[name]
    if text is None:
        return int(getattr(settings, name))
    return int(config_files.value_of(name, text, f"--{name}"))


def own_settings(found: Json) -> OwnSettings:
    """Read what a prompt has instead of the settings of its session.

    Args:
        found: `working_dir`, `model`, `sandbox`, `config`, `image`, `output_schema`,
            `timeout` and `stall_timeout` as on the command line.

    Raises:
        UsageError: a value is wrong, or a file or directory does not exist.
    """
    place = found["working_dir"]
    return OwnSettings(
        repo=None if place is None else working_directory(place),
        model=found["model"],
        sandbox=found["sandbox"],
        overrides=tuple(found["config"]),
        once=once_of(found["image"], found["output_schema"]),
        timeout=_limit(found["timeout"], "--timeout"),
        stall=_limit(found["stall_timeout"], "--stall-timeout"),
    )


def _limit(text: str | None, option: str) -> float | None:
    return None if text is None else config.seconds(text, option) or 0.0


def priority(text: str | None) -> int:
    """Read a priority, by default 0.

    Raises:
        UsageError: it is not a whole number from -100 to 100.
    """
    try:
        value = int(text or "0")
    except ValueError:
        value = _MOST_PRIORITY + 1
    if abs(value) > _MOST_PRIORITY:
        most = _MOST_PRIORITY
        message = f"--priority {text!r}: a whole number from -{most} to {most}"
        raise UsageError(message)
    return value


def when(text: str | None, option: str, now: datetime) -> str | None:
    """Read a future time: an instant, a local date with a time, or `+2h`.

    Raises:
        UsageError: it is none of these.
    """
    if text is None:
        return None
    try:
        if (delay := clock.read_duration(text.removeprefix("+"))) is not None:
            return iso(clock.after(now, delay))
        at = datetime.fromisoformat(text.strip().upper()).astimezone()
        return iso(at.astimezone(clock.at(0).tzinfo))
    except (OverflowError, ValueError) as error:
        message = f"{option} {text!r} is neither an instant, a local time nor a delay"
        fix = f"{option} 2026-11-30T22:00, or {option} +90m"
        raise UsageError(message, fix) from error


def change(prompt: int, changes: edits.Edit, ledger: Ledger) -> None:
    """Change a waiting prompt, and write its file again."""
    queue_files.refresh(ledger, edits.edit(ledger, prompt, changes), [prompt])


def remove(prompt: int, ledger: Ledger) -> None:
    """Cancel one waiting prompt."""
    queue_files.refresh(ledger, edits.remove(ledger, prompt), [prompt])


def move_first(prompt: int, ledger: Ledger) -> None:
    """Move a waiting prompt to the front of its session."""
    session = edits.move_first(ledger, prompt)
    numbers = [each.id for each in ledger.queue.waiting(session)]
    queue_files.refresh(ledger, session, numbers)


def wake(ledger: Ledger, settings: Config) -> None:
    """Let the timer look at what waits now."""
    timer.wake(ledger, settings)


def resume(session: Session | None, ledger: Ledger, settings: Config) -> list[str]:
    """End a pause; of a session also its hold. Deliver what can be delivered.

    Returns the errors of deliveries.
    """
    edits.pause(ledger, None if session is None else session.key, is_paused=False)
    if session is not None:
        ledger.queue.release(session.key)
        homes.release(ledger, os.fsencode(session.home or ""))
        queue_files.refresh(ledger, session.key)
    faults = list(deliver_all(ledger, settings).values())
    timer.wake(ledger, settings)
    return faults


def retry(session: Session, ledger: Ledger, settings: Config) -> list[int]:
    """Queue the last prompt of a session again, and deliver what can be delivered.

    Raises:
        RefusedPromptError: it cannot be queued again.
    """
    number = _last_prompt(session.name, ledger)

    def text_of(run_id: str) -> bytes | None:
        path = files_of(ledger.runs.find(run_id).spec).prompt
        return files.read_if_there(path) or None

    codex = session.settings.codex if session.settings else None
    own = environment_of(codex, session.home, ledger, settings)
    revived = edits.retry(ledger, number, text_of, own)
    queue_files.refresh(ledger, session.key, revived)
    deliver_all(ledger, settings)
    timer.wake(ledger, settings)
    return revived


def deliver(
    session: Session, ledger: Ledger, settings: Config, note: Callable[[str], None]
) -> str | None:
    """Deliver the first prompt of a session with the secrets of this environment.

    Its other prompts have them too, from now on. Where the home of Codex has a login, a
    key of Codex may be missing. Another value than the sender's is noted,
    and a refused login holds it no longer.

    Returns the run that delivers it; None for a `/quit`.

    Raises:
        RefusedPromptError: nothing waits, or a secret of its sender is not set here.
        NoSlotError: it has to wait for something else.
    """
    sweep(ledger, settings, delivers=False)
    waiting = ledger.queue.waiting(session.key)
    if not waiting:
        message = f"task {session.name} has no waiting prompt"
        fix = f'codex-tasks send {session.name} "PROMPT"'
        raise RefusedPromptError(message, fix)
    home = Path(session.home or settings.codex_home)
    has_login = files.status(home / "auth.json") is not None
    optional = KEYS if has_login else ()
    found = [environments.renew(ledger, p, settings, optional) for p in waiting]
    gone, changed = found[0]
    if gone:
        message = (
            f"task {session.name}: {', '.join(gone)} of its sender is not set here"
        )
        raise RefusedPromptError(message, f"export {gone[0]}=VALUE")
    for name in changed:
        note(f"{name} is not what its sender had; this one is used")
    if changed:
        homes.release(ledger, os.fsencode(session.home or ""), "login")
    queue_files.refresh(ledger, session.key, [each.id for each in waiting])
    started = deliver_next(session.key, ledger, settings)
    timer.wake(ledger, settings)
    if started is not None:
        started.reader.close()
        return started.run_id
    first = ledger.queue.head(session.key)
    if first is not None and first.id == waiting[0].id:
        message = f"prompt {first.id} waits still: {first.detail or first.word}"
        raise NoSlotError(message, f"codex-tasks queue {session.name}")
    return None


def new_text(text: bytes) -> edits.Edit:
    """Build the change of a prompt's text.

    Raises:
        UsageError: it is `/quit`, which would cancel what is behind the prompt.
    """
    if is_quit(text):
        message = (
            "/quit comes after all that waits: codex-tasks send --queue TASK /quit"
        )
        raise UsageError(message)
    return edits.Edit(text=text, preview=preview(text))


def _last_prompt(text: str, ledger: Ledger) -> int:
    """Return the last prompt of a task: waiting, running or ended."""
    session = find(text, ledger)
    number = ledger.value("last_prompt", session=session.key)
    if number is None:
        raise NoSuchTaskError(text)
    return int(number)
