"""What can be wrong with a training, beside its recordings."""

from __future__ import annotations

from aether_temporal.errors import TemporalError


class LeakError(TemporalError, ValueError):
    """A split would test on what it trains on; the message names the recording, or the person."""


class CheckpointError(TemporalError, ValueError):
    """A checkpoint is damaged, or of another training; the message names the file and what to do."""


class RunError(TemporalError, RuntimeError):
    """A run's folder cannot be used or written; the message names it and what to do."""
