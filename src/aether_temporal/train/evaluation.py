"""How good a model is, measured on the core that will run, never on torch: its predictions on recordings, its accuracy,
the calibration of its confidence, and how far means over seeds and recordings can be trusted."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from aether_temporal._internal.summary import printable
from aether_temporal.blob import CORE_NAMES, WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError
from aether_temporal.running.result import WINDOW, labelled_windows
from aether_temporal.running.stream import prediction_names
from aether_temporal.settings import CalibrationSettings, ModelSettings

from .dataset import LabelledRecording

_CHUNK = 1 << 14
"""Logits at a time, where something is computed from them in binary64."""

_AT_ONCE = 1 << 14
"""Recordings of at most this many frames are predicted in one call: faster, but it takes up to some KiB a frame."""


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Logits float32 [n, classes] and the true classes [n], of any integer type, of frames with a label. Both may be
    mapped: do not write."""

    logits: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.labels)

    def chunks(self) -> Iterator[Predictions]:
        """All of them, a few at a time."""
        rows = max(1, _CHUNK // max(1, self.logits.shape[1]))
        for start in range(0, len(self), rows):
            yield Predictions(self.logits[start : start + rows], self.labels[start : start + rows])


def logits_of(model: TemporalModel, frames: NDArray[np.float32], context: int | None) -> NDArray[np.float32]:
    """`model.forward` of a recording that may be long: where a context bounds what is seen, by a stream, whose
    predictions are the same bits."""
    if context is None or len(frames) <= _AT_ONCE:
        return model.forward(frames, context)
    stream, found = model.stream(context), np.empty((len(frames), model.n_classes), np.float32)
    for index, frame in enumerate(frames):
        found[index] = stream.push(frame)
    return found


def predictions(
    model: TemporalModel,
    recordings: Sequence[LabelledRecording],
    *,
    label_delay: int,
    warm_up: int,
    context: int | None = None,
) -> Iterator[Predictions]:
    """Recording by recording, what the core predicts after every frame from `warm_up` on, against the label
    `label_delay` frames before. ValueError, at the end: no frame with a label."""
    begin, count = max(warm_up, label_delay), 0
    kind = np.min_scalar_type(max(0, model.n_classes - 1))
    for recording in recordings:
        labels = np.asarray(recording.labels[begin - label_delay : max(0, len(recording) - label_delay)])
        known = labels >= 0
        if known.any():
            found = logits_of(model, recording.frames, context)[begin:]
            count += int(known.sum())
            yield Predictions(found if known.all() else found[known], labels[known].astype(kind))
    if not count:
        raise ValueError(f"labels: expected frames with one after the first {warm_up}, found none")


def stored(parts: Iterable[Predictions], folder: str | os.PathLike[str] | None = None) -> Predictions:
    """All parts as one, in files without a name in `folder` (None: where the system keeps such), mapped: to be gone
    through again and again, whatever their size. OSError for a full disk."""
    with tempfile.TemporaryFile(dir=folder) as logits, tempfile.TemporaryFile(dir=folder) as labels:
        rows, width = 0, 0
        kind: np.dtype[np.integer[Any]] = np.dtype(np.int64)
        try:
            for part in parts:
                rows, width, kind = rows + len(part), part.logits.shape[1], np.dtype(part.labels.dtype)
                logits.write(np.ascontiguousarray(part.logits).data)
                labels.write(np.ascontiguousarray(part.labels).data)
            return Predictions(_mapped(logits, np.dtype(np.float32), (rows, width)), _mapped(labels, kind, (rows,)))
        except OSError as error:
            error.filename = error.filename or os.fspath(folder or tempfile.gettempdir())
            raise


def _mapped(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The mapping outlives the file it was made from."""
    file.flush()
    if not np.prod(shape):
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(file, dtype, "r", shape=shape))


Counts = NDArray[np.int64]


def recalls(confusion: Counts) -> NDArray[np.float64]:
    """Share of each label that is predicted correctly; NaN for a class that is no label."""
    support = confusion.sum(axis=1)
    return np.where(support > 0, np.diag(confusion) / np.maximum(support, 1), np.nan)


def precisions(confusion: Counts) -> NDArray[np.float64]:
    """Share of each prediction that is correct; NaN for a class that is never predicted."""
    return recalls(confusion.T)


def balanced(confusion: Counts) -> float:
    """Mean recall over the classes that occur."""
    return float(np.nanmean(recalls(confusion)))


def _share(confusion: Counts) -> float:
    return float(np.trace(confusion) / confusion.sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Counts by class, each [label, prediction], and the shares of correct predictions in them.

    fresh_windows: a new stream for each window; streamed_windows: the stream runs over the whole recording;
    streamed_frames: every frame of it, against the label `label_delay` frames before.
    """

    classes: tuple[str, ...]
    fresh_windows: Counts
    streamed_windows: Counts
    streamed_frames: Counts

    @property
    def fresh(self) -> float:
        """Share of fresh windows."""
        return _share(self.fresh_windows)

    @property
    def streamed(self) -> float:
        """Share of streamed windows."""
        return _share(self.streamed_windows)

    @property
    def frames(self) -> float:
        """Share of streamed frames."""
        return _share(self.streamed_frames)

    @property
    def windows(self) -> int:
        """How many there are."""
        return int(self.fresh_windows.sum())

    def __add__(self, other: Scores) -> Scores:
        """Both taken together."""
        return Scores(
            self.classes,
            self.fresh_windows + other.fresh_windows,
            self.streamed_windows + other.streamed_windows,
            self.streamed_frames + other.streamed_frames,
        )

    def __str__(self) -> str:
        return (
            f"fresh windows {self.fresh:.3f}, streamed {self.streamed:.3f} (of {self.windows}); "
            f"frames {self.frames:.3f}"
        )

    def kinds(self) -> dict[str, Counts]:
        """The counts by what was counted, for people."""
        return {
            "fresh windows": self.fresh_windows,
            "streamed windows": self.streamed_windows,
            "frames": self.streamed_frames,
        }

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        by_kind = {
            name.replace(" ", "_"): {
                "count": int(counts.sum()),
                "correct": _share(counts),
                "balanced": balanced(counts),
                "by_class": {
                    name: {"count": int(count), "recall": _number(recall), "precision": _number(precision)}
                    for name, count, recall, precision in zip(
                        self.classes, counts.sum(axis=1), recalls(counts), precisions(counts), strict=True
                    )
                },
                "confusion": counts.tolist(),
            }
            for name, counts in self.kinds().items()
        }
        return {**by_kind, "warnings": self.warnings()}

    def table(self, width: int = 200) -> list[str]:
        """Lines of text: support, recall and precision of each class, by fresh windows and, beside it or where that is
        wider than `width` below it, by frames."""
        kinds = {"windows": self.fresh_windows, "frames": self.streamed_frames}
        both = self._table(kinds)
        if max(map(len, both)) <= width:
            return both
        return [line for title, counts in kinds.items() for line in self._table({title: counts})]

    def _table(self, kinds: Mapping[str, Counts]) -> list[str]:
        wide = max(len("mean of classes"), *(len(printable(name)) for name in self.classes))
        head = " " * wide + "".join(f"{title:>10}{'recall':>8}{'precision':>11}" for title in kinds)
        rows = [
            f"{printable(name):<{wide}}"
            + "".join(
                f"{counts[index].sum():>10}{_percent(recalls(counts)[index]):>8}{_percent(precisions(counts)[index]):>11}"
                for counts in kinds.values()
            )
            for index, name in enumerate(self.classes)
        ]
        last = f"{'mean of classes':<{wide}}" + "".join(
            f"{counts.sum():>10}{_percent(balanced(counts)):>8}{'':>11}" for counts in kinds.values()
        )
        return [line.rstrip() for line in (head, *rows, last)]

    def warnings(self) -> list[str]:
        """What a mean hides: classes never predicted, a constant prediction, one no better than the commonest class."""
        found = []
        for kind, counts in self.kinds().items():
            support, predicted = counts.sum(axis=1), counts.sum(axis=0)
            names = [printable(name) for name in self.classes]
            commonest, total = int(support.argmax()), int(support.sum())
            if (support > 0).sum() > 1:
                if (predicted > 0).sum() == 1:
                    found.append(f"{kind}: every prediction is {names[int(predicted.argmax())]}")
                elif np.trace(counts) <= support[commonest]:
                    always = f"always {names[commonest]} ({support[commonest] / total:.3f})"
                    found.append(f"{kind}: {_share(counts):.3f} correct is no better than {always}")
            for index in np.flatnonzero((support > 0) & (predicted == 0)).tolist():
                found.append(f"{kind}: {names[index]} ({support[index]} of {total}) is never predicted")
        return found


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"


def _number(share: float) -> float | None:
    return None if np.isnan(share) else float(share)


def expect_scorable(
    recordings: Sequence[LabelledRecording], *, label_delay: int, warm_up: int, window: int = WINDOW
) -> None:
    """RecordingError, before anything is trained, where these recordings have no label that `score`, or `predictions`
    after `warm_up` frames, could compare with."""
    first = max(0, warm_up - label_delay)
    for recording in recordings:
        labels = np.asarray(recording.labels)
        whole = len(labels) // window * window
        if (labels[:whole] >= 0).any() and (labels[first : max(0, len(labels) - label_delay)] >= 0).any():
            return
    names = ", ".join(recording.title for recording in recordings[:3]) + (" …" if len(recordings) > 3 else "")
    raise RecordingError(
        f"{names}: labels: expected some between frame {first} and {label_delay} frames before the end, and some "
        f"in a whole window of {window} frames, to score by, found none; label these recordings, or leave them out"
    )


def score(
    model: TemporalModel,
    recordings: Sequence[LabelledRecording],
    *,
    label_delay: int,
    window: int = WINDOW,
    context: int | None = None,
) -> Scores:
    """Windows as `labelled_windows` counts them; the prediction is the model's largest logit after the window's last
    frame. Frames without a label, and windows of none but such, do not count. ValueError: nothing counts."""
    fresh, streamed, frames = (np.zeros((model.n_classes, model.n_classes), dtype=np.int64) for _ in range(3))
    for recording in recordings:
        predictions = logits_of(model, recording.frames, context).argmax(axis=1)
        labels = np.asarray(recording.labels)
        late = labels[: max(0, len(labels) - label_delay)]
        np.add.at(frames, (late[late >= 0], predictions[label_delay:][late >= 0]), 1)
        known, last = labelled_windows(labels, window)
        np.add.at(streamed, (known, predictions[last]), 1)
        for label, stop in zip(known.tolist(), (last + 1).tolist(), strict=True):
            found = model.forward(recording.frames[stop - window : stop], context)[-1].argmax()
            fresh[label, found] += 1
    if not streamed.any() or not frames.any():
        raise ValueError(f"labels: expected at least one window of {window} frames with one, found none")
    return Scores(prediction_names(model), fresh, streamed, frames)


def say_classes(scores: Scores, say: Callable[[str], None]) -> None:
    """Says the table of the classes, and every warning."""
    for line in scores.table(shutil.get_terminal_size().columns - 2 if sys.stdout.isatty() else 200):
        say(f"  {line}")
    for warning in scores.warnings():
        say(f"  warning: {warning}")


BINS = 15


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return found


def likelihood_loss(given: Predictions, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the labels."""
    total = 0.0
    for part in given.chunks():
        scaled = part.logits.astype(np.float64) / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        right = scaled[np.arange(len(scaled)), part.labels]
        total += float((np.log(np.exp(scaled).sum(axis=1)) - right).sum())
    return total / len(given)


class Confidence:
    """How sure predictions are at a temperature, and how often correct then. Predictions are added part by part; only
    sums of them are kept."""

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature
        self._sums = np.zeros((3, BINS))  # frames, confidence, correct predictions

    def add(self, given: Predictions) -> None:
        """Counts these too."""
        for part in given.chunks():
            p = probabilities(part.logits, self.temperature)
            sure, right = p.max(axis=1), p.argmax(axis=1) == part.labels
            place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
            for sums, values in zip(self._sums, (None, sure, right), strict=True):
                sums += np.bincount(place, values, BINS)

    @property
    def reliability(self) -> NDArray[np.float64]:
        """[BINS, 3]: frames, mean confidence and share of correct predictions in each bin of confidence."""
        count, sure, right = self._sums
        most = np.maximum(count, 1)
        return np.stack([count, sure / most, right / most], axis=1)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and accuracy over 15 bins, weighted by their
        frames."""
        count, sure, right = self.reliability.T
        return float((count * np.abs(sure - right)).sum() / count.sum())


def confidence(parts: Iterable[Predictions], temperatures: Sequence[float]) -> tuple[Confidence, ...]:
    """Of all parts, at each of these temperatures; a part is let go before the next is asked for."""
    found = tuple(map(Confidence, temperatures))
    for part in parts:
        for one in found:
            one.add(part)
    return found


def calibration_error(given: Predictions, temperature: float = 1.0) -> float:
    """`Confidence.error` of these predictions."""
    return confidence([given], [temperature])[0].error


LOWEST, HIGHEST = 1 / 20, 20.0
"""Temperatures that are fitted."""


def temperature_note(temperature: float) -> str:
    """What to think of a fitted temperature that ends at a limit; empty for others."""
    if temperature < 1.01 * LOWEST:
        return (
            "the held-out recordings are told apart without an error, so they do not show how sure a prediction may "
            "be: probabilities are not to be trusted; hold out more, or harder, recordings"
        )
    if temperature > 0.99 * HIGHEST:
        return "the predictions say next to nothing of the held-out recordings: train longer, or look at the labels"
    return ""


def fit_temperature(given: Predictions) -> float:
    """The temperature of the least likelihood loss, from LOWEST to HIGHEST; the loss has one minimum in 1 /
    temperature."""
    found = optimize.minimize_scalar(
        lambda x: likelihood_loss(given, float(np.exp(x))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x))


def with_temperature(blob: WeightBlob, temperature: float) -> WeightBlob:
    """The blob whose logits are this one's divided by `temperature`, and which says so: classifier and its bias,
    nothing else."""
    arrays = blob.arrays()
    settings = blob.settings or ModelSettings()
    before = 1.0 if settings.calibration is None else settings.calibration.temperature
    settings = settings.replace(calibration=CalibrationSettings(before * temperature))
    layers = [
        {name: arrays[f"layers.{i}.attention.{name}"] for name in CORE_NAMES} for i in range(blob.header.n_layers)
    ]
    if settings.bias is not None:
        bias = np.asarray(settings.bias.classifier, dtype=np.float64) / temperature
        settings = settings.replace(bias=dataclasses.replace(settings.bias, classifier=bias.astype(np.float32)))
    classifier = arrays["classifier.weight"].astype(np.float64) / temperature
    return WeightBlob.from_arrays(blob.header, layers, classifier.astype(np.float32), settings)


# -- means over seeds and recordings ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean and its 95 % confidence interval (nan where there is but one value)."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})" if self.count > 1 else f"{self.mean:.3f}"


def student(count: int) -> float:
    """Student's t at 97.5 % for the mean of `count` values, at least two."""
    return float(stats.t.ppf(0.975, count - 1))


def mean_of(values: Sequence[float]) -> Mean:
    """Of independent values, such as seeds: Student's t."""
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return Mean(mean, math.nan, math.nan, n)
    half = student(n) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def share_of(right: Sequence[int], total: Sequence[int], *, seed: int = 0, draws: int = 10_000) -> Mean:
    """A share over groups (recordings), of which some are hard and some easy: bootstrap over the groups."""
    r, n = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, len(r), (draws, len(r)))
    found = r[drawn].sum(axis=1) / n[drawn].sum(axis=1)
    low, high = np.quantile(found, (0.025, 0.975))
    return Mean(float(r.sum() / n.sum()), float(low), float(high), len(r))
