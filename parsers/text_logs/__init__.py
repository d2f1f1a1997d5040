"""Logs written for people."""
