"""What `aether listen` shows: a table in place on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aether_temporal.listening import NodeView, Said, View
from aether_temporal.listening.events import Events
from aether_temporal.recordings import describe

from .output import print_json_line, printable, quantity, table

_SILENT = 5.0  # seconds after which a node is shown as silent
_FURNITURE = 6  # lines of the display that are no node
_PERIOD = 0.25
_ADDRESS = 1
_SHORTEST_ADDRESS = 15
_COLUMNS = (  # and how wide the terminal must be for them
    (">node", 0),
    ("address", 0),
    ("class", 0),
    (">logit", 60),
    (">margin", 50),
    (">a second", 60),
    (">lost", 50),
    (">late", 90),
    (">restarts", 100),
    (">refused", 90),
    (">last", 0),
)


@dataclass(frozen=True)
class Status:
    """All there is to show. recorded: file, packets in it, packets lost for a slow disk, error."""

    view: View
    where: tuple[str, int]
    recorded: tuple[str, int, int, str | None] | None
    behind: int  # frames that the model here did not keep up with


class Display(Protocol):
    """Told of the status every `period` seconds."""

    @property
    def period(self) -> float: ...

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, status: Status) -> None: ...


class _Plain:
    period = _PERIOD

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Silent(_Plain):
    """Shows nothing."""

    def show(self, status: Status) -> None:
        return None


class JsonLines(_Plain):
    """One JSON line an event."""

    period = 0.05

    def __init__(self, events: Events) -> None:
        self._events = events

    def show(self, status: Status) -> None:
        for event in self._events.take():
            print_json_line(event)


class Lines(_Plain):
    """One line when a node appears, starts again, or says something else; no control characters."""

    def __init__(self, out: Console, names: Sequence[str]) -> None:
        self._out, self._names = out, names
        self._seen: dict[tuple[str, int], NodeView] = {}

    def show(self, status: Status) -> None:
        rows = {(row.address, row.node_id): row for row in status.view.nodes}
        for key, row in rows.items():
            before = self._seen.get(key)
            if before is None or before.first_seen != row.first_seen:
                self._say(row, "heard for the first time")
            elif row.restarts > before.restarts:
                self._say(row, "started again")
            if row.said is not None and (before is None or before.said is None or _class(before) != _class(row)):
                self._say(row, said_text(row.said, self._names))
        self._seen = rows

    def _say(self, row: NodeView, what: str) -> None:
        stamp = time.strftime("%H:%M:%S", time.localtime(row.last_seen))
        self._out.print(f"{stamp}  node {row.node_id:3d}  {row.address}  {what}")


class NodesTable:
    """A table in place."""

    period = _PERIOD

    def __init__(self, out: Console, names: Sequence[str]) -> None:
        self._out, self._names = out, names
        self._live = Live(console=out, auto_refresh=False, transient=True)

    def __enter__(self) -> NodesTable:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, value, trace)

    def show(self, status: Status) -> None:
        self._live.update(self.render(status), refresh=True)

    def render(self, status: Status) -> RenderableType:
        view = status.view
        room = max(1, self._out.height - _FURNITURE)
        shown = sorted(view.nodes, key=lambda row: row.silent)[:room] if len(view.nodes) > room else view.nodes
        parts: list[RenderableType] = [_head(status)]
        if shown:
            parts.append(
                _nodes(sorted(shown, key=lambda row: (row.node_id, row.address)), self._names, self._out.width)
            )
        else:
            parts.append(Text("no node heard yet", style="dim"))
        if len(shown) < len(view.nodes):
            parts.append(Text(f"… and {len(view.nodes) - len(shown)} more nodes, silent for longer", style="dim"))
        parts += [Text(line, style=style, no_wrap=True, overflow="ellipsis") for line, style in _foot(status)]
        return Group(*parts)


def _head(status: Status) -> RenderableType:
    host, port = status.where
    taken = sum(status.view.accepted.values())
    text = Text(f"{host} port {port}", style="bold")
    text.append(f"  ·  {len(status.view.nodes)} nodes  ·  {quantity(taken)} packets", style="not bold")
    return text


def _foot(status: Status) -> list[tuple[str, str]]:
    view = status.view
    lines: list[tuple[str, str]] = []
    if view.refused:
        lines.append((f"refused   {describe(view.refused)}   (last: {view.last_refused})", "yellow"))
    if status.recorded is not None:
        path, written, lost, error = status.recorded
        text = f"recording {printable(path)}: {quantity(written)} packets" + (
            f", {quantity(lost)} lost" if lost else ""
        )
        lines.append((text if error is None else printable(error), "dim" if error is None else "bold red"))
    if view.overrun:
        why = "its buffer was full, or their address is held back for flooding"
        lines.append((f"{quantity(view.overrun)} datagrams were dropped by the system: {why}", "red"))
    if view.held:
        lines.append((f"held back for flooding: {', '.join(view.held)}", "red"))
    if status.behind:
        lines.append((f"{quantity(status.behind)} frames came faster than the model here answers", "red"))
    return lines


def _nodes(rows: Sequence[NodeView], names: Sequence[str], width: int) -> Table:
    """As many columns as there is room for, and as much of an address: a node stays a line."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    kept = [place for place, (_, least) in enumerate(_COLUMNS) if width >= least]
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
        line[_ADDRESS] = _shortened(line[_ADDRESS], max(_SHORTEST_ADDRESS, width - taken))
        found.add_row(*(line[place] for place in kept), style="dim" if row.silent >= _SILENT else "")
    return found


