"""The trained blobs that come with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidArgumentError

_FOLDER = Path(__file__).with_name("blobs")


def bundled_models() -> dict[str, Path]:
    """Name to file of each bundled blob, in alphabetical order."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.rvne"))}


def bundled_or_path(model: str | os.PathLike[str]) -> Path:
    """The bundled blob of that name where there is no file of that name, else the path as it is."""
    path = Path(model)
    return path if path.is_file() else bundled_models().get(str(model), path)


def model_path(model: str | os.PathLike[str]) -> Path:
    """The file of a model: a path as it is, or the name of a bundled blob. A file of that name comes first.

    InvalidArgumentError when there is neither; the message lists the names.
    """
    path = bundled_or_path(model)
    if path.is_file():
        return path
    found = "a directory" if path.is_dir() else "no such file"
    names = ", ".join(bundled_models()) or "none"
    raise InvalidArgumentError(f"{model}: expected a blob file or the name of a bundled model ({names}), found {found}")
