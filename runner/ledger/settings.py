"""The settings of sessions and prompts, as the ledger stores them: pure."""

from __future__ import annotations

from parsers import json_text
from parsers.struct import Struct, as_dict, replace
from runner.ledger.record import options_of, part_of, read_value
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model import CodexOptions, Limits, RunRequest, Work

_FOR_A_NEW_THREAD = "--worktree"


def settings_json(spec: Work) -> str:
    """Write the settings that the next run of the session takes over."""
    kept = {
        "repo": spec.repo,
        "codex_bin": spec.codex.bin,
        "sandbox": spec.codex.sandbox,
        "request": {
            "umask": spec.umask,
            "overrides": spec.codex.overrides,
            "skip_git_repo_check": spec.codex.skip_git_repo_check,
            "extra": [each for each in spec.codex.extra if each != _FOR_A_NEW_THREAD],
            "model": spec.codex.model,
            "limits": {"timeout": spec.limits.timeout, "stall": spec.limits.stall},
        },
    }
    return json_text.dumps(kept, separators=(",", ":"))


class Settings(Struct):
    """Hold the settings that the next run of a session takes over."""

    repo: str
    umask: int
    codex: CodexOptions
    limits: Limits


def read_settings(text: str) -> Settings | None:
    """Read the output of `settings_json`; None for a session without settings."""
    found = json_text.loads(text)
    if found.get("request") is None:
        return None
    request = part_of(found, "request")
    return read_value(Settings, {**request, **found}, codex=options_of(found))


class OwnSettings(Struct):
    """Hold what one prompt has instead of the settings of its session.

    `overrides` are added to those of the session; None leaves a value as it is, and a
    limit of 0 is without limit. One that does not `park` ends at a usage limit.
    """

    repo: str | None = None
    model: str | None = None
    sandbox: str | None = None
    overrides: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    timeout: float | None = None
    stall: float | None = None
    park: bool = True
    terms: Terms = Terms()

    def to_json(self) -> str:
        """Write what differs, for `read_own`."""
        usual = as_dict(OwnSettings())
        told = {n: v for n, v in as_dict(self).items() if v != usual[n]}
        if "terms" in told:
            told["terms"] = self.terms.told()
        return json_text.dumps(told, separators=(",", ":"))

    def over(self, kept: Settings) -> Settings:
        """Return the settings of a run that delivers the prompt."""
        codex = replace(
            kept.codex,
            model=self.model or kept.codex.model,
            sandbox=self.sandbox or kept.codex.sandbox,
            overrides=(*kept.codex.overrides, *self.overrides),
            once=self.once,
        )
        asked = {"timeout": self.timeout, "stall": self.stall}
        given = {n: value or None for n, value in asked.items() if value is not None}
        limits = replace(kept.limits, **given)
        return replace(kept, repo=self.repo or kept.repo, codex=codex, limits=limits)


def read_own(text: str) -> OwnSettings:
    """Read the output of `OwnSettings.to_json`."""
    return read_value(OwnSettings, json_text.loads(text))


def settings_of(request: RunRequest, waits: bool) -> str:  # noqa: FBT001 - of a prompt
    """Write the settings of a prompt that its run brings, for another attempt.

    It parks only if that was asked for; the one of a run that waits says so.
    """
    told = request.terms.told()
    own: dict[str, object] = {"terms": told} if told else {}
    if waits or request.park:
        own["park"] = request.park
    return json_text.dumps(own)
