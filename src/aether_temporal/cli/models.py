"""The model that a command is given."""

from __future__ import annotations

from aether_temporal import BlobError, TemporalModel
from aether_temporal.shipped import model_path


def open_model(name: str) -> TemporalModel:
    """The blob at a path, or the shipped one of that name. BlobError naming the file; InvalidArgumentError; OSError."""
    path = model_path(name)
    try:
        return TemporalModel.from_blob(path)
    except BlobError as error:
        raise BlobError(f"{path}: {error}") from None
