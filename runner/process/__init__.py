"""Programs, signals, the process table and process trees."""
