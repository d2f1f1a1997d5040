"""Prompts notify programs and servers of what becomes of them, each once."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import is_alive, kill, wait_until
from support.receiver import Receiver, receiving
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Tasks, is_refused
from support.terminal import terminal

from parsers.paths import Path as LightPath
from runner.lifecycle.timer import FIFO, ring
from runner.notify.sender import LOCK

ENDED = ["succeeded", "queue_empty"]


@pytest.fixture
def receiver(sessions: Sessions) -> Iterator[Receiver]:
    sessions.state_home.mkdir(mode=0o700, exist_ok=True)
    toml = 'webhook_private = true\nwebhook_secret = "a secret of ours"\n'
    (sessions.state_home / "runner.toml").write_text(toml)
    with receiving() as found:
        yield found


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    return tmp_path / "heard"


@pytest.fixture
def notify(heard: Path) -> list[str]:
    """Build the options that append each event to `heard`."""
    code = f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read())"
    return ["--notify", shlex.join([sys.executable, "-IS", "-c", code])]


def told(path: Path) -> list[dict[str, object]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def names(path: Path) -> list[str]:
    return [str(each["event"]) for each in told(path)]


def undelivered(sessions: Sessions) -> list[tuple[object, ...]]:
    return sessions.rows(
        "select target, attempts, error from outbox"
        " where done_at is null and target <> 'exports'"
    )


def hurry(sessions: Sessions) -> None:
    """Let the time come of what waits for its next try."""
    sessions.change(
        "update outbox set due_at = '2026-01-01T00:00:00.000Z'"
        " where done_at is null and error is not null"
    )
    ring(LightPath(str(sessions.state_home)))


def everything_is_sent(sessions: Sessions) -> None:
    def is_sent() -> bool:
        hurry(sessions)
        return not undelivered(sessions)

    wait_until(is_sent, 30, "that all is sent or given up")


@pytest.mark.core
def test_a_program_is_notified_of_the_end_and_of_the_empty_queue(
    sessions: Sessions, notify: list[str], heard: Path
) -> None:
    session = sessions.ended("-t", "a title", *notify, "Begin.")

    wait_until(lambda: sorted(names(heard)) == sorted(ENDED), what="both events")
    event = next(each for each in told(heard) if each["event"] == "succeeded")
    assert event["schema"] == "codex-runner/event/1"
    assert (event["session_id"], event["title"]) == (session.id, "a title")
    assert (event["outcome"], event["reason"]) == ("succeeded", "succeeded")
    assert event["run_id"] == session.records[0]["run_id"]
    assert event["usage"] == session.records[0]["token_usage"]
    wait_until(lambda: not undelivered(sessions), what="the note of the telling")


@pytest.mark.core
def test_a_queued_prompt_notifies_a_server_and_signs_what_it_sends(
    sessions: Sessions, receiver: Receiver
) -> None:
    session = sessions.ended()
    session.queue("More.", timeout=60)
    session.send("Last.", "--queue", "--webhook", receiver.url)
    session.wait()

    everything_is_sent(sessions)

    assert sorted(receiver.names) == sorted(ENDED)
    assert len({*receiver.ids}) == 2
    header = receiver.headers[0]
    assert header["X-Codex-Signature"].startswith("sha256=")
    assert header["X-Codex-Event-Id"] == receiver.ids[0]
    assert header["User-Agent"].startswith("codex-runner/")
    assert header["Content-Type"] == "application/json"


@pytest.mark.core
def test_each_end_is_notified_of_once(
    sessions: Sessions, receiver: Receiver, held: Path, notify: list[str], heard: Path
) -> None:
    """One prompt fails, one waits for it in vain, one is canceled by a stop."""
    how = [*notify, "--webhook", receiver.url]
    first = sessions.start(*how, "Fail now.")
    second = sessions.start("--queue", "--after", first.id, *how, "In vain.")
    held.touch()
    first.wait()
    wait_until(lambda: len(told(heard)) >= 3, 30, "both ends and the empty queue")
    held.unlink()
    third = sessions.start("Wait.")
    third.wait_for_run(1)
    third.send("Never.", "--queue", *how)
    third.stop()
    wait_until(lambda: len(told(heard)) >= 4, 30, "the canceled one")

    everything_is_sent(sessions)

    expected = ["failed"] * 3 + ["queue_empty"]
    assert sorted(names(heard)) == sorted(receiver.names) == expected
    reasons = sorted(str(each["reason"]) for each in told(heard))
    assert reasons == ["None", "dependency_failed", "failed", "stopped"]
    assert second.id


def test_a_parked_and_a_held_prompt_say_why_and_until_when(
    sessions: Sessions, codex: StandIn, receiver: Receiver
) -> None:
    session = sessions.ended()
    codex.plays(
        *script.begin(),
        script.when("Limit", *script.fail("You have hit your usage limit.")),
        script.complete(),
    )
    session.send("Limit", "--queue", "--webhook", receiver.url)
    wait_until(lambda: "parked" in receiver.names, 30)
    sessions("stop", session.id)
    everything_is_sent(sessions)

    (parked,) = (e for e in receiver.events if e["event"] == "parked")
    assert parked["why"] == "limit"
    assert parked["until"]
    assert parked["outcome"] == "usage_limited"


def test_a_server_that_fails_twice_gets_each_event_in_the_end(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.answers = [500, 503]
    sessions.ended("--webhook", receiver.url, "Begin.")
    everything_is_sent(sessions)

    taken = receiver.ids[2:]
    assert sorted({*receiver.ids}) == sorted(taken)
    assert len(taken) == 2
    (session,) = sessions.listed().values()
    shown = json.loads(sessions("status", "--json", "--one", session["id"]).stdout)
    assert {each["state"] for each in shown["notifications"]} == {"sent"}
    (target,) = {each["target"] for each in shown["notifications"]}
    assert target == f"webhook http://127.0.0.1:{receiver.port}/hoo***"


def test_a_server_that_is_down_for_a_while_gets_each_event_once(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.stop()
    sessions.ended("--webhook", receiver.url, "Begin.")
    wait_until(lambda: any(row[1] for row in undelivered(sessions)), 30)
    for _ in range(2):
        hurry(sessions)
    receiver.start()

    everything_is_sent(sessions)

    assert sorted(receiver.names) == sorted(ENDED)
    assert len({*receiver.ids}) == 2


def test_what_a_server_will_never_take_is_given_up_and_shown(
    sessions: Sessions, receiver: Receiver
) -> None:
    private = (302, {"Location": f"http://127.0.0.1:{receiver.port}/private"})
    receiver.answers = [410, private]
    session = sessions.ended("--webhook", receiver.url, "Begin.")
    everything_is_sent(sessions)

    assert len(receiver.bodies) == 2, "no redirect is followed"
    told = session.status["notifications"]
    assert {each["state"] for each in told} == {"given_up"}
    errors = {str(each["error"]) for each in told}
    assert errors == {"HTTP 410", "HTTP 302: a redirect is not followed"}
    text = sessions("status", session.id).stdout
    assert "Not Notified: " in text
    assert "t0k3n" not in text


def test_a_private_address_is_refused_unless_it_is_allowed(
    sessions: Sessions, receiver: Receiver
) -> None:
    (sessions.state_home / "runner.toml").unlink()
    session = sessions.ended("--webhook", receiver.url, "Begin.")
    everything_is_sent(sessions)

    assert receiver.bodies == []
    (error,) = {str(each["error"]) for each in session.status["notifications"]}
    assert error.startswith("127.0.0.1 is a private address (webhook_private = true")


def test_a_sender_that_is_killed_before_its_note_sends_again_with_the_same_id(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.gate.clear()
    sessions.ended("--webhook", receiver.url, "Begin.")
    wait_until(lambda: receiver.bodies, 30, "the first try")
    senders = holders_of(sessions.state_home / LOCK)
    for pid in senders:
        kill(pid)
    wait_until(lambda: not any(map(is_alive, senders)))
    receiver.gate.set()
    sessions.change("update outbox set due_at = '2026-01-01' where done_at is null")
    ring(LightPath(str(sessions.state_home)))

    everything_is_sent(sessions)

    assert receiver.ids[0] in receiver.ids[1:]
    assert sorted({e["event"] for e in receiver.events}) == sorted(ENDED)
    assert len({*receiver.ids}) == 2


@pytest.mark.usefixtures("without_timer")
def test_without_a_timer_the_next_command_has_it_sent(
    sessions: Sessions, receiver: Receiver
) -> None:
    sessions.ended("--webhook", receiver.url, "Begin.")

    wait_until(lambda: sessions("ls").code or not undelivered(sessions), 30)

    assert sorted(receiver.names) == sorted(ENDED)


def test_the_address_is_in_no_file_but_the_ledger(
    sessions: Sessions, receiver: Receiver
) -> None:
    session = sessions.ended("--webhook", receiver.url, "Begin.")
    session.send("Later.", "--queue", "--not-before", "+1h", "--webhook", receiver.url)
    assert list((sessions.state_home / "queue").iterdir())

    with_it = [
        path.name
        for path in sessions.state_home.rglob("*")
        if path.is_file() and b"t0k3n" in path.read_bytes()
    ]

    assert all(name.startswith("ledger.db") for name in with_it)
    session.stop()
    everything_is_sent(sessions)


def test_a_task_that_is_removed_gives_up_what_was_not_sent(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.stop()
    session = sessions.ended("--webhook", receiver.url, "Begin.")

    said = sessions("rm", session.id)

    assert "2 notifications not sent: given up with the task" in said.stderr
    assert undelivered(sessions) == []


def test_a_test_event_shows_what_came_back(
    sessions: Sessions, receiver: Receiver, notify: list[str], heard: Path
) -> None:
    receiver.answers = [503]
    said = sessions("notify", *notify, "--webhook", receiver.url)

    assert said.code == 1
    assert "notify: sent" in said.stdout
    assert "failed: HTTP 503" in said.stdout
    assert "t0k3n" not in said.stdout
    assert names(heard) == ["test"]

    nothing = sessions("notify")
    fix = "fix:   codex-tasks config webhook URL"
    assert is_refused(nothing, 2, "no notification is set", fix), nothing


def holders_of(path: Path) -> list[int]:
    """Find the processes that have a file open."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if path in map(Path.readlink, (place / "fd").iterdir()):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def test_a_program_that_fails_is_a_warning_and_is_shown(sessions: Sessions) -> None:
    session = sessions.ended("--notify", "sh -c 'exit 7'", "Begin.")
    wait_until(lambda: not undelivered(sessions))

    told = session.status["notifications"]
    wait_until(
        lambda: {e["state"] for e in session.status["notifications"]} == {"given_up"}
    )
    assert {each["target"] for each in told} == {"notify"}
    assert "Not Notified: queue_empty to notify: exited with 7, the last of 2" in (
        sessions("status", session.id).stdout
    )


