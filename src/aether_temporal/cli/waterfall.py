"""Amplitudes of the newest frames as coloured text: a line for each moment, a column for each subcarrier."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from aether_temporal.recordings import Recording

_COLOURS = (
    "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e",
    "#1f988b", "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725",
)  # fmt: skip
"""The map that the pictures use. Cells are filled, so that it looks the same on light and dark terminals."""
_SHADES = " .:-=+*#%@"
"""For terminals without colours."""
STEP = 0.1
"""Seconds that a row stands for."""

Floats = NDArray[np.float64]


def waterfall(out: Console, recording: Recording, lines: int) -> list[Text]:
    """The newest frames of a recording with times; the newest at the bottom. A row without a frame is blank."""
    coloured = out.color_system is not None
    rows, width = lines * (2 if coloured else 1), max(8, out.width - 1)
    values = _columns(_rows(recording, rows), width)
    low, high = np.nanquantile(values, [0.05, 0.98]) if np.isfinite(values).any() else (0.0, 1.0)
    scaled = np.clip((values - low) / max(float(high - low), 1e-9), 0.0, 1.0)
    if coloured:
        drawn = [_coloured(upper, lower) for upper, lower in zip(scaled[0::2], scaled[1::2], strict=True)]
    else:
        drawn = [Text("".join(_shade(value) for value in row)) for row in scaled]
    return [*drawn, _axis(recording, values.shape[1])]


def _rows(recording: Recording, rows: int) -> Floats:
    """Mean amplitudes by time, [rows, columns]; NaN where no frame came."""
    assert recording.timestamps is not None
    stamps = recording.timestamps
    place = rows - 1 - np.floor((stamps[-1] - stamps) / STEP).astype(np.int64)
    shown = place >= 0
    features = recording.features()[shown].astype(np.float64)
    found = np.zeros((rows, recording.width))
    np.add.at(found, place[shown], features)
    count = np.bincount(place[shown], minlength=rows)
    return np.where(count[:, None] > 0, found / np.maximum(count, 1)[:, None], np.nan)


def _columns(values: Floats, width: int) -> Floats:
    """As many columns as fit: neighbours as their mean, or each as several cells."""
    there = values.shape[1]
    if there <= width:
        return np.repeat(values, max(1, width // there), axis=1)
    edges = np.linspace(0, there, width + 1).astype(np.int64)
    return np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges)


def _coloured(upper: Floats, lower: Floats) -> Text:
    """Two rows as one line of half blocks."""
    line = Text(no_wrap=True)
    for above, below in zip(upper, lower, strict=True):
        fore, back = (None if np.isnan(v) else _COLOURS[round(v * (len(_COLOURS) - 1))] for v in (above, below))
        if fore is None and back is None:
            line.append(" ")
        elif fore is None:
            line.append("▄", style=f"{back}")
        else:
            line.append("▀", style=fore if back is None else f"{fore} on {back}")
    return line


def _shade(value: float) -> str:
    return " " if np.isnan(value) else _SHADES[round(value * (len(_SHADES) - 1))]


def _axis(recording: Recording, cells: int) -> Text:
    """The first and the last subcarrier below the picture."""
    there = recording.subcarriers
    first, last = (0, recording.width - 1) if there is None else (there.numbers[0], there.numbers[-1])
    what = "I/Q pair" if there is None else "subcarrier"
    middle = what.center(max(0, cells - len(str(first)) - len(str(last))))
    return Text(f"{first}{middle}{last}", style="dim", no_wrap=True)
