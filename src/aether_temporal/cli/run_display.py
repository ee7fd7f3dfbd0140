"""Output of `aether run`: a live display on a terminal or plain lines, then the summary."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aether_temporal._internal.summary import printable
from aether_temporal.recordings import Recording, describe
from aether_temporal.running import Result
from aether_temporal.running.stream import Prediction, probabilities

from .output import Display, micros, print_json_line, quantity, say, table

_REFRESH = 0.1  # seconds between updates
_ROWS = 8
_BAR = 28
_SHORTEST_BAR = 6
_BESIDE_BAR = 41  # columns of the score, of a probability with "label", and of the padding
_RECENT = 256  # frames of which the display shows the latency


class JsonLines(Display[Prediction]):
    """Prints one JSON line for each prediction, for programs."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def show(self, prediction: Prediction) -> None:
        print_json_line(
            {
                "frame": prediction.index,
                "time": prediction.time,
                "class": prediction.best,
                "name": prediction.label,
                "probability": prediction.probability,
                "margin": prediction.margin,
                "scores": [float(score) for score in prediction.scores],
                "latency_us": prediction.latency * 1e6,
                "label": self._names[prediction.expected] if prediction.expected >= 0 else None,
            }
        )


class Lines(Display[Prediction]):
    """Prints a line whenever the prediction or the label changes, without control characters."""

    def __init__(self, out: Console, names: tuple[str, ...]) -> None:
        self._out, self._names = out, tuple(map(printable, names))
        self._last: tuple[int, int] | None = None
        self._width = max(map(len, self._names))

    def show(self, prediction: Prediction) -> None:
        if self._last == (prediction.best, prediction.expected):
            return
        self._last = (prediction.best, prediction.expected)
        stamp = f"{prediction.time:9.2f} s" if prediction.time is not None else " " * 11
        label = f"   label {self._names[prediction.expected]}" if prediction.expected >= 0 else ""
        name = self._names[prediction.best].ljust(self._width)
        sure = f"margin {prediction.margin:6.3f}"
        if prediction.probability is not None:
            sure = f"probability {prediction.probability:.2f}  {sure}"
        self._out.print(f"{stamp}  frame {prediction.index:6d}  {name}  {sure}{label}")


class Panel(Display[Prediction]):
    """A live display of the scores, the prediction, the label, and the latency against the frame period."""

    def __init__(
        self, out: Console, names: tuple[str, ...], recording: Recording | None, title: str, enrolled: bool
    ) -> None:
        self._names, self._recording, self._enrolled = tuple(map(printable, names)), recording, enrolled
        self._title = printable(title)
        space = out.width - max(map(len, self._names)) - _BESIDE_BAR
        self._bar = (
            min(_BAR, space) if space >= _SHORTEST_BAR else 0
        )  # without space for a bar, names and numbers are shown
        super().__init__(out)
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._correct = self._known = 0
        self._shown = 0.0

    def show(self, prediction: Prediction) -> None:
        self._latencies.append(prediction.latency)
        if prediction.expected >= 0:
            self._known += 1
            self._correct += prediction.expected == prediction.best
        now = time.monotonic()
        if now - self._shown >= _REFRESH:
            self._shown = now
            self.redraw(self.render(prediction))

    def render(self, prediction: Prediction) -> RenderableType:
        return Group(self._head(prediction), self._scores(prediction), self._foot())

    def _head(self, prediction: Prediction) -> RenderableType:
        line = Table.grid(padding=(0, 2, 0, 0))
        cells: list[RenderableType] = [Text(self._title, style="bold", overflow="ellipsis", no_wrap=True)]
        if self._recording is not None:
            if self._bar:
                cells.append(ProgressBar(total=len(self._recording), completed=prediction.index + 1, width=self._bar))
            cells.append(Text(f"{prediction.index + 1}/{len(self._recording)}"))
        else:
            cells.append(Text(f"frame {quantity(prediction.index + 1)}"))
        if prediction.time is not None:
            cells.append(Text(f"{prediction.time:.1f} s"))
        line.add_row(*cells)
        return line

    def _scores(self, prediction: Prediction) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=1)
        grid.add_column(min_width=max(map(len, self._names[:_ROWS])))
        if self._bar:
            grid.add_column(width=self._bar)
        grid.add_column(justify="right", width=7)
        grid.add_column(no_wrap=True)
        shown = (
            range(len(self._names)) if len(self._names) <= _ROWS else np.argsort(-prediction.scores)[:_ROWS].tolist()
        )
        bars = np.clip(prediction.scores, 0, 1) if self._enrolled else probabilities(prediction.scores)
        for index in shown:
            best, true = index == prediction.best, index == prediction.expected
            style = _style(best, true, prediction.expected >= 0)
            filled = round(bars[index] * self._bar)
            note = self._sure(prediction) if best else ""
            if true:
                note = f"{note}  label" if note else "label"
            grid.add_row(
                Text(">" if best else " ", style=style),
                Text(self._names[index], style=style),
                *([Text("█" * filled, style=style)] if self._bar else []),
                Text(f"{prediction.scores[index]:.2f}"),
                Text(note, style="green" if true else ""),
            )
        return grid

    def _sure(self, prediction: Prediction) -> str:
        if prediction.probability is not None:
            return f"probability {prediction.probability:.2f}"
        return f"margin {prediction.margin:.2f}"

    def _foot(self) -> RenderableType:
        median, p99 = np.quantile(np.array(self._latencies), [0.5, 0.99]) * 1e6
        parts = [f"latency median {micros(float(median))}, 99 % within {micros(float(p99))}"]
        if self._recording is not None and self._recording.frame_rate:
            parts[0] += f" of {micros(1e6 / self._recording.frame_rate)} a frame"
        if self._known:
            parts.append(f"correct so far {self._correct / self._known:.1%}")
        return Text("  ·  ".join(parts), style="dim")