def test_a_program_is_given_its_time_and_no_more(sessions: Sessions) -> None:
    env = {"CODEX_RUNNER_HOOK_SECONDS": "0.2"}
    session = sessions.start("--notify", "sleep 60", "Begin.", env=env)
    session.wait()

    def errors() -> set[str]:
        return {str(each["error"]) for each in session.status["notifications"]}

    wait_until(lambda: errors() == {"took longer than 0.2 s"}, 30)


def test_the_desktop_shows_what_is_no_option_and_no_markup(
    sessions: Sessions, tmp_path: Path
) -> None:
    programs, shown = tmp_path / "programs", tmp_path / "shown"
    programs.mkdir()
    program = programs / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {shlex.quote(str(shown))}\n')
    program.chmod(0o755)
    path = f"{programs}:{sessions.cli.environment['PATH']}"
    env = {"PATH": path, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/none"}
    session = sessions.start("--desktop", "-t", "--x <b>", "Begin.", env=env)
    session.wait()

    wait_until(lambda: shown.exists() and shown.read_text().count("queue empty"), 30)

    text = shown.read_text()
    assert "--app-name=codex-runner|--|Codex: --x <b>|succeeded|" in text
    wait_until(lambda: not undelivered(sessions))


def test_without_a_desktop_program_nothing_fails(sessions: Sessions) -> None:
    env = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/none", "DISPLAY": ""}
    session = sessions.start("--desktop", "Begin.", env=env)
    session.wait()
    wait_until(lambda: not undelivered(sessions))

    assert session.status["outcome"] == "succeeded"
    (error,) = {str(each["error"]) for each in session.status["notifications"]}
    assert "notify-send" in error


def test_a_killed_timer_is_started_again_by_the_next_command(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.stop()
    sessions.ended("--webhook", receiver.url, "Begin.")
    bell = sessions.state_home / FIFO
    wait_until(lambda: any(row[1] for row in undelivered(sessions)), 30)
    timers = holders_of(bell)
    for pid in timers:
        kill(pid)
    wait_until(lambda: not any(map(is_alive, timers)))
    receiver.start()

    sessions("ls")
    wait_until(lambda: holders_of(bell), what="the new timer")
    everything_is_sent(sessions)

    assert sorted(receiver.names) == sorted(ENDED)


def test_a_doctor_names_the_webhooks_that_fail(
    sessions: Sessions, receiver: Receiver
) -> None:
    receiver.answers = [404]
    sessions.ended("--webhook", receiver.url, "Begin.")
    everything_is_sent(sessions)

    said = sessions("doctor", "--codex-bin", sessions.stand_in.path).stdout

    shown = f"http://127.0.0.1:{receiver.port}/hoo***"
    assert f"{shown}: 1 not taken (HTTP 404)" in said


def test_the_secret_is_shown_by_no_command(sessions: Sessions) -> None:
    sessions("config", "webhook_secret", "correct horse")

    said = sessions("config").stdout + sessions("config", "--json").stdout
    assert "correct horse" not in said
    assert "***" in said
    path = sessions.state_home / "runner.toml"
    assert "correct horse" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    refused = sessions("config", "webhook_secret", "short")
    assert refused.code == 2
    assert "short" not in refused.stderr


def test_without_a_desktop_the_terminal_of_a_run_has_a_bell(task: Tasks) -> None:
    none = {"DBUS_SESSION_BUS_ADDRESS": None, "XDG_RUNTIME_DIR": None}
    shown = ""
    with terminal() as screen:
        argv = task.cli.argv(*task.arguments("--desktop"))
        process = screen.start(argv, task.cli.env(none))
        while process.poll() is None:
            shown += screen.shown()
        shown += screen.shown()

    assert process.returncode == 0
    assert shown.count("\a") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes a certificate")
def test_a_server_must_have_a_certificate_that_is_trusted(
    sessions: Sessions, receiver: Receiver, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", *words, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    receiver.stop()
    receiver.certificate = (certificate, key)
    receiver.start()
    url = receiver.url.replace("http:", "https:")

    unknown = sessions("notify", "--webhook", url)
    known = sessions(
        "notify", "--webhook", url, env={"SSL_CERT_FILE": str(certificate)}
    )

    assert unknown.code == 1
    assert "certificate verify failed" in unknown.stdout
    assert known.code == 0, known.stdout
    assert receiver.names == ["test"]
