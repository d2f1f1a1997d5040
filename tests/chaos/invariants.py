"""What must hold after the chaos; each function lists what does not."""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.harness import Chaos
from chaos.operations import CHECKS, Operation, differences
from support.commands import rows_of
from support.repository import git, state_of

# What commands end with: all right, a task that is not, a session that is busy, a time
# limit, a signal, a run that was ended or not started.
_CODES = {-9, 0, 1, 3, 75, 124, 127, 130, 137, 143}
_ENDS = {"succeeded", "failed"}
_OPEN = {"queued", "parked", "running"}
# What Codex notes of a continuation prompt, which has no tag.
CONTINUED = "continue"


def accepted_prompts_are_known(chaos: Chaos) -> list[str]:
    """See that each prompt that was accepted is one row, whatever became of it."""
    inserted = Counter(tag for tag, _ in _prompts(chaos))
    found = [
        f"accepted and unknown: {each}"
        for each in chaos.operations
        if each.is_accepted and each.tag not in inserted
    ]
    return found + [f"{tag} is {n} prompts" for tag, n in inserted.items() if n > 1]


def prompts_are_over(chaos: Chaos) -> list[str]:
    """See that nothing is open but what waits for a person, or comes after that."""
    held = {
        row["session"]
        for row in chaos.rows(
            "select session from prompts where hold is not null and ended_at is null"
        )
    }
    found = [
        f"prompt {row['id']} ({row['preview']}) is {row['state']}"
        for row in chaos.rows("select * from prompts where ended_at is null")
        if row["session"] not in held
    ]
    return found + [
        f"prompt {row['prompt']} was removed while {row['state']}"
        for row in chaos.rows("select * from chaos where what = 'removed'")
        if row["state"] in _OPEN
    ]


def runs_are_over(chaos: Chaos) -> list[str]:
    """See that no run is unfinished, and none was removed before its end."""
    rows = chaos.rows("select run_id, state from runs where state <> 'finished'")
    rows += chaos.rows(
        "select run_id, state from chaos where what = 'run removed'"
        " and state <> 'finished'"
    )
    return [f"run {row['run_id']} is {row['state']}" for row in rows]


def nothing_is_executed_twice(chaos: Chaos) -> list[str]:
    """See that no Codex gets a prompt whose turn has begun in another one.

    A prompt that a person retries begins once more.
    """
    found, begun = [], Counter[str]()
    numbers, retried = dict(_prompts(chaos)), _retried(chaos)
    for what, tag, _, run, _ in chaos.log():
        if tag == CONTINUED:
            continue
        begun[tag] += what == "turn"
        most = 1 + retried[numbers.get(tag, 0)]
        if begun[tag] > most or (what == "start" and begun[tag] == most):
            found.append(f"{tag} was given again to run {run}: {what}")
    return found


def what_is_done_was_executed(chaos: Chaos) -> list[str]:
    """See that a prompt is done where its turn has ended well, and only there."""
    turns = {tag for what, tag, *_ in chaos.log() if what == "turn"}
    ends = {tag for what, tag, *_ in chaos.log() if what == "end"}
    found = []
    for row in chaos.rows("select state, preview, begun, reason from prompts"):
        tag = row["preview"].partition(" ")[0]
        if row["state"] == "done" and tag not in turns:
            found.append(f"{tag} is done and was never executed")
        is_checked = tag in _checked(chaos)
        if tag in ends and row["state"] != "done" and not is_checked:
            found.append(
                f"{tag} has ended well and is {row['state']} ({row['reason']})"
            )
        if tag in turns and row["state"] in _OPEN and not row["begun"]:
            found.append(f"{tag} was executed and is {row['state']}")
    return found


def checks_decide(chaos: Chaos) -> list[str]:
    """See that a checked prompt is done where its last check has passed, only there.

    Of one that is stopped, or whose check was killed, no end is known. It has at most
    so many turns, and the last of them has failed.
    """
    last = {tag: what for what, tag, *_ in chaos.log() if what in {"passed", "refused"}}
    failed = Counter(
        row["preview"].partition(" ")[0]
        for row in chaos.rows(
            "select p.preview from runs r join prompts p on p.id = r.prompt"
            " where r.error_class = 'verify_failed'"
        )
    )
    found = [f"{tag} has {n} failed checks" for tag, n in failed.items() if n > CHECKS]
    for row in chaos.rows("select state, preview, reason from prompts"):
        tag = row["preview"].partition(" ")[0]
        if tag not in _checked(chaos):
            continue
        if row["state"] == "done" and last.get(tag) != "passed":
            found.append(f"{tag} is done, its last check {last.get(tag)}")
        if row["reason"] == "verify_failed" and failed[tag] != CHECKS:
            found.append(f"{tag} has failed after {failed[tag]} checks")
    return found


def rules_of_the_queue_hold(chaos: Chaos) -> list[str]:
    """See that no run began beyond the slots, and no prompt before what it needs."""
    rows = chaos.rows(
        "select * from chaos where what in ('over the slots', 'before its needs')"
    )
    return [
        f"{row['what']}: {row['run_id'] or row['prompt']} {row['text']}" for row in rows
    ]


