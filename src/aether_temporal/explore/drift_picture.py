"""Drift between sessions as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .drift import Drift, rms
from .files import Picture
from .sources import dropped_line
from .style import GREY, colour, listed, new_figure, plain, stacked, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND = 12
_REMOVED = ", which the model removes"
_MARKED = 400
"""Windows up to which each has its mark."""


def drift_picture(found: Drift) -> Picture:
    """Above by feature: the sessions' means after the gain is removed, and how far they moved. Below over time: gain,
    confidence and margin, accuracy."""
    labelled = found.answers is not None and any(session.accuracy is not None for session in found.sessions)
    below = 1 + (found.answers is not None) + labelled
    figure = new_figure(13.0, 4.2 + 1.8 * below)
    top, bottom = stacked(figure, 3.6, 0.4 + 1.8 * below)
    means, shifts = top.subplots(1, 2)
    _profiles(means, found)
    _shifts(shifts, found)
    handles, labels = means.get_legend_handles_labels()
    top.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=8)
    rows = list(bottom.subplots(below, 1, sharex=True, squeeze=False)[:, 0])
    _over_time(rows[0], found, "gain", "mean amplitude", "Gain of a frame" + _REMOVED * found.gain_removed)
    if found.answers is not None:
        sure = "cosine" if found.answers == "persons" else "confidence"
        _over_time(rows[1], found, "confidence", sure, f"{sure.capitalize()} and margin of the answers")
        rows[1].set_ylim(min(0.0, 1.05 * _least_sure(found)), 1.03)
        _margin(rows[1], found)
    if labelled:
        _accuracy(rows[2], found)
    rows[-1].set_xlabel(f"{found.unit}, recordings one after the other", fontsize=9)
    _boundaries(rows, found)
    figure.suptitle(
        f"{len(found.sessions)} sessions, windows of {found.window} frames; compared with "
        f"session {text(found.sessions[0].name)}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return Picture("Drift between sessions", figure, _lines(found), _table(found))


def _profiles(axes: Axes, found: Drift) -> None:
    index = np.arange(len(found.sessions[0].mean))
    for place, session in enumerate(found.sessions):
        own = colour(place)
        axes.plot(index, session.mean, color=own, lw=1.3, label=_name(session.name, place))
        if place < _LEGEND:
            low, high = session.mean - session.between, session.mean + session.between
            axes.fill_between(index, low, high, color=own, alpha=0.15, lw=0)
    if found.amplitudes:
        title, label = "Mean of each feature, gain removed (band: between recordings)", "mean of a frame = 1"
    else:
        title, label = "Mean of each feature (band: between recordings)", "value"
    plain(axes, title, "feature (subcarrier)", label)


def _least_sure(found: Drift) -> float:
    return min(piece.confidence for session in found.sessions for piece in session.pieces)


def _shifts(axes: Axes, found: Drift) -> None:
    first = found.sessions[0]
    index = np.arange(len(first.mean))
    axes.axhline(0, color=colour(0), lw=1.3)
    for place, session in enumerate(found.sessions[1:], start=1):
        axes.plot(index, session.shift(first), color=colour(place), lw=1.3)
    plain(
        axes,
        f"Moved since session {text(first.name)}",
        "feature (subcarrier)",
        "standard deviations of a frame",
    )


def _name(name: str, place: int) -> str:
    return f"session {text(name)}" if place < _LEGEND else "_"


def _starts(found: Drift) -> list[list[float]]:
    """When each recording begins, session by session, all one after the other."""
    at, starts = 0.0, []
    for session in found.sessions:
        row = []
        for part in session.parts:
            row.append(at)
            at += part.length
        starts.append(row)
    return starts


def _over_time(axes: Axes, found: Drift, what: str, label: str, title: str) -> None:
    pieces = sum(len(session.pieces) for session in found.sessions)
    for place, (session, starts) in enumerate(zip(found.sessions, _starts(found), strict=True)):
        for start, part in zip(starts, session.parts, strict=True):
            time = [start + piece.at for piece in part.pieces]
            values = [getattr(piece, what) for piece in part.pieces]
            marker = "." if pieces <= _MARKED or len(time) == 1 else ""  # one alone makes no line
            axes.plot(time, values, color=colour(place), lw=0.9, marker=marker, ms=4)
        end = starts[-1] + session.parts[-1].length
        axes.hlines(session.average(what), starts[0], end, color=colour(place), lw=2.2, alpha=0.45)
    plain(axes, f"{title} (thick: session's mean)", "", label)


def _margin(axes: Axes, found: Drift) -> None:
    other = axes.twinx()
    for session, starts in zip(found.sessions, _starts(found), strict=True):
        for start, part in zip(starts, session.parts, strict=True):
            time = [start + piece.at for piece in part.pieces]
            marker = "." if len(time) == 1 else ""
            other.plot(time, [piece.margin for piece in part.pieces], color=GREY, lw=0.8, ls=":", marker=marker, ms=2)
    other.set_ylim(bottom=0)
    other.set_ylabel("margin (dotted)", fontsize=9, color=GREY)
    other.tick_params(labelsize=8, colors=GREY)
    other.spines["top"].set_visible(False)


def _accuracy(axes: Axes, found: Drift) -> None:
    """A dot a recording, a line a session."""
    for place, (session, starts) in enumerate(zip(found.sessions, _starts(found), strict=True)):
        for start, part in zip(starts, session.parts, strict=True):
            known = sum(piece.known for piece in part.pieces)
            if known:
                share = sum(piece.right for piece in part.pieces) / known
                axes.hlines(share, start, start + part.length, color=colour(place), lw=3)
        if session.accuracy is not None:
            end = starts[-1] + session.parts[-1].length
            axes.hlines(session.accuracy, starts[0], end, color=colour(place), lw=2.2, alpha=0.35)
            high = 0.03 if session.accuracy > 0.4 else 0.93  # where no line is
            told = f"{session.accuracy:.1%}"
            axes.text(starts[0], high, f" {told}", fontsize=9, color=colour(place), weight="bold")
    axes.set_ylim(-0.03, 1.05)
    plain(axes, "Frames answered right, by recording (pale: of all of the session)", "", "share")


def _boundaries(rows: list[Axes], found: Drift) -> None:
    starts = [row[0] for row in _starts(found)]
    end = _starts(found)[-1][-1] + found.sessions[-1].parts[-1].length
    for axes in rows:
        axes.set_xlim(0, end)
        for at in starts[1:]:
            axes.axvline(at, color="0.75", lw=0.8, zorder=0)


def _lines(found: Drift) -> list[str]:
    lines = [
        "Each frame is divided by its mean amplitude, its gain, before its features are compared: what moves is the "
        "shape of the channel."
        if found.amplitudes
        else "Some features are negative, so they are no amplitudes: they are compared as they are, gain included.",
        "A shift is in standard deviations of single frames of the first session.",
    ]
    if found.answers is None:
        lines.append("The model has no classifier: give a gallery (--enroll) to see cosine, margin and accuracy.")
    if found.strangers:
        lines.append(f"Not enrolled, so neither right nor wrong: {listed(found.strangers, 20)}.")
    return [*lines, *dropped_line(found.dropped), *found.notes]


def _table(found: Drift) -> list[list[str]]:
    sure = "cosine" if found.answers == "persons" else "confidence"
    rows = [["session", "recordings", "frames", "gain", "shift (rms)", sure, "margin", "right"]]
    for session in found.sessions:
        says = found.answers is not None
        rows.append(
            [
                session.name,
                str(len(session.parts)),
                str(session.frames),
                f"{session.average('gain'):.4g}",
                f"{rms(session.shift(found.sessions[0])):.2f}",
                f"{session.average('confidence'):.3f}" if says else "",
                f"{session.average('margin'):.2f}" if says else "",
                f"{session.accuracy:.1%}" if says and session.accuracy is not None else "",
            ]
        )
    return rows