def _style(best: bool, true: bool, known: bool) -> str:
    """Green: correct; red: wrong; yellow: no label."""
    if not best:
        return "dim"
    return "bold green" if true else "bold red" if known else "bold yellow"


def print_line(out: Console, result: Result, name: str) -> None:
    """One of several recordings, in a line."""
    summary = result.summary()
    accuracy = summary["accuracy"]
    mostly = f"mostly {summary['majority']}" if len(result) else ""
    outcome = f"{accuracy['fraction']:6.1%} correct" if accuracy else mostly
    out.print(f"{name:24}  {len(result):6d} frames  {outcome}")


def print_result(out: Console, result: Result, window: int | None = None) -> None:
    """The summary of one recording in words."""
    summary = result.summary(window)
    name = f"{Path(summary['source']).name} {summary['recording']}".strip()
    accuracy = summary["accuracy"]
    duration = f" in {summary['duration_s']:.1f} s" if summary["duration_s"] else ""
    rate = f", {summary['frame_rate_hz']:.4g} a second" if summary["frame_rate_hz"] else ""
    out.print(f"{name}: {quantity(len(result))} frames{duration}{rate}")
    if summary["latency"]:
        out.print(f"  latency   {latency_text(summary['latency'])}")
    out.print(f"  dropped   {describe(summary['dropped'])}")
    for note in summary["notes"]:
        out.print(f"  note      {note}")
    if summary["predictions"]:
        ordered = sorted(summary["predictions"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{who} {count}" for who, count in ordered[:8]) + (", …" if len(ordered) > 8 else "")
        out.print(f"  predicted {shown}; mean margin {summary['mean_margin']:.3f}")
    print_accuracy(out, accuracy)


def draw(result: Result, path: str, out: Console | None) -> None:
    """Draws the timeline and reports it on `out`; without frames, reports that on standard error."""
    if not len(result):
        say(f"aether: {path}: not drawn, there are no frames", err=True)
        return
    from aether_temporal.running.plot import plot

    remarks = plot(result, path)
    if out is not None:
        for line in remarks:
            out.print(line)
        out.print(f"timeline drawn to {path}")


def print_total(out: Console, summary: dict[str, Any]) -> None:
    """The summary of several recordings in words."""
    out.print()
    out.print(f"{summary['recordings']} recordings, {quantity(summary['frames'])} frames")
    if summary["latency"]:
        out.print(f"  latency   {latency_text(summary['latency'])}")
    print_accuracy(out, summary["accuracy"])
    if summary["accuracy"] is None:
        out.print("            a manifest can state the labels of files: file,label")


def print_accuracy(out: Console, accuracy: dict[str, Any] | None) -> None:
    """What `accuracy_summary` found, in words."""
    if accuracy is None:
        out.print("  accuracy  unknown: no frame has a label that is a class of this model")
        return
    out.print(
        f"  accuracy  {accuracy['fraction']:.1%} of {quantity(accuracy['frames'])} frames with a label; "
        f"{accuracy['balanced']:.1%} as the mean over classes"
    )
    windows = accuracy["windows"]
    if windows["windows"]:
        out.print(
            f"            {windows['fraction']:.1%} of {quantity(windows['windows'])} windows of {windows['length']} "
            f"frames (most frequent label, prediction after the last frame)"
        )
    if accuracy["recordings"]:
        out.print(
            f"            {accuracy['recordings_correct']} of {accuracy['recordings']} recordings "
            f"by their most frequent prediction"
        )
    if len(accuracy["by_class"]) > 1:
        shown = table("            class", ">correct", ">frames", ">")
        for name, entry in accuracy["by_class"].items():
            shown.add_row(
                f"            {name}", str(entry["correct"]), str(entry["frames"]), f"{entry['fraction']:.1%}"
            )
        out.print(shown)
    if accuracy["unmatched_labels"]:
        out.print(f"            not classes of this model: {', '.join(accuracy['unmatched_labels'])}")


def latency_text(latency: dict[str, Any]) -> str:
    """What `latency_summary` found, in words."""
    text = f"median {micros(latency['median_us'])}, 99 % within {micros(latency['p99_us'])}"
    if latency["period_us"] is not None:
        text += f"; frames come every {micros(latency['period_us'])} ({latency['p99_of_period']:.2%} of it)"
    return text
