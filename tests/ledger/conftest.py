"""Ledger tests use SQLite and files, and start no process."""

from support.no_process import no_real_process

__all__ = ["no_real_process"]
