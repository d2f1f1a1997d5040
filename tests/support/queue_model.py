"""The rules of the queue with lists and loops: what the ledger must say of it.

They are written from docs/queue.md and docs/architecture.md, not from the queries.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Ends = Literal["done", "failed", "canceled"]
Wake = tuple[float, float, str]  # until when, since when, why
REFUSED = "refused"
ENDED = ("done", "failed", "canceled")
QUIT = "/quit"
DAY = 86_400
BACK_OFF = (10, 60, 600)
FOR_A_PERSON = ("configuration", "thread_gone", "untrusted", "option")
CAN_PASS = ("rate_limit_exceeded", "server_overloaded", "stalled")
DEEPEST = 3


@dataclass(kw_only=True)
class Prompt:
    """One prompt; `needs` has what it waits for, and whether any end will do."""

    id: int
    session: int
    place: int
    text: str | None
    group: str = ""
    priority: int = 0
    not_before: float | None = None
    expires_at: float | None = None
    needs: dict[int, bool] = field(default_factory=dict)
    key: str | None = None
    body: tuple[object, ...] = ()
    dedup: str | None = None
    retries: int = 0
    recoveries: int = 0
    may_park: bool = True
    is_direct: bool = False
    state: str = "queued"
    reason: str | None = None
    blame: int | None = None
    run: str | None = None
    is_held: bool = False
    begun: bool = False
    is_stopped: bool = False
    wake: Wake | None = None
    starts: int = 0
    unbegun: int = 0
    failures: int = 0
    crashes: int = 0
    parks: int = 0

    @property
    def waits(self) -> bool:
        return self.state in {"queued", "parked"}

    @property
    def can_expire_at(self) -> float | None:
        return self.expires_at if self.waits and not self.begun else None

    @property
    def is_open(self) -> bool:
        return self.state not in ENDED


@dataclass(kw_only=True)
class Run:
    """One run; `text` is None when Codex was given the continuation prompt."""

    id: str
    session: int
    prompt: int
    at: float
    ordinal: int
    group: str = ""
    text: str | None = None
    state: str = "prepared"
    waits: bool = False
    parent: str | None = None
    is_inside: bool = False
    begun: bool = False
    is_stopped: bool = False
    outcome: str | None = None

    @property
    def writes(self) -> bool:
        return self.state in {"prepared", "running"}


@dataclass
class Session:
    home: str
    is_archived: bool = False
    is_paused: bool = False


@dataclass
class Gate:
    """The limits of the whole queue, or of a group."""

    slots: int | None = None
    rate: int | None = None
    is_paused: bool = False


@dataclass
class Hold:
    """A home that waits, without `until` for a new login; `trying` is the first run."""

    until: float | None
    trying: str | None = None


class Model:
    """Hold sessions, prompts and runs, and do what the verbs of the queue do."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.last = 0
        self.sessions: dict[int, Session] = {}
        self.prompts: dict[int, Prompt] = {}
        self.runs: dict[str, Run] = {}
        self.gates = {"": Gate()}
        self.holds: dict[tuple[str, str], Hold] = {}

    # What can be asked.

    def waiting(self, session: int) -> list[Prompt]:
        found = (p for p in self.prompts.values() if p.session == session and p.waits)
        return sorted(found, key=lambda p: p.place)

    def heads(self) -> list[Prompt]:
        return [found[0] for s in self.sessions if (found := self.waiting(s))]

    def writer(self, session: int) -> Run | None:
        found = (r for r in self.runs.values() if r.session == session and r.writes)
        return next(found, None)

    def unfinished(self, session: int | None = None) -> list[Run]:
        return [
            run
            for run in self.runs.values()
            if run.state != "finished" and session in {None, run.session}
        ]

    def taken(self, group: str) -> int:
        """Count the runs that use a slot."""
        used = (r for r in self.runs.values() if r.writes and not r.is_inside)
        return sum(group in {"", run.group} for run in used)

    def starts(self, group: str) -> list[float]:
        """List the starts of the last minute, without those in the future."""
        counted = (r for r in self.runs.values() if not r.is_inside and not r.waits)
        recent = (r for r in counted if self.now - 60 < r.at <= self.now)
        return [run.at for run in recent if group in {"", run.group}]

    def closed(self, group: str) -> Iterator[tuple[str, float | None]]:
        """Say why no run of a group may be started, and until when."""
        for name in dict.fromkeys(("", group)):
            gate = self.gates.get(name, Gate())
            starts = self.starts(name)
            if gate.is_paused or gate.slots == 0:
                yield "pause", None
            elif gate.rate is not None and len(starts) >= gate.rate:
                yield "rate", min(starts) + 60
            elif gate.slots is not None and self.taken(name) >= gate.slots:
                yield "slot", None

    def word(self, prompt: Prompt) -> tuple[str | None, float | None]:
        """Say why a prompt waits, in one word, and until when if a time ends it."""
        return next(self.words(prompt), (None, None))

    def words(self, prompt: Prompt) -> Iterator[tuple[str, float | None]]:
        """Say all that keeps a prompt; the first word counts."""
        session, closed = self.sessions[prompt.session], [*self.closed(prompt.group)]
        if self.waiting(prompt.session)[0] is not prompt:
            yield "session", None
        if prompt.is_held:
            yield "held", None
        if session.is_paused or "pause" in dict(closed):
            yield "pause", None
        if self.writer(prompt.session) is not None:
            yield "session", None
        if prompt.needs:
            yield "dependency", None
        yield from self.times(prompt)
        if prompt.text == QUIT:
            return  # it starts no run
        if not self.is_inside(prompt):
            yield from closed
        yield from self.held_home(session.home)

    def is_inside(self, prompt: Prompt) -> bool:
        """Say whether its run uses no slot: it waits in a run, or goes on in one."""
        runs = [r for r in self.runs.values() if r.prompt == prompt.id]
        goes_on = prompt.begun and any(r.is_inside for r in runs)
        return goes_on or bool(prompt.run and self.runs[prompt.run].is_inside)

    def times(self, prompt: Prompt) -> Iterator[tuple[str, float | None]]:
        """Say for what times a prompt waits."""
        until, since, why = prompt.wake or (0, 0, "")
        if prompt.state == "parked" and until > self.now:
            yield "limit", until
        if prompt.not_before is not None and prompt.not_before > self.now:
            yield "time", prompt.not_before
        if since <= self.now < until:  # a clock that was set back ends a back-off
            yield ("writer" if why in {"writer", "refused"} else "retry"), until

    def held_home(self, home: str) -> Iterator[tuple[str, float | None]]:
        """Say what holds all prompts of a home."""
        for why in ("login", "limit"):
            hold = self.holds.get((home, why))
            if hold is None:
                continue
            is_over = hold.until is not None and hold.until <= self.now
            if not is_over or hold.trying is not None:
                yield why, None if is_over else hold.until

    def rank(self, prompt: Prompt) -> int:
        """Give the place between sessions: a point of priority is worth 100 places."""
        able = [
            each
            for each in self.waiting(prompt.session)
            if (each.not_before or 0) <= self.now and not each.needs
        ]
        return min(each.id - 100 * each.priority for each in (prompt, *able))

    def deliverable(self) -> list[tuple[int, bool]]:
        """List what can be delivered, the best first, and whether a writer is asked."""
        found, first = [], float("inf")
        for head in self.heads():
            word, why = self.word(head)[0], head.wake[2] if head.wake else ""
            is_asked = word == "writer" and why == "writer"
            is_free = head.run is None and self.writer(head.session) is None
            if head.run is not None and word is None:
                # A run that waited for this: nothing is delivered before it.
                first = min(first, self.rank(head))
            elif is_free and (word is None or is_asked):
                found.append((self.rank(head), head.id, is_asked))
        able = [each for each in sorted(found) if each[0] < first]
        return [(number, is_asked) for _, number, is_asked in able]

    def deadline(self) -> float | None:
        """Say when a word changes without a command, or a prompt expires."""
        timed = {"time", "retry", "writer", "limit", "rate"}
        words = [self.word(head) for head in self.heads()]
        times = [at for word, at in words if word in timed and at is not None]
        times += [at for p in self.prompts.values() if (at := p.can_expire_at)]
        return min(times, default=None)

    def state(self, session: int) -> str:
        """Say whether a session runs, or how it has ended."""
        heads = [p for p in self.heads() if p.session == session]
        is_held = any(self.word(head)[0] == "held" for head in heads)
        if self.unfinished(session) or (heads and not is_held):
            return "RUNNING"
        if self.sessions[session].is_archived:
            return "ARCHIVED"
        runs = [r for r in self.runs.values() if r.session == session]
        last = max(runs, key=lambda r: (not r.waits, r.ordinal), default=None)
        is_good = last is None or last.outcome in {"succeeded", "stopped"}
        return "DIED" if is_held or not is_good else "STOPPED"

    def waits_for_itself(self, start: Prompt) -> bool:
        """Follow the needs and the order of the sessions, and look for a circle."""
        seen, todo = set[int](), [start]
        while todo:
            each = todo.pop()
            before = [self.prompts[n] for n in each.needs if n in self.prompts]
            before += [
                other
                for other in self.prompts.values()
                if other.session == each.session and other.place < each.place
            ]
            for other in before:
                if other is start:
                    return True
                if other.is_open and other.id not in seen:
                    seen.add(other.id)
                    todo.append(other)
        return False

    # How prompts end.

    def end(
        self, prompt: Prompt, state: Ends, reason: str, blame: int | None = None
    ) -> None:
        """End a prompt, with the run that waits for it, and then what needs it."""
        todo = [(prompt, state, reason, blame)]
        for each, state, reason, blame in todo:  # noqa: PLR1704  # it grows
            if not each.is_open:
                continue
            if each.run and self.runs[each.run].state == "waiting":
                run = self.runs[each.run]
                run.state = "finished"
                run.outcome = "not_started" if state == "failed" else "stopped"
            each.state, each.reason, each.blame = state, reason, blame
            each.run, each.wake, each.is_held = None, None, False
            for other in self.in_order():
                if each.id in other.needs and (state == "done" or other.needs[each.id]):
                    del other.needs[each.id]
                elif each.id in other.needs:
                    todo.append((other, "failed", "dependency_failed", each.id))

    def in_order(self) -> list[Prompt]:
        return sorted(self.prompts.values(), key=lambda p: p.id)

    def cancel(self, session: int) -> None:
        for prompt in self.waiting(session):
            self.end(prompt, "canceled", "stopped")

    def look_at_needs(self, prompt: Prompt) -> bool:
        """Meet what has ended well, or end the prompt; say whether it waits."""
        for number, any_end in sorted(prompt.needs.items()):
            state = self.prompts[number].state
            if state == "done" or (any_end and state in ENDED):
                del prompt.needs[number]
            elif state in ENDED:
                self.end(prompt, "failed", "dependency_failed", number)
                return False
        return True

    def expire(self) -> None:
        for prompt in self.in_order():
            if (prompt.can_expire_at or self.now + 1) <= self.now:
                self.end(prompt, "failed", "expired")

    # The verbs. Each returns REFUSED where it must be refused.

    def send(self, prompt: Prompt) -> tuple[int, int] | str:
        """Queue a prompt; `prompt.session` is the session, new or known."""
        known = [p for p in self.prompts.values() if p.key and p.key == prompt.key]
        if known:
            is_same = known[0].body == prompt.body
            return (known[0].session, known[0].id) if is_same else REFUSED
        others = self.prompts.values()
        is_closed = self.is_closed(prompt.session)
        is_double = prompt.dedup and any(
            p.waits and p.dedup == prompt.dedup for p in others
        )
        if is_closed or is_double or not prompt.needs.keys() <= self.prompts.keys():
            return REFUSED
        self.add(prompt)
        self.look_at_needs(prompt)
        return prompt.session, prompt.id

    def is_closed(self, session: int) -> bool:
        """Say whether a session accepts no prompt."""
        has_quit = any(
            p.text == QUIT and p.state == "queued" and p.run is None
            for p in self.waiting(session)
        )
        return has_quit or self.sessions[session].is_archived

    def add(self, prompt: Prompt) -> None:
        self.last = prompt.id
        self.prompts[prompt.id] = prompt

    def run(
        self, run: Run, *, waits_for_session: bool = False, waits_for_slot: bool = False
    ) -> bool | str:
        """Start a run with a prompt of its own; say whether it waits."""
        session = self.sessions[run.session]
        is_behind = bool(self.waiting(run.session) or self.writer(run.session))
        if session.is_archived or (is_behind and not waits_for_session):
            return REFUSED
        if is_behind and self.is_closed(run.session):
            return REFUSED
        if self.depth(run.parent) > DEEPEST:
            return REFUSED
        run.is_inside = run.parent in self.runs
        kept = {word for word, _ in self.closed(run.group)}
        kept -= {"slot", "rate"} if run.is_inside else set()
        has_slot = not kept and not session.is_paused
        if not has_slot and not is_behind and not waits_for_slot:
            return REFUSED
        prompt = Prompt(
            id=self.last + 1,
            session=run.session,
            place=self.last + 1,
            text=run.text,
            group=run.group,
        )
        self.add(prompt)
        prompt.run, run.prompt = run.id, prompt.id
        self.runs[run.id] = run
        if is_behind or not has_slot:
            run.waits, run.state = True, "waiting"
            # Also if the queue delivers it: it parks only with --park.
            prompt.may_park = False
        else:
            prompt.state, prompt.is_direct, prompt.text = "running", True, None
            self.try_home(run)
        return run.waits

    def depth(self, run: str | None) -> int:
        """Count the runs inside which a run would be started."""
        if run is None or run not in self.runs:
            return 0
        return 1 + self.depth(self.runs[run].parent)

    def next_ordinal(self, session: int) -> int:
        runs = (r.ordinal for r in self.runs.values() if r.session == session)
        return max(runs, default=0) + 1

    def deliver(self, number: int, run: str) -> bool | str:
        """Start a run for a prompt of the queue."""
        if number not in [
            each for each, is_asked in self.deliverable() if not is_asked
        ]:
            return REFUSED
        prompt = self.prompts[number]
        session = prompt.session
        self.runs[run] = Run(
            id=run,
            session=session,
            prompt=number,
            at=self.now,
            group=prompt.group,
            ordinal=self.next_ordinal(session),
            is_inside=self.is_inside(prompt),
        )
        self.give(prompt, self.runs[run])
        return True

    def take(self, run: Run) -> bool:
        """Let a waiting run begin, unless its prompt has to wait."""
        prompt = self.prompts[run.prompt]
        if self.word(prompt)[0] is not None:
            return False
        run.state, run.waits, run.at = "prepared", False, self.now
        run.ordinal = self.next_ordinal(run.session)
        self.give(prompt, run)
        return True

    def give(self, prompt: Prompt, run: Run) -> None:
        prompt.state, prompt.run, prompt.wake = "running", run.id, None
        run.text = None if prompt.begun else prompt.text
        self.try_home(run)

    def try_home(self, run: Run) -> None:
        """Let the first run after a hold be the one that tries."""
        for (home, _), hold in self.holds.items():
            is_over = hold.until is not None and hold.until <= self.now
            if home == self.sessions[run.session].home and is_over:
                hold.trying = hold.trying or run.id

    def begin(self, run: Run) -> None:
        run.begun = True
        prompt = self.prompts[run.prompt]
        if prompt.run == run.id and prompt.state == "running":
            prompt.begun, prompt.text = True, None

    def finish(
        self,
        run: Run,
        outcome: str,
        error: str | None,
        resets: Iterable[tuple[int, float]],
    ) -> None:
        """End a run; `resets` has how full each window is, and when it is reset."""
        run.state, run.outcome = "finished", outcome
        prompt = self.prompts[run.prompt]
        limit = self.limit(prompt.parks if prompt.run == run.id else 0, [*resets])
        if prompt.run == run.id and prompt.state == "running":
            self.settle(prompt, run, error, limit)
        elif prompt.run == run.id and error == "killed":
            prompt.run = None  # it waits like any other
        elif prompt.run == run.id:
            self.end(prompt, ends(outcome), outcome)
        for hold in self.holds.values():
            hold.trying = None if hold.trying == run.id else hold.trying
        home = self.sessions[run.session].home
        if outcome == "succeeded":
            self.holds.pop((home, "login"), None)
            if (
                self.holds.get((home, "limit"), Hold(DAY * 1e6)).until or 0
            ) <= self.now:
                self.holds.pop((home, "limit"), None)
        elif outcome == "usage_limited":
            self.holds[home, "limit"] = Hold(limit)
        elif outcome == "auth_failed":
            self.holds[home, "login"] = Hold(None)
        if outcome == "stopped" and not run.is_stopped:
            self.cancel(run.session)

    def limit(self, parks: int, resets: Collection[tuple[int, float]]) -> float:
        """Say when a usage limit ends."""
        full = [at for used, at in resets if used >= 100]
        at = (
            max(full)
            if full
            else min((at for _, at in resets), default=self.now + 3600)
        )
        if at > self.now + 8 * DAY:
            at = self.now + 3600  # that is not believed
        return max(at, self.now + min(3600, 60 << parks))

    def settle(self, prompt: Prompt, run: Run, error: str | None, limit: float) -> None:
        """Set the next state of a prompt whose run has ended."""
        outcome = run.outcome or ""
        was_executed = outcome != "not_started" and error != "killed"
        prompt.starts = 0 if was_executed else prompt.starts + 1
        prompt.unbegun = 0 if run.begun else prompt.unbegun
        is_queued = not prompt.is_direct
        if outcome != "succeeded" and prompt.is_stopped:
            self.end(prompt, "canceled", "stopped")
        elif outcome == "usage_limited" and is_queued and prompt.may_park:
            prompt.parks += 1
            self.put_back(prompt, (limit, self.now, "limit"), "parked")
        elif outcome == "auth_failed" and is_queued and prompt.may_park:
            self.put_back(prompt, None, "parked")
        elif (
            outcome in {"failed", "lost", "stalled", "not_started"}
            and is_queued
            and not run.begun
        ):
            self.put_back(
                prompt, self.back_off(prompt, error, was_executed=was_executed)
            )
        elif outcome == "lost" and prompt.crashes < prompt.recoveries:
            prompt.crashes += 1
            self.put_back(prompt, None)
        elif (
            outcome in {"failed", "stalled"}
            and error in CAN_PASS
            and prompt.failures < prompt.retries
        ):
            wait = min(600, 5 * 2**prompt.failures)  # at most: there is jitter
            prompt.failures, prompt.parks = prompt.failures + 1, 0
            self.put_back(prompt, (self.now + wait, self.now, "retry"))
        elif outcome == "lost" and prompt.recoveries:
            self.end(prompt, "failed", "poisoned")
        else:
            self.end(prompt, ends(outcome), outcome)

    def back_off(
        self, prompt: Prompt, error: str | None, *, was_executed: bool
    ) -> Wake | None:
        """Say when a prompt is tried again whose turn did not begin; or hold it."""
        if not was_executed:
            number = prompt.starts - (2 if error == "killed" else 0)
            if number <= 0:
                return None
            return self.now + BACK_OFF[min(number, 3) - 1], self.now, "start"
        if error == "writer":
            return self.now + 10, self.now, "refused"
        if error in FOR_A_PERSON or prompt.unbegun == len(BACK_OFF):
            prompt.is_held, prompt.unbegun = True, 0
            return None
        prompt.unbegun += 1
        return self.now + BACK_OFF[prompt.unbegun - 1], self.now, "unbegun"

    def put_back(
        self, prompt: Prompt, wake: Wake | None, state: str = "queued"
    ) -> None:
        """Let a prompt wait again, one whose turn has begun before all others."""
        prompt.state, prompt.run, prompt.wake = state, None, wake
        others = [
            p.place
            for p in self.prompts.values()
            if p.session == prompt.session and p is not prompt
        ]
        if prompt.begun and others:
            prompt.place = min(prompt.place, min(others) - 1)

    def withdraw(self, run: Run) -> bool:
        prompt = self.prompts[run.prompt]
        if prompt.waits:
            self.end(prompt, "failed", run.outcome or "")
        return prompt.reason == run.outcome and prompt.state == "failed"

    def stop(self, sessions: Iterable[int]) -> None:
        for session in sessions:
            self.cancel(session)
        for prompt in self.prompts.values():
            if prompt.session in sessions and prompt.state == "running":
                prompt.is_stopped = True
        for run in self.unfinished():
            run.is_stopped = run.is_stopped or run.session in sessions

    def quit(self, prompt: Prompt) -> None:
        self.end(prompt, "done", "quit")
        self.cancel(prompt.session)

    def changeable(self, number: int) -> Prompt | None:
        prompt = self.prompts.get(number)
        return prompt if prompt and prompt.waits and prompt.run is None else None

    def remove(self, number: int) -> int | str:
        if (prompt := self.changeable(number)) is None:
            return REFUSED
        self.end(prompt, "canceled", "removed")
        return prompt.session

    def move_first(self, number: int) -> int | str:
        prompt = self.changeable(number)
        if prompt is None or prompt.text == QUIT:
            return REFUSED
        if prompt.begun:
            return prompt.session
        ours = [p for p in self.prompts.values() if p.session == prompt.session]
        was = {each.id: each.place for each in ours}
        begun = [p for p in ours if p.waits and p.begun]
        for each in (prompt, *begun):
            each.place = min(p.place for p in ours) - 1
        if self.waits_for_itself(prompt):
            for each in ours:
                each.place = was[each.id]
            return REFUSED
        return prompt.session

    def edit(
        self, number: int, changes: dict[str, object], after: Collection[int] | None
    ) -> int | str:
        prompt = self.changeable(number)
        if prompt is None or (
            prompt.begun and ("text" in changes or after is not None)
        ):
            return REFUSED
        if after is not None:
            if number in after or not self.prompts.keys() >= {*after}:
                return REFUSED
            was, prompt.needs = prompt.needs, dict.fromkeys(after, False)
            is_over = any(
                self.prompts[n].state in {"failed", "canceled"} for n in after
            )
            for each in after:
                if self.prompts[each].state == "done":
                    del prompt.needs[each]
            if not is_over and self.waits_for_itself(prompt):
                prompt.needs = was
                return REFUSED
        prompt.is_held = False
        for name, value in changes.items():
            setattr(prompt, name, value)
        if after is not None:
            self.look_at_needs(prompt)
        return prompt.session

    def retry(self, number: int, lost: Collection[str]) -> list[int] | str:
        """Queue an ended prompt again, and what ended only because of it."""
        prompt = self.prompts.get(number)
        if prompt is None or prompt.state not in {"failed", "canceled"}:
            return REFUSED
        was = dict(vars(prompt))
        if self.sessions[prompt.session].is_archived or not self.revive(prompt, lost):
            vars(prompt).update(was)
            return REFUSED
        todo, revived = [prompt], list[int]()
        for each in todo:  # it grows
            if each is prompt or self.revive(each, lost):
                revived.append(each.id)
                todo += [
                    other
                    for other in self.in_order()
                    if other.blame == each.id
                    and not self.sessions[other.session].is_archived
                ]
        return revived

    def revive(self, prompt: Prompt, lost: Collection[str]) -> bool:
        """Queue an ended prompt again at its place, unless something forbids it."""
        for number, any_end in sorted(prompt.needs.items()):
            need = self.prompts.get(number)
            if not any_end and (need is None or need.state in {"failed", "canceled"}):
                prompt.blame = prompt.blame and number
                return False
        text = prompt.text or self.text_of(prompt, lost)
        is_double = prompt.dedup and any(
            p.waits and p.dedup == prompt.dedup for p in self.prompts.values()
        )
        if is_double or text is None:
            return False
        was = dict(vars(prompt))
        prompt.state, prompt.text, prompt.reason, prompt.blame = (
            "queued",
            text,
            None,
            None,
        )
        prompt.begun = prompt.is_direct = prompt.is_stopped = False
        prompt.expires_at = None
        prompt.starts = prompt.unbegun = prompt.failures = prompt.crashes = 0
        prompt.parks = 0
        self.look_at_needs(prompt)
        if self.waits_for_itself(prompt):
            blame = min(prompt.needs)
            vars(prompt).update(
                was, text=text, begun=False, is_direct=False, blame=blame
            )
            return False
        return True

    def text_of(self, prompt: Prompt, lost: Collection[str]) -> str | None:
        """Read the own text of a prompt from the files of the last run that had it."""
        runs = [r for r in self.runs.values() if r.prompt == prompt.id and r.text]
        last = max(runs, key=lambda r: r.ordinal, default=None)
        return None if last is None or last.id in lost else last.text

    def pause(self, session: int | None, *, is_paused: bool) -> None:
        paused = self.gates[""] if session is None else self.sessions[session]
        paused.is_paused = is_paused

    def release(self, session: int) -> None:
        """Let the first prompt of a session be tried again."""
        for prompt in self.waiting(session)[:1]:
            if prompt.is_held or prompt.wake:
                prompt.is_held, prompt.wake = False, None
                prompt.starts = prompt.unbegun = 0

    def open_home(self, home: str, why: str | None = None) -> None:
        """Let one prompt of a home try now."""
        for (name, kind), hold in self.holds.items():
            if name == home and why in {None, kind}:
                hold.until, hold.trying = 0, None
        for prompt in self.prompts.values():
            if prompt.state == "parked" and self.sessions[prompt.session].home == home:
                prompt.wake = None

    def is_busy(self, session: int) -> bool:
        """Say whether a session can be neither archived nor removed."""
        prompts = self.prompts.values()
        is_open = any(p.session == session and p.is_open for p in prompts)
        return is_open or bool(self.unfinished(session))

    def forget(self, session: int) -> None:
        del self.sessions[session]
        self.prompts = {k: p for k, p in self.prompts.items() if p.session != session}
        self.runs = {k: r for k, r in self.runs.items() if r.session != session}


def ends(outcome: str) -> Ends:
    """Say how a prompt ends with its run."""
    if outcome == "succeeded":
        return "done"
    return "canceled" if outcome in {"stopped", "interrupted"} else "failed"
