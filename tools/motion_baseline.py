"""Prints how well the motion model tells a quiet room from one in which somebody moves, by chip, beside simpler
detectors on the same frames (docs/training.md).

    python tools/motion_baseline.py FOLDER

FOLDER holds recordings of ESPectre (`baseline_CHIP_….npz`, `movement_CHIP_….npz`). They are put on the model's grid.
Each frame of the grid from 0.75 s on has a prediction, and all chips have one threshold: the model's own. The simpler
detectors predict at the same times. Their threshold (the trees: all) comes from the other chips' recordings, with the
fewest errors there, so they know such recordings; the model does not. Calibrated: each chip and day has a threshold by
the rule of `aether calibrate`, of its quiet recording. Needs scikit-learn.

The last table is an hour of quiet: simulated rooms, empty or with somebody who stands still, a minute each; then the
same with a profile that drifts and interference that changes packets.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from activity_baselines import statistics
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from aether_temporal import TemporalModel
from aether_temporal.bundled import model_path
from aether_temporal.recordings import Hints, open_recording
from aether_temporal.recordings.recording_file import NOTHING
from aether_temporal.running.inputs import model_input
from aether_temporal.running.motion_threshold import SETTLING, WARM_UP, odds, quiet_threshold
from aether_temporal.simulation import Receiver, simulate
from aether_temporal.subcarriers import parse_layout

Array = NDArray[np.float64]


LAYOUTS = {chip: Hints(layout=parse_layout("0..31,-32..-1")) for chip in ("esp32", "s3", "c3")}
"""Of these chips the files do not say which subcarriers they hold: it depends on the secondary channel."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A recording: chip, when it was made, label, frames on the model's grid, packets as they came with the newest
    packet at each prediction, and the model's log odds."""

    chip: str
    when: str
    moving: bool
    frames: Array
    packets: Array
    newest: NDArray[np.int64]
    first: int
    odds: Array


def read(folder: Path, model: TemporalModel) -> list[Clip]:
    """All clips of the folder."""
    assert model.settings is not None
    assert model.settings.subcarrier_numbers is not None
    wanted, rate = model.settings.subcarrier_numbers.wanted(), model.settings.frame_rate or 1.0
    clips = []
    for path in sorted(folder.glob("*.npz")):
        label, chip, _, day, time = path.stem.split("_")
        recording = open_recording(path, hints=LAYOUTS.get(chip, NOTHING))
        given, first = model_input(model, recording), round(WARM_UP * rate)
        frames = given.frames[first:].astype(np.float64)
        assert recording.frame_rate is not None
        newest = np.floor((np.arange(len(frames)) + first) / rate * recording.frame_rate).astype(np.int64)
        packets = recording.selected(wanted).features().astype(np.float64)
        clips.append(
            Clip(
                chip,
                day + time,
                label == "movement",
                given.frames.astype(np.float64),
                packets / packets.mean(axis=1, keepdims=True),
                np.minimum(newest, len(packets) - 1),
                first,
                odds(model, recording)[0],
            )
        )
    return clips


