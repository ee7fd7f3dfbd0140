"""The picture of a recording: amplitude over time and subcarriers, its labels, and how often frames came."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import GREY, Picture, band_patches, draw_band, new_figure, plain, text, time_axis
from aether_temporal.recordings import Recording, describe
from aether_temporal.recordings.quality import RecordingQuality, quality_of

from .picture_sources import no_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 1200
_WIDTH = 11.0
_HOLD = 5.0
"""Mean intervals for which a frame is drawn when none follows; longer holes stay blank."""
_BLANK = "0.9"
_HEIGHT = {1: 4.2, 2: 3.0}
"""Inches of a band by the number of bands."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AmplitudeMap:
    """Mean amplitudes `values` [bins, columns] between `edges` [bins + 1] in `unit`, NaN where no frame came; `labels`
    [bins]: of the last frame in each, -1 for none; `frames` [bins]: how many came."""

    recording: Recording
    quality: RecordingQuality
    edges: Floats
    unit: str
    values: Floats
    labels: NDArray[np.int64]
    frames: NDArray[np.int64]

    def document(self) -> dict[str, Any]:
        """What `aether recordings` says of the recording, as JSON."""
        return self.quality.document()


def amplitude_map(recording: Recording, bins: int = _BINS) -> AmplitudeMap:
    """The recording in at most `bins` steps of time. RecordingError for one without frames."""
    if not len(recording):
        raise no_frames(recording)
    time, unit, step = time_axis(recording.timestamps, recording.frame_rate, len(recording))
    count = min(bins, 4 * len(recording))
    edges = np.linspace(0.0, time[-1] + step, count + 1)
    place = np.clip(np.searchsorted(edges, time + step / 2, side="right") - 1, 0, count - 1)
    frames = np.bincount(place, minlength=count)
    there = np.flatnonzero(frames)
    starts = np.searchsorted(place, there)
    features = recording.features().astype(np.float64)
    means = np.add.reduceat(features, starts, axis=0) / frames[there, None]
    newest = np.maximum.accumulate(np.where(frames > 0, np.arange(count), -1))
    last = np.append(starts[1:], len(time)) - 1  # the last frame of each bin that has one
    which = np.searchsorted(there, newest)
    usual = _HOLD / recording.frame_rate if recording.frame_rate and unit == "seconds" else _HOLD * step
    seen = edges[:-1] - time[last[which]] <= usual
    values = np.where(seen[:, None], means[which], np.nan)
    labels = np.full(count, -1, dtype=np.int64)
    if recording.labels is not None:
        labels = np.where(seen, recording.labels[last[which]], -1)
    return AmplitudeMap(recording, quality_of(recording), edges, unit, values, labels, frames)


def recording_picture(found: AmplitudeMap) -> Picture:
    """A map for each band of subcarriers below a band of labels, and the frames a second."""
    bands = _bands(found)
    labelled = bool((found.labels >= 0).any())
    inches = [0.35] * labelled + [_HEIGHT.get(len(bands), 2.4)] * len(bands) + [1.0]
    figure = new_figure(_WIDTH, sum(inches) + 1.2)
    places: list[Axes] = list(figure.subplots(len(inches), 1, sharex=True, squeeze=False, height_ratios=inches)[:, 0])
    names = found.recording.label_names
    if labelled:
        unnamed = band_patches(draw_band(places[0], found.edges, found.labels, names, _WIDTH - 2), names)
        places[0].set_yticks([0.5], ["label"], fontsize=8)
        if unnamed:
            figure.legend(handles=unnamed, loc="outside upper right", ncols=len(unnamed), frameon=False, fontsize=8)
    maps = places[labelled : labelled + len(bands)]
    low, high = np.nanquantile(np.where(found.values > 0, found.values, np.nan), [0.01, 0.99])
    for place, (title, columns, numbers) in zip(maps, bands, strict=True):
        drawn = _draw_map(place, found, columns, numbers, (float(low), float(high)))
        plain(place, y=title)
    figure.colorbar(drawn, ax=maps, label="amplitude", pad=0.01, extend="both", shrink=0.9)
    _draw_rate(places[-1], found)
    figure.suptitle(text(_title(found)), fontsize=11, x=0.01, ha="left")
    return Picture(f"Recording: {_title(found)}", figure, _lines(found), _table(found))