def nothing_overlaps(chaos: Chaos) -> list[str]:
    """See that no two Codexes work on one session at once."""
    return [
        f"{tag} was executed in {thread} beside another (run {run})"
        for what, tag, thread, run, _ in chaos.log()
        if what == "together"
    ]


def order_is_kept(chaos: Chaos) -> list[str]:
    """See that each session gets its prompts in the order of their numbers.

    That is not so of prompts that were moved, or queued again.
    """
    moved = {
        row[0] for row in chaos.rows("select prompt from chaos where what='moved'")
    }
    moved |= _retried(chaos).keys()
    numbers, found = dict(_prompts(chaos)), []
    last: dict[str, int] = defaultdict(int)
    for what, tag, thread, *_ in chaos.log():
        if what != "start" or tag not in numbers or numbers[tag] in moved:
            continue
        if numbers[tag] < last[thread]:
            found.append(f"{tag} (#{numbers[tag]}) comes after #{last[thread]}")
        last[thread] = max(last[thread], numbers[tag])
    return found


def printed_ids_are_known(chaos: Chaos) -> list[str]:
    """See that the ledger knew each run and thread that a command has printed."""
    runs = {
        row["run_id"] for row in chaos.rows("select * from chaos where what = 'run'")
    }
    rows = chaos.rows("select text from chaos where what = 'thread'")
    threads = {row["text"] for row in rows}
    found = []
    for each in chaos.operations:
        unknown = each.run_ids - runs
        unknown |= {thread.strip() for thread in each.threads} - threads
        if unknown:
            found.append(f"{sorted(unknown)} of `{each}`")
    return found


def hooks_are_told_once(chaos: Chaos) -> list[str]:
    """See that the end of each run is told, and again only where a teller was killed.

    A teller that is killed between the telling and the note of it is the one reason for
    a second time; the ledger counts the attempts.
    """
    tried = {
        (row["run_id"], row["what"], row["target"]): row["attempts"]
        for row in chaos.rows(
            "select h.run_id, h.what, o.target, o.attempts from outbox o"
            " join history h on h.id = o.history where o.target in ('hook', 'stream')"
        )
    }
    told = _told(chaos)
    found = [
        f"{what} of {run} was told {told[run, what, to]} times to the {to},"
        f" {attempts} were begun"
        for (run, what, to), attempts in tried.items()
        if not 1 <= told[run, what, to] <= attempts
    ]
    ends = chaos.rows("select run_id from runs where layout = 2 and state = 'finished'")
    return found + [
        f"the end of {row['run_id']} is not in the outbox"
        for row in ends
        if (row["run_id"], "run_completed", "hook") not in tried
    ]


def programs_are_notified_once(chaos: Chaos) -> list[str]:
    """See that each event of a prompt is one, and is told as the end of a run is."""
    path = chaos.home / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    told = Counter(json.loads(line)["id"] for line in lines)
    rows = chaos.rows(
        "select h.detail ->> '$.id' as id, h.prompt, h.what, o.attempts, o.error"
        " from outbox o join history h on h.id = o.history where o.target = 'notify'"
    )
    found = [
        f"{row['what']} of prompt {row['prompt']} came {told[row['id']]} times,"
        f" {row['attempts']} were begun: {row['error']}"
        for row in rows
        if row["error"] or not 1 <= told[row["id"]] <= row["attempts"]
    ]
    ends = Counter(row["prompt"] for row in rows if row["what"] in _ENDS)
    tags = {each.tag for each in chaos.operations if "--notify" in each.words}
    over = chaos.rows("select id, preview from prompts where ended_at is not null")
    again = _retried(chaos)
    return found + [
        f"prompt {row['id']} has {ends[row['id']]} ends"
        for row in over
        if row["preview"].partition(" ")[0] in tags
        and ends[row["id"]] != 1 + again[row["id"]]
    ]


def commands_end_as_they_should(chaos: Chaos) -> list[str]:
    """See that no command shows a traceback or ends with an unknown code."""
    return [
        f"{each}: {each.stderr.strip()[-2000:]}"
        for each in chaos.operations
        if "Traceback" in each.stderr or each.code not in _CODES
    ]


def state_is_clean(chaos: Chaos) -> list[str]:
    """See that `verify` finds nothing that it cannot make right, and then nothing.

    What was killed after its commit has not written its exports: a repair writes them.
    """
    for directory in (chaos.state / "runs").iterdir():
        _age(directory)
    repaired = chaos.run("verify", "--json", "--repair")
    found = [
        f"not repaired: {each}" for each in differences(repaired) if not each["fixed"]
    ]
    chaos.repaired += len(differences(repaired)) - len(found)
    for words in ((), ("--full",)):
        verified = chaos.run("verify", "--json", *words)
        found += [f"verify {words}: {each}" for each in differences(verified)]
    return found


