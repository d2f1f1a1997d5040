"""One module per verb; each returns values and never prints."""
