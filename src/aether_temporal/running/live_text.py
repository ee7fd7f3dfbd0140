"""Streams CSI text through a model as it arrives from a serial console or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal.errors import ResultOverflowError
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import CsiParser, Drop, Recording, RecordingFormatError, describe
from aether_temporal.recordings.csi_lines import bounded_lines
from aether_temporal.recordings.csi_text import Clock
from aether_temporal.recordings.recording import amplitude, rate_of

from .gallery import Gallery
from .inputs import subcarriers_of, timing_of
from .result import Result
from .stream import Prediction, Predictor, rate_notes


def run_live(
    model: TemporalModel,
    file: BinaryIO,
    *,
    context: int | None = None,
    dtype: Dtype = "float32",
    gallery: Gallery | None = None,
    select: Sequence[int] | None = None,
    on_prediction: Callable[[Prediction], None] | None = None,
) -> Result:
    """Classifies every frame of CSI text as it arrives, until the input ends or the user interrupts.

    The frames of the first sender whose size suits the model are taken; the rest are dropped and counted. The frames
    are kept for the result, some hundred bytes each. RecordingFormatError when the input ends without one.
    """
    predictor = Predictor(model, context=context, dtype=dtype, gallery=gallery)
    source = _Source(model, select)
    frames: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    latency: list[float] = []
    seconds: list[float] = []
    interrupted = False
    try:
        for frame, when, starts in source.frames(file):
            if starts:
                predictor.reset()
            try:
                prediction = predictor.push(frame)
            except ResultOverflowError:
                source.parser.dropped[Drop.OVERFLOW] += 1
                continue
            seconds.append(float("nan") if when is None else when)
            frames.append(frame)
            scores.append(prediction.scores)
            latency.append(prediction.latency)
            if on_prediction is not None:
                on_prediction(prediction)
    except KeyboardInterrupt:
        interrupted = True
    dropped = source.parser.dropped
    if not frames:
        raise RecordingFormatError(
            f"standard input: expected CSI text lines with frames for {model.input_dim} features, "
            f"found none ({describe(dropped)})"
        )
    stamps = np.array(seconds[: len(frames)])
    timestamps = None if np.isnan(stamps).any() else stamps
    recording = Recording(
        source="standard input",
        name="",
        format="csi-text",
        frames=np.stack(frames),
        timestamps=timestamps,
        frame_rate=rate_of(timestamps),
        dropped={str(reason): count for reason, count in dropped.items()},
    )
    return Result(
        recording=recording,
        names=predictor.names,
        enrolled=gallery is not None,
        scores=np.stack(scores),
        labels=None,
        own_labels=None,
        latency=np.array(latency),
        interrupted=interrupted,
        notes=rate_notes(model, recording),
    )


class _Source:
    """Turns CSI text into frames for a model."""

    def __init__(self, model: TemporalModel, select: Sequence[int] | None) -> None:
        self.parser = CsiParser()
        self._clock = Clock()
        self._model, self._select = model, select
        self._sender: str | None = None

    def frames(self, file: BinaryIO) -> Iterator[tuple[NDArray[np.float32], float | None, bool]]:
        """Each frame with its seconds (where the line has them), and whether the stream is to be reset before it.

        The frames are on the grid that the blob asks for where lines have times."""
        timing, settings = timing_of(self._model), self._model.settings
        if timing.period_us is None or timing.max_gap_us is None or settings is None:
            yield from ((frame, when, False) for frame, when in self._packets(file))
            return
        resampler = _core.Resampler(self._model.input_dim, timing.period_us, timing.max_gap_us, settings.agc or "none")
        for frame, when in self._packets(file):
            if when is None:
                yield frame, None, False
                continue
            try:
                restarted, grid, first = resampler.push(frame, round(when * 1e6))
            except ResultOverflowError:
                self.parser.dropped[Drop.OVERFLOW] += 1
                continue
            for index, row in enumerate(grid):
                yield row, (first + index * timing.period_us) / 1e6, restarted and index == 0

    def _packets(self, file: BinaryIO) -> Iterator[tuple[NDArray[np.float32], float | None]]:
        dropped = self.parser.dropped
        for record in self.parser.records(bounded_lines(file)):
            if self._sender is not None and record.mac != self._sender:
                dropped[Drop.OTHER_SENDER] += 1
                continue
            iq = np.frombuffer(record.values, dtype=np.int8).reshape(1, -1, 2)
            frame = self._frame(iq)
            if frame is None:
                dropped[Drop.OTHER_SHAPE] += 1
                continue
            self._sender = record.mac
            yield frame, self._clock.seconds(record)

    def _frame(self, iq: NDArray[np.int8]) -> NDArray[np.float32] | None:
        select = self._select
        if select is None:
            wanted = subcarriers_of(self._model, iq.shape[1])
            if wanted is None:
                return None
            select = wanted
        elif max(select, default=-1) >= iq.shape[1] or len(select) != self._model.input_dim:
            return None
        row: NDArray[np.float32] = amplitude(iq[:, list(select)])[0]
        return row
