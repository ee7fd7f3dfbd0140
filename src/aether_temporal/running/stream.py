"""Streams a recording through a model, one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.fields import whole
from aether_temporal._internal.interruption import sleep, stop_asked
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.recordings import Drop, Recording
from aether_temporal.recordings.recording import Selection

from .gallery import Gallery
from .inputs import ModelInput, model_input
from .label_matching import match_labels, match_subject
from .result import Result, window_of

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel

_RATE_TOLERANCE = 1.25

LONGEST_DELAY = 10**9
"""Frames, from a label to its prediction."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction after one frame."""

    index: int
    time: float | None  # seconds from the first frame to this one; None where the frames have no times
    label: str  # the predicted class, or the nearest enrolled identity
    probability: float | None  # of that class; None where the model is not calibrated, and for identities
    margin: float  # the largest score minus the second largest
    scores: NDArray[np.float32]  # logits, or the similarity to each enrolled identity
    best: int  # index of the largest score
    expected: int  # index of the frame's label, -1 where it is unknown
    latency: float  # seconds


class Predictor:
    """A stream of a model (and a gallery) that turns frames into predictions. Its memory does not grow."""

    def __init__(
        self,
        model: TemporalModel,
        *,
        context: int | None = None,
        dtype: Dtype = "float32",
        gallery: Gallery | None = None,
    ):
        if gallery is not None and gallery.embeddings.shape[1] != model.embed_dim:
            raise InvalidArgumentError(
                f"gallery: expected embeddings of {model.embed_dim or 'no'} values, as the model has them, "
                f"found {gallery.embeddings.shape[1]}"
            )
        self.model = model
        self.names = prediction_names(model, gallery)
        self._calibrated = model.temperature is not None and gallery is None
        self._gallery = gallery
        self._stream = model.stream(context=context, dtype=dtype)
        self._index = 0

    def reset(self) -> None:
        """Forget the frames so far: the next frame is the first that the model sees."""
        self._stream.reset()

    def push(self, frame: NDArray[np.float32], time: float | None = None, expected: int = -1) -> Prediction:
        """The prediction after this frame. Its latency covers the push and the comparison with the gallery.

        ResultOverflowError: the frame is counted, but leaves the stream as it was.
        """
        index, self._index = self._index, self._index + 1
        begin = perf_counter_ns()
        scores = self._stream.push(frame)
        if self._gallery is not None:
            embedding = self._stream.embedding
            assert embedding is not None
            scores = self._gallery.scores(embedding)
        latency = (perf_counter_ns() - begin) / 1e9
        best = int(scores.argmax())
        others = np.delete(scores, best)
        margin = float(scores[best] - others.max()) if len(others) else 0.0
        probability = float(probabilities(scores)[best]) if self._calibrated else None
        return Prediction(index, time, self.names[best], probability, margin, scores, best, expected, latency)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax along the last axis. Only a calibrated model's are how often it is correct."""
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def prediction_names(model: TemporalModel, gallery: Gallery | None = None) -> tuple[str, ...]:
    """The enrolled identities, else the blob's class names, else "0", "1", …"""
    if gallery is not None:
        return gallery.names
    return tuple(model.class_names or map(str, range(model.n_classes)))


