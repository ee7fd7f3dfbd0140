"""Displays of `aether listen`: a table on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from aether_temporal._internal.summary import printable
from aether_temporal.listening import Events, NodePrediction, NodeSnapshot, PredictorStatus
from aether_temporal.listening.engine import Status
from aether_temporal.listening.nodes import NodeCheck
from aether_temporal.listening.recent_frames import RecentFrames
from aether_temporal.recordings import Recording, describe

from .output import Display, print_json_line, print_table, quantity, shortened, wrapped

_SILENT = 5.0  # seconds after which a node is shown as silent
_OTHER_LINES = 6  # of the display, beside those of nodes
_ADDRESS, _RECEIPTS = 1, 10
_SHORTEST_ADDRESS = 15
_MOST_PICTURES = 4
_LEAST_PICTURE = 5  # lines
_LONGEST_CLASS = 24
_SHARED = "two senders say this id: their numbers alternate; give each node an id of its own"
_COLUMNS = (  # heading, and the terminal width from which on the column is shown
    (">node", 0),
    ("address", 0),
    ("class", 0),
    (">logit", 76),
    (">margin", 66),
    (">a second", 76),
    (">lost", 56),
    (">late", 90),
    (">restarts", 100),
    (">rejected", 90),
    ("receipts", 0),
    (">last", 0),
)

_SUMMARY = (  # heading, and a rank: the higher, the sooner the column goes where room is short
    (">node", 0),
    ("address", 0),
    (">raw", 1),
    (">features", 5),
    (">classifications", 4),
    (">lost", 2),
    (">late", 7),
    (">restarts", 6),
    (">rejected", 3),
    ("last", 0),
)


class StatusDisplay(Display[Status]):
    """`show` is called every `period` seconds. This one shows nothing."""

    period = 0.25


class JsonLines(StatusDisplay):
    """One JSON line per event."""

    period = 0.05

    def __init__(self, events: Events) -> None:
        self._events = events

    def show(self, status: Status) -> None:
        for event in self._events.take():
            print_json_line(event)


class Lines(StatusDisplay):
    """One line when a node is heard first, restarts, or its class changes. No control characters."""

    def __init__(self, out: Console, names: Sequence[str]) -> None:
        self._out, self._names = out, names
        self._seen: dict[tuple[str, int], NodeSnapshot] = {}

    def show(self, status: Status) -> None:
        rows = {(row.address, row.node_id): row for row in status.snapshot.nodes}
        for key, row in rows.items():
            before = self._seen.get(key)
            if before is None or before.first_seen != row.first_seen:
                self._say(row, "first packet")
            elif row.restarts > before.restarts:
                self._say(row, "restarted")
            if row.trouble is not None and (before is None or before.trouble != row.trouble):
                self._say(row, f"not classified: {row.trouble}")
            if row.check is not None and (
                before is None or before.check is None or before.check.verdict != row.check.verdict
            ):
                self._say(
                    row, f"receipts: {receipts_text(row.check)}" + (f" ({row.check.why})" if row.check.why else "")
                )
            if row.shared and (before is None or not before.shared):
                self._say(row, _SHARED)
            if row.prediction is not None and (
                before is None or before.prediction is None or _class(before) != _class(row)
            ):
                self._say(row, prediction_text(row.prediction, self._names))
        self._seen = rows

    def _say(self, row: NodeSnapshot, what: str) -> None:
        stamp = time.strftime("%H:%M:%S", time.localtime(row.last_seen))
        self._out.print(f"{stamp}  node {row.node_id:3d}  {row.address}  {what}")


class NodesTable(StatusDisplay):
    """A table redrawn in place; with `recent` a picture of each node's newest frames, of as many as fit."""

    def __init__(self, out: Console, names: Sequence[str], recent: RecentFrames | None = None) -> None:
        self._out, self._names, self._recent = out, names, recent
        super().__init__(out)

    def show(self, status: Status) -> None:
        self.redraw(self.render(status))

    def render(self, status: Status) -> RenderableType:
        snapshot = status.snapshot
        foot = [(wrapped(printable(line), self._out.width), style) for line, style in _foot(status)]
        more = sum(line.count("\n") for line, _ in foot)
        lines = max(1, self._out.height - _OTHER_LINES - more)
        lines = min(lines, _MOST_PICTURES) if self._recent is not None else lines
        shown = (
            sorted(snapshot.nodes, key=lambda row: row.silent)[:lines]
            if len(snapshot.nodes) > lines
            else snapshot.nodes
        )
        parts: list[RenderableType] = [_head(status)]
        if shown:
            parts.append(
                _nodes(sorted(shown, key=lambda row: (row.node_id, row.address)), self._names, self._out.width)
            )
        else:
            parts.append(Text("no packets yet", style="dim"))
        if len(shown) < len(snapshot.nodes):
            parts.append(Text(f"… and {len(snapshot.nodes) - len(shown)} more nodes, silent for longer", style="dim"))
        if self._recent is not None:
            parts += self._pictures(self._recent, self._out.height - _OTHER_LINES - more - len(shown))
        parts += [Text(line, style=style) for line, style in foot]
        return Group(*parts)

    def _pictures(self, recent: RecentFrames, space: int) -> list[Text]:
        """As many lines of each of the nodes heard last as there is room for."""
        found = recent.recordings()[-max(1, min(_MOST_PICTURES, space // _LEAST_PICTURE)) :]
        lines = max(_LEAST_PICTURE, space // max(1, len(found))) - 2
        parts = []
        for each in sorted(found, key=lambda recording: recording.name):
            parts += [Text(printable(each.name), style="bold"), *waterfall(self._out, each, lines)]
        return parts


def _head(status: Status) -> RenderableType:
    host, port = status.where
    taken = sum(status.snapshot.accepted.values())
    text = Text(f"{printable(host)} port {port}", style="bold")
    text.append(f"  ·  {len(status.snapshot.nodes)} nodes  ·  {quantity(taken)} packets", style="not bold")
    return text


def _foot(status: Status) -> list[tuple[str, str]]:
    snapshot = status.snapshot
    lines: list[tuple[str, str]] = []
    if snapshot.rejected:
        lines.append((f"rejected  {describe(snapshot.rejected)}   (last: {snapshot.last_rejected})", "yellow"))
    if status.recorded is not None:
        path, written, lost, error = status.recorded
        text = f"recording {path}: {quantity(written)} packets" + (f", {quantity(lost)} lost" if lost else "")
        lines.append((text if error is None else error, "dim" if error is None else "bold red"))
    if snapshot.system_drops:
        lines.append((f"{quantity(snapshot.system_drops)} datagrams dropped by the system: its buffer was full", "red"))
    lines += [(warning, "yellow") for warning in status.warnings]
    lines += [(f"node {row.node_id} at {row.address}: {_SHARED}", "yellow") for row in snapshot.nodes if row.shared]
    for row in snapshot.nodes:
        if row.check is not None and row.check.different is not None:
            at, what = row.check.different
            stamp = time.strftime("%H:%M:%S", time.localtime(at))
            lines.append((f"node {row.node_id} at {row.address}: different at {stamp}: {what}", "bold red"))
    return lines + ([] if status.model is None else _model_lines(status.model, status.model_name))


def _model_lines(done: PredictorStatus, name: str) -> list[tuple[str, str]]:
    """What the model did not classify, and why."""
    lines: list[tuple[str, str]] = []
    if done.unsuitable:
        frames = f"{quantity(done.unsuitable)} frames do not suit" if done.predicted else "no frame suits"
        lines.append((f"{frames} {name}: {done.why}", "red"))
    if done.dropped:
        lines.append((f"{quantity(done.dropped)} frames not classified: the model did not keep up", "red"))
    if done.overflowed:
        lines.append((f"{quantity(done.overflowed)} frames not classified: numbers beyond the model's range", "red"))
    if done.failed:
        lines.append((f"{quantity(done.failed)} streams dropped because of errors; the last: {done.trouble}", "red"))
    if done.replaced:
        lines.append((f"{quantity(done.replaced)} streams gave way to those of other nodes (--max-memory)", "yellow"))
    return lines


def _nodes(rows: Sequence[NodeSnapshot], names: Sequence[str], width: int) -> Table:
    """One line per node: columns and addresses are cut to the width."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    kept = [place for place, (_, least) in enumerate(_COLUMNS) if width >= least]
    if all(row.check is None for row in rows):
        kept.remove(_RECEIPTS)
    lines = [[printable(cell) for cell in (*_cells(row, names), _ago(row.silent))] for row in rows]
    columns = {place: [_COLUMNS[place][0].removeprefix(">"), *(line[place] for line in lines)] for place in kept}
    taken = sum(max(map(cell_len, columns[place])) + 2 for place in kept if place != _ADDRESS)
    for place in kept:
        name = _COLUMNS[place][0]
        found.add_column(
            Text(name.removeprefix(">"), no_wrap=True),
            justify="right" if name.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row, line in zip(rows, lines, strict=True):
        line[_ADDRESS] = shortened(line[_ADDRESS], max(_SHORTEST_ADDRESS, width - taken))
        found.add_row(*(line[place] for place in kept), style="dim" if row.silent >= _SILENT else "")
    return found


def _cells(row: NodeSnapshot, names: Sequence[str]) -> list[str]:
    prediction = row.prediction
    return [
        str(row.node_id),
        row.address,
        shortened(class_text(prediction, names), _LONGEST_CLASS) if prediction is not None else _unclassified(row),
        "" if prediction is None else f"{prediction.logit:.2f}",
        "" if prediction is None else f"{prediction.margin:.2f}",
        f"{row.rate:.1f}",
        _some(row.missing),
        _some(row.late + row.duplicates),
        _some(row.restarts),
        _some(sum(row.rejected.values())),
        receipts_text(row.check),
    ]


def receipts_text(check: NodeCheck | None) -> str:
    """The newest verdict in a word or two."""
    if check is None:
        return ""
    behind = f" {quantity(check.behind)}" if check.behind else ""
    return f"{check.verdict.replace('_', ' ')}{behind}"


def _unclassified(row: NodeSnapshot) -> str:
    return "" if row.trouble is None else "not classified"


def _some(count: int) -> str:
    return quantity(count) if count else "-"


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _class(row: NodeSnapshot) -> tuple[int, bool] | None:
    return None if row.prediction is None else (row.prediction.class_index, row.prediction.local)


def class_text(prediction: NodePrediction, names: Sequence[str]) -> str:
    """The class's name or number, and its probability where it is known; "(here)" marks a prediction made on this
    computer."""
    name = names[prediction.class_index] if len(names) == prediction.n_classes else f"class {prediction.class_index}"
    if prediction.probability is not None:
        name += f" {prediction.probability:.0%}"
    return f"{name} (here)" if prediction.local else name


def prediction_text(prediction: NodePrediction, names: Sequence[str]) -> str:
    return f"{class_text(prediction, names)}  logit {prediction.logit:.2f}  margin {prediction.margin:.2f}"


def document(status: Status, names: Sequence[str], seconds: float) -> dict[str, Any]:
    """The summary as a JSON document."""
    host, port = status.where
    found: dict[str, Any] = {"address": host, "port": port, "seconds": seconds, **status.snapshot.document()}
    for row, entry in zip(status.snapshot.nodes, found["nodes"], strict=True):
        prediction = row.prediction
        entry["name"] = (
            names[prediction.class_index] if prediction is not None and len(names) == prediction.n_classes else None
        )
    recorded = status.recorded
    found["recording"] = (
        None
        if recorded is None
        else {"file": recorded[0], "packets": recorded[1], "lost": recorded[2], "error": recorded[3]}
    )
    found["warnings"] = list(status.warnings)
    done = status.model
    found["frames_not_classified"] = 0 if done is None else done.dropped
    found["unsuitable_frames"] = 0 if done is None else done.unsuitable
    found["unsuitable_because"] = None if done is None else done.why
    found["failed_streams"] = 0 if done is None else done.failed
    found["replaced_streams"] = 0 if done is None else done.replaced
    return found


def print_summary(out: Console, status: Status, names: Sequence[str], seconds: float) -> None:
    """Prints the summary."""
    snapshot = status.snapshot
    taken = sum(snapshot.accepted.values())
    out.print()
    out.print(f"{quantity(taken)} packets of {len(snapshot.nodes)} nodes in {seconds:.1f} s")
    if snapshot.nodes:
        rows = []
        for row in snapshot.nodes:
            cells = _cells(row, names)
            counts = [quantity(row.accepted.get(kind, 0)) for kind in ("raw", "features", "classification")]
            rows.append([*cells[:2], *counts, *cells[6:10], cells[2]])
        print_table(out, _SUMMARY, rows)
    for row in snapshot.nodes:
        if row.check is not None:
            counted = describe({name.replace("_", " "): n for name, n in row.check.counts.items() if n})
            out.print(f"node {row.node_id} at {row.address}: receipts {counted}")
    out.print(f"rejected  {describe(snapshot.rejected)}")
    if snapshot.evicted:
        out.print(f"removed   {quantity(snapshot.evicted)} unknown or silent nodes, for new ones")
    for line, _ in _foot(status)[1 if snapshot.rejected else 0 :]:
        out.print(line)


# -- Amplitudes of the newest frames as coloured text: a line a moment, a column a subcarrier ------------------

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