def repositories_stay_the_users(chaos: Chaos) -> list[str]:
    """See that worktrees and snapshots have changed nothing that is the user's."""
    repo = chaos.home / "repo"
    git(repo, "fsck", "--full", "--no-dangling")  # it raises if something is wrong
    return [
        f"of the user: {each}"
        for each in set(state_of(repo)).symmetric_difference(chaos.of_user)
    ]


def exports_belong_to_sessions(chaos: Chaos) -> list[str]:
    """See that no directory is left of a removed session, and no `task.pid`."""
    wanted = {row["exports"] for row in chaos.rows("select exports from sessions")}
    found = [*chaos.state.glob("*/task.*"), *chaos.state.glob("archive/*/*/*/*/task.*")]
    return [
        f"{path} is left"
        for path in found
        if str(path.parent.relative_to(chaos.state)) not in wanted
        or path.name == "task.pid"
    ]


def sessions_are_idle(chaos: Chaos) -> list[str]:
    """See that no session is said to run."""
    listed = rows_of(chaos.run("ls", "--json").stdout)
    return [str(each) for each in listed if each["state"] == "RUNNING"]


INVARIANTS: tuple[Callable[[Chaos], list[str]], ...] = (
    accepted_prompts_are_known,
    prompts_are_over,
    runs_are_over,
    nothing_is_executed_twice,
    what_is_done_was_executed,
    checks_decide,
    nothing_overlaps,
    rules_of_the_queue_hold,
    order_is_kept,
    printed_ids_are_known,
    hooks_are_told_once,
    programs_are_notified_once,
    commands_end_as_they_should,
    sessions_are_idle,
    state_is_clean,
    exports_belong_to_sessions,
    repositories_stay_the_users,
)


def figures(chaos: Chaos) -> Mapping[str, object]:
    """Count what has happened."""
    last: dict[int, str] = {}
    for row in chaos.rows("select * from chaos where state is not null order by id"):
        if row["prompt"] is not None and row["what"] in {"prompt", *_OPEN}:
            last[row["prompt"]] = row["state"]
    turns = {tag for what, tag, *_ in chaos.log() if what == "turn"}
    back = chaos.rows(
        "select count(*) from chaos where what = 'running' and state = 'queued'"
    )
    outcomes = chaos.rows(
        "select text, count(*) from chaos where what like 'run %'"
        " and what <> 'run removed' and state = 'finished' group by text"
    )
    return {
        "operations": len(chaos.operations),
        "verbs": dict(Counter(each.verb for each in chaos.operations)),
        "kills": dict(chaos.kills),
        "prompts accepted": sum(each.is_accepted for each in chaos.operations),
        "prompts": dict(Counter(last.values())),
        "delivered": len(turns),
        "checks": dict(
            Counter(w for w, *_ in chaos.log() if w in {"passed", "refused"})
        ),
        "put back": back[0][0],
        "runs": {str(row[0]): row[1] for row in outcomes},
        "told": sum(_told(chaos).values()),
        "notified": chaos.rows("select count(*) from outbox where target = 'notify'")[
            0
        ][0],
        "sweeps to the end": chaos.sweeps,
        "exports repaired": chaos.repaired,
        "invariants checked": len(INVARIANTS) + 2,
    }


def concerned(chaos: Chaos, violations: list[str]) -> list[Operation]:
    """Find the operations that a violation tells of; all of them without a name."""
    text = "\n".join(violations)
    found = [
        each
        for each in chaos.operations
        if (each.tag and f"{each.tag} " in text) or any(r in text for r in each.run_ids)
    ]
    sessions = {each.session for each in found if each.session}
    near = [each for each in chaos.operations if each.session in sessions]
    return near or found or chaos.operations


def _prompts(chaos: Chaos) -> list[tuple[str, int]]:
    """List the prompts that the ledger ever had: their tags and numbers."""
    rows = chaos.rows("select text, prompt from chaos where what = 'prompt'")
    return [(row["text"].partition(" ")[0], row["prompt"]) for row in rows]


def _retried(chaos: Chaos) -> Counter[int]:
    """Count how often each prompt was queued again after its end."""
    rows = chaos.rows(
        "select prompt from chaos where what in ('failed', 'canceled')"
        " and state = 'queued'"
    )
    return Counter(row["prompt"] for row in rows)


def _checked(chaos: Chaos) -> set[str | None]:
    """Give the tags of the prompts with a check."""
    return {each.tag for each in chaos.operations if "--verify" in each.words}


def _told(chaos: Chaos) -> Counter[tuple[str, str, str]]:
    """Count what the hook and the event stream were told."""
    told: Counter[tuple[str, str, str]] = Counter()
    for to, name in (("hook", "hooks.jsonl"), ("stream", "stream.jsonl")):
        path = chaos.home / name
        for line in path.read_text().splitlines() if path.exists() else ():
            event = json.loads(line)
            told[event["run_id"], event["event"], to] += 1
    return told


def _age(directory: Path) -> None:
    """Make a directory old enough to be no run that is about to be made."""
    at = time.time() - 2 * 3600
    os.utime(directory, (at, at))
