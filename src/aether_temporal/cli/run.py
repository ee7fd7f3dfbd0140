"""aether run MODEL RECORDING"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aether_temporal import TemporalModel
from aether_temporal.recordings import Recording, RecordingSelectionError, describe, list_recordings, open_recording
from aether_temporal.running import Gallery, Result, Total, default_capacity, run
from aether_temporal.running.gallery import enrol, is_gallery
from aether_temporal.running.live_text import run_live
from aether_temporal.running.stream import Answer, answer_names, real_time
from aether_temporal.shipped import model_path

from .live import Display, Lines, Panel, Silent
from .options import format_option, json_option, model_argument, pick_option, stream_options
from .output import console, micros, print_json, print_json_line, quantity, table


@click.command("run")
@model_argument
@click.argument("recording", type=click.Path())
@click.option("--recording", "choice", metavar="NAME", help="Which recording of the file, by name or index.")
@click.option("--all", "all_", is_flag=True, help="Every recording of the file, each from the beginning, and the sum.")
@click.option("--session", "sessions", multiple=True, help="With --all: only recordings of this session; may be repeated.")
@click.option(
    "--enroll",
    multiple=True,
    metavar="GALLERY",
    help="Enrolled persons: what `aether enroll` wrote, a file of recordings with persons, or NAME=FILE; may be repeated.",
)
@click.option("--enroll-session", help="Of a file of recordings, enrol only those of this session.")
@stream_options
@pick_option
@format_option
@click.option(
    "--speed",
    type=click.Choice(["real", "max"]),
    help="In the recording's own time, or as fast as it goes. [default: real on a terminal, else max]",
)
@json_option
@click.option("--jsonl", is_flag=True, help="One JSON line for each frame, and the summary as the last.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the timeline to this file (extra `plot`).")
@click.pass_context
def command(ctx: click.Context, model: str, recording: str, **options: Any) -> None:
    """Stream RECORDING frame by frame through MODEL; show the class, or the nearest enrolled person, with its margin.

    MODEL is a blob or the name of a shipped one (activity, demo). RECORDING is an .npz or .npy file, Espressif's CSI text,
    raw CSI frames or a packet capture; '-' reads CSI text from standard input as it comes. Then: frames, latency a frame,
    what was dropped, and accuracy where the recording has labels.
    """
    _check_options(options, recording)
    opened = TemporalModel.from_blob(model_path(model))
    capacity = options["capacity"] or default_capacity(opened)
    gallery = _gallery(opened, capacity, options)
    machine = options["as_json"] or options["jsonl"]
    out = console()
    results: list[Result] = []
    stopped = False
    if recording == "-":
        display = _display(out, machine, answer_names(opened, gallery), None, f"{model} ← standard input", gallery)
        show = _with_jsonl(display, options["jsonl"], answer_names(opened, gallery))
        with display:
            found = run_live(opened, sys.stdin.buffer, capacity=capacity, dtype=options["dtype"], gallery=gallery,
                             pick=options["pick"], on_answer=show)  # fmt: skip
        results.append(found)
    else:
        real = options["speed"] == "real" or (
            options["speed"] is None and out.is_terminal and not machine and not options["all_"]
        )
        for source in _recordings(recording, options):
            title = f"{Path(model).name} ← {Path(source.source).name} {source.name}".rstrip()
            names = answer_names(opened, gallery)
            display = Silent() if options["all_"] and not out.is_terminal else _display(out, machine, names, source, title, gallery)
            with display:
                found = run(opened, source, capacity=capacity, dtype=options["dtype"], gallery=gallery, pick=options["pick"],
                            pace=real_time(source) if real else None,
                            on_answer=_with_jsonl(display, options["jsonl"], names))  # fmt: skip
            results.append(found)
            stopped = len(found) < len(source)
            if not machine:
                print_result(out, found, brief=options["all_"])
            if stopped:
                break
    document = _document(model, opened, capacity, options["dtype"], gallery, results)
    if options["jsonl"]:
        print_json_line({"summary": document})
    elif options["as_json"]:
        print_json(document)
    elif recording == "-":
        print_result(out, results[0])
    elif options["all_"]:
        print_total(out, Total(results))
    if options["plot"] and len(results[0]):
        from aether_temporal.running.plot import plot

        plot(results[0], options["plot"])
        if not machine:
            out.print(f"timeline drawn to {options['plot']}", markup=False)
    ctx.exit(130 if stopped else 0)


def _check_options(options: dict[str, Any], recording: str) -> None:
    if options["as_json"] and options["jsonl"]:
        raise click.UsageError("--json and --jsonl: expected one of them, found both")
    if options["all_"] and options["choice"] is not None:
        raise click.UsageError("--all and --recording: expected one of them, found both")
    if options["all_"] and options["plot"]:
        raise click.UsageError("--plot draws one recording: expected --recording, found --all")
    if options["sessions"] and not options["all_"]:
        raise click.UsageError("--session: expected together with --all")
    if recording == "-" and (options["all_"] or options["choice"] is not None or options["format_"] not in (None, "csi-text")):
        raise click.UsageError("standard input ('-') is CSI text: expected none of --all, --recording and --format")


def _recordings(path: str, options: dict[str, Any]) -> Iterator[Recording]:
    if not options["all_"]:
        yield open_recording(path, recording=options["choice"], format=options["format_"])
        return
    infos = list_recordings(path, format=options["format_"])
    wanted = [info for info in infos if not options["sessions"] or info.session in options["sessions"]]
    if not wanted:
        found = ", ".join(sorted({info.session for info in infos if info.session is not None})) or "none"
        raise RecordingSelectionError(f"{path}: session: expected one of those there are ({found}), found none of them")
    for info in wanted:
        yield open_recording(path, recording=info.index, format=options["format_"])


def _gallery(model: TemporalModel, capacity: int, options: dict[str, Any]) -> Gallery | None:
    sources: Sequence[str] = options["enroll"]
    if not sources:
        return None
    if len(sources) == 1 and "=" not in sources[0] and is_gallery(sources[0]):
        return Gallery.load(sources[0])
    return enrol(
        model, persons(sources, options["enroll_session"]), capacity=capacity, dtype=options["dtype"], pick=options["pick"]
    )


def persons(sources: Sequence[str], session: str | None) -> Iterator[tuple[str, Recording]]:
    """(name, recording) of everything to enrol: NAME=FILE, or a file whose recordings know their person."""
    for source in sources:
        name, equals, path = source.partition("=")
        if equals and not Path(source).exists():
            yield name, open_recording(path)
            continue
        for info in list_recordings(source):
            if session is not None and info.session != session:
                continue
            person = info.person if info.person is not None else info.name
            yield person, open_recording(source, recording=info.index)


def _display(
    out: Console, machine: bool, names: tuple[str, ...], source: Recording | None, title: str, gallery: Gallery | None
) -> Display:
    if machine:
        return Silent()
    return Panel(out, names, source, title, gallery is not None) if out.is_terminal else Lines(out, names, source)


def _with_jsonl(display: Display, jsonl: bool, names: tuple[str, ...]) -> Any:
    def show(answer: Answer) -> None:
        print_json_line(
            {
                "frame": answer.index,
                "answer": names[answer.best],
                "margin": answer.margin,
                "scores": [float(score) for score in answer.scores],
                "latency_us": answer.latency * 1e6,
                "truth": names[answer.truth] if answer.truth >= 0 else None,
            }
        )

    return show if jsonl else display.show


def _document(
    model: str, opened: TemporalModel, capacity: int, dtype: str, gallery: Gallery | None, results: list[Result]
) -> dict[str, Any]:
    return {
        "model": model,
        "kernels": opened.kernels,
        "capacity": capacity,
        "dtype": dtype,
        "enrolled": None if gallery is None else len(gallery.names),
        "recordings": [result.summary() for result in results],
        "total": Total(results).summary(),
    }


def print_result(out: Console, result: Result, brief: bool = False) -> None:
    """The summary of one recording in words; `brief`: one line."""
    summary = result.summary()
    name = f"{Path(summary['source']).name} {summary['recording']}".strip()
    accuracy = summary["accuracy"]
    if brief:
        right = f"{accuracy['fraction']:6.1%} right" if accuracy else f"mostly {summary['majority']}"
        out.print(f"{summary['recording'] or name:24}  {len(result):6d} frames  {right}", markup=False)
        return
    duration = f" in {summary['duration_s']:.1f} s" if summary["duration_s"] else ""
    rate = f", {summary['frame_rate_hz']:.4g} a second" if summary["frame_rate_hz"] else ""
    out.print(f"{name}: {quantity(len(result))} frames{duration}{rate}", markup=False)
    if summary["latency"]:
        out.print(f"  latency   {latency_text(summary['latency'])}", markup=False)
    out.print(f"  dropped   {describe(summary['dropped'])}", markup=False)
    for note in summary["notes"]:
        out.print(f"  note      {note}", markup=False)
    if summary["answers"]:
        ordered = sorted(summary["answers"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{who} {count}" for who, count in ordered[:8]) + (", …" if len(ordered) > 8 else "")
        out.print(f"  answers   {shown}; mean margin {summary['mean_margin']:.3f}", markup=False)
    print_accuracy(out, accuracy)


def print_total(out: Console, total: Total) -> None:
    summary = total.summary()
    out.print()
    out.print(f"{summary['recordings']} recordings, {quantity(summary['frames'])} frames")
    if summary["latency"]:
        out.print(f"  latency   {latency_text(summary['latency'])}", markup=False)
    print_accuracy(out, summary["accuracy"])


def print_accuracy(out: Console, accuracy: dict[str, Any] | None) -> None:
    if accuracy is None:
        out.print("  accuracy  unknown: the recording has no labels that are classes of this model")
        return
    out.print(
        f"  accuracy  {accuracy['fraction']:.1%} of {quantity(accuracy['frames'])} frames with a label; "
        f"{accuracy['balanced']:.1%} where each class counts the same"
    )
    if accuracy["recordings"]:
        out.print(f"            {accuracy['recordings_right']} of {accuracy['recordings']} recordings by their most frequent answer")
    if len(accuracy["by_class"]) > 1:
        shown = table("            class", ">right", ">frames", ">")
        for name, entry in accuracy["by_class"].items():
            shown.add_row(f"            {name}", str(entry["right"]), str(entry["frames"]), f"{entry['fraction']:.1%}")
        out.print(shown)
    if accuracy["unmatched_labels"]:
        out.print(f"            not classes of this model: {', '.join(accuracy['unmatched_labels'])}", markup=False)


def latency_text(latency: dict[str, Any]) -> str:
    text = f"median {micros(latency['median_us'])}, 99 % within {micros(latency['p99_us'])}"
    if latency["period_us"] is not None:
        text += f"; frames come every {micros(latency['period_us'])} ({latency['p99_of_period']:.2%} of it)"
    return text
