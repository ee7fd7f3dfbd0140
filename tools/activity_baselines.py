"""Prints what simple classifiers reach on the windows that an activity model is scored on (docs/training.md).

    python tools/activity_baselines.py geotec_sessions_1_3.npz

Trained on the first session, tested on the others, and in five folds within the first. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from aether_temporal import TemporalModel
from aether_temporal.bundled import model_path
from aether_temporal.running.result import WINDOW, labelled_windows
from aether_temporal.train import splits
from aether_temporal.train.activity import CONTEXT, LABEL_DELAY, read_activities
from aether_temporal.train.dataset import Dataset, LabelledRecording
from aether_temporal.train.evaluation import score

Array = NDArray[np.float64]
SEEDS = 5
FOLDS = 5
STRIDE = 10
"""Frames between the windows that a classifier is trained on; those it is tested on follow one another."""


def statistics(frames: Array) -> Array:
    """Of frames [T, F], each divided by its mean: mean, spread and mean change of every subcarrier, and the spread and
    the mean change over all of them in each quarter."""
    change = np.abs(np.diff(frames, axis=0))
    quarters = [
        value
        for part in np.array_split(frames, 4)
        for value in (part.std(axis=0).mean(), np.abs(np.diff(part, axis=0)).mean())
    ]
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0), change.mean(axis=0), quarters])


def features(recording: LabelledRecording, last: NDArray[np.int64], kind: str, length: int = WINDOW) -> Array:
    """What a classifier of this kind sees of the windows of `length` frames that end with these frames."""
    if kind == "time":
        return last[:, None].astype(np.float64)
    frames = np.asarray(recording.frames, dtype=np.float64)
    frames = frames / frames.mean(axis=1, keepdims=True)
    rows = []
    for stop in (last + 1).tolist():
        row = statistics(frames[stop - length : stop])
        if kind == "context":
            row = np.concatenate([row, statistics(frames[max(0, stop - CONTEXT) : stop])])
        rows.append(row)
    return np.stack(rows)


def windows(
    recordings: Sequence[LabelledRecording], kind: str, stride: int, length: int = WINDOW
) -> tuple[Array, NDArray[np.int64]]:
    """Features and labels of windows of `length` frames, a new one every `stride` frames."""
    rows, labels = [], []
    for recording in recordings:
        for start in range(0, length, stride):
            known, last = labelled_windows(np.asarray(recording.labels)[start:], length)
            if len(last):
                rows.append(features(recording, last + start, kind, length))
                labels.append(known)
    return np.concatenate(rows), np.concatenate(labels)


def extra_trees(train: Dataset, test: Dataset, kind: str) -> tuple[float, int]:
    """Mean share of correct windows over the seeds, and windows."""
    x, y = windows(train, kind, STRIDE)
    tested, expected = windows(test, kind, WINDOW)
    shares = []
    for seed in range(SEEDS):
        trees = ExtraTreesClassifier(300, min_samples_leaf=2, random_state=seed).fit(x, y)
        shares.append(float((trees.predict(tested) == expected).mean()))
    return float(np.mean(shares)), len(expected)


def in_random_order(dataset: Dataset, seed: int) -> Dataset:
    """The dataset, the activities of each recording in random order: each segment of one label stays whole."""
    generator, found = np.random.Generator(np.random.PCG64(seed)), []
    for recording in dataset:
        labels = np.asarray(recording.labels)
        parts = np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1)
        order = np.concatenate([parts[i] for i in generator.permutation(len(parts))])
        found.append(LabelledRecording(recording.name, recording.session, recording.frames[order], labels[order]))
    return Dataset(found, dataset.classes, dataset.features)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="Recordings of an activity in several sessions.")
    parser.add_argument("--model", default="activity", help="The model to compare with.")
    arguments = parser.parse_args()
    dataset = read_activities(arguments.data)
    names = splits.sessions(dataset)
    of = {name: dataset.subset(i for i, r in enumerate(dataset) if r.session == name) for name in names}
    train, tested = of[names[0]], [of[name] for name in names[1:]]

    def say(title: str, within: str, shares: Sequence[float]) -> None:
        print(f"| {title} | {within} | " + " | ".join(f"{share:.3f}" for share in shares) + " |", flush=True)

    model = TemporalModel.from_blob(model_path(arguments.model))
    scores = {name: score(model, of[name], label_delay=LABEL_DELAY, context=CONTEXT) for name in names}
    print("| tested on | windows | fresh | streamed | frames |\n|---|---|---|---|---|")
    for name, found in scores.items():
        title = f"session {name}" + (" (trained on)" if name == names[0] else "")
        print(f"| {title} | {found.windows} | {found.fresh:.3f} | {found.streamed:.3f} | {found.frames:.3f} |")
    print()
    print(f"| method | session {names[0]}, five folds | " + " | ".join(f"session {name}" for name in names[1:]) + " |")
    print("|---" * (2 + len(tested)) + "|")
    commonest = int(np.bincount(windows(train, "time", WINDOW)[1]).argmax())
    shares = [float((windows(part, "time", WINDOW)[1] == commonest).mean()) for part in (train, *tested)]
    say(f"always {dataset.classes[commonest]}", f"{shares[0]:.3f}", shares[1:])
    for kind, title in (
        ("time", "extra trees, the time since the start alone"),
        ("window", f"extra trees, statistics of the window ({WINDOW} frames)"),
        ("context", f"extra trees, statistics of the window and of the last {CONTEXT} frames"),
    ):
        folds = [extra_trees(*fold.parts(train), kind) for fold in splits.folds(train, FOLDS)]
        within = sum(share * count for share, count in folds) / sum(count for _, count in folds)
        say(title, f"{within:.3f}", [extra_trees(train, part, kind)[0] for part in tested])
    say(f"model {arguments.model}, fresh windows", "–", [scores[name].fresh for name in names[1:]])
    say(f"model {arguments.model}, streamed", "–", [scores[name].streamed for name in names[1:]])
    shuffled = [
        [score(model, in_random_order(part, seed), label_delay=LABEL_DELAY, context=CONTEXT) for seed in range(SEEDS)]
        for part in tested
    ]
    for title, key in (("fresh windows", "fresh"), ("streamed", "streamed")):
        say(
            f"model {arguments.model}, {title}, activities in random order",
            "–",
            [float(np.mean([getattr(found, key) for found in part])) for part in shuffled],
        )


if __name__ == "__main__":
    main()
