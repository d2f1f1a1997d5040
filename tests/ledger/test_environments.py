"""What a prompt keeps of its sender's environment, and who may deliver it."""

from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.runs import AT, settings, spec

from parsers.paths import Path as LightPath
from parsers.struct import replace
from runner.codex.home import key_variables
from runner.config import HOOK_MARKER, RUN_MARKER, as_sender, ignored_home, load
from runner.errors import NoSlotError, RefusedPromptError
from runner.exports import queue_files
from runner.ledger import edits, environments
from runner.ledger.environments import Senders, of_sender
from runner.ledger.ledger import Ledger
from runner.ledger.prompts import PromptOptions
from runner.lifecycle.queue import deliver_next
from runner.model import Outcome, Prepared, Run
from runner.service import queue, rebuild_queue

SENT = {"HOME": "/h", "PATH": "/bin", "API_KEY": "one", "GH_KEY": "two"}


def sent(
    ledger: Ledger,
    variables: dict[str, str],
    **changes: Any,  # noqa: ANN401  # of settings
) -> environments.Environment:
    return of_sender(ledger, replace(load(SENT), environment=variables, **changes))


def add(ledger: Ledger, session: int, **changes: str) -> int:
    how = PromptOptions(environment=sent(ledger, {**SENT, **changes}))
    return ledger.queue.add(session, b"More.", "More.", AT, how)


def why(ledger: Ledger, tmp_path: Path, **environment: str) -> list[str | None]:
    found = queue.waiting(ledger, None, settings(tmp_path, **environment))
    return [each["why"] for each in found]


@pytest.mark.parametrize(
    "name", ["API_KEY", "github_token", "MY_SECRET", "DB_PASSWORD", "AWS_CREDENTIALS"]
)
def test_a_secret_is_known_by_its_name(ledger: Ledger, name: str) -> None:
    found = sent(ledger, {name: "value", "LANG": "C"})

    assert (dict(found.variables), [*found.secrets]) == ({"LANG": "C"}, [name])
    assert "value" not in found.secrets[name]


def test_a_password_in_an_address_is_a_secret_and_a_proxy_is_not(
    ledger: Ledger,
) -> None:
    addresses = {"PROXY": "http://proxy:3128", "INDEX": "https://me:word@index/simple"}

    found = sent(ledger, addresses)

    assert ([*found.variables], [*found.secrets]) == (["PROXY"], ["INDEX"])


def test_terminals_displays_and_marks_are_left_out(ledger: Ledger) -> None:
    names = ("TERM", "DISPLAY", "SSH_TTY", "TMUX_PANE", "COLUMNS", "_", "PWD")
    variables = dict.fromkeys((*names, RUN_MARKER, HOOK_MARKER, "JAVA_HOME"), "x")

    assert dict(sent(ledger, variables).variables) == {"JAVA_HOME": "x"}


def test_the_configuration_names_more_to_leave_out_and_what_to_keep(
    ledger: Ledger,
) -> None:
    names = ("KEYMAP", "SSH_AUTH_SOCK", "SSH_TTY", "MY_KEY", "LANG")
    lists = {"env_deny": ("MY_*", "LANG"), "env_allow": ("KEYMAP", "SSH_AUTH_*")}

    found = sent(ledger, dict.fromkeys(names, "x"), **lists)

    assert [*found.variables] == ["KEYMAP", "SSH_AUTH_SOCK"]
    assert found.secrets == {}


def test_codex_names_the_variables_of_its_keys(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[model_providers.a]\nenv_key = "A"\nenv_http_headers = { X = "B" }\n'
    )

    found = key_variables(
        LightPath(str(tmp_path)), ["model_providers.b.env_key=C", "model=gpt"]
    )

    assert found == {"A", "B", "C"}