def trailing(values: Array, count: int) -> Array:
    """Mean of the last `count` values at each place, fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - count)
    found: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return found


def statistic(clip: Clip) -> Array:
    """How far the profile moves in 10 packets over how far it moves in 1, means of the last 50."""
    x = clip.packets
    far = np.abs(x[10:] - x[:-10]).mean(axis=1)
    near = np.abs(x[10:] - x[9:-1]).mean(axis=1)
    return (trailing(far, 50) / trailing(near, 50))[np.maximum(clip.newest - 10, 0)]


def moving_variance(clip: Clip) -> Array:
    """Variance over the last 50 packets of the spread over the subcarriers."""
    spread = clip.packets.std(axis=1)
    found: Array = trailing(spread**2, 50) - trailing(spread, 50) ** 2
    return found[clip.newest]


def windows(clip: Clip, stride: int = 1) -> Array:
    """Statistics of the frames before each prediction, as many as lie before the first."""
    stops = range(clip.first + 1, len(clip.frames) + 1, stride)
    return np.stack([statistics(clip.frames[stop - clip.first : stop]) for stop in stops])


def best_threshold(quiet: Array, moving: Array) -> float:
    """The fewest errors, each kind as a share."""
    places = np.unique(np.concatenate([quiet, moving]))
    below = np.searchsorted(np.sort(moving), places, side="right") / len(moving)
    above = 1 - np.searchsorted(np.sort(quiet), places, side="right") / len(quiet)
    return float(places[np.argmin(below + above)])


def shares(clips: Sequence[Clip], predictions: Callable[[Clip], NDArray[np.bool_]]) -> tuple[float, float]:
    """Recall and false positives."""
    found = [np.concatenate([predictions(clip) for clip in clips if clip.moving == kind]) for kind in (True, False)]
    return float(found[0].mean()), float(found[1].mean())


def disturbed(frames: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Frames whose smooth profile drifts by a tenth within a minute, with six bursts of interference: for 0.2 s, each
    packet has a profile of its own with a chance of a third."""
    count, width = frames.shape
    knots = np.linspace(0, width - 1, 6)
    start, end = (np.interp(np.arange(width), knots, generator.normal(0.0, 0.05, 6)) for _ in range(2))
    out = frames * np.exp(start + (end - start) * np.linspace(0.0, 1.0, count)[:, None])
    burst = max(1, count // 300)
    for first in np.flatnonzero(generator.random(count) < 6 / count):
        for row in range(int(first), min(count, int(first) + burst)):
            if generator.random() < 1 / 3:
                out[row] *= np.exp(np.interp(np.arange(width), knots, generator.normal(0.0, 0.2, 6)))
    return np.asarray(out, dtype=np.float32)


def quiet_hour(model: TemporalModel) -> None:
    """Prints false alarms of 60 simulated minutes."""
    print(
        "\n| a quiet hour, simulated | minutes | predictions | false | alarms | minutes with one |\n|---"
        + "|---" * 5
        + "|"
    )
    for title, change in (("as simulated", False), ("with drift and interference", True)):
        for activity in ("empty", "still"):
            predictions, alarms, minutes = [], 0, 0
            for seed in range(30):
                generator = np.random.Generator(np.random.PCG64([seed, 3]))
                receiver = Receiver(snr_db=float(generator.uniform(25, 40)), level=float(generator.uniform(15, 60)))
                rate = float(generator.uniform(50, 150))
                made = simulate([(activity, 60.0)], seed, frame_rate=rate, receiver=receiver).to_recording()
                if change:
                    made = dataclasses.replace(made, frames=disturbed(made.features(), generator), iq=None)
                given = odds(model, made)[0] > 0
                starts = int((np.diff(given.astype(int), prepend=0) == 1).sum())
                predictions.append(given)
                alarms, minutes = alarms + starts, minutes + (starts > 0)
            whole = np.concatenate(predictions)
            print(
                f"| {activity}, {title} | 30 | {len(whole)} | {whole.mean():.4f} | {alarms} | {minutes} |", flush=True
            )


def quiet_before(clip: Clip, clips: Sequence[Clip]) -> Clip:
    """The quiet recording that was made last before this one (or is it)."""
    quiet = [other for other in clips if other.chip == clip.chip and not other.moving and other.when <= clip.when]
    return max(quiet, key=lambda other: other.when)


def threshold_after(quiet: Clip) -> float:
    """By the rule of `aether calibrate`."""
    return quiet_threshold(quiet.odds[round((SETTLING - WARM_UP) / WARM_UP * quiet.first) :])


def above(scores: Mapping[int, Array], limit: float) -> Callable[[Clip], NDArray[np.bool_]]:
    """Predictions of a detector with these scores and this threshold."""
    return lambda clip: scores[id(clip)] > limit


def by_trees(trees: ExtraTreesClassifier) -> Callable[[Clip], NDArray[np.bool_]]:
    """Their predictions."""
    return lambda clip: np.asarray(trees.predict(windows(clip)), dtype=np.bool_)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="ESPectre's recordings.")
    parser.add_argument("--model", default="motion", help="A model of `aether train motion`.")
    arguments = parser.parse_args()
    model = TemporalModel.from_blob(model_path(arguments.model))
    clips = read(arguments.folder, model)
    chips = sorted({clip.chip for clip in clips})
    of = {chip: [clip for clip in clips if clip.chip == chip] for chip in chips}
    rows: dict[str, list[tuple[float, float]]] = {}

    rows["model, its own threshold"] = [shares(of[chip], lambda clip: clip.odds > 0) for chip in chips]
    for name, score in (("one statistic", statistic), ("moving variance", moving_variance)):
        scores = {id(clip): score(clip) for clip in clips}
        found = []
        for chip in chips:
            others = [clip for clip in clips if clip.chip != chip]
            quiet, moving = (
                np.concatenate([scores[id(c)] for c in others if c.moving == kind]) for kind in (False, True)
            )
            limit = best_threshold(quiet, moving)
            found.append(shares(of[chip], above(scores, limit)))
        rows[f"{name}, threshold of the other chips"] = found
    found = []
    for chip in chips:
        others = [clip for clip in clips if clip.chip != chip]
        x, y = zip(*[(windows(clip, 10), clip.moving) for clip in others], strict=True)
        labels = np.concatenate([np.full(len(part), moving) for part, moving in zip(x, y, strict=True)])
        trees = ExtraTreesClassifier(300, min_samples_leaf=2, random_state=0).fit(np.concatenate(x), labels)
        found.append(shares(of[chip], by_trees(trees)))
    rows["extra trees, trained on the other chips"] = found

    rows["model, calibrated by the quiet recording before"] = [
        shares(of[chip], lambda clip: clip.odds > threshold_after(quiet_before(clip, clips))) for chip in chips
    ]
    print("Recall / false positives.\n\n| detector | " + " | ".join(chips) + " | mean |")
    print("|---" * (len(chips) + 2) + "|")
    for name, values in rows.items():
        cells = [*values, tuple(np.mean(values, axis=0))]
        print(f"| {name} | " + " | ".join(f"{recall:.3f} / {false:.3f}" for recall, false in cells) + " |")
    print(
        "\nFalse positives of the model in each second of the quiet recordings.\n\n| recording | by second |\n|---|---|"
    )
    for clip in clips:
        if not clip.moving:
            parts = [clip.odds[start : start + 50] for start in range(0, len(clip.odds), 50)]
            print(f"| {clip.chip} {clip.when} | " + " ".join(f"{(part > 0).mean():.2f}" for part in parts) + " |")
    quiet_hour(model)


if __name__ == "__main__":
    main()
