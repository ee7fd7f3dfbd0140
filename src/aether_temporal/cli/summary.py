"""The summary of a run in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aether_temporal.recordings import describe
from aether_temporal.running import Result
from aether_temporal.running.result import WINDOW

from .output import micros, printable, quantity, table


def print_result(out: Console, result: Result, window: int = WINDOW, brief: bool = False) -> None:
    """The summary of one recording in words; `brief`: one line."""
    summary = result.summary(window)
    name = f"{Path(summary['source']).name} {summary['recording']}".strip()
    accuracy = summary["accuracy"]
    if brief:
        mostly = f"mostly {summary['majority']}" if len(result) else ""
        right = f"{accuracy['fraction']:6.1%} right" if accuracy else mostly
        out.print(f"{summary['recording'] or name:24}  {len(result):6d} frames  {right}")
        return
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
        out.print(f"  answers   {shown}; mean margin {summary['mean_margin']:.3f}")
    print_accuracy(out, accuracy)


def draw(result: Result, path: str, out: Console | None) -> None:
    """Draws the timeline and says so on `out`; where there is nothing to draw, says that on standard error."""
    if not len(result):
        click.echo(f"aether: {printable(path)}: not drawn, there are no frames", err=True)
        return
    from aether_temporal.running.plot import plot

    plot(result, path)
    if out is not None:
        out.print(f"timeline drawn to {path}")


def print_total(out: Console, summary: dict[str, Any]) -> None:
    out.print()
    out.print(f"{summary['recordings']} recordings, {quantity(summary['frames'])} frames")
    if summary["latency"]:
        out.print(f"  latency   {latency_text(summary['latency'])}")
    print_accuracy(out, summary["accuracy"])


def print_accuracy(out: Console, accuracy: dict[str, Any] | None) -> None:
    if accuracy is None:
        out.print("  accuracy  unknown: the recording has no labels that are classes of this model")
        return
    out.print(
        f"  accuracy  {accuracy['fraction']:.1%} of {quantity(accuracy['frames'])} frames with a label; "
        f"{accuracy['balanced']:.1%} where each class counts the same"
    )
    windows = accuracy["windows"]
    if windows["windows"]:
        out.print(
            f"            {windows['fraction']:.1%} of {quantity(windows['windows'])} windows of {windows['length']} "
            f"frames (most frequent label, answer after the last frame)"
        )
    if accuracy["recordings"]:
        out.print(
            f"            {accuracy['recordings_correct']} of {accuracy['recordings']} recordings "
            f"by their most frequent answer"
        )
    if len(accuracy["by_class"]) > 1:
        shown = table("            class", ">right", ">frames", ">")
        for name, entry in accuracy["by_class"].items():
            shown.add_row(
                f"            {name}", str(entry["correct"]), str(entry["frames"]), f"{entry['fraction']:.1%}"
            )
        out.print(shown)
    if accuracy["unmatched_labels"]:
        out.print(f"            not classes of this model: {', '.join(accuracy['unmatched_labels'])}")


def latency_text(latency: dict[str, Any]) -> str:
    text = f"median {micros(latency['median_us'])}, 99 % within {micros(latency['p99_us'])}"
    if latency["period_us"] is not None:
        text += f"; frames come every {micros(latency['period_us'])} ({latency['p99_of_period']:.2%} of it)"
    return text
