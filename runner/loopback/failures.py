"""The errors of a model service: statuses, bodies and headers that Codex reads."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from runner.loopback.reply import HttpFailure, StreamFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.loopback.directives import Directive
    from runner.loopback.reply import Reply

_HOUR = 3600
_LEAST_ERROR, _GREATEST_ERROR = 400, 599
_PRIMARY_MINUTES, _SECONDARY_MINUTES = 300, 10080


def usage_limit(*, resets_at: int | None = None, primary: int = 100) -> HttpFailure:
    """Refuse because of the plan's usage limit, which resets in an hour by default."""
    at = int(time.time()) + _HOUR if resets_at is None else resets_at
    error = {"type": "usage_limit_reached", "message": "limit", "resets_at": at}
    return HttpFailure(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        body={"error": error},
        headers=rate_limits(primary=primary, resets_at=at),
    )


def rate_limits(
    *, primary: int, secondary: int | None = None, resets_at: int
) -> Mapping[str, str]:
    """Write the headers with the used percentage of a plan's windows."""
    headers = _window("primary", primary, _PRIMARY_MINUTES, resets_at)
    if secondary is not None:
        headers |= _window("secondary", secondary, _SECONDARY_MINUTES, resets_at)
    return headers


def _window(name: str, percent: int, minutes: int, resets_at: int) -> dict[str, str]:
    prefix = f"x-codex-{name}"
    return {
        f"{prefix}-used-percent": str(percent),
        f"{prefix}-window-minutes": str(minutes),
        f"{prefix}-reset-at": str(resets_at),
    }


def failure(directive: Directive) -> Reply:
    """Build what `fail:` asks for."""
    what = directive.text.partition(" ")[0]
    if not what.isdecimal():
        message = f"The loopback server was told to fail with {what}."
        return StreamFailure(code=what, message=message)
    status = int(what)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        known = directive.settings("resets", "primary", skip=1)
        primary = known.get("primary", 100)
        return usage_limit(resets_at=known.get("resets"), primary=primary)
    if not _LEAST_ERROR <= status <= _GREATEST_ERROR:
        directive.refuse(f"{_LEAST_ERROR} to {_GREATEST_ERROR} are errors")
    return _http_failure(status)


def limits(directive: Directive) -> Mapping[str, str]:
    """Build the headers that `limits:` asks for."""
    known = directive.settings("primary", "secondary", "resets")
    return rate_limits(
        primary=known.get("primary", 0),
        secondary=known.get("secondary"),
        resets_at=known.get("resets", int(time.time()) + _HOUR),
    )


def _http_failure(status: int) -> HttpFailure:
    if status == HTTPStatus.UNAUTHORIZED:
        error = {"code": "invalid_api_key", "message": "Incorrect API key provided."}
    else:
        text = f"The loopback server was told to fail with {status}."
        error = {"code": f"status_{status}", "message": text}
    body = {"error": {"type": "invalid_request_error", **error}}
    return HttpFailure(status=status, body=body)
