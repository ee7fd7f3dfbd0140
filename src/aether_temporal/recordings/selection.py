"""Choosing one recording of a file that holds several."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import RecordingSelectionError
from .recording import RecordingInfo

_SHOWN = 12


def listing(infos: Sequence[RecordingInfo]) -> str:
    shown = ", ".join(f"{info.index} ({info.name})" for info in infos[:_SHOWN])
    return shown + (f", … {infos[-1].index} ({infos[-1].name})" if len(infos) > _SHOWN else "")


def choose(source: str, infos: Sequence[RecordingInfo], recording: int | str | None) -> RecordingInfo:
    """The recording of that index (negative: from the end) or name; None is an answer only where there is but one.

    Text is a name first (in any case where no name is exactly so), an index second. RecordingSelectionError lists what
    there is.
    """
    if recording is None:
        if len(infos) == 1:
            return infos[0]
        raise RecordingSelectionError(
            f"{source}: holds {len(infos)} recordings, expected a choice by index or name: {listing(infos)}"
        )
    if isinstance(recording, str):
        named = [info for info in infos if info.name == recording]
        named = named or [info for info in infos if info.name.casefold() == recording.casefold()]
        if len(named) == 1:
            return named[0]
        if len(named) > 1:
            raise RecordingSelectionError(
                f"{source}: recording: {len(named)} are named {recording!r}, choose by index: {listing(named)}"
            )
        try:
            index = int(recording)
        except ValueError:
            index = len(infos)
    else:
        index = int(recording)
    if not -len(infos) <= index < len(infos):
        raise RecordingSelectionError(
            f"{source}: recording: expected an index 0 … {len(infos) - 1} or a name of {listing(infos)}; "
            f"found {recording!r}"
        )
    return infos[index]
