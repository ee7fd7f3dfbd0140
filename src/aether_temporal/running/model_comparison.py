"""What changes when one model takes the place of another: every prediction that differs, on the same recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording, RecordingError, RecordingShapeError

from .inputs import model_input
from .result import Result, accuracy_summary
from .stream import run

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel


@dataclass(frozen=True)
class Change:
    """Predictions that follow one another and change in the same way, from the class `old` to the class `new`.

    begin, end: seconds from the recording's first frame to the first and the last of them; None where the recording
    has no times. index: of the first among the predictions compared.
    """

    index: int
    predictions: int
    begin: float | None
    end: float | None
    old: str
    new: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both models on one recording. `compared` predictions, of which `changed` name another class, in `changes`.

    differing_logits: of how many predictions any bit of the logits differs; None where the models do not predict after
    the same frames, or differ in classes.
    """

    recording: Recording
    old: Result
    new: Result
    compared: int
    differing_logits: int | None
    changes: tuple[Change, ...]

    @property
    def changed(self) -> int:
        return sum(change.predictions for change in self.changes)

    @property
    def interrupted(self) -> bool:
        """By the user, before the recording's end: nothing is compared."""
        return self.old.interrupted or self.new.interrupted

    @property
    def notes(self) -> tuple[str, ...]:
        """What the models say of the recording, each once."""
        return tuple(dict.fromkeys((*self.recording.notes, *self.old.notes, *self.new.notes)))

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "source": self.recording.source,
            "recording": self.recording.name,
            "subject": self.recording.subject,
            "session": self.recording.session,
            "compared": self.compared,
            "changed": self.changed,
            "differing_logits": self.differing_logits,
            "accuracy": {"old": accuracy_summary([self.old]), "new": accuracy_summary([self.new])},
            "changes": [
                {
                    "index": change.index,
                    "predictions": change.predictions,
                    "begin_s": change.begin,
                    "end_s": change.end,
                    "old": change.old,
                    "new": change.new,
                }
                for change in self.changes
            ],
            "notes": list(self.notes),
        }


def compare(old: TemporalModel, new: TemporalModel, recording: Recording) -> Comparison:
    """Streams the recording through both models, each with the context and the grid that its blob states.

    A prediction holds until the next one, so models with different grids can be compared; compared are the times of
    either, from the first at which both have predicted. RecordingShapeError, RecordingError: a model cannot take the
    recording; the message names it as the old or the new one.
    """
    results = []
    for which, model in (("old", old), ("new", new)):
        try:
            given = model_input(model, recording)
        except RecordingShapeError as error:
            raise RecordingShapeError(f"{which} model: {error}") from None
        except RecordingError as error:
            raise RecordingError(f"{which} model: {error}") from None
        results.append(run(model, given))
        if results[-1].interrupted:
            return Comparison(recording, results[0], results[-1], 0, None, ())
    return _compared(recording, *results)


def _compared(recording: Recording, old: Result, new: Result) -> Comparison:
    times = [_times(result) for result in (old, new)]
    if (times[0] is None or times[1] is None) and len(old) != len(new):
        raise RecordingError(
            f"{recording.title}: timestamps or a rate: expected for models whose predictions differ in number "
            f"({len(old)} and {len(new)}), found neither; record times"
        )
    moments, places = _moments(times, len(old))
    names = [np.array(result.names, dtype=object)[result.predictions] for result in (old, new)]
    labels = [found[place] for found, place in zip(names, places, strict=True)]
    return Comparison(
        recording,
        old,
        new,
        len(places[0]),
        _differing_logits(old, new, places),
        _changes(moments, labels, 0.0 if recording.timestamps is None else float(recording.timestamps[0])),
    )


def _times(result: Result) -> NDArray[np.int64] | None:
    """The time of each prediction, in microseconds on the recording's clock; None where it states none. Whole, so that
    a frame and a point of a grid at the same time are equal."""
    recording, seconds = result.recording, None
    if recording.timestamps is not None:
        seconds = np.asarray(recording.timestamps, dtype=np.float64)
    elif recording.frame_rate:
        seconds = np.arange(len(result)) / recording.frame_rate
    return None if seconds is None else np.rint(seconds * 1e6).astype(np.int64)


def _moments(
    times: Sequence[NDArray[np.int64] | None], count: int
) -> tuple[NDArray[np.int64] | None, list[NDArray[np.int64]]]:
    """The times at which predictions are compared, and for each the newest prediction of each model."""
    first, second = times
    if first is None or second is None:
        return None, [np.arange(count), np.arange(count)]
    if np.array_equal(first, second):  # also where time goes back
        return first, [np.arange(len(first)), np.arange(len(first))]
    union = np.union1d(first, second)
    places = [np.searchsorted(np.maximum.accumulate(each), union, side="right") - 1 for each in (first, second)]
    begun = (places[0] >= 0) & (places[1] >= 0)
    return union[begun], [place[begun] for place in places]


def _differing_logits(old: Result, new: Result, places: Sequence[NDArray[np.int64]]) -> int | None:
    if old.names != new.names or not np.array_equal(places[0], places[1]) or len(old) != len(new):
        return None
    return int((old.scores.view(np.uint32) != new.scores.view(np.uint32)).any(axis=1).sum())


def _changes(
    moments: NDArray[np.int64] | None, labels: Sequence[NDArray[np.object_]], origin: float
) -> tuple[Change, ...]:
    old, new = labels
    differ = old != new
    starts = differ.copy()
    starts[1:] &= ~differ[:-1] | (old[1:] != old[:-1]) | (new[1:] != new[:-1])
    found = []
    for index in np.flatnonzero(starts):
        stop = index + 1
        while stop < len(old) and differ[stop] and not starts[stop]:
            stop += 1
        begin, end = (None if moments is None else float(moments[t]) / 1e6 - origin for t in (index, stop - 1))
        found.append(Change(int(index), int(stop - index), begin, end, str(old[index]), str(new[index])))
    return tuple(found)


def totals(found: Sequence[Comparison]) -> dict[str, Any]:
    """Several comparisons taken together, ready for JSON."""
    pairs: Counter[tuple[str, str]] = Counter()
    for each in found:
        for change in each.changes:
            pairs[change.old, change.new] += change.predictions
    differing = [each.differing_logits for each in found]
    return {
        "recordings": len(found),
        "compared": sum(each.compared for each in found),
        "changed": sum(each.changed for each in found),
        "differing_logits": None if None in differing else sum(count for count in differing if count is not None),
        "accuracy": {
            "old": accuracy_summary([each.old for each in found]),
            "new": accuracy_summary([each.new for each in found]),
        },
        "changes": [{"old": old, "new": new, "predictions": n} for (old, new), n in pairs.most_common()],
    }
