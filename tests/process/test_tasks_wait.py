"""`wait` names each task once, as it ends; `start --wait` prints the answer."""

from pathlib import Path

from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.terminal import terminal


def test_tasks_are_named_in_the_order_in_which_they_end(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    slow = sessions.start("Slowly.")
    codex.plays(*script.begin(), *script.fail("It has failed."), thread=script.FRESH)
    bad = sessions.start("Badly.")

    waiting = sessions.begin("wait", slow.id, bad.id, bad.id)
    wait_until(lambda: waiting.out.read_text().count("\n") == 1, what="the first end")
    go.touch()
    ended = waiting.wait()

    first, second = (line.split("\t") for line in ended.stdout.splitlines())
    assert ended.code == 1
    assert (first[0], first[1]) == (bad.status["short_id"], "failed")
    assert (second[0], second[1:3]) == (slow.status["short_id"], ["done", ""])


def test_a_wait_for_any_ends_with_the_first(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    slow = sessions.start("Slowly.")
    codex.plays(*script.ordinary(), thread=script.FRESH)
    fast = sessions.start("Fast.")

    said = sessions("wait", "--any", slow.id, fast.id)
    late = sessions("wait", "--timeout", "0.2s", slow.id)

    assert (said.code, said.stdout.split("\t")[:2]) == (
        0,
        [fast.status["short_id"], "done"],
    )
    assert (late.code, late.stdout) == (124, "")
    assert late.stderr.endswith(f"\nfix:   codex-tasks wait {slow.id}\n")
    go.touch()
    assert sessions("wait", slow.id).code == 0


def test_start_and_send_print_the_answer_when_they_wait(sessions: Sessions) -> None:
    started = sessions(*sessions.starting("--wait", "Begin."))
    (session,) = sessions.listed()
    sent = sessions("send", "--wait", session, "More.")

    assert (started.code, started.stdout) == (0, "answer to Begin.\n")
    assert session in started.stderr
    assert (sent.code, sent.stdout) == (0, "answer to More.\n")


def test_a_terminal_is_told_what_is_waited_for(
    sessions: Sessions, codex: StandIn, go: Path, cli: Cli
) -> None:
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    one, two = sessions.start("One of them."), sessions.start("The other.")
    with terminal() as opened:
        opened.resize(24, 80)
        cli.start(
            *("wait", one.id, two.id),
            command="codex_tasks",
            env={"TERM": "xterm", "LANG": "C.UTF-8"},
            stdout=opened.screen,
            stderr=opened.screen,
        )
        shown = ""

        def says(text: str) -> bool:
            nonlocal shown
            shown += opened.shown()
            return text in shown

        name = one.status["short_id"]
        wait_until(lambda: says(f"\rwaiting for 2 of 2: {name} thinking, "))
        go.touch()
        wait_until(lambda: shown.count("✓ done") == 2 or says("never"))
    assert shown.rstrip("\r\n ").splitlines()[-1].count("waiting") == 0
    assert "\r\x1b[K\x1b[32m✓ done" in shown
    assert one.wait().code == two.wait().code == 0