def test_equal_environments_are_stored_once_and_go_with_their_prompts(
    ledger: Ledger, session: int
) -> None:
    for pwd in ("/one", "/two"):
        add(ledger, session, PWD=pwd)
    add(ledger, session, LANG="C")
    assert len(ledger._db.execute("select * from environments").fetchall()) == 2

    ledger.write("remove_session", session=session)

    assert ledger._db.execute("select * from environments").fetchall() == []


def test_what_is_no_text_is_kept_byte_for_byte(ledger: Ledger, session: int) -> None:
    odd = {"A": "\udcff=\n", "EMPTY": "", "Ä": "ü"}
    prompt = add(ledger, session, **odd)

    row = ledger.one("prompt_row", prompt=prompt)

    assert row is not None
    found = environments.read(ledger, row["environment"]).variables
    assert odd.items() <= found.items()


def kept(ledger: Ledger, session: int) -> environments.Environment:
    (prompt,) = ledger.queue.waiting(session)
    assert prompt.environment is not None
    return environments.read(ledger, prompt.environment)


def test_the_prompt_of_a_run_that_waits_for_its_session_keeps_its_environment(
    ledger: Ledger,
) -> None:
    """When the run is killed, another process delivers the prompt."""
    own, holder = sent(ledger, SENT), ledgers.prepare(ledger)
    waiting = Run(spec=spec(run_id=ledgers.run_id(2)), state=Prepared())
    asked = ledgers.request(session=holder.session, wait_for_session=True)

    ledger.queue.prepare(waiting, asked, own)

    assert kept(ledger, holder.session) == own


def test_a_retried_prompt_that_was_never_queued_keeps_the_environment_of_the_retry(
    ledger: Ledger,
) -> None:
    own, run = sent(ledger, SENT), ledgers.prepare(ledger)
    ledgers.end(ledger, run, Outcome.FAILED, has_begun=True)

    edits.retry(ledger, run.spec.prompt_id or 0, lambda _: b"Do it.", own)

    assert kept(ledger, run.session) == own


def test_a_key_is_that_of_the_request_from_any_shell(
    ledger: Ledger, session: int
) -> None:
    shells = [sent(ledger, {**SENT, "SHELL": name}) for name in ("sh", "zsh")]

    numbers = [
        ledger.queue.add(
            session, b"More.", "More.", AT, PromptOptions(key="k", environment=each)
        )
        for each in shells
    ]

    assert numbers[0] == numbers[1]
    assert kept(ledger, session) == shells[0]


def test_only_a_process_with_equal_secrets_may_deliver(
    ledger: Ledger, session: int, tmp_path: Path
) -> None:
    add(ledger, session)
    add(ledger, session)

    assert why(ledger, tmp_path, API_KEY="one", GH_KEY="two") == [None, "session"]
    assert why(ledger, tmp_path, API_KEY="one") == ["secret", "session"]
    assert why(ledger, tmp_path, API_KEY="one", GH_KEY="") == ["secret", "session"]
    assert why(ledger, tmp_path, API_KEY="two", GH_KEY="one") == ["secret", "session"]
    first, second = queue.waiting(ledger, None, settings(tmp_path))
    assert first["detail"].startswith("API_KEY, GH_KEY of its sender is not set here")
    assert second["detail"] == f"behind #{first['id']} (secret)"
    assert deliver_next(session, ledger, settings(tmp_path)) is None


def test_a_sender_gives_its_variables_and_the_process_only_equal_secrets(
    ledger: Ledger, session: int, tmp_path: Path
) -> None:
    add(ledger, session)
    (candidate,) = ledger.queue.candidates()
    secrets = {"API_KEY": "one", "GH_KEY": "two", "OTHER_KEY": "three"}
    own = settings(tmp_path, JAVA_HOME="/mine", **secrets)

    theirs = Senders(ledger, own).settings_of(candidate.environment)

    assert theirs.search_path == "/bin"
    assert theirs.state_home == own.state_home
    place = {"CODEX_RUNNER_HOME": str(own.state_home)}
    assert theirs.environment == {**SENT, **place}
    # It hands on what it was started with, also after a prompt of another sender.
    assert Senders(ledger, theirs).lacking(candidate.environment) == []
    assert theirs.own == own.environment


