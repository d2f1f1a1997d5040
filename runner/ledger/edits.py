"""What a person changes in the queue: pause, resume, remove, move, edit, retry.

Each function is one transaction.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner import clock
from runner.clock import iso
from runner.errors import RefusedPromptError
from runner.ledger import environments, prompts
from runner.model import QUIT, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.light import sqlite3
    from runner.ledger.environments import Environment
    from runner.ledger.ledger import Ledger

    # The text of a prompt in the files of a run; None when they are gone.
    TextOf = Callable[[str], bytes | None]

_WAITING = ("queued", "parked")
_CYCLE = "what it waits for waits for it: a cycle"


class Edit(Struct):
    """Hold the new values of a waiting prompt; None leaves a value as it is.

    `not_before` is an RFC 3339 instant, "" for none.
    """

    text: bytes | None = None
    preview: str | None = None
    group: str | None = None
    priority: int | None = None
    not_before: str | None = None
    after: tuple[int, ...] | None = None


def set_limits(ledger: Ledger, name: str, values: dict[str, int | None]) -> None:
    """Set `slots` or `starts_per_minute`, or both, of the whole queue or a group."""
    ledger.write(
        "set_limits",
        name=name,
        slots=values.get("slots"),
        rate=values.get("starts_per_minute"),
        sets_slots="slots" in values,
        sets_rate="starts_per_minute" in values,
    )


def pause(ledger: Ledger, session: int | None, *, is_paused: bool) -> None:
    """Pause or resume the queue of a session, or the whole queue."""
    if session is None:
        ledger.write("pause_queue", paused=is_paused)
        return
    ledger.write("pause_session", paused=is_paused, session=session)


def remove(ledger: Ledger, prompt: int) -> int:
    """Cancel a waiting prompt, and return its session.

    Raises:
        RefusedPromptError: it does not wait.
    """
    with ledger.transaction(is_durable=True):
        row = _waiting(ledger, prompt)
        prompts.end(ledger, prompt, "canceled", "removed", Outcome.STOPPED)
    return int(row["session"])


def move_first(ledger: Ledger, prompt: int) -> int:
    """Move a waiting prompt to the front of its session, and return that.

    It stays behind a prompt whose turn has begun.

    Raises:
        RefusedPromptError: it does not wait, it would wait for itself, or it is a
            `/quit`, which cancels what is behind it.
    """
    with ledger.transaction(is_durable=True):
        row = _waiting(ledger, prompt)
        if row["text"] == QUIT:
            message = f"prompt {prompt} is a /quit: it comes after all that waits"
            raise RefusedPromptError(message)
        if not row["begun"]:
            ledger.change("move_first", prompt=prompt, session=row["session"])
            _refuse_cycle(ledger, prompt)
        ledger.change("note_queue", prompt=prompt, at=iso(clock.now()))
    return int(row["session"])


def edit(ledger: Ledger, prompt: int, change: Edit) -> int:
    """Change a waiting prompt, and return its session; a held one is tried again.

    Raises:
        RefusedPromptError: it does not wait, Codex has its text, or it would wait for
            itself.
    """
    with ledger.transaction(is_durable=True):
        row = _waiting(ledger, prompt)
        if row["begun"] and (change.text is not None or change.after is not None):
            message = f"prompt {prompt}: Codex has it already; its text stays"
            raise RefusedPromptError(message)
        text = change.text
        ledger.change(
            "edit_prompt",
            prompt=prompt,
            text=text,
            preview=change.preview,
            digest=None if text is None else prompts.digest_of(text),
            group=change.group,
            priority=change.priority,
            sets_time=change.not_before is not None,
            not_before=change.not_before or None,
        )
        if change.after is not None:
            ledger.change("drop_needs", prompt=prompt)
            if prompts.need(ledger, prompt, change.after):
                _refuse_cycle(ledger, prompt)
    return int(row["session"])


def retry(
    ledger: Ledger,
    prompt: int,
    text_of: TextOf,
    environment: Environment | None = None,
) -> list[int]:
    """Queue an ended prompt again, at its old place and with its own text.

    One that was never queued has no environment yet: it keeps this one.

    Prompts that ended only because of it are queued again too, where they can be.

    Returns:
        The numbers of these prompts.

    Raises:
        RefusedPromptError: it has not ended or has succeeded, its session is archived,
            its text is gone, another prompt that it needs has not succeeded, or a
            prompt with its `dedup` waits.
    """
    with ledger.transaction(is_durable=True):
        row = ledger.one("prompt_row", prompt=prompt)
        state = None if row is None else row["state"]
        if row is None or state not in {"failed", "canceled"}:
            what = "does not exist" if state is None else f"is {state}"
            message = f"prompt {prompt} {what}: only one that has failed can be retried"
            fix = "codex-tasks queue"
            if row is not None:
                name = ledger.sessions.get(row["session"]).name
                fix = f"codex-tasks status {name}"
                if state == "done":
                    fix = f'codex-tasks send {name} "PROMPT"'
            raise RefusedPromptError(message, fix)
        if row["archived_at"] is not None:
            message = f"prompt {prompt}: its task is ARCHIVED"
            name = ledger.sessions.get(row["session"]).name
            raise RefusedPromptError(message, f"codex-tasks unarchive {name}")
        todo, revived = [prompt], []
        for number in todo:  # it grows
            reason = _revive(ledger, number, text_of)
            if reason is None:
                revived.append(number)
                todo += [r["id"] for r in ledger.all("blamed_on", prompt=number)]
            elif number == prompt:
                message = f"prompt {prompt}: {reason}"
                raise RefusedPromptError(message)
        if environment is not None and row["environment"] is None:
            environments.store(ledger, prompt, environment)
    return revived


def _revive(ledger: Ledger, prompt: int, text_of: TextOf) -> str | None:
    """Queue an ended prompt again; return why it cannot be."""
    for need in ledger.all("unmet_needs", prompt=prompt):
        if need["state"] in {"failed", "canceled", None} and not need["any_end"]:
            ledger.change("set_blame", prompt=prompt, blame=need["needs"])
            return f"prompt {need['needs']}, which it needs, has not succeeded"
    row = ledger.one("prompt_row", prompt=prompt)
    if row is None:
        return "it was removed"
    same = row["dedup"] and ledger.value("waiting_duplicate", dedup=row["dedup"])
    if same:
        return f"prompt {same} waits with its --dedup"
    text = row["text"]
    if text is None:
        run_id = ledger.value("run_of_text", prompt=prompt)
        text = text_of(run_id) if run_id else None
    if text is None:
        return "its text is gone with the files of its run: send it again"
    digest = prompts.digest_of(text)
    told = {"text": text, "digest": digest, "at": iso(clock.now())}
    ledger.change("revive_prompt", prompt=prompt, **told)
    prompts.check_needs(ledger, prompt)
    if ledger.value("closes_cycle", prompt=prompt):
        needs = ledger.all("unmet_needs", prompt=prompt)
        blame = needs[0]["needs"]
        prompts.end(ledger, prompt, *prompts.DEPENDENCY_FAILED, blame=blame)
        return _CYCLE
    ledger.change("note_queue", prompt=prompt, at=iso(clock.now()))
    return None


def _waiting(ledger: Ledger, prompt: int) -> sqlite3.Row:
    row = ledger.one("prompt_row", prompt=prompt)
    state = None if row is None else row["state"]
    if row is None or state not in _WAITING or row["run_id"] is not None:
        what = "does not exist" if state is None else f"is {state}"
        what = "is reserved for a waiting run" if state == "queued" else what
        message = f"prompt {prompt} {what}: only a waiting one can be changed"
        raise RefusedPromptError(message, "codex-tasks queue")
    return row


def _refuse_cycle(ledger: Ledger, prompt: int) -> None:
    if ledger.value("closes_cycle", prompt=prompt):
        message = f"prompt {prompt}: {_CYCLE}"
        raise RefusedPromptError(message)
