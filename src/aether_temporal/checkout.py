"""The source checkout, where what is not in the wheel lies: emulated targets, their tools."""

from __future__ import annotations

from pathlib import Path

from .errors import InvalidArgumentError

__all__ = ["find_checkout"]

_MATRIX = Path("tools") / "parity"


def _is_checkout(folder: Path) -> bool:
    return (folder / _MATRIX).is_file() and (folder / "firmware" / "targets").is_dir()


def find_checkout(start: Path | None = None) -> Path:
    """The checkout around `start` (default: where the command runs), else the one this package is used from.

    InvalidArgumentError when there is none; the message says how to get one.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if _is_checkout(folder):
            return folder
    raise InvalidArgumentError(
        f"--target: expected a source checkout in {here} or above it, found none: the emulated targets and their tools "
        "are not in the installed package. Unpack the source distribution (pip download --no-deps --no-binary :all: "
        "aether-temporal) or clone the repository, and run this command in it"
    )
