"""INT to Codex, TERM to all, KILL to all: in this order, to no other process."""

import signal

import pytest

from runner import clock
from runner.model import ProcessId
from runner.process import tree
from runner.process.tree import Termination

INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL


def process(pid: int) -> ProcessId:
    return ProcessId(pid=pid, start_time=pid * 10, boot_id="boot")


CODEX, TOOL, LATE = process(10), process(11), process(12)


class Scene:
    """A clock, the processes that are alive, and the signals that they were sent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alive = [CODEX, TOOL]
        self.sent: list[tuple[ProcessId, int]] = []

    def send(self, target: ProcessId, number: int) -> bool:
        self.sent.append((target, number))
        return True

    def codex(self) -> ProcessId | None:
        return CODEX if CODEX in self.alive else None

    def termination(self) -> Termination:
        return Termination(self.codex, lambda: list(self.alive), grace=10)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    monkeypatch.setattr(clock, "monotonic", lambda: scene.now)
    monkeypatch.setattr(tree, "send", scene.send)
    return scene


def test_codex_alone_gets_int_first(scene: Scene) -> None:
    termination = scene.termination()

    scene.now = 1.9
    assert not termination.step()
    assert scene.sent == [(CODEX, INT)]


def test_its_tools_get_term_as_soon_as_codex_has_gone(scene: Scene) -> None:
    termination = scene.termination()
    scene.alive = [TOOL]

    assert not termination.step()
    assert scene.sent == [(CODEX, INT), (TOOL, TERM)]


def test_each_process_gets_term_once_when_codex_has_had_its_time(scene: Scene) -> None:
    termination = scene.termination()

    scene.now = 2
    for _ in range(5):
        assert not termination.step()
    scene.alive.append(LATE)
    assert not termination.step()
    assert scene.sent[1:] == [(CODEX, TERM), (TOOL, TERM), (LATE, TERM)]


def test_what_outlives_the_grace_time_is_killed_until_it_is_gone(scene: Scene) -> None:
    termination = scene.termination()
    scene.alive = [TOOL]

    scene.now = 9.9
    assert not termination.step()
    scene.now = 10
    assert not termination.step()
    scene.alive = [LATE]
    assert not termination.step()
    assert scene.sent[-2:] == [(TOOL, KILL), (LATE, KILL)]
    scene.alive = []
    assert termination.step()


def test_what_cannot_be_killed_is_given_up(scene: Scene) -> None:
    termination = scene.termination()

    scene.now = 14.9
    assert not termination.step()
    scene.now = 15
    assert termination.step()


def test_with_no_process_left_it_is_over_at_once(scene: Scene) -> None:
    scene.alive = []

    assert scene.termination().step()
    assert scene.sent == []
