"""Turns a recording into the frames that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording, RecordingShapeError, resample
from aether_temporal.recordings.quality import quality_of
from aether_temporal.settings import TimingSettings

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel


def subcarriers_of(model: TemporalModel, pairs: int) -> Sequence[int] | None:
    """Which I/Q pairs of a raw frame of `pairs` pairs are the model's features; None: the frame does not suit it.

    The blob names them. All pairs are taken where the recorder has already selected the model's subcarriers, or where
    the blob names none.
    """
    settings = model.settings
    subcarriers = None if settings is None else settings.subcarriers
    if subcarriers is not None and pairs == subcarriers.n_pairs:
        return [int(index) for index in np.asarray(subcarriers.index)]
    return range(pairs) if pairs == model.input_dim else None


def model_frames(
    model: TemporalModel, recording: Recording, select: Sequence[int] | None = None
) -> NDArray[np.float32]:
    """float32 [T, input_dim]: the features, or the amplitudes of the I/Q pairs that `select` or the blob names.

    RecordingShapeError: the recording's frames have another width.
    """
    if select is None and recording.is_raw:
        select = subcarriers_of(model, recording.width)
        if select is None:
            raise RecordingShapeError(
                f"{recording.title}: frame width: expected {wanted_frames(model)}, "
                f"found {recording.width} I/Q pairs a frame"
            )
    frames = recording.features(select)
    if frames.shape[1] != model.input_dim:
        how = "" if select is None else " selected"
        raise RecordingShapeError(
            f"{recording.title}: frame width: expected {model.input_dim} features a frame, as the model has them, "
            f"found {frames.shape[1]}{how}"
        )
    return frames


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A recording as a model takes it: `frames` float32 [T, input_dim], `recording` with a time and a label for each
    of them, `segment_starts` where the stream is reset (0 first)."""

    recording: Recording
    frames: NDArray[np.float32]
    segment_starts: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()

    def segments(self) -> list[NDArray[np.float32]]:
        """The frames of each contiguous segment."""
        ends = (*self.segment_starts[1:], len(self.frames))
        return [self.frames[start:end] for start, end in zip(self.segment_starts, ends, strict=True) if end > start]


def timing_of(model: TemporalModel) -> TimingSettings:
    """The blob's timing section, or the defaults that apply without one."""
    settings = model.settings
    return (settings.timing if settings is not None else None) or TimingSettings()


def model_input(model: TemporalModel, recording: Recording, select: Sequence[int] | None = None) -> ModelInput:
    """The recording's frames as the model takes them: its features, on a grid where its blob asks for one.

    A recording without timestamps cannot be put on a grid: its frames are taken as they are, and a note says so. So do
    notes of what is wrong with the recording.
    RecordingShapeError, RecordingError.
    """
    frames, timing = model_frames(model, recording, select), timing_of(model)
    warnings = quality_of(recording, select).warnings
    if timing.period_us is None or timing.max_gap_us is None:
        return ModelInput(recording, frames, notes=warnings)
    if recording.timestamps is None:
        grid = f"one every {timing.period_us / 1e3:g} ms"
        return ModelInput(
            recording,
            frames,
            notes=(*warnings, f"the model wants {grid}; without timestamps frames are taken as they are"),
        )
    assert model.settings is not None
    found = resample(
        replace(recording, frames=frames, iq=None),
        timing.period_us,
        timing.max_gap_us,
        agc=model.settings.agc or "none",
    )
    made = found.recording
    assert made.frames is not None
    notes = [f"{len(frames)} frames were put on a grid of {timing.period_us / 1e3:g} ms: {len(made)} frames"]
    if len(found.segment_starts) > 1:
        notes.append(
            f"the stream was reset {len(found.segment_starts) - 1} times, after gaps of more than "
            f"{timing.max_gap_us / 1e3:g} ms or because time went back"
        )
    return ModelInput(made, made.frames, found.segment_starts, (*warnings, *notes))


def wanted_frames(model: TemporalModel) -> str:
    """What raw frames suit the model, in words."""
    plain = f"{model.input_dim} I/Q pairs, one for each feature of the model"
    return plain if model.n_pairs in (0, model.input_dim) else f"raw frames of {model.n_pairs} I/Q pairs or {plain}"
