"""Points at which a command of the suite dies, fails or waits for the test."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOREGROUND = "runner.cli.run_codex_task"
PARSER = "runner.cli.parse_codex_run"
TASKS = "runner.cli.codex_tasks"
SUPERVISOR = "runner.supervisor"
PLACE = str(Path(__file__).parent)

Point = dict[str, object]


def dies(who: str, event: str, text: str, time: int = 1) -> Point:
    """Kill the process at the audit event whose arguments hold this text."""
    return _point(who, event, text, time, then="die")


def dies_at_effect(
    who: str, number: int, mark: Path, *, with_children: bool = False
) -> Point:
    """Kill the process before its n-th effect; the file `mark` tells that it got there.

    An effect is what others can see: a file or directory that is made, moved, removed
    or appended to, a commit to the ledger, a program started.
    """
    then = "die with children" if with_children else "die"
    return {**_point(who, "effect", "", number, then), "mark": str(mark)}


def fails(who: str, event: str, text: str, time: int = 1) -> Point:
    """Let the operation behind the audit event fail as on a full disk."""
    return _point(who, event, text, time, then="fail")


def no_copies() -> list[Point]:
    """Let supervisors be new interpreters, as on systems other than Linux."""
    everybody = (FOREGROUND, PARSER, TASKS, SUPERVISOR)
    return [_point(who, "os.fork", "", time=1, then="be no copy") for who in everybody]


@dataclass(frozen=True, slots=True)
class Hold:
    """A process that waits: it makes `reached`, and goes on when there is `go`."""

    reached: Path
    go: Path

    def at(self, who: str, event: str, text: str, time: int = 1) -> Point:
        """Hold the process at the audit event whose arguments hold this text."""
        files = {"reached": str(self.reached), "go": str(self.go)}
        return {**_point(who, event, text, time, then="hold"), **files}


def hold(directory: Path) -> Hold:
    """Name the two files of a hold."""
    return Hold(directory / "reached", directory / "go")


def sabotaged(*points: Point) -> dict[str, str]:
    """Build the variables that carry these points into every Python started."""
    return {"PYTHONPATH": PLACE, "CODEX_TEST_SABOTAGE": json.dumps(points)}


def is_for_forks(env: Mapping[str, str]) -> bool:
    """Say whether a process that has loaded everything comes to all these points."""
    points: list[Point] = json.loads(env.get("CODEX_TEST_SABOTAGE", "[]"))
    return env.get("PYTHONPATH") == PLACE and all(
        point["event"] != "import" for point in points
    )


def _point(who: str, event: str, text: str, time: int, then: str) -> Point:
    return {"who": who, "event": event, "text": text, "time": time, "then": then}
