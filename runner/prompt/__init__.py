"""The text that Codex is given."""
