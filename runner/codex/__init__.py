"""What is known about the Codex binary and its home."""
