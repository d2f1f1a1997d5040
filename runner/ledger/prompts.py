"""The rows of prompts: how one is inserted and ends, and what waits for its end.

These functions run inside a transaction of their caller.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.struct import Struct, as_dict
from runner import clock
from runner.clock import iso
from runner.errors import RefusedPromptError
from runner.model import OUTCOMES, QUIT, Outcome
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from parsers.light import datetime
    from runner.ledger.database import Cell
    from runner.ledger.environments import Environment
    from runner.ledger.ledger import Ledger
    from runner.model import Run

PREVIEW = 200
# Options that are no columns of a prompt.
_APART = ("after", "after_any_end", "environment")


class Prompt(Struct):
    """Hold one waiting prompt.

    `word` is why it waits, None when it can be delivered; `until` is an RFC 3339
    instant if the wait has an end, `detail` the reason in a sentence. `run_id` is the
    waiting run that it is reserved for (`--wait-for-session`). `terms` are those of its
    first run, as JSON; None if its settings have them.
    """

    id: int
    session: int
    text: bytes | None
    preview: str
    run_id: str | None
    settings: str
    terms: str | None
    environment: int | None
    begun: int
    word: str | None
    until: str | None
    detail: str | None

    @property
    def is_quit(self) -> bool:
        """Return whether it ends the session instead of being sent to Codex."""
        return self.text is not None and self.text.strip() == QUIT


class PromptOptions(Struct):
    """Hold how a prompt waits, and what it waits for.

    One point of `priority` (-100 to 100) is worth 100 places in the queue.
    `not_before` and `expires_at` are RFC 3339 instants: it is not delivered before the
    one, and ends if its turn has not begun by the other. `after` has the numbers of
    prompts that must have succeeded, `after_any_end` of those that must have ended.
    A second prompt with an accepted `key` that asks for the same is the first one,
    which waits as it did; a second one with a `dedup` is refused while the first waits.
    A turn that fails for a reason that can pass is retried `retries` times; one in
    which Codex is lost is continued `recoveries` times.
    `settings` is what it has instead of the settings of its session, as JSON;
    `environment` what it keeps of its sender's.
    """

    group: str = ""
    priority: int = 0
    not_before: str | None = None
    expires_at: str | None = None
    after: tuple[int, ...] = ()
    after_any_end: tuple[int, ...] = ()
    key: str | None = None
    dedup: str | None = None
    retries: int = 0
    recoveries: int = 0
    settings: str = "{}"
    environment: Environment | None = None


class Content(Struct):
    """Hold the text of a prompt; None when its run has it already.

    `body` is the hash of what a prompt with a key asks for. `terms` are those of its
    run; a queued prompt has them in its settings.
    """

    text: bytes | None
    preview: str
    run_id: str | None = None
    number: int | None = None
    body: str | None = None
    terms: Terms = Terms()


def digest_of(text: bytes) -> str:
    """Return the hash of a text."""
    import hashlib  # noqa: PLC0415 - 4 ms, for a prompt that waits

    return hashlib.sha256(text).hexdigest()


def body_of(options: PromptOptions, *asked: object) -> str | None:
    """Hash what a prompt with a key asks for; how it waits is no part of it.

    A delay (`+90m`) or the last prompt of a task is another one each time.
    """
    if options.key is None:
        return None
    return digest_of(repr((asked, options.settings)).encode())


def with_key(
    ledger: Ledger, options: PromptOptions, body: str | None
) -> tuple[int, int] | None:
    """Find the prompt that has the key already: its session, and its number.

    Raises:
        RefusedPromptError: it asks for something else.
    """
    row = None if body is None else ledger.one("prompt_with_key", key=options.key)
    if row is not None and row["body"] != body:
        what = f"--key {options.key!r} has another request, prompt {row['id']}"
        raise RefusedPromptError(what)
    return None if row is None else (row["session"], row["id"])


def insert(
    ledger: Ledger, session: int, content: Content, at: datetime, options: PromptOptions
) -> int:
    """Insert a prompt, the last of its session, and return its number.

    Raises:
        RefusedPromptError: its key has another text, a prompt with its `dedup` waits,
            or it needs a prompt that does not exist.
    """
    body = content.body or body_of(options, session, content.text)
    if known := with_key(ledger, options, body):
        return known[1]
    first = options.dedup and ledger.value("waiting_duplicate", dedup=options.dedup)
    if first:
        message = f"prompt {first} waits with --dedup {options.dedup!r}"
        raise RefusedPromptError(message)
    columns = {k: v for k, v in as_dict(options).items() if k not in _APART}
    if options.environment is not None:
        from runner.ledger import environments  # noqa: PLC0415 - of one that waits

        columns["environment"] = environments.keep(ledger, options.environment)
    number = ledger.insert(
        "insert_prompt",
        prompt=content.number,
        session=session,
        text=content.text,
        preview=content.preview[:PREVIEW],
        digest=None if content.text is None else digest_of(content.text),
        run_id=content.run_id,
        at=iso(at),
        body=body,
        terms=json_text.dumps(told) if (told := content.terms.told()) else None,
        **{"environment": None, **columns},
    )
    need(ledger, number, options.after, options.after_any_end)
    return number


def insert_of(
    ledger: Ledger,
    run: Run,
    text: bytes | None = None,
    options: PromptOptions = PromptOptions(),  # noqa: B008 - a frozen value
) -> int:
    """Insert a run's own prompt, and return its number; with a text it waits."""
    spec = run.spec
    content = Content(
        text=text,
        preview=spec.task,
        run_id=spec.run_id,
        number=spec.prompt_id,
        terms=spec.terms,
    )
    return insert(ledger, run.session, content, spec.prepared_at, options)


