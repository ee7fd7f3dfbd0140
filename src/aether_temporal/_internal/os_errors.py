"""Explains errors of the operating system."""

from __future__ import annotations

import errno
import os

__all__ = ["describe", "unreadable"]

_ADVICE = {
    errno.EACCES: "name one that you may use, or change who may",
    errno.EPERM: "name one that you may use, or change who may",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "make room there, or name a place elsewhere",
    errno.EDQUOT: "make room there, or name a place elsewhere",
    errno.EFBIG: "name a place that takes files of this size",
    errno.EISDIR: "expected a file, found a folder",
    errno.ENOTDIR: "expected a folder, found a file in its place",
    errno.EEXIST: "name another, or remove what is there",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.EBUSY: "another program uses it",
    errno.EIO: "the disk or device fails: use another",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "end programs that hold many files open",
    errno.EADDRINUSE: "another program has this port: end it, or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this computer",
    errno.ENETUNREACH: "there is no network that leads there",
    errno.EHOSTUNREACH: "there is no network that leads there",
}


def describe(error: OSError) -> str:
    """The system's message and advice; without the file's name."""
    said, advice = _said_and_advice(error)
    return f"{said}: {advice}" if advice else said


def unreadable(place: object, error: OSError) -> str:
    """The message about a file that cannot be read."""
    said, advice = _said_and_advice(error)
    return f"{place}: expected a file that can be read, found: {said}; {advice or 'name another'}"


def _said_and_advice(error: OSError) -> tuple[str, str]:
    advice = _absent(error.filename) if error.errno == errno.ENOENT else _ADVICE.get(error.errno or 0, "")
    return error.strerror or str(error), advice


def _absent(name: object) -> str:
    if not isinstance(name, str | os.PathLike):
        return ""
    folder = os.path.dirname(os.path.abspath(name))
    return "check its name" if os.path.isdir(folder) else f"there is no folder {folder}"
