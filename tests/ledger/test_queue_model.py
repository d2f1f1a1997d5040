"""Random verbs on the queue, compared after each with a model of its rules.

CODEX_TESTS_VERBS=50000 plays more of them, CODEX_TESTS_SEED=n others.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.queue_model import (
    ENDED,
    QUIT,
    REFUSED,
    Gate,
    Model,
    Prompt,
    Run,
    Session,
)

from parsers.paths import Path as LightPath
from runner import clock
from runner.errors import RunnerError, RunnerFault
from runner.ledger import edits, homes
from runner.ledger.edits import Edit
from runner.ledger.ledger import MemoryLedger
from runner.ledger.prompts import PromptOptions
from runner.ledger.queue import Candidate
from runner.ledger.settings import OwnSettings
from runner.model import Outcome, RunId

VERBS = int(os.environ.get("CODEX_TESTS_VERBS", "2000"))
SEED = int(os.environ.get("CODEX_TESTS_SEED", "0"))
BEGAN = 1_780_000_000.0
CONTINUED = "continue"
EPISODES = (20, 60, 150)
MOST_SESSIONS = 5
OUTCOMES = (
    *("succeeded",) * 5,
    *("usage_limited",) * 4,
    *("failed",) * 4,
    *("not_started",) * 3,
    *("lost", "lost", "stalled", "timed_out", "over_budget"),
    *("auth_failed", "auth_failed", "auth_failed", "interrupted", "stopped"),
)
# How a run ends that Codex never began a turn in, and one that it did.
UNBEGUN = ("writer", "configuration", "thread_gone", "untrusted", "option", None, None)
BEGUN = ("rate_limit_exceeded", "server_overloaded", "bad_request", None)
# The columns of a prompt, and what the model calls them.
COLUMNS = {
    **{name: name for name in ("state", "reason", "blame", "place", "begun")},
    **{name: name for name in ("priority", "dedup", "wake_why")},
    "run_id": "run",
    "direct": "is_direct",
    "grp": "group",
}
COUNTERS = ("starts", "unbegun", "failures", "crashes", "parks")
STEPS = (1, 5, 11, 60, 400, 3600, 40_000, 9 * 86_400, -1, -60, -4_000)


def text_of(at: float | None) -> str | None:
    return None if at is None else clock.iso(clock.at(at))


def tried(verb: Callable[..., Any], *args: Any, **named: Any) -> Any:  # noqa: ANN401  # passed on
    """Call a verb, and give its result, or that it was refused."""
    try:
        return verb(*args, **named)
    except RunnerFault:
        raise
    except RunnerError:
        return REFUSED


class Play:
    """Do random verbs on a ledger and on the model, and compare the two."""

    def __init__(self, seed: int, place: Path, patch: pytest.MonkeyPatch) -> None:
        self.random = random.Random(seed)  # noqa: S311  # not for secrets
        self.ledger = MemoryLedger(LightPath(str(place)))
        self.db = self.ledger._db
        self.db.execute("pragma foreign_keys = on")
        self.db.executescript(
            "drop view clock; create table clock (now, today, midnight, minute_ago)"
        )
        self.model = Model(BEGAN)
        patch.setattr(clock, "now", lambda: clock.at(self.model.now))
        self.homes = [str(place / name) for name in ("one", "one", "one", "two")]
        for home in self.homes:
            Path(home).mkdir(exist_ok=True)
            Path(home, "auth.json").write_text("", encoding="utf-8")
        self.lost: set[str] = set()
        self.refused: dict[str, int] = {}
        self.is_draining = False
        self.done: list[str] = []
        self.run_ids = 0
        self.step(0)
        self.verbs: dict[Callable[[], object], int] = {
            self.send: 12,
            self.deliver: 16,
            self.finish: 12,
            self.begin: 3,
            self.launch: 2,
            self.run: 6,
            self.take: 4,
            self.pass_time: 4,
            self.steal: 1,
            self.stop: 1,
            self.remove: 1,
            self.move: 2,
            self.edit: 2,
            self.retry: 2,
            self.pause: 1,
            self.resume: 1,
            self.set_slots: 3,
            self.log_in: 1,
            self.release: 1,
            self.lose_a_file: 1,
            self.archive: 1,
            self.unarchive: 1,
            self.forget: 1,
        }

    def play(self, verbs: int) -> None:
        self.set_slots()
        for _ in range(verbs):
            (verb,) = self.random.choices([*self.verbs], [*self.verbs.values()])
            self.do(verb)
        self.drain()

    def do(self, verb: Callable[[], object]) -> None:
        self.done.append(verb.__name__)
        verb()
        self.compare()

    # What a verb is done to.

    def chance(self, of_ten: int) -> bool:
        return not self.is_draining and self.random.random() * 10 < of_ten

    def session(self) -> int | None:
        return (
            self.random.choice([*self.model.sessions]) if self.model.sessions else None
        )

    def number(self) -> int:
        """Choose a prompt, mostly one that is open."""
        able = [p.id for p in self.model.prompts.values() if p.is_open]
        if able and self.chance(6):
            return self.random.choice(able)
        return self.random.randint(1, self.model.last + 1)

    def numbers(self, most: int, of_ten: int) -> tuple[int, ...]:
        """Choose what a prompt waits for; mostly nothing."""
        return tuple({self.number() for _ in range(most) if self.chance(of_ten)})

    def next_run(self) -> str:
        self.run_ids += 1
        return str(ledgers.run_id(self.run_ids))

    def request(self, session: int | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # as `prepare`
        """Build what `ledgers.prepare` takes."""
        home = self.random.choice(self.homes)
        if session is not None:
            home = self.model.sessions[session].home
        known = {"session": session, "prepared_at": clock.now(), "has_exports": True}
        return {**known, "codex_home": home, **more}

    # The verbs.

    def send(self) -> None:
        """Queue a prompt, for a new session or a known one."""
        pick, now = self.random.choice, self.model.now
        session = self.session() if len(self.model.sessions) == MOST_SESSIONS else None
        session = self.session() if self.chance(8) else session
        text = pick("xxxxyyyy" if session is None else ["x", "y", "x", "y", QUIT])
        wishes: dict[str, Any] = {
            "group": pick(["", "", "a", "b"]),
            "priority": pick([0, 0, 1, 5, -3]),
            "not_before": pick([None, None, None, now + pick([-50, 20, 500])]),
            "expires_at": pick([None, None, None, now + pick([1, 90, 900])]),
            "key": pick([None, None, None, "k", "l"]),
            "dedup": pick([None, None, None, "d", "e"]),
            "retries": pick([0, 1, 2]),
            "recoveries": pick([0, 0, 2]),
        }
        any_end, after = self.numbers(1, 2), self.numbers(2, 3)
        needs = dict.fromkeys(any_end, True) | dict.fromkeys(after, False)
        may_park = self.chance(7)
        number, home = self.model.last + 1, pick(self.homes)
        options = PromptOptions(
            **{
                **wishes,
                "not_before": text_of(wishes["not_before"]),
                "expires_at": text_of(wishes["expires_at"]),
            },
            after=after,
            after_any_end=any_end,
            settings=OwnSettings(park=may_park).to_json(),
        )
        given = (text.encode(), text, clock.now(), options)
        if session is None:
            request = ledgers.request(prompt=given[0], codex_home=home)
            got = tried(self.ledger.queue.open, request, text, given[2], options)
        else:
            got = tried(self.ledger.queue.add, session, *given)
            got = got if got == REFUSED else (self.session_of(got), got)
        key = session or (0 if got == REFUSED else got[0])
        self.model.sessions.setdefault(key, Session(home))
        prompt = Prompt(
            **wishes,
            id=number,
            session=key,
            place=number,
            text=text,
            needs=needs,
            body=(session, session is None and home, text, may_park),
            may_park=may_park,
        )
        assert got == self.model.send(prompt)
        self.model.sessions.pop(0, None)

    def session_of(self, number: int) -> int:
        row = self.ledger.one("prompt_row", prompt=number)
        assert row is not None
        return int(row["session"])

    def deliver(self) -> None:
        """Deliver the best prompt, or another one that can be delivered."""
        found = self.look()
        told = [(each.prompt, bool(each.waits_for_writer)) for each in found]
        assert told == self.model.deliverable()
        if not found:
            return
        candidate = self.random.choice(found) if self.chance(2) else found[0]
        prompt, now = self.model.prompts[candidate.prompt], self.model.now
        has_writer = self.chance(1)
        if has_writer or candidate.waits_for_writer:
            self.ledger.queue.wait_for_writer(candidate, is_free=not has_writer)
        if has_writer:
            is_parked = prompt.state == "parked"
            prompt.wake = prompt.wake if is_parked else (now + 10, now, "writer")
            return
        prompt.wake = None if candidate.waits_for_writer else prompt.wake
        head = self.ledger.queue.head(candidate.session)
        assert head is not None
        assert head.id == prompt.id
        if head.is_quit:
            assert self.ledger.queue.quit(head)
            self.model.quit(prompt)
        elif self.chance(1):
            self.ledger.queue.hold(prompt.id, "no thread")
            prompt.is_held, prompt.wake = True, None
        elif prompt.id in [n for n, is_asked in self.model.deliverable()]:
            assert self.start(prompt.id) is True

    def look(self) -> list[Candidate]:
        """Look at the queue as each command does."""
        found = self.ledger.queue.candidates()
        if any(p.waits for p in self.model.prompts.values()):
            for home, size in self.refused.items():
                hold = self.model.holds.get((home, "login"))
                if hold and hold.until is None and size != size_of(home):
                    self.model.open_home(home, "login")
            self.model.expire()
        return found

    def steal(self) -> None:
        """Try to deliver a prompt that may have to wait, or has another text."""
        prompt = self.model.prompts.get(self.number())
        if prompt is not None and prompt.text != QUIT:
            self.start(prompt.id, is_changed=self.chance(3))

    def start(self, number: int, *, is_changed: bool = False) -> bool | str:
        prompt, run = self.model.prompts[number], self.next_run()
        if self.model.sessions[prompt.session].is_archived:
            return REFUSED
        told = "old" if is_changed else prompt.text or CONTINUED
        more = {"prompt": told.encode(), "prompt_id": number, "run_id": run}
        asked = self.request(prompt.session, **more)
        got = tried(ledgers.prepare, self.ledger, self.run_ids, **asked)
        is_old = is_changed and not prompt.begun
        wanted = REFUSED if is_old else self.model.deliver(number, run)
        assert (got == REFUSED) == (wanted == REFUSED)
        return wanted

    def run(self) -> None:
        """Start a run with a prompt of its own, or let it wait."""
        session = self.session() if self.chance(8) else None
        if session is None and len(self.model.sessions) == MOST_SESSIONS:
            return
        waits = {
            "wait_for_session": self.chance(5),
            "wait_for_slot": self.chance(5),
        }
        around = [run.id for run in self.model.unfinished()]
        parents = ["unknown", *self.model.runs, *around * 4]
        more: dict[str, Any] = {
            "group": self.random.choice(["", "", "a"]),
            "parent": self.random.choice(parents) if self.chance(4) else None,
        }
        run, text = self.next_run(), self.random.choice("xy")
        asked = self.request(session, prompt=text.encode(), run_id=run, **more, **waits)
        got = tried(ledgers.prepare, self.ledger, self.run_ids, **asked)
        key = session or (0 if got == REFUSED else got.session)
        self.model.sessions.setdefault(key, Session(asked["codex_home"]))
        made = Run(
            id=run,
            session=key,
            prompt=0,
            at=self.model.now,
            ordinal=self.model.next_ordinal(key),
            text=text,
            **more,
        )
        wanted = self.model.run(
            made,
            waits_for_session=waits["wait_for_session"],
            waits_for_slot=waits["wait_for_slot"],
        )
        assert wanted == (got if got == REFUSED else got.waits)
        self.model.sessions.pop(0, None)

    def take(self) -> None:
        """Let each waiting run look whether it may begin."""
        for run in self.model.unfinished():
            if run.state == "waiting":
                got = self.ledger.queue.take(self.ledger.runs.find(RunId(run.id)))
                assert (got is not None) == self.model.take(run)

    def launch(self) -> None:
        for run in self.model.unfinished():
            if run.state == "prepared" and self.chance(5):
                found = self.ledger.runs.find(run.id)
                got = tried(ledgers.launch, self.ledger, found)
                assert (got == REFUSED) == run.is_stopped
                run.state = run.state if run.is_stopped else "running"

    def begin(self) -> None:
        for run in self.model.unfinished():
            if run.state == "running" and self.chance(5):
                self.ledger.runs.begin_turn(run.id)
                self.model.begin(run)

    def finish(self) -> None:
        """End a run, also one that only waited, or that was killed before exec."""
        if not (runs := self.model.unfinished()):
            return
        run = self.random.choice(runs)
        outcome = self.random.choice(OUTCOMES)
        if run.state == "waiting":
            outcome = self.random.choice(["not_started", "interrupted", "timed_out"])
        elif outcome == "succeeded" or (self.chance(5) and outcome != "not_started"):
            self.model.begin(run)
        error: str | None = outcome
        if outcome == "not_started" and run.begun:
            outcome = error = "lost"
        elif outcome == "failed":
            error = self.random.choice(BEGUN if run.begun else UNBEGUN)
        elif run.state == "waiting" or (not run.begun and self.chance(6)):
            error = "killed" if outcome in {"not_started", "lost"} else outcome
        self.end(run, outcome, error)

    def end(self, run: Run, outcome: str, error: str | None) -> None:
        now = self.model.now
        resets = self.random.choice(
            [
                [],
                [(40, now + 300)],
                [(100, now + 300), (40, now + 9_000)],
                [(100, now + 300), (100, now + 9_000)],
                [(100, now - 50)],
                [(100, now + 9 * 86_400)],
            ]
        )
        windows = ({"used_percent": used, "resets_at": int(at)} for used, at in resets)
        limits = dict(zip(("primary", "secondary"), windows, strict=False))
        over = ledgers.end(
            self.ledger,
            self.ledger.runs.find(run.id),
            Outcome(outcome),
            error_class=error,
            has_begun=run.begun,
            rate_limits=limits,
        )
        if outcome == "auth_failed":
            home = self.model.sessions[run.session].home
            self.refused[home] = size_of(home)
        prompt, waited = self.model.prompts[run.prompt], run.state == "waiting"
        self.model.finish(
            run, outcome, error, [(u, float(int(at))) for u, at in resets]
        )
        if prompt.wake is not None and prompt.wake[2] == "retry":
            row = self.ledger.one("prompt_row", prompt=prompt.id)
            assert row is not None
            at = clock.parse_iso(row["wake_at"]).timestamp()
            longest, since, why = prompt.wake
            assert since + (longest - since) / 2 - 0.001 <= at <= longest
            prompt.wake = (at, since, why)
        if not prompt.is_direct and not waited and not run.begun and self.chance(1):
            self.ledger.queue.withdraw(over)
            self.model.withdraw(run)

    def pass_time(self) -> None:
        self.step(self.random.choice(STEPS))

    def step(self, seconds: float) -> None:
        """Set the clock, of Python and of the views."""
        self.model.now += seconds
        now = self.model.now
        self.db.execute("delete from clock")
        self.db.execute(
            "insert into clock values (?, ?, ?, ?)",
            (text_of(now), "today", text_of(now + 9e6), text_of(now - 60)),
        )

    def stop(self) -> None:
        sessions = {s for _ in range(2) if (s := self.session()) is not None}
        self.ledger.queue.stop(sorted(sessions))
        self.model.stop(sorted(sessions))

    def remove(self) -> None:
        number = self.number()
        assert tried(edits.remove, self.ledger, number) == self.model.remove(number)

    def move(self) -> None:
        number = self.number()
        got = tried(edits.move_first, self.ledger, number)
        assert got == self.model.move_first(number)

    def edit(self) -> None:
        number, pick = self.number(), self.random.choice
        changes: dict[str, Any] = pick(
            [
                {},
                {"text": "z"},
                {"priority": 3},
                {"group": "b"},
                {"not_before": None},
                {"not_before": self.model.now + 100},
            ]
        )
        after = pick([None, None, self.numbers(2, 6)])
        told = dict(changes)
        if "text" in told:
            told |= {"text": b"z", "preview": "z"}
        if "not_before" in told:
            told["not_before"] = text_of(told["not_before"]) or ""
        got = tried(edits.edit, self.ledger, number, Edit(**told, after=after))
        assert got == self.model.edit(number, changes, after)

    def retry(self) -> None:
        number = self.number()

        def read(run: str) -> bytes | None:
            text = self.model.runs[run].text or CONTINUED
            return None if run in self.lost else text.encode()

        got = tried(edits.retry, self.ledger, number, read)
        assert got == self.model.retry(number, self.lost)

    def lose_a_file(self) -> None:
        if self.model.runs and self.chance(3):
            self.lost.add(self.random.choice([*self.model.runs]))

    def pause(self) -> None:
        session, is_paused = self.session(), self.chance(2)
        session = session if self.chance(8) else None
        edits.pause(self.ledger, session, is_paused=is_paused)
        self.model.pause(session, is_paused=is_paused)

    def resume(self, key: int | None = None) -> None:
        """End a pause; let the first prompt and one of its home be tried."""
        if session := key or self.session():
            home = self.model.sessions[session].home
            edits.pause(self.ledger, session, is_paused=False)
            self.model.pause(session, is_paused=False)
            self.release(session)
            homes.release(self.ledger, os.fsencode(home))
            self.model.open_home(home)

    def release(self, key: int | None = None) -> None:
        """Let the first prompt be tried again, as the next `send` does."""
        if session := key or self.session():
            self.ledger.queue.release(session)
            self.model.release(session)

    def set_slots(self) -> None:
        name = self.random.choice(["", "", "a", "b"])
        values = self.random.choice(
            [
                {"slots": self.random.choice([None, None, 0, 1, 2, 2, 3, 4])},
                {"starts_per_minute": self.random.choice([None, None, 1, 2, 3])},
            ]
        )
        self.limit(name, values)

    def limit(self, name: str, values: dict[str, int | None]) -> None:
        edits.set_limits(self.ledger, name, values)
        gate = self.model.gates.setdefault(name, Gate())
        gate.slots = values.get("slots", gate.slots)
        gate.rate = values.get("starts_per_minute", gate.rate)

    def log_in(self) -> None:
        """Change the `auth.json` of a home, which the next look at the queue sees."""
        home = self.random.choice(self.homes)
        with Path(home, "auth.json").open("a", encoding="utf-8") as file:
            file.write("x")

    def archive(self) -> None:
        if key := self.session():
            session, at = self.ledger.sessions.get(key), clock.iso(clock.now())
            got = tried(self.ledger.sessions.archive, session, None, at)
            assert (got == REFUSED) == self.model.is_busy(key)
            known = self.model.sessions[key]
            known.is_archived = known.is_archived or got != REFUSED

    def unarchive(self, key: int | None = None) -> None:
        if key := key or self.session():
            session, at = self.ledger.sessions.get(key), clock.iso(clock.now())
            tried(self.ledger.sessions.unarchive, session, None, at)
            self.model.sessions[key].is_archived = False

    def forget(self) -> None:
        if (key := self.session()) and self.chance(5):
            got = tried(self.ledger.sessions.remove, self.ledger.sessions.get(key))
            assert (got == REFUSED) == self.model.is_busy(key)
            if got != REFUSED:
                self.model.forget(key)

    # What is compared.

    def compare(self) -> None:
        model = self.model
        rows = self.db.execute("select * from prompts").fetchall()
        assert {row["id"]: told_of(dict(row)) for row in rows} == {
            each.id: wanted_of(each) for each in model.prompts.values()
        }
        rows = self.db.execute("select * from needs where not met").fetchall()
        assert sorted(map(tuple, (r[:3] for r in rows))) == sorted(
            (each.id, *need)
            for each in model.prompts.values()
            for need in each.needs.items()
        )
        rows = self.db.execute("select * from runs").fetchall()
        assert {
            r["run_id"]: (
                r["state"],
                r["outcome"],
                r["ordinal"],
                r["grp"],
                r["slotless"],
            )
            for r in rows
        } == {
            r.id: (r.state, r.outcome, r.ordinal, r.group, r.is_inside)
            for r in model.runs.values()
        }
        rows = self.db.execute("select * from holds").fetchall()
        assert {
            (os.fsdecode(r["home"]), r["why"]): (r["until"], r["trying"]) for r in rows
        } == {key: (text_of(h.until), h.trying) for key, h in model.holds.items()}
        self.compare_views()

    def compare_views(self) -> None:
        model = self.model
        words = {p.id: model.word(p) for p in model.prompts.values() if p.waits}
        rows = self.ledger.all("all_waiting")
        assert {row["id"]: row["word"] for row in rows} == {
            number: word for number, (word, _) in words.items()
        }
        ranks = {head.session: model.rank(head) for head in model.heads()}
        waiting = (model.prompts[number] for number in words)
        order = sorted(waiting, key=lambda p: (ranks[p.session], p.session, p.place))
        assert [row["id"] for row in rows] == [prompt.id for prompt in order]
        found = self.ledger.all("deliverable")
        told = [(row["prompt"], bool(row["waits_for_writer"])) for row in found]
        assert told == model.deliverable()
        assert self.ledger.value("next_deadline") == text_of(model.deadline())
        states = self.db.execute("select id, state from session_states").fetchall()
        assert {row["id"]: row["state"] for row in states} == {
            session: model.state(session) for session in model.sessions
        }

    def drain(self) -> None:
        """Lift all limits and let all succeed: then nothing may be left."""
        self.limit("", {"slots": None, "starts_per_minute": 7})
        for name in "ab":
            self.limit(name, {"slots": 1, "starts_per_minute": None})
        edits.pause(self.ledger, None, is_paused=False)
        self.model.pause(None, is_paused=False)
        self.is_draining = True
        for session in self.model.sessions:
            self.unarchive(session)
            self.resume(session)
        for _ in range(200):
            self.end_all()
            while self.model.deliverable():
                self.do(self.deliver)
            if any(run.writes for run in self.model.unfinished()):
                continue
            if (at := self.model.deadline()) is None:
                break
            assert self.ledger.value("needs_timer")
            self.step(at - self.model.now)
        left = [p for p in self.model.prompts.values() if p.state not in ENDED]
        assert not left

    def end_all(self) -> None:
        """Let all runs succeed, what waits begin, and release what is held."""
        for run in self.model.unfinished():
            if run.writes:
                self.model.begin(run)
                self.end(run, "succeeded", None)
        self.look()
        self.do(self.take)
        for head in self.model.heads():
            if head.is_held:
                self.release(head.session)


def size_of(home: str) -> int:
    return Path(home, "auth.json").stat().st_size


def told_of(row: dict[str, Any]) -> list[object]:
    """Give what the ledger has of a prompt, as `wanted_of` does."""
    text, waits = row["text"], row["state"] in {"queued", "parked"}
    return [
        *(row[name] for name in COLUMNS),
        text if text is None else text.decode(),
        (row["hold"] is not None, row["stop_asked_at"] is not None),
        [row[name] for name in COUNTERS if waits],
        [row[name] for name in ("not_before", "expires_at", "wake_at", "wake_from")],
    ]


def wanted_of(prompt: Prompt) -> list[object]:
    """Give what the ledger must have of a prompt."""
    until, since, why = prompt.wake or (None, None, None)
    told = {**vars(prompt), "wake_why": why}
    return [
        *(told[name] for name in COLUMNS.values()),
        prompt.text,
        (prompt.is_held, prompt.is_stopped),
        [told[name] for name in COUNTERS if prompt.waits],
        [*map(text_of, (prompt.not_before, prompt.expires_at, until, since))],
    ]


def test_the_queue_does_what_its_rules_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, verbs = SEED, Counter[str]()
    while verbs.total() < VERBS:
        play = Play(seed, tmp_path, monkeypatch)
        with closing(play.ledger):
            try:
                play.play(random.Random(seed).choice(EPISODES))  # noqa: S311
            except BaseException as error:
                error.add_note(f"seed {seed}, verb {len(play.done)}: {play.done[-3:]}")
                raise
        verbs.update(play.done)
        seed += 1
