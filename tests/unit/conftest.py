"""Unit tests are pure: a real process fails the test that starts it."""

from support.no_process import no_real_process

__all__ = ["no_real_process"]