def need(
    ledger: Ledger, prompt: int, after: Iterable[int], after_any_end: Iterable[int] = ()
) -> bool:
    """Let a prompt wait for others; end it when one of them has not succeeded.

    Returns:
        Whether it waits still.

    Raises:
        RefusedPromptError: one of them does not exist, or is the prompt itself.
    """
    wanted = dict.fromkeys(after_any_end, True) | dict.fromkeys(after, False)
    for number, any_end in wanted.items():
        if number == prompt or ledger.one("prompt_row", prompt=number) is None:
            what = "is itself" if number == prompt else "does not exist"
            message = f"prompt {number}, which it waits for, {what}"
            raise RefusedPromptError(message)
        ledger.change("insert_need", prompt=prompt, needs=number, any_end=any_end)
    return check_needs(ledger, prompt)


_ENDS = ("done", "failed", "canceled")
DEPENDENCY_FAILED = ("failed", "dependency_failed", Outcome.NOT_STARTED)


def check_needs(ledger: Ledger, prompt: int) -> bool:
    """Meet the needs that have ended well, or end the prompt; return if it waits.

    A rebuilt ledger may lack a prompt that has ended: then a person decides.
    """
    for row in ledger.all("unmet_needs", prompt=prompt):
        if row["state"] is None:
            why = f"prompt {row['needs']}, which it waits for, is unknown"
            ledger.change("hold_prompt", prompt=prompt, hold=why)
        is_met = row["any_end"] or row["state"] == "done"
        if is_met and row["state"] in _ENDS:
            ledger.change("meet_need", prompt=prompt, needs=row["needs"])
        elif row["state"] in _ENDS:
            end(ledger, prompt, *DEPENDENCY_FAILED, blame=row["needs"])
            return False
    return True


def end(
    ledger: Ledger,
    prompt: int,
    state: str,
    reason: str,
    outcome: Outcome,
    blame: int | None = None,
) -> None:
    """End a prompt, and all that need it and can no longer be delivered.

    A waiting run that a prompt is reserved for ends with it.
    """
    todo = [(prompt, state, reason, outcome, blame)]
    for number, state, reason, outcome, blame in todo:  # noqa: PLR1704 - it grows
        at = iso(clock.now())
        ended: dict[str, Cell] = {"prompt": number, "outcome": outcome, "at": at}
        code = OUTCOMES[outcome].exit_code
        run_id = ledger.value("end_waiting_run", exit_code=code, **ended)
        if run_id is not None:
            ledger.runs.note(ledger.runs.find(run_id), "run_completed")
        how: dict[str, Cell] = {"state": state, "reason": reason, "blame": blame}
        if not ledger.change("end_prompt", prompt=number, at=at, **how):
            continue
        if number != prompt:
            # Only the caller's prompt has its file removed by the caller.
            ledger.change("note_queue", prompt=number, at=at)
        for each in ledger.all("dependents", prompt=number):
            if state == "done" or each["any_end"]:
                ledger.change("meet_need", prompt=each["prompt"], needs=number)
            else:
                todo.append((each["prompt"], *DEPENDENCY_FAILED, number))


def expire(ledger: Ledger) -> None:
    """End the prompts that had to begin their turn by now."""
    at = iso(clock.now())
    for row in ledger.all("expired", at=at):
        end(ledger, row["id"], "failed", "expired", Outcome.NOT_STARTED)
        ledger.change("note_queue", prompt=row["id"], at=at)


def needs_of(header: Mapping[str, object]) -> Iterator[tuple[int, bool]]:
    """Read what an exported prompt needs: numbers, and whether any end will do."""
    text = str(header.get("needs") or "[]")
    for pair in loose_json.sequence(json_text.loads(text)):
        number, any_end = (*loose_json.sequence(pair), None, None)[:2]
        if isinstance(number, int):
            yield number, bool(any_end)
