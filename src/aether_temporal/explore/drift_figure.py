"""The picture of drift between sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from aether_temporal._internal.figures import GREY, Picture, colour, new_figure, plain, stacked, text

from .drift import Drift, rms
from .picture_sources import dropped_line, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND = 12
"""Up to this many sessions stand in the legend."""
_MARKED = 400
"""Up to this many windows, each has a marker."""


def drift_picture(found: Drift) -> Picture:
    """Above, by feature: the sessions' means and their shift. Below, over time: amplitude, confidence and margin,
    accuracy."""
    labelled = found.predictions is not None and any(session.accuracy is not None for session in found.sessions)
    below = 1 + (found.predictions is not None) + labelled
    figure = new_figure(13.0, 4.2 + 1.8 * below)
    top, bottom = stacked(figure, 3.6, 0.4 + 1.8 * below)
    means, shifts = top.subplots(1, 2)
    _means(means, found)
    _shifts(shifts, found)
    handles, labels = means.get_legend_handles_labels()
    top.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=8)
    rows = list(bottom.subplots(below, 1, sharex=True, squeeze=False)[:, 0])
    removed = ", which the model removes" if found.model_removes_agc else ""
    _over_time(rows[0], found, "amplitude", "amplitude", f"Mean amplitude of a frame{removed}")
    if found.predictions is not None:
        name = _confidence_name(found)
        _over_time(rows[1], found, "confidence", name, f"{name.capitalize()} and margin of the predictions")
        rows[1].set_ylim(min(0.0, 1.05 * _least_confidence(found)), 1.03)
        _margin(rows[1], found)
    if labelled:
        _accuracy(rows[2], found)
    rows[-1].set_xlabel(f"{found.unit}, recordings one after the other", fontsize=9)
    _boundaries(rows, found)
    figure.suptitle(
        f"{len(found.sessions)} sessions, compared with session {text(found.sessions[0].name)}; windows of "
        f"{found.window} frames",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return Picture("Drift between sessions", figure, _lines(found), _table(found))


def _confidence_name(found: Drift) -> str:
    return "cosine" if found.predictions == "identities" else "confidence"


def _means(axes: Axes, found: Drift) -> None:
    index = np.arange(len(found.sessions[0].mean))
    for place, session in enumerate(found.sessions):
        own = colour(place)
        axes.plot(index, session.mean, color=own, lw=1.3, label=_legend_name(session.name, place))
        if place < _LEGEND:
            low, high = session.mean - session.between, session.mean + session.between
            axes.fill_between(index, low, high, color=own, alpha=0.15, lw=0)
    if found.agc_removed:
        title, label = "Mean of each feature without AGC (band: between recordings)", "relative to the frame's mean"
    else:
        title, label = "Mean of each feature (band: between recordings)", "value"
    plain(axes, title, "feature (subcarrier)", label)


def _least_confidence(found: Drift) -> float:
    return min(window.confidence for session in found.sessions for window in session.windows)


def _shifts(axes: Axes, found: Drift) -> None:
    first = found.sessions[0]
    index = np.arange(len(first.mean))
    axes.axhline(0, color=colour(0), lw=1.3)
    for place, session in enumerate(found.sessions[1:], start=1):
        axes.plot(index, session.shift(first), color=colour(place), lw=1.3)
    plain(
        axes,
        f"Shift from session {text(first.name)}",
        "feature (subcarrier)",
        "standard deviations over frames",
    )


def _legend_name(name: str, place: int) -> str:
    return f"session {text(name)}" if place < _LEGEND else "_"


def _starts(found: Drift) -> list[list[float]]:
    """When each recording begins, by session, with all recordings one after the other."""
    at, starts = 0.0, []
    for session in found.sessions:
        row = []
        for recording in session.recordings:
            row.append(at)
            at += recording.length
        starts.append(row)
    return starts


def _over_time(axes: Axes, found: Drift, what: Literal["amplitude", "confidence"], label: str, title: str) -> None:
    windows = sum(len(session.windows) for session in found.sessions)
    for place, (session, starts) in enumerate(zip(found.sessions, _starts(found), strict=True)):
        for start, recording in zip(starts, session.recordings, strict=True):
            time = [start + window.at for window in recording.windows]
            values = [getattr(window, what) for window in recording.windows]
            marker = "." if windows <= _MARKED or len(time) == 1 else ""  # one point alone makes no line
            axes.plot(time, values, color=colour(place), lw=0.9, marker=marker, ms=4)
        end = starts[-1] + session.recordings[-1].length
        axes.hlines(session.average(what), starts[0], end, color=colour(place), lw=2.2, alpha=0.45)
    plain(axes, f"{title} (thick: mean of the session)", "", label)


def _margin(axes: Axes, found: Drift) -> None:
    other = axes.twinx()
    for session, starts in zip(found.sessions, _starts(found), strict=True):
        for start, recording in zip(starts, session.recordings, strict=True):
            time = [start + window.at for window in recording.windows]
            marker = "." if len(time) == 1 else ""
            margins = [window.margin for window in recording.windows]
            other.plot(time, margins, color=GREY, lw=0.8, ls=":", marker=marker, ms=2)
    other.set_ylim(bottom=0)
    other.set_ylabel("margin (dotted)", fontsize=9, color=GREY)
    other.tick_params(labelsize=8, colors=GREY)
    other.spines["top"].set_visible(False)


def _accuracy(axes: Axes, found: Drift) -> None:
    """A line for each recording, and a pale one for each session."""
    for place, (session, starts) in enumerate(zip(found.sessions, _starts(found), strict=True)):
        for start, recording in zip(starts, session.recordings, strict=True):
            if recording.accuracy is not None:
                axes.hlines(recording.accuracy, start, start + recording.length, color=colour(place), lw=3)
        if session.accuracy is not None:
            end = starts[-1] + session.recordings[-1].length
            axes.hlines(session.accuracy, starts[0], end, color=colour(place), lw=2.2, alpha=0.35)
            height = 0.03 if session.accuracy > 0.4 else 0.93  # away from the lines
            share = f" {session.accuracy:.1%}"
            axes.text(starts[0], height, share, fontsize=9, color=colour(place), weight="bold")
    axes.set_ylim(-0.03, 1.05)
    plain(axes, "Accuracy by recording (pale: of the session)", "", "share correct")


def _boundaries(rows: list[Axes], found: Drift) -> None:
    starts = [row[0] for row in _starts(found)]
    end = _starts(found)[-1][-1] + found.sessions[-1].recordings[-1].length
    for axes in rows:
        axes.set_xlim(0, end)
        for at in starts[1:]:
            axes.axvline(at, color="0.75", lw=0.8, zorder=0)


def _lines(found: Drift) -> list[str]:
    lines = [
        "Each frame is divided by its mean amplitude before features are compared: a shift is a change in the shape of "
        "the channel, not in its scale."
        if found.agc_removed
        else "Some features are negative and hence no amplitudes: they are compared as they are, scale included.",
        "Shifts are in standard deviations over the frames of the first session.",
    ]
    if found.predictions is None:
        lines.append("The model has no classifier: name a gallery with --enroll to see cosine, margin and accuracy.")
    if found.not_enrolled:
        lines.append(f"Not enrolled, so without a label: {listed(found.not_enrolled, 20)}.")
    return [*lines, *dropped_line(found.dropped), *found.notes]


def _table(found: Drift) -> list[list[str]]:
    rows = [
        ["session", "recordings", "frames", "amplitude", "shift (rms)", _confidence_name(found), "margin", "accuracy"]
    ]
    for session in found.sessions:
        predicts = found.predictions is not None
        rows.append(
            [
                session.name,
                str(len(session.recordings)),
                str(session.frames),
                f"{session.average('amplitude'):.4g}",
                f"{rms(session.shift(found.sessions[0])):.2f}",
                f"{session.average('confidence'):.3f}" if predicts else "",
                f"{session.average('margin'):.2f}" if predicts else "",
                f"{session.accuracy:.1%}" if predicts and session.accuracy is not None else "",
            ]
        )
    return rows
