"""parse_codex_run tells what it can, and says in one line what it cannot."""

import json

from support.tasks import Tasks

UNKNOWN = "20261120-101201-512345-9f3a1c07"


def test_an_unknown_run_among_known_ones_does_not_hide_them(task: Tasks) -> None:
    one, two = (task().files.run_id for _ in range(2))

    done = task.parse(one, UNKNOWN, two, "--format", "json")

    assert done.code == 2
    assert [json.loads(line)["run_id"] for line in done.lines] == [one, two]
    assert len(done.stderr.splitlines()) == 1
    assert UNKNOWN in done.stderr
