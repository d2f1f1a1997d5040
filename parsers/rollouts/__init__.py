"""Codex's own records of its threads."""
