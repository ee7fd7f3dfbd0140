"""The trained blobs that come with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidArgumentError

_FOLDER = Path(__file__).with_name("blobs")


def shipped_models() -> dict[str, Path]:
    """Name to file of each shipped blob, in alphabetical order."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.rvne"))}


def model_path(model: str | os.PathLike[str]) -> Path:
    """The file of a model: a path as it is, or the name of a shipped blob. A file of that name comes first.

    InvalidArgumentError when there is neither; the message lists the names.
    """
    path = Path(model)
    if path.is_file():
        return path
    shipped = shipped_models()
    if str(model) in shipped:
        return shipped[str(model)]
    found = "a directory" if path.is_dir() else "no such file"
    names = ", ".join(shipped) or "none"
    raise InvalidArgumentError(f"{model}: expected a blob file or the name of a shipped model ({names}), found {found}")
