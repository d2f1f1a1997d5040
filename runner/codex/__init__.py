"""The Codex binary and its home."""
