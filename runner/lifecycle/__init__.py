"""What happens to a run, whatever process does it."""