def test_a_process_inside_a_run_stays_inside(tmp_path: Path) -> None:
    own = settings(tmp_path, **{RUN_MARKER: "run-1"})

    assert as_sender(own, SENT).environment[RUN_MARKER] == "run-1"


def test_a_person_delivers_a_prompt_with_another_key_or_a_login(
    ledger: Ledger, session: int, tmp_path: Path
) -> None:
    add(ledger, session, CODEX_API_KEY="old")
    found, notes = ledger.sessions.get(session), list[str]()
    ledger.change("hold_prompt", prompt=1, hold="until the test has looked")
    own = settings(tmp_path, API_KEY="one", GH_KEY="new")
    with pytest.raises(RefusedPromptError, match="CODEX_API_KEY of its sender"):
        queue.deliver(found, ledger, own, notes.append)
    assert notes == []

    own.codex_home.mkdir(parents=True)
    (own.codex_home / "auth.json").write_text("{}")
    with pytest.raises(NoSlotError, match="prompt 1 waits still: until the test"):
        queue.deliver(found, ledger, own, notes.append)

    assert notes == ["GH_KEY is not what its sender had; this one is used"]
    ledger.queue.release(session)
    assert why(ledger, tmp_path, API_KEY="one", GH_KEY="new") == [None]


def test_a_new_key_ends_the_hold_after_a_refused_login(
    ledger: Ledger, session: int, tmp_path: Path
) -> None:
    with ledger.transaction():
        ledger.change("hold_home", session=session, until=None, why="login")
    add(ledger, session)
    assert why(ledger, tmp_path, API_KEY="one", GH_KEY="two") == ["login"]
    found, new = ledger.sessions.get(session), {"API_KEY": "new", "GH_KEY": "two"}

    # It has a working directory that is gone, so it is held, and not started.
    with pytest.raises(NoSlotError, match="worked in /repo, which is gone"):
        queue.deliver(found, ledger, settings(tmp_path, **new), lambda _: None)


def test_a_rebuild_keeps_the_environment_and_takes_none_of_others(
    ledger: Ledger, session: int
) -> None:
    prompt = add(ledger, session)
    queue_files.refresh(ledger, session, [prompt])
    path = queue_files.path_of(ledger.home, prompt)
    assert b"two" not in path.read_bytes()

    def restored() -> environments.Environment | None:
        ledger._db.execute("delete from prompts")
        with ledger.transaction():
            rebuild_queue.restore(ledger)
        row = ledger.one("prompt_row", prompt=prompt)
        assert row is not None
        key = row["environment"]
        return None if key is None else environments.read(ledger, key)

    assert restored() == sent(ledger, SENT)
    path.chmod(0o666)
    assert restored() is None


def test_a_rebuild_keeps_how_often_a_prompt_is_tried(
    ledger: Ledger, session: int
) -> None:
    how = PromptOptions(retries=3, recoveries=2, priority=5)
    prompt = ledger.queue.add(session, b"More.", "More.", AT, how)
    queue_files.refresh(ledger, session, [prompt])
    ledger._db.execute("delete from prompts")

    with ledger.transaction():
        rebuild_queue.restore(ledger)

    row = ledger._db.execute("select * from prompts").fetchone()
    assert (row["retries"], row["recoveries"], row["priority"]) == (3, 2, 5)


def test_a_session_stays_in_its_home_of_codex(tmp_path: Path) -> None:
    own = settings(tmp_path, CODEX_HOME="/other")

    assert ignored_home(own, "/other") is None
    assert ignored_home(settings(tmp_path), "/codex") is None
    said = ignored_home(own, "/codex")
    assert said == "CODEX_HOME=/other is ignored: the task stays in /codex"
