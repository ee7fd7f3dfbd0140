"""aether run MODEL RECORDING"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aether_temporal import TemporalModel
from aether_temporal._internal.interruption import interruptible
from aether_temporal.cache_types import CACHE_DTYPES
from aether_temporal.recordings import (
    Hints,
    Recording,
    RecordingError,
    Sources,
    describe,
)
from aether_temporal.recordings.recording_file import is_stream, open_stream
from aether_temporal.running import Gallery, Result, Total, model_input, run
from aether_temporal.running.live_text import run_live
from aether_temporal.running.result import WINDOW
from aether_temporal.running.stream import LONGEST_DELAY, Prediction, delay_of, prediction_names, real_time

from .enroll_command import enroll_option, enrolled
from .options import (
    context_option,
    expect_memory,
    hints_of,
    json_option,
    label_option,
    memory_option,
    model_argument,
    open_model,
    recording_options,
    stream_memory,
    subcarriers_option,
)
from .output import Display, bytes_text, console, names_within, print_json, print_json_line, quantity
from .run_display import JsonLines, Lines, Panel, draw, print_line, print_result, print_total

_MUCH_MEMORY = 64 << 20
"""Bytes of a stream from which on they are stated."""


@click.command("run")
@model_argument
@click.argument("recording", type=click.Path())
@click.option("--recording", "choice", metavar="NAME", help="The recording of the file, by name or index.")
@click.option("--all", "all_", is_flag=True, help="Every recording of the file, and a total.")
@click.option(
    "--session", "sessions", multiple=True, help="With --all: only recordings of this session; may be repeated."
)
@label_option
@enroll_option
@context_option
@click.option(
    "--dtype",
    type=click.Choice(CACHE_DTYPES),
    default="float32",
    show_default=True,
    help="Type of the cache; a model in integers keeps int8.",
)
@subcarriers_option
@recording_options
@click.option(
    "--speed",
    type=click.Choice(["real", "max"]),
    help="In real time, or as fast as possible. [default: real on a terminal, else max]",
)
@click.option(
    "--label-delay",
    type=click.IntRange(0, LONGEST_DELAY),
    help="Frames from a label to its prediction. [default: the delay the blob states, else 0]",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    help=f"Frames of a window, for accuracy by window. [default: {WINDOW}, or twice a longer label delay]",
)
@memory_option
@json_option
@click.option("--jsonl", is_flag=True, help="One JSON line for each frame, and the summary as the last.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the timeline to this file (extra `plot`).")
@click.pass_context
def command(ctx: click.Context, /, model: str, recording: str, **options: Any) -> None:
    """Stream RECORDING through MODEL frame by frame; show the class, or the nearest identity, with its margin.

    MODEL is a blob or the name of a bundled one (activity, demo, motion). RECORDING is an .npz or .npy file,
    Espressif's CSI text, raw CSI frames or a packet capture; a manifest, a folder, or a wildcard in quotes; '-'
    reads CSI text from standard input as it arrives. The summary states frames, latency, dropped frames, and
    accuracy where the recording has labels.
    """
    is_live = recording == "-" or is_stream(recording)
    _check_options(options, is_live)
    if options["plot"]:
        from aether_temporal._internal.figures import check_output

        check_output(options["plot"], "plot")
    opened = open_model(model)
    context = options["context"] or opened.default_context
    taken = stream_memory(opened, context, options["dtype"], options["max_memory"])
    if taken > _MUCH_MEMORY and not (options["as_json"] or options["jsonl"]):
        console().print(f"the stream takes {bytes_text(taken)} of memory, for a context of {quantity(context)} frames")
    hints = hints_of(options)
    gallery = enrolled(
        opened,
        options["enroll"],
        hints=hints,
        context=context,
        dtype=options["dtype"],
        select=options["select"],
    )
    job = _Job(model, opened, context, gallery, options, hints, console())
    ctx.with_resource(interruptible())
    results = [job.live(recording)] if is_live else list(job.stored(recording))
    job.report(results)
    ctx.exit(130 if results[-1].interrupted else 0)


@dataclass(frozen=True)
class _Job:
    """One call of the command."""

    name: str
    model: TemporalModel
    context: int
    gallery: Gallery | None
    options: dict[str, Any]
    hints: Hints
    out: Console

    @property
    def label_delay(self) -> int:
        """Frames from a label to its prediction: the option, else the blob's value."""
        return delay_of(self.model, self.options["label_delay"])

    @property
    def machine(self) -> bool:
        """Whether the output is JSON."""
        return bool(self.options["as_json"] or self.options["jsonl"])

    def live(self, path: str) -> Result:
        """Classifies CSI text as it comes, from standard input, a serial device or a pipe."""
        source = "standard input" if path == "-" else path
        opened = contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open_stream(path)
        with opened as file, self._display(None, source) as display:
            result = run_live(
                self.model,
                file,
                source=source,
                sender=self.options["choice"],
                hints=self.hints,
                label_delay=self.label_delay,
                context=self.context,
                dtype=self.options["dtype"],
                gallery=self.gallery,
                select=self.options["select"],
                on_prediction=display.show,
            )
        self._print(result, source)
        return result

    def stored(self, path: str) -> Iterator[Result]:
        """Classifies the recordings of a file, until the user interrupts."""
        speed = self.options["speed"]
        real = speed == "real" or (
            speed is None and self.out.is_terminal and not self.machine and not self.options["all_"]
        )
        names, scores = prediction_names(self.model, self.gallery), 0
        sources = self._sources(path)
        named = names_within(sources.files)
        for found in sources if self.options["all_"] else [sources.one(self.options["choice"])]:
            given = model_input(self.model, found, self.options["select"])
            recording = given.recording
            scores += 8 * len(given.frames) * len(names)  # each twice, while they are put together
            what = f"the scores of {quantity(len(names))} classes after each frame"
            expect_memory(scores, what, self.options["max_memory"], "run fewer frames, or allow more with --max-memory")
            with self._display(recording, f"{Path(recording.source).name} {recording.name}".rstrip()) as display:
                result = run(
                    self.model,
                    given,
                    context=self.context,
                    dtype=self.options["dtype"],
                    gallery=self.gallery,
                    label_delay=self.label_delay,
                    pace=real_time(recording) if real else None,
                    on_prediction=display.show,
                )
            if not self.options["all_"]:
                _expect_frames(path, [result])
            self._print(result, named(found.source, found.name))
            yield result
            if result.interrupted:
                return

    def _sources(self, path: str) -> Sources:
        sources = Sources(
            [path],
            label_from=self.options["label_from"],
            sessions=self.options["sessions"],
            format=self.options["format_"],
            hints=self.hints,
        )
        for note in () if self.machine else sources.notes:
            self.out.print(note)
        return sources

    def report(self, results: list[Result]) -> None:
        """Prints and draws what comes after all recordings."""
        _expect_frames(results[0].recording.source, results)
        if self.options["jsonl"]:
            print_json_line({"summary": self._document(results)})
        elif self.options["as_json"]:
            print_json(self._document(results))
        elif self.options["all_"]:
            print_total(self.out, Total(results).summary(self.options["window"]))
        if self.options["plot"]:
            draw(results[0], self.options["plot"], None if self.machine else self.out)

    def _display(self, recording: Recording | None, title: str) -> Display[Prediction]:
        names = prediction_names(self.model, self.gallery)
        if self.options["jsonl"]:
            return JsonLines(names)
        if self.machine or (self.options["all_"] and not self.out.is_terminal):
            return Display()
        if self.out.is_terminal:
            return Panel(self.out, names, recording, f"{Path(self.name).name} ← {title}", self.gallery is not None)
        return Lines(self.out, names)

    def _print(self, result: Result, name: str) -> None:
        if self.machine:
            return
        if self.options["all_"]:
            print_line(self.out, result, name)
        else:
            print_result(self.out, result, self.options["window"])

    def _document(self, results: list[Result]) -> dict[str, Any]:
        window = self.options["window"]
        return {
            "model": self.name,
            "kernels": self.model.kernels,
            "context": self.context,
            "dtype": self.model.kept_as(self.options["dtype"]),
            "enrolled": None if self.gallery is None else len(self.gallery.names),
            "label_delay": self.label_delay,
            "recordings": [result.summary(window) for result in results],
            "total": Total(results).summary(window),
        }


def _check_options(options: dict[str, Any], is_live: bool) -> None:
    if options["as_json"] and options["jsonl"]:
        raise click.UsageError("--json and --jsonl: expected one of them, found both")
    if options["all_"] and options["choice"] is not None:
        raise click.UsageError("--all and --recording: expected one of them, found both")
    if options["all_"] and options["plot"]:
        raise click.UsageError("--plot draws one recording: expected --recording, found --all")
    if options["sessions"] and not options["all_"]:
        raise click.UsageError("--session: expected together with --all")
    if is_live and (options["all_"] or options["label_from"] or options["format_"] not in (None, "csi-text")):
        raise click.UsageError(
            "standard input ('-'), serial devices and pipes are CSI text: expected neither --all, --label-from nor "
            "--format"
        )


def _expect_frames(path: str, results: list[Result]) -> None:
    """RecordingError where no frame was classified, unless the user interrupted."""
    if results[-1].interrupted or any(map(len, results)):
        return
    dropped: Counter[str] = Counter()
    for result in results:
        dropped.update(result.recording.dropped)
    why = f"all were dropped: {describe(dropped)}" if any(dropped.values()) else "it has none"
    raise RecordingError(f"{path}: expected frames that a model can take, found none ({why})")