def _bands(found: AmplitudeMap) -> list[tuple[str, list[int], list[int]]]:
    """Name, columns and numbers of each band, by increasing number; without numbers all columns by index."""
    there = found.recording.subcarriers
    columns = range(found.recording.width)
    if there is None:
        what = "I/Q pair, by index" if found.recording.is_raw else "feature"
        return [(what, list(columns), list(columns))]
    made = []
    for band in dict.fromkeys(there.bands):
        own = sorted((column for column in columns if there.bands[column] == band), key=lambda at: there.numbers[at])
        name = "subcarrier" if band == "any" else f"{band} subcarrier"
        made.append((name, own, [there.numbers[column] for column in own]))
    return made


def _draw_map(
    axes: Axes, found: AmplitudeMap, columns: Sequence[int], numbers: Sequence[int], limits: tuple[float, float]
) -> Any:
    """Blank: no frames, no such subcarrier, or one that is always zero."""
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    step = int(np.gcd.reduce(steps)) if steps else 1
    grid = np.full((len(found.values), (numbers[-1] - numbers[0]) // step + 1), np.nan)
    grid[:, [(number - numbers[0]) // step for number in numbers]] = found.values[:, list(columns)]
    dead = set(found.quality.dead)
    for column, number in zip(columns, numbers, strict=True):
        if column in dead:
            grid[:, (number - numbers[0]) // step] = np.nan
    axes.set_facecolor(_BLANK)
    return axes.imshow(
        np.ma.masked_invalid(grid.T),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="viridis",
        vmin=limits[0],
        vmax=limits[1],
        extent=(found.edges[0], found.edges[-1], numbers[0] - step / 2, numbers[-1] + step / 2),
    )


def _draw_rate(axes: Axes, found: AmplitudeMap) -> None:
    """Frames a second, counted by the second; without times, the mean amplitude of the frames."""
    if found.quality.timing is None:
        axes.plot((found.edges[:-1] + found.edges[1:]) / 2, np.nanmean(found.values, axis=1), color=GREY, lw=0.8)
        plain(axes, x=found.unit, y="mean amplitude")
        return
    time = time_axis(found.recording.timestamps, found.recording.frame_rate, len(found.recording))[0]
    width = max(1.0, float(found.edges[-1]) / _BINS)
    edges = np.arange(0.0, found.edges[-1] + width, width)
    counts = np.histogram(time, edges)[0] / np.minimum(width, np.maximum(found.edges[-1] - edges[:-1], 1e-9))
    axes.stairs(counts, np.minimum(edges, found.edges[-1]), color=GREY, fill=True)
    axes.set_ylim(bottom=0)
    plain(axes, x=found.unit, y="frames a second")


def _title(found: AmplitudeMap) -> str:
    name = f"{Path(found.recording.source).name} {found.recording.name}".strip()
    rate = f", {found.recording.frame_rate:.3g} a second" if found.recording.frame_rate else ""
    return f"{name}: {len(found.recording)} frames{rate}"


def _lines(found: AmplitudeMap) -> list[str]:
    lines = ["Grey: no frames came, or a subcarrier is always zero."]
    if any(found.recording.dropped.values()):
        lines.append(f"Dropped as unusable: {describe(found.recording.dropped)}.")
    return [*lines, *found.recording.notes, *(f"Warning: {warning}" for warning in found.quality.warnings)]


def _table(found: AmplitudeMap) -> list[list[str]]:
    rows = [["class", "frames", "share"]]
    counts = [*found.quality.classes.items(), ("(no label)", found.quality.unlabelled)]
    rows += [[name, str(count), f"{count / len(found.recording):.0%}"] for name, count in counts if count]
    return rows
