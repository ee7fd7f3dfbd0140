"""aether recordings FILE"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from aether_temporal._internal.summary import printable
from aether_temporal.recordings import Sources, describe
from aether_temporal.recordings.quality import RecordingQuality, Remarks, Timing, quality_of
from aether_temporal.subcarriers import Band

from .options import hints_of, json_option, label_option, recording_options
from .output import console, names_within, print_json, print_table, quantity, seconds_text, wrapped

_WIDE = 120
_LABELS = 24
"""Characters of a recording's labels, on a terminal narrower than `_WIDE`."""
_COLUMNS = (  # heading, and a rank: the higher, the sooner the column goes where room is short
    (">index", 0),
    ("name", 0),
    (">frames", 0),
    (">width", 4),
    (">a second", 5),
    ("labels", 1),
    ("subject", 3),
    ("session", 3),
    (">dropped", 2),
)
_IN_FULL = 3
"""Up to this many recordings, each is described in full."""


@click.command("recordings")
@click.argument("file", type=click.Path())
@click.argument("recording", required=False, metavar="[NAME]")
@label_option
@recording_options
@json_option
def command(
    file: str, recording: str | None, label_from: str | None, format_: str | None, as_json: bool, **options: Any
) -> None:
    """Describe the recordings of FILE, or the one of this NAME or index, as `run` and `train` will use them.

    FILE has any of the formats, or is a manifest, a folder, or a wildcard in quotes. Warns of what would mislead a
    training or a run: bursts, gaps, dropped frames, subcarriers that are dead, frozen or saturated, a frozen buffer.
    """
    sources = Sources([file], label_from=label_from, format=format_, hints=hints_of(options))
    remarks = Remarks()
    found: list[RecordingQuality] = []
    for each in sources if recording is None else [sources.one(recording)]:
        found.append(quality_of(each))
        remarks.add(each, found[-1].warnings)
    if as_json:
        entries = [{"index": index, **each.document()} for index, each in enumerate(found)]
        print_json({"file": file, "recordings": entries, "notes": sources.notes})
        return
    out = console()
    if len(found) <= _IN_FULL:
        for quality in found:
            describe_quality(out, quality)
    else:
        _list(out, file, found, remarks)
    for note in sources.notes:
        out.print(note)


def describe_quality(out: Console, found: RecordingQuality) -> None:
    level = None if found.level_db is None else f"frames differ by {found.level_db:.1f} dB (5 to 95 %)"
    amplification = [
        f"{name} {low}" + (f" to {high}" if high > low else "") for name, (low, high) in found.amplification.items()
    ]
    rows = [
        ("frames", _frames(found)),
        ("subcarriers" if found.raw else "features", _columns(found)),
        ("rate", _rate(found)),
        ("gaps", _gaps(found.timing)),
        ("labels", _labels(found)),
        ("subject", found.subject),
        ("session", found.session),
        ("level", level),
        (
            "gain",
            f"{', '.join(amplification)}, as the device states; not applied to the frames" if amplification else None,
        ),
        ("dropped", describe(found.dropped)),
        *(("note", text) for text in found.notes),
        *(("warning", text) for text in found.warnings),
    ]
    out.print(f"{found.title} ({found.format})", style="bold")
    _print_rows(out, rows)


def _frames(found: RecordingQuality) -> str:
    what = f"{found.width} I/Q pairs of {found.bits} bits" if found.raw else f"{found.width} features"
    duration = "" if found.duration is None else f" in {seconds_text(found.duration)}"
    repeated = f"; {quantity(found.repeated)} repeat an earlier one" if found.repeated else ""
    return f"{quantity(found.frames)} of {what}{duration}{repeated}"


def _columns(found: RecordingQuality) -> str:
    parts = [found.layout or "numbers not known, counted from 0"] if found.raw else []
    if found.raw and found.subcarriers is not None and Band.ANY in found.subcarriers.bands:
        parts[0] += ", of L-LTF or HT-LTF (any)"
    for what, places in (("always zero", found.dead), ("frozen", found.frozen), ("saturated", found.saturated)):
        parts.append(f"{what}: {found.named(places)}" if places else f"none {what}")
    return "; ".join(parts if found.raw else parts[:1])


def _rate(found: RecordingQuality) -> str:
    timing = found.timing
    if timing is None:
        return "unknown: no times" if found.frame_rate is None else f"{found.frame_rate:.4g} a second, as stated"
    spread = f"{seconds_text(timing.low)} to {seconds_text(timing.high)}"
    rate = f"{timing.rate:.4g} a second; intervals {seconds_text(timing.median)} (median), {spread} (5 to 95 %)"
    return rate + (f"; in bursts of {timing.together:.3g}, {timing.arrivals:.3g} a second" if timing.bursts else "")


def _gaps(timing: Timing | None) -> str | None:
    if timing is None:
        return None
    if not timing.gaps:
        return f"none; the longest interval is {seconds_text(timing.longest)}"
    shown = [f"{seconds_text(gap.seconds)} after {seconds_text(gap.start)}" for gap in timing.gaps[:5]]
    return ", ".join(shown) + (f", … ({len(timing.gaps)} in all)" if len(timing.gaps) > len(shown) else "")


def _labels(found: RecordingQuality) -> str:
    parts = [f"{name} {quantity(count)}" for name, count in found.classes.items()]
    if found.classes and found.unlabelled:
        parts.append(f"without a label {quantity(found.unlabelled)}")
    return ", ".join(parts) or "none"


def _list(out: Console, file: str, found: list[RecordingQuality], remarks: Remarks) -> None:
    named = names_within(each.source for each in found)
    rows = [
        (
            str(index),
            named(each.source, each.name),
            str(each.frames),
            str(each.width),
            "" if each.frame_rate is None else f"{each.frame_rate:.4g}",
            _classes(each, _LABELS if out.width < _WIDE else None),
            each.subject or "",
            each.session or "",
            f"{each.dropped_share:.0%}" if each.dropped_share else "",
        )
        for index, each in enumerate(found)
    ]
    print_table(out, _COLUMNS, rows, title=file)
    out.print(f"{len(found)} recordings, {quantity(sum(each.frames for each in found))} frames")
    classes: Counter[str] = Counter()
    for each in found:
        classes.update(each.classes)
    said = [
        ("labels", ", ".join(f"{name} {quantity(count)}" for name, count in classes.items())),
        ("dropped", describe(remarks.dropped)),
    ]
    notes = Counter(note for each in found for note in each.notes)
    said += [("note", note if count == len(found) else f"{note} ({count} recordings)") for note, count in notes.items()]
    _print_rows(out, [*said, *(("warning", text) for text in remarks.notes())])


def _classes(found: RecordingQuality, longest: int | None) -> str:
    """The names of the classes, or how many there are where the names take more characters."""
    names = ", ".join(found.classes)
    return names if longest is None or len(names) <= longest else f"{len(found.classes)} classes"


def _print_rows(out: Console, rows: Iterable[tuple[str, str | None]]) -> None:
    for name, value in rows:
        if value:
            line = wrapped(printable(f"   {name:12} {value}"), out.width, 16)
            out.print(Text(line, style="yellow" if name == "warning" else ""), soft_wrap=True)
