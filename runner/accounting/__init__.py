"""The usage and cost of runs."""
