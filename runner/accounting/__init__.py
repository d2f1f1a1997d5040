"""What a run used and cost."""
