"""Sessions obey a small model, in whatever order commands and deaths come.

Prompts that say `hold` wait for the test, all others are answered at once.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import make_stand_in
from support.tasks import gone

HOLDS = 60
STATES = {"RUNNING", "STOPPED", "DIED", "ARCHIVED"}
KINDS = st.sampled_from(["quick", "hold", "fail"])
WHICH = st.integers(0, 3)


@dataclass
class Known:
    """What the model knows of a session."""

    session: Session
    given: list[str]
    current: str | None = None
    queue: list[str] = field(default_factory=list)
    last: str = "STOPPED"
    is_archived: bool = False

    @property
    def state(self) -> str:
        if self.current:
            return "RUNNING"
        return "ARCHIVED" if self.is_archived else self.last

    def begin(self, prompt: str) -> None:
        """Give Codex a prompt; one that does not hold is over at once."""
        self.given.append(prompt)
        if prompt.startswith("hold"):
            self.current = prompt
        else:
            self.over("DIED" if prompt.startswith("fail") else "STOPPED")

    def over(self, state: str) -> None:
        """End the run at work; what waits comes next."""
        self.current, self.last = None, state
        if self.queue:
            self.begin(self.queue.pop(0))


class Machine(RuleBasedStateMachine):
    """Do to real sessions what the rules say, and compare."""

    def __init__(self, make: Callable[[], Sessions]) -> None:
        super().__init__()
        self.sessions = make()
        self.known: list[Known] = []
        self.numbers = count(1)

    def teardown(self) -> None:
        for known in self.known:
            self._let_go(known)
        self.sessions("stop", "-a")
        shutil.rmtree(self.sessions.place)

    @initialize(kind=KINDS)
    def begin(self, kind: str) -> None:
        self.start(kind)

    @precondition(lambda self: len(self.known) < 3)
    @rule(kind=KINDS)
    def start(self, kind: str) -> None:
        prompt = self._prompt(kind)
        known = Known(self.sessions.start(prompt), [])
        known.begin(prompt)
        self.known.append(known)
        self._settle(known)

    @rule(which=WHICH, kind=KINDS)
    def send(self, which: int, kind: str) -> None:
        self._send(which, kind, is_queued=False)

    @rule(which=WHICH, kind=KINDS)
    def queue(self, which: int, kind: str) -> None:
        self._send(which, kind, is_queued=True)

    @rule(which=WHICH)
    def let_go(self, which: int) -> None:
        if known := self._one(which):
            self._let_go(known)
            self._settle(known)

    @rule(which=WHICH)
    def stop(self, which: int) -> None:
        if known := self._one(which):
            was_running, skipped = known.current, len(known.queue)
            said = known.session.stop()
            assert said.code == 0
            assert ("stopped." in said.stdout) == bool(was_running)
            assert (f"{skipped} waiting" in said.stdout) == bool(skipped)
            known.queue.clear()
            if was_running:
                known.over("STOPPED")

    @rule(which=WHICH)
    def archive(self, which: int) -> None:
        if known := self._one(which):
            said = self.sessions("archive", known.session.id)
            assert said.code == (75 if known.current else 0)
            known.is_archived = not known.current

    @rule(which=WHICH)
    def unarchive(self, which: int) -> None:
        if known := self._one(which):
            assert self.sessions("unarchive", known.session.id).code == 0
            known.is_archived = False

    @precondition(lambda self: len(self.known) > 1)
    @rule(which=WHICH)
    def remove(self, which: int) -> None:
        if known := self._one(which):
            said = self.sessions("rm", known.session.id)
            assert said.code == (75 if known.current else 0)
            if not known.current:
                self.known.remove(known)
                assert not known.session.directory.exists()
                assert self.sessions("status", known.session.id).code == 3

    @rule(which=WHICH)
    def lose_supervisor(self, which: int) -> None:
        known = self._one(which)
        if known and known.current and self._has_supervisor(known):
            known.session.lose(supervisor=True)

    @rule(which=WHICH)
    def lose_both(self, which: int) -> None:
        known = self._one(which)
        if known and known.current and self._has_supervisor(known):
            known.session.lose(supervisor=True, codex=True)
            known.over("DIED")
            self._settle(known)

    @rule(which=WHICH)
    def wait(self, which: int) -> None:
        known = self._one(which)
        if known and not known.current:
            assert known.session.wait().code in {0, 1}

    @invariant()
    def listing_agrees(self) -> None:
        listed = self.sessions.listed("-a")
        assert {each["state"] for each in listed.values()} <= STATES
        found = {key: (each["state"], each["queue"]) for key, each in listed.items()}
        assert found == {
            known.session.id: (known.state, len(known.queue)) for known in self.known
        }

    @invariant()
    def every_prompt_is_accounted_for(self) -> None:
        for known in self.known:
            assert known.session.given == known.given
            assert known.session.prompts == known.given
        assert self.sessions.stand_in.together == []

    @invariant()
    def files_are_whole(self) -> None:
        home = self.sessions.state_home
        wait_until(lambda: not list(home.rglob("*.tmp")), what="no half-written file")
        for path in home.rglob("task.json"):
            assert json.loads(path.read_bytes())["id"] == path.parent.name
        places = {path.parent.name for path in home.rglob("task.json")}
        assert places == {known.session.id for known in self.known}

    def _send(self, which: int, kind: str, *, is_queued: bool) -> None:
        known = self._one(which)
        if known is None:
            return
        prompt = self._prompt(kind)
        said = known.session.send(prompt, *(["--queue"] if is_queued else []))
        if known.is_archived:
            assert said.code == 1
        elif known.current and not is_queued:
            assert said.code == 75
        else:
            assert said.code == 0, said.stderr
            if known.current:
                known.queue.append(prompt)
            else:
                known.begin(prompt)
        self._settle(known)

    def _settle(self, known: Known) -> None:
        """Wait until the session is where the model is."""
        if known.current is None:
            known.session.wait()
            return
        # With its supervisor gone, whoever looks delivers.
        wait_until(lambda: known.session.state and known.session.given == known.given)
        known.session.wait_for_run(len(known.session.records))

    def _let_go(self, known: Known) -> None:
        if known.current:
            (self.sessions.place / f"go-{known.current}").touch()
            known.over("STOPPED")

    def _has_supervisor(self, known: Known) -> bool:
        return not gone(known.session.runs[-1].supervisor())

    def _prompt(self, kind: str) -> str:
        return f"{kind} {next(self.numbers)}."

    def _one(self, which: int) -> Known | None:
        return self.known[which % len(self.known)] if self.known else None


def test_sessions_obey_the_model(cli: Cli, repo: Path, tmp_path: Path) -> None:
    numbers = count(1)

    def make() -> Sessions:
        place = tmp_path / f"example-{next(numbers)}"
        holds = [
            script.when(
                f"hold {n}.",
                script.wait_for(place / f"go-hold {n}."),
                script.message("held"),
                script.complete(),
            )
            for n in range(1, HOLDS)
        ]
        stand_in = make_stand_in(
            place,
            *script.begin(),
            script.alone(),
            *holds,
            script.when("fail", *script.fail("it did not work")),
            script.message("answer to $PROMPT"),
            script.complete(),
            thread=script.FRESH,
        )
        environment = {**cli.environment, "CODEX_RUNNER_HOME": str(place / "state")}
        return Sessions(Cli(environment, place, forks=cli.forks), repo, stand_in, place)

    class Bound(Machine):
        def __init__(self) -> None:
            super().__init__(make)

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=6,
            stateful_step_count=14,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
