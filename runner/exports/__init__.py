"""Files written from the ledger for people and scripts."""
