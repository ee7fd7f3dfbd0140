"""Turns a recording into the frames that a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording, RecordingShapeError, resample
from aether_temporal.recordings.csi_buffers import settled_subcarriers
from aether_temporal.recordings.quality import quality_of
from aether_temporal.recordings.recording import Selection, amplitude, columns_of
from aether_temporal.recordings.recording_file import NOTHING, Hints
from aether_temporal.settings import TimingSettings
from aether_temporal.subcarriers import SubcarrierMap

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel


@dataclass(frozen=True)
class Columns:
    """Which columns or I/Q pairs of a frame are the model's features (`index`; None: all, in order), and what of that
    is only plausible (`note`)."""

    index: list[int] | None
    note: str | None = None


def columns_for(
    model: TemporalModel,
    there: SubcarrierMap | None,
    width: int,
    *,
    raw: bool,
    where: str,
    select: Selection | None = None,
) -> Columns:
    """The model's features in frames of `width` columns (raw: I/Q pairs), of which `there` says which subcarriers they
    are. Every frame for a model is made here, of a recording or live.

    The blob names subcarriers by number, which are found wherever they are in the frame; an older blob names pairs by
    index; one that names neither takes all. `select` is asked for instead. RecordingShapeError says what is wrong.
    """
    if select is None and width == model.input_dim and not raw:
        return _of_features(model, there, where)
    settings = model.settings
    numbers = None if settings is None else settings.subcarrier_numbers
    indices = None if settings is None else settings.subcarriers
    note = None
    if select is None:
        by_index = not raw or (indices is not None and width == indices.n_pairs)
        if numbers is not None and (there is not None or not by_index):
            select = numbers.wanted()
        elif indices is not None and raw and width == indices.n_pairs:
            select = [int(index) for index in np.asarray(indices.index)]
            note = None if numbers is not None else INDEX_NOTE
        elif width == model.input_dim:
            return Columns(None)
        else:
            expected = wanted_frames(model) if raw else f"{model.input_dim} features a frame, as the model has them"
            found = f"{width} I/Q pairs a frame" if raw else width
            raise RecordingShapeError(f"{where}: frame width: expected {expected}, found {found}; {WIDTH_REMEDY}")
    index = columns_of(there, width, select, where) if isinstance(select, SubcarrierMap) else list(select)
    if len(index) != model.input_dim:
        raise RecordingShapeError(
            f"{where}: frame width: expected {model.input_dim} features a frame, as the model has them, "
            f"found {len(index)} selected; {WIDTH_REMEDY}"
        )
    if not all(0 <= column < width for column in index):
        what = "pairs" if raw else "features"
        raise RecordingShapeError(
            f"{where}: {what}: expected indices 0 … {width - 1}, found {min(index)} … {max(index)}"
        )
    return Columns(None if index == list(range(width)) else index, note)


WIDTH_REMEDY = "name the subcarriers (--subcarriers), or choose a model for these frames"

INDEX_NOTE = (
    "the model names I/Q pairs by index, not subcarriers by number: it suits frames in the order of the chip it was "
    "trained on, and no other"
)


def _of_features(model: TemporalModel, there: SubcarrierMap | None, where: str) -> Columns:
    """Features as many as the model's: by number where both say which they are, else as they come."""
    settings = model.settings
    numbers = None if settings is None else settings.subcarrier_numbers
    if numbers is None:
        return Columns(None)
    if there is None:
        return Columns(
            None,
            "the recording does not say which subcarriers its columns are: they are taken as the model's "
            f"({numbers.wanted()}), in this order",
        )
    index = columns_of(there, len(there), numbers.wanted(), where)
    return Columns(None if index == list(range(len(there))) else index)


class FrameMapper:
    """Frames of I/Q pairs, one at a time, to a model's features. `why` says why the last one did not suit."""

    def __init__(
        self,
        model: TemporalModel,
        select: Selection | None = None,
        *,
        hints: Hints = NOTHING,
    ) -> None:
        self._model, self._select, self._hints = model, select, hints
        self._known: dict[tuple[SubcarrierMap | None, int], Columns | str] = {}
        self.why: str | None = None
        self.notes: dict[str, None] = {}  # what was only plausible, in order

    def frame(
        self, iq: NDArray[np.int8] | NDArray[np.int16], there: SubcarrierMap | None
    ) -> NDArray[np.float32] | None:
        """Features [input_dim] of pairs [n, 2]; None for a frame that does not suit the model."""
        key = (there, len(iq))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _LAYOUTS:
                self._known.clear()
            found = self._known[key] = self._columns(there, len(iq))
        if isinstance(found, str):
            self.why = found
            return None
        row: NDArray[np.float32] = amplitude((iq if found.index is None else iq[found.index])[None])[0]
        return row

    def _columns(self, there: SubcarrierMap | None, width: int) -> Columns | str:
        try:
            there, notes = settled_subcarriers(there, self._hints, (), width)
            found = columns_for(self._model, there, width, raw=True, where="frame", select=self._select)
        except RecordingShapeError as error:
            text = str(error).removeprefix("frame: ").removeprefix("frame width: ")
            return text.removesuffix(f"; {WIDTH_REMEDY}").removesuffix(" a frame")
        self.notes |= dict.fromkeys((*notes, *([found.note] if found.note is not None else [])))
        return found


_LAYOUTS = 64
"""Layouts of frames that are remembered."""


def _columns(model: TemporalModel, recording: Recording, select: Selection | None) -> Columns:
    return columns_for(
        model, recording.subcarriers, recording.width, raw=recording.is_raw, where=recording.title, select=select
    )


def model_frames(model: TemporalModel, recording: Recording, select: Selection | None = None) -> NDArray[np.float32]:
    """float32 [T, input_dim]: the features, or amplitudes, that `select` or the blob names (`columns_for`)."""
    return recording.features(_columns(model, recording, select).index)


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


def model_input(model: TemporalModel, recording: Recording, select: Selection | None = None) -> ModelInput:
    """The recording's frames as the model takes them: its features, on a grid where its blob asks for one.

    A recording without timestamps is put on the grid by the rate that it states. Without a rate its frames are taken as
    they are, and a note says so. So do notes of what is wrong with the recording.
    RecordingShapeError, RecordingError.
    """
    columns, timing = _columns(model, recording, select), timing_of(model)
    warnings = quality_of(recording, columns.index).warnings
    warnings = (*warnings, columns.note) if columns.note else warnings
    made = recording.selected(columns.index)
    frames = made.features()
    if timing.period_us is None or timing.max_gap_us is None:
        return ModelInput(recording, frames, notes=warnings)
    if recording.timestamps is None and recording.frame_rate is None:
        grid = f"one every {timing.period_us / 1e3:g} ms"
        return ModelInput(
            recording,
            frames,
            notes=(*warnings, f"the model wants {grid}; without timestamps or a rate frames are taken as they are"),
        )
    assert model.settings is not None
    found = resample(
        made,
        timing.period_us,
        timing.max_gap_us,
        agc=model.settings.agc or "none",
    )
    made = found.recording
    assert made.frames is not None
    by = "" if recording.timestamps is not None else f", at the stated rate of {recording.frame_rate:.4g} a second"
    notes = [f"{len(frames)} frames were put on a grid of {timing.period_us / 1e3:g} ms{by}: {len(made)} frames"]
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