def labels_of(
    names: Sequence[str], recording: Recording, enrolled: bool
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Each frame's label as an index into `names` (-1: unknown; None: no frame has one), and the labels that match no
    name."""
    if recording.labels is not None and not enrolled:
        classes = match_labels(names, recording.label_names)
        table = np.array([-1 if found is None else found for found in classes] + [-1], dtype=np.int64)
        occurring = {int(label) for label in np.unique(recording.labels) if label >= 0}
        unmatched = tuple(recording.label_names[label] for label in sorted(occurring) if classes[label] is None)
        labels: NDArray[np.int64] = table[recording.labels]
        return (labels if (labels >= 0).any() else None), unmatched
    if recording.subject is not None:
        found = match_subject(names, recording.subject)
        if found is not None:
            return np.full(len(recording), found, dtype=np.int64), ()
    return None, ()


def delay_of(model: TemporalModel, label_delay: int | None) -> int:
    """Frames from a label to its prediction: `label_delay`, else what the blob states. InvalidConfigError."""
    return model.label_delay if label_delay is None else whole(label_delay, 0, LONGEST_DELAY, "label_delay")


def delayed(labels: NDArray[np.int64], delay: int, starts: Sequence[int]) -> NDArray[np.int64]:
    """For each frame the label `delay` frames before it in its segment, -1 where there is none."""
    found = np.full(len(labels), -1, dtype=np.int64)
    for start, stop in zip(starts, [*starts[1:], len(labels)], strict=False):  # none where there are no frames
        found[start + delay : stop] = labels[start : max(start, stop - delay)]
    return found


def rate_notes(model: TemporalModel, recording: Recording) -> tuple[str, ...]:
    """A note where the recording's frame rate differs from the model's by more than a quarter."""
    wanted, found = model.frame_rate, recording.frame_rate
    if not wanted or not found or 1 / _RATE_TOLERANCE <= found / wanted <= _RATE_TOLERANCE:
        return ()
    return (f"the model expects {wanted:.4g} frames a second, the recording has {found:.4g}",)


def run(
    model: TemporalModel,
    recording: Recording | ModelInput,
    *,
    context: int | None = None,
    dtype: Dtype = "float32",
    gallery: Gallery | None = None,
    select: Selection | None = None,
    label_delay: int | None = None,
    pace: Callable[[int], None] | None = None,
    on_prediction: Callable[[Prediction], None] | None = None,
) -> Result:
    """Streams the recording through the model, from its first frame.

    context: frames that a query can see (None: the blob's history, else 256); dtype: of the cache. select: which
    features or I/Q pairs make a frame (a ModelInput has them already). Frames are put on a grid where the blob asks for
    one, and the stream is reset after a gap. label_delay: the prediction after frame t is compared with the label of
    frame t - label_delay, for a model that describes the middle of what it has seen; None: as the blob says.

    `pace(t)` is called before frame t, to wait until its time has come; `on_prediction` is called after it. A
    KeyboardInterrupt ends the run early: the result then holds the frames so far. A frame at which the model overflows
    is dropped: the result's recording lacks it, and counts it.
    """
    given = recording if isinstance(recording, ModelInput) else model_input(model, recording, select)
    label_delay = delay_of(model, label_delay)
    predictor = Predictor(model, context=context, dtype=dtype, gallery=gallery)
    _, labels, _ = _labels(predictor.names, given, gallery is not None, label_delay)
    seen = Streamed()
    interrupted = False
    try:
        for prediction in predictions(predictor, given, labels=labels, pace=pace, on_overflow=seen.skip):
            seen.add(prediction)
            if on_prediction is not None:
                on_prediction(prediction)
    except KeyboardInterrupt:
        interrupted = True
    return result_of(model, given, predictor.names, seen, gallery is not None, label_delay, interrupted)


def predictions(
    predictor: Predictor,
    given: ModelInput,
    *,
    labels: NDArray[np.int64] | None = None,
    pace: Callable[[int], None] | None = None,
    on_overflow: Callable[[], None] | None = None,
) -> Iterator[Prediction]:
    """The prediction after each frame. labels: what each is compared with. pace(t) is called before frame t;
    on_overflow after one at which the model overflows, which has no prediction."""
    resets = set(given.segment_starts)
    for t, frame in enumerate(given.frames):
        if pace is not None:
            pace(t)
        if stop_asked():
            raise KeyboardInterrupt
        if t in resets:
            predictor.reset()
        try:
            expected = -1 if labels is None else int(labels[t])
            yield predictor.push(frame, time_of(given.recording, t), expected)
        except ResultOverflowError:
            if on_overflow is not None:
                on_overflow()


class Streamed:
    """What became of the frames that were streamed, in order."""

    def __init__(self) -> None:
        self.scores: list[NDArray[np.float32]] = []
        self.latency: list[float] = []
        self.kept: list[bool] = []

    def add(self, prediction: Prediction) -> None:
        """A frame with its prediction."""
        self.scores.append(prediction.scores)
        self.latency.append(prediction.latency)
        self.kept.append(True)

    def skip(self) -> None:
        """A frame at which the model overflowed."""
        self.kept.append(False)


def _labels(
    names: Sequence[str], given: ModelInput, enrolled: bool, label_delay: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None, tuple[str, ...]]:
    """The label of each frame itself, the one that its prediction is compared with, and those that match no name."""
    own, unmatched = labels_of(names, given.recording, enrolled)
    if own is None or enrolled or given.recording.labels is None:
        return own, own, unmatched
    labels = delayed(own, label_delay, given.segment_starts)
    return own, labels if (labels >= 0).any() else None, unmatched


def result_of(
    model: TemporalModel,
    given: ModelInput,
    names: tuple[str, ...],
    seen: Streamed,
    enrolled: bool,
    label_delay: int,
    interrupted: bool,
) -> Result:
    """The result of the frames that were streamed: all of the input's, or its first ones."""
    recording, starts = given.recording, given.segment_starts
    own, labels, unmatched = _labels(names, given, enrolled, label_delay)
    done = len(seen.kept)
    kept = np.zeros(len(given.frames), dtype=np.bool_)
    kept[:done] = seen.kept
    notes = given.notes + rate_notes(model, recording)
    if overflowed := done - int(kept.sum()):
        recording = _without(recording, kept | (np.arange(len(kept)) >= done), overflowed)
    return Result(
        recording=recording,
        names=names,
        enrolled=enrolled,
        scores=np.array(seen.scores, dtype=np.float32).reshape(-1, len(names)),
        labels=None if labels is None else labels[kept],
        own_labels=None if own is None else own[kept],
        latency=np.array(seen.latency, dtype=np.float64),
        segment_starts=tuple(int(kept[:start].sum()) for start in starts if start < done),
        unmatched_labels=unmatched,
        interrupted=interrupted,
        notes=notes,
        window=window_of(label_delay),
    )


def _without(recording: Recording, keep: NDArray[np.bool_], overflowed: int) -> Recording:
    """The recording without the frames at which the model overflowed."""
    return replace(
        recording,
        frames=None if recording.frames is None else recording.frames[keep],
        iq=None if recording.iq is None else recording.iq[keep],
        timestamps=None if recording.timestamps is None else recording.timestamps[keep],
        labels=None if recording.labels is None else recording.labels[keep],
        dropped={**recording.dropped, str(Drop.OVERFLOW): overflowed},
    )


def time_of(recording: Recording, index: int) -> float | None:
    """Seconds from the recording's first frame to another; None where it states no times."""
    if recording.timestamps is not None:
        return float(recording.timestamps[index] - recording.timestamps[0])
    return index / recording.frame_rate if recording.frame_rate else None


def real_time(recording: Recording, factor: float = 1.0) -> Callable[[int], None]:
    """A `pace` that replays the recording `factor` times as fast as it was recorded, by its timestamps, else by its
    frame rate.

    It never waits for a recording that has neither.
    """
    begin: list[float] = []

    def wait(t: int) -> None:
        if not begin:
            begin.append(monotonic())
        due = time_of(recording, t) or 0.0
        left = begin[0] + due / factor - monotonic()
        if left > 0:
            sleep(left)

    return wait
