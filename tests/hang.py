"""How long a test waits for what must come: far beyond what a loaded machine takes, so that only a hang fails it."""

HANG = 1800.0
"""Seconds."""
