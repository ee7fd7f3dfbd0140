"""Streams CSI text through a model as it arrives from a serial console or a pipe.

Lines, records, frames, grid and the result are those of a file: `csi_text.TextReader`, `columns_for`, `Grid` and
`result_of` serve both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.interruption import interruptible
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import ResultOverflowError
from aether_temporal.recordings import Hints, Recording, RecordingFormatError, describe
from aether_temporal.recordings.csi_lines import Line, bounded_lines
from aether_temporal.recordings.csi_parser import CsiRecord
from aether_temporal.recordings.csi_text import Frames, TextReader, nothing_trusted
from aether_temporal.recordings.recording import Selection
from aether_temporal.recordings.recording_file import NOTHING

from .gallery import Gallery
from .inputs import WIDTH_REMEDY, FrameMapper, model_input
from .label_matching import match_labels
from .live_frames import LiveFrames, Step
from .result import Result
from .stream import Prediction, Predictor, Streamed, delay_of, result_of

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel

_LEAD = 8
"""Frames by which another sender must be ahead of the one that was taken first, whose address may have been damaged."""
_UNSUITED = 64
"""Frames of one kind after which it is settled that they do not suit the model."""


def run_live(
    model: TemporalModel,
    file: BinaryIO,
    *,
    source: str = "standard input",
    sender: str | None = None,
    hints: Hints = NOTHING,
    context: int | None = None,
    dtype: Dtype = "float32",
    gallery: Gallery | None = None,
    select: Selection | None = None,
    label_delay: int | None = None,
    on_prediction: Callable[[Prediction], None] | None = None,
) -> Result:
    """Classifies every frame of CSI text as it arrives, until the input ends or the user interrupts.

    The frames of one sender and one size are taken: of `sender`, else of the first that suits the model, until another
    one is 8 frames ahead of it, with which the result restarts. The rest is dropped and counted. The frames are
    kept for the result, some hundred bytes each. RecordingFormatError when the input ends without one.
    """
    predictor = Predictor(model, context=context, dtype=dtype, gallery=gallery)
    live = _Live(model, source, None if sender is None else sender.lower(), hints, select)
    delay = delay_of(model, label_delay)
    seen = Streamed()
    own: list[int] = []  # of each frame since the stream was reset
    interrupted, steps = False, live.steps(file)
    try:
        while True:
            with interruptible() as stop, stop.raising():
                step = next(steps, None)
            if step is None:
                break
            if step.restarts:
                seen = Streamed()
            if step.of.resets:
                predictor.reset()
                own.clear()
            own.append(-1 if gallery is not None or step.label is None else _class_of(predictor.names, step.label))
            try:
                expected = own[-1 - delay] if delay < len(own) else -1
                prediction = predictor.push(step.of.frame, step.of.time, expected)
            except ResultOverflowError:
                seen.skip()
                continue
            seen.add(prediction)
            if on_prediction is not None:
                on_prediction(prediction)
    except KeyboardInterrupt:
        interrupted = True
    recording = live.recording()
    given = model_input(model, recording, select)
    return result_of(model, given, predictor.names, seen, gallery is not None, delay, interrupted)


def live_predictions(
    predictor: Predictor,
    file: BinaryIO,
    *,
    source: str = "standard input",
    select: Selection | None = None,
) -> Iterator[Prediction]:
    """The prediction after each frame of CSI text as it arrives, of the sender and size that `run_live` takes."""
    for step in _Live(predictor.model, source, None, NOTHING, select).steps(file):
        if step.of.resets:
            predictor.reset()
        try:
            yield predictor.push(step.of.frame, step.of.time)
        except ResultOverflowError:
            continue


def _class_of(names: Sequence[str], label: str) -> int:
    found = match_labels(names, [label])[0]
    return -1 if found is None else found


@dataclass(frozen=True, eq=False)
class _Step:
    """A frame with its label. restarts: what came before belongs to another sender."""

    of: Step
    label: str | None
    restarts: bool


class _Live:
    """Turns CSI text into frames for a model."""

    def __init__(
        self, model: TemporalModel, source: str, sender: str | None, hints: Hints, select: Selection | None
    ) -> None:
        self._model, self._sender = model, sender
        self._mapper = FrameMapper(model, select)  # the text takes the hints
        self._text = TextReader(source, hints)
        self._taken: tuple[str, int] | None = None
        self._count = 0  # records of it

    def steps(self, file: BinaryIO) -> Iterator[_Step]:
        """Every frame that is due, on the grid that the blob asks for where lines have times."""
        onto_grid, labels, restarts = LiveFrames(self._model), list[str | None](), True
        for record, frames, row in self._rows(file):
            if len(frames) == 1:
                onto_grid, labels, restarts = LiveFrames(self._model), [], True
            labels.append(record.label)
            time = frames.times[-1]
            for step in onto_grid.push(row, None if math.isnan(time) else round(time * 1e6)):
                yield _Step(step, labels[step.newest], restarts)
                restarts = False

    def recording(self) -> Recording:
        """All frames that were taken, as a file of them would give them. RecordingFormatError: there are none."""
        if self._taken is None:
            if not self._text.infos():
                raise nothing_trusted(self._text.source, self._text.parser)
            senders = ", ".join(f"{info.name or '(no address)'} {info.frames}" for info in self._text.infos()[:8])
            raise RecordingFormatError(
                f"{self._text.source}: expected CSI text lines with frames for {self._model.input_dim} features, found "
                f"none ({self._mapper.why}); frames by sender: {senders}; dropped: "
                f"{describe(self._text.parser.dropped)}; {WIDTH_REMEDY}"
            )
        mac, size = self._taken
        return self._text.open(next(info for info in self._text.infos() if info.name == mac), size)

    def _rows(self, file: BinaryIO) -> Iterator[tuple[CsiRecord, Frames, NDArray[np.float32]]]:
        """Each frame of the sender and size that are taken, with all of them so far, and as the model takes it."""
        for record in self._text.parser.records(_until_gone(bounded_lines(file))):
            count, key = self._text.count(record), (record.mac, len(record.values))
            if self._sender is not None and record.mac != self._sender:
                continue
            if key != self._taken and self._taken is not None and count < self._count + _LEAD:
                continue
            if key != self._taken and count > _UNSUITED + (self._count + _LEAD if self._taken else 0):
                continue
            frames = self._text.frames_of(record)
            frames.add(record)
            row = self._row(frames)
            if row is None:
                if len(frames) >= _UNSUITED:
                    self._text.forget(record)
                continue
            if key != self._taken:
                if len(frames) > 1:  # those before did not suit
                    frames = self._text.only_last(record)
                self._taken = key
            self._count = count
            yield record, frames, row

    def _row(self, frames: Frames) -> NDArray[np.float32] | None:
        pairs, subcarriers, _ = frames.pairs(len(frames) - 1)
        return self._mapper.frame(pairs[0], subcarriers)


def _until_gone(lines: Iterator[Line]) -> Iterator[Line]:
    """Lines up to where a device was unplugged, which ends it as the end of a file does."""
    try:
        yield from lines
    except OSError:
        return
