"""The suite's version, readable without importing package metadata (28 ms)."""

VERSION = "0.3.0"