def _shortened(text: str, length: int) -> str:
    """Its beginning and its end, which tell addresses apart."""
    if len(text) <= length:
        return text
    end = length // 2
    return f"{text[: length - end - 1]}…{text[-end:]}"


def _cells(row: NodeView, names: Sequence[str]) -> list[str]:
    said = row.said
    return [
        str(row.node_id),
        row.address,
        "" if said is None else class_text(said, names),
        "" if said is None else f"{said.logit:.2f}",
        "" if said is None else f"{said.margin:.2f}",
        f"{row.rate:.1f}",
        _some(row.missing),
        _some(row.late + row.duplicates),
        _some(row.restarts),
        _some(sum(row.refused.values())),
    ]


def _some(count: int) -> str:
    return quantity(count) if count else "-"


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _class(row: NodeView) -> tuple[int, bool] | None:
    return None if row.said is None else (row.said.best, row.said.here)


def class_text(said: Said, names: Sequence[str]) -> str:
    """The class's name, or its number; a mark where the answer was made here and not by the node."""
    name = names[said.best] if len(names) == said.n_classes else f"class {said.best}"
    return f"{name} (here)" if said.here else name


def said_text(said: Said, names: Sequence[str]) -> str:
    return f"{class_text(said, names)}  logit {said.logit:.2f}  margin {said.margin:.2f}"


def document(status: Status, names: Sequence[str], seconds: float) -> dict[str, Any]:
    """The summary for programs."""
    host, port = status.where
    found: dict[str, Any] = {"address": host, "port": port, "seconds": seconds, **status.view.document()}
    for row, entry in zip(status.view.nodes, found["nodes"], strict=True):
        said = row.said
        entry["name"] = names[said.best] if said is not None and len(names) == said.n_classes else None
    recorded = status.recorded
    found["recording"] = (
        None
        if recorded is None
        else {"file": recorded[0], "packets": recorded[1], "lost": recorded[2], "error": recorded[3]}
    )
    found["frames_not_classified"] = status.behind
    return found


def print_summary(out: Console, status: Status, names: Sequence[str], seconds: float) -> None:
    """What comes at the end, for people."""
    view = status.view
    taken = sum(view.accepted.values())
    out.print(f"\n{quantity(taken)} packets of {len(view.nodes)} nodes in {seconds:.1f} s")
    if view.nodes:
        found = table(
            ">node",
            "address",
            ">raw",
            ">features",
            ">classifications",
            ">lost",
            ">late",
            ">restarts",
            ">refused",
            "last",
        )
        for row in view.nodes:
            cells = _cells(row, names)
            counts = [quantity(row.accepted.get(kind, 0)) for kind in ("raw", "features", "classification")]
            found.add_row(*cells[:2], *counts, *cells[6:10], cells[2])
        out.print(found)
    out.print(f"refused   {describe(view.refused)}")
    if view.evicted:
        out.print(f"gave way  {quantity(view.evicted)} rows, to newer nodes")
    for line, _ in _foot(status)[1 if view.refused else 0 :]:
        out.print(line)
