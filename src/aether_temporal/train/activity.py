"""`aether train activity`: supervised activities, tested on sessions, subjects or recordings that were not trained
on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError, RecordingShapeError
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import Description, NetworkConfig, to_blob

from . import splits
from .dataset import Dataset, LabelledRecording, class_counts, class_weights, without_short_segments
from .evaluation import (
    Confidence,
    Scores,
    calibration_error,
    confidence,
    expect_scorable,
    fit_temperature,
    likelihood_loss,
    predictions,
    score,
    stored,
    with_temperature,
)
from .prepared import is_prepared, read_dataset
from .reading import Reading, without_side
from .runs import Run, environment
from .splits import Split
from .supervised import Augmentation, Batches, Crops, FitConfig, Mixture, fit, some_frames

LABEL_DELAY = 25
"""The prediction after a frame describes the middle of the 50 frames that end with it."""

WARM_UP = 49
CONTEXT = 128
PATTERN = PatternSettings(history=CONTEXT, global_tokens=())
SHORTEST = WARM_UP + 1
"""Frames of the shortest recording that teaches anything: one is left to compare with its label."""
LONG_CROP = 160
HELD_OUT = 5
"""Every fifth recording is held out to measure how sure the model may be."""

ATTRIBUTION = (
    "Contains information from stability-csi-har (github.com/GeoTecINIT/stability-csi-har at 2b0dbdf; Matey-Sanz et "
    "al., Temporal Stability on Human Activity Recognition based on Wi-Fi CSI, IPIN 2023, "
    "doi 10.1109/IPIN57070.2023.10332214), which is made available under the ODC Attribution License (ODC-By 1.0)."
)

Balance = Literal["none", "weights", "sampling"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result, beside the recordings and their split.

    balance: against classes of unlike frequency: a frame of a rare class weighs more, or is drawn more often.
    calibrate: train once more without every fifth recording, and scale the logits so that confidence is accuracy there.
    pattern: of the network's attention.
    """

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    balance: Balance = "none"
    calibrate: bool = True
    pattern: PatternSettings = PATTERN
    provenance: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)
        self.pattern.check()


@dataclasses.dataclass(frozen=True)
class Calibration:
    """temperature: what the logits were divided by. Losses and errors before and after, on the recordings held out for
    it."""

    temperature: float
    loss_before: float
    loss_after: float
    error_before: float
    error_after: float
    frames: int


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """The blob, its scores and calibration errors by what was scored, and how it was calibrated.

    held_out: scores, on the recordings held out to calibrate, of the model that had not seen them.
    """

    blob: WeightBlob
    scores: dict[str, Scores]
    uncalibrated: dict[str, float]
    errors: dict[str, float]
    calibration: Calibration | None = None
    held_out: Scores | None = None

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "bytes": len(self.blob.serialize()),
            "scores": {name: found.document() for name, found in self.scores.items()},
            "calibration_error": {"before": self.uncalibrated, "after": self.errors},
            "calibration": None if self.calibration is None else dataclasses.asdict(self.calibration),
            "held_out": None if self.held_out is None else self.held_out.document(),
        }


def read_activities(
    *paths: str | os.PathLike[str], classes: Sequence[str] | None = None, reading: Reading | None = None
) -> Dataset:
    """All recordings of what is named (`read_dataset`); the two sides of the room are one class. RecordingError, naming
    recordings without labels."""
    rename = None if any(map(is_prepared, paths)) else without_side
    dataset = read_dataset(*paths, rename=rename, classes=classes, reading=reading)
    labelled = {recording.recording_id for recording in dataset if (np.asarray(recording.labels) >= 0).any()}
    for recording in dataset:
        if recording.recording_id not in labelled:
            raise RecordingShapeError(
                f"{recording.title}: labels: expected some to train by, found none; name them (--label-from, or "
                "a manifest), or leave it out"
            )
    return dataset


def network_shape(input_dim: int, n_classes: int, pattern: PatternSettings = PATTERN) -> NetworkConfig:
    """Two layers of width 32."""
    return NetworkConfig(
        input_dim=input_dim,
        n_classes=n_classes,
        width=32,
        pattern=pattern,
        agc="mean",
        stem_taps=16,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=8,
        hidden=64,
        pool_frames=25,
        dropout=0.1,
    )


def crops_of(dataset: Dataset, balance: Balance) -> Mixture:
    """What is learned from. RecordingError for recordings that are too short."""
    counts = tuple(class_counts(dataset, len(dataset.classes)).tolist()) if balance == "sampling" else ()
    crops = Mixture(
        (
            Crops(64, 24, LABEL_DELAY, WARM_UP, Augmentation(), counts),
            Crops(LONG_CROP, 16, LABEL_DELAY, WARM_UP, Augmentation(), counts),
        ),
        (0.33, 0.67),
    )
    crops.check(dataset)
    return crops


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    run: Run | None = None,
    checkpoint: str = "model.pt",
    title: str = "activity",
    checkpoint_every: int = 100,
    workers: int = 0,
    show_progress: bool = True,
) -> WeightBlob:
    """A blob trained on all of this dataset, not calibrated. RecordingError for recordings that are too short."""
    dataset = without_short_segments(dataset, SHORTEST)
    counts = class_counts(dataset, len(dataset.classes))
    crops = crops_of(dataset, recipe.balance)
    network = fit(
        network_shape(dataset.width, len(dataset.classes), recipe.pattern),
        some_frames(dataset),
        Batches(crops, dataset),
        recipe.fit,
        seed=recipe.seed,
        class_weights=class_weights(counts) if recipe.balance == "weights" else None,
        run=run,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        workers=workers,
        title=title,
        show_progress=show_progress,
    )
    about = dataset.features
    text = (
        f"{recipe.provenance} Trained on {len(dataset)} recordings ({splits.origin(dataset)}), "
        f"{dataset.width} features a frame; seed {recipe.seed}."
    ).strip()
    return to_blob(
        network,
        Description(dataset.classes, about.frame_rate, text, **about.selection(), timing=about.timing(LABEL_DELAY)),
    )


def choose_split(
    dataset: Dataset,
    *,
    test: Dataset | None = None,
    train_sessions: Sequence[str] = (),
    test_sessions: Sequence[str] = (),
    test_subjects: Sequence[str] = (),
    hold_out: bool = True,
) -> tuple[Dataset, Split]:
    """Tested on `test` where it is given; else on the subjects or sessions that are named; else on all sessions but the
    first; of one session, on a part of it (hold_out False: on nothing). The dataset is that of the split.
    RecordingError, LeakError."""
    if len(dataset.classes) < 2:
        raise RecordingError(
            f"labels: expected at least two classes, found {', '.join(dataset.classes)} alone; add another's recordings"
        )
    chosen = {
        "--test": test is not None,
        "--test-subject": bool(test_subjects),
        "--train-session, --test-session": bool(train_sessions or test_sessions),
    }
    if sum(chosen.values()) > 1:
        names = " and ".join(name for name, is_given in chosen.items() if is_given)
        raise RecordingError(f"expected one way to hold recordings out, found {names}; leave out all but one")
    if test is not None:
        return splits.by_file(dataset, test)
    if test_subjects:
        return dataset, splits.by_subject(dataset, test_subjects)
    sessions = splits.sessions(dataset)
    if len(sessions) > 1 or train_sessions or test_sessions:
        return dataset, splits.by_session(dataset, train_sessions or sessions[:1], test_sessions or None)
    if not hold_out:
        return dataset, Split(tuple(range(len(dataset))), ())
    return splits.hold_out(without_short_segments(dataset, SHORTEST), SHORTEST)


def held_to_calibrate(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """What is trained on to calibrate, and every fifth recording, to calibrate by; where a class would be lost, a part
    held out as of one session. RecordingError: there is too little."""
    names = list(dict.fromkeys(recording.recording_id for recording in dataset))
    if len(names) > 1:
        rest, held = next(splits.folds(dataset, min(HELD_OUT, len(names)))).parts(dataset)
        counts = [class_counts(part, len(dataset.classes)) > 0 for part in (dataset, rest)]
        if (counts[0] == counts[1]).all():
            return rest, held
    try:
        parts, split = splits.hold_out(dataset, SHORTEST)
    except RecordingError:
        raise RecordingError(
            "recordings to train on: expected enough to spare some to calibrate by, found "
            f"{', '.join(names)} alone; add another, or do not calibrate (--no-calibrate)"
        ) from None
    return split.parts(parts)


def expect_trainable(dataset: Dataset, split: Split, recipe: Recipe) -> None:
    """RecordingError, LeakError for what else would stop a training on this split halfway."""
    splits.check(dataset, split)
    trained, _ = split.parts(dataset)
    crops_of(without_short_segments(trained, SHORTEST), recipe.balance)
    parts = list(parts_of(dataset, split).values())
    if recipe.calibrate:
        rest, held = held_to_calibrate(trained)
        crops_of(without_short_segments(rest, SHORTEST), recipe.balance)
        parts.append(held)
    for part in parts:
        expect_scorable(part, label_delay=LABEL_DELAY, warm_up=WARM_UP)


def expect_known_labels(dataset: Dataset, split: Split) -> None:
    """RecordingError for a tested recording with a class that nothing that is trained on has."""
    trained, tested = split.parts(dataset)
    known = class_counts(trained, len(dataset.classes)) > 0
    for recording in tested:
        strange = (class_counts([recording], len(dataset.classes)) > 0) & ~known
        if strange.any():
            have, lacks = (", ".join(np.array(dataset.classes)[which].tolist()) for which in (known, strange))
            raise RecordingError(
                f"{recording.title}: labels: expected classes that are trained on ({have}), found {lacks}; train on a "
                "recording that has it too, or leave this one out"
            )


def calibrate(dataset: Dataset, recipe: Recipe, *, run: Run, **training: Any) -> tuple[Calibration, Scores]:
    """Trains without every fifth recording and measures there: the temperature, and how good that model is."""
    rest, held = held_to_calibrate(dataset)
    blob = train(rest, recipe, checkpoint="calibration.pt", title="to calibrate", run=run, **training)
    model = TemporalModel.from_blob(blob)
    with run.writing():
        given = stored(
            predictions(model, held, label_delay=LABEL_DELAY, warm_up=WARM_UP, context=model.default_context),
            run.folder,
        )
    found = fit_temperature(given)
    return (
        Calibration(
            found,
            likelihood_loss(given),
            likelihood_loss(given, found),
            calibration_error(given),
            calibration_error(given, found),
            len(given),
        ),
        score(model, held, label_delay=LABEL_DELAY, context=model.default_context),
    )


def parts_of(dataset: Dataset, split: Split) -> dict[str, Dataset]:
    """What is scored, by name: each session (subject, file) that is tested, and what was trained on."""
    trained, tested = split.parts(dataset)
    groups: dict[str, list[LabelledRecording]] = {}
    for recording in tested:
        groups.setdefault(_group(recording, split), []).append(recording)
    name = f"session {' + '.join(splits.sessions(trained))} (trained on)" if split.by == "session" else "trained on"
    return {
        name: trained,
        **{key: Dataset(recordings, dataset.classes, dataset.features) for key, recordings in sorted(groups.items())},
    }


def _group(recording: LabelledRecording, split: Split) -> str:
    names = {
        "session": f"session {recording.session}",
        "subject": f"subject {recording.subject}",
        "file": f"test recordings of {Path(recording.source).name}",
        "recording": "recordings held out",
        "time": "time held out",
    }
    return names[split.by]


def train_activity(
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    *,
    out: str | os.PathLike[str] | None = None,
    run: Run | None = None,
    checkpoint_every: int = 100,
    workers: int = 0,
    show_progress: bool = True,
) -> Report:
    """Trains, calibrates, scores; writes the blob to `out` and, where there is a run folder, blob, result and plots
    there. RecordingError, LeakError, CheckpointError, RunError, OSError."""
    expect_trainable(dataset, split, recipe)
    expect_known_labels(dataset, split)
    trained, _ = split.parts(dataset)
    run = run or Run(None, {})
    training: dict[str, Any] = {
        "checkpoint_every": checkpoint_every,
        "workers": workers,
        "show_progress": show_progress,
        "run": run,
    }
    calibration, held_out = calibrate(trained, recipe, **training) if recipe.calibrate else (None, None)
    blob = train(trained, recipe, **training)
    plain = TemporalModel.from_blob(blob)
    if calibration is not None:
        blob = with_temperature(blob, calibration.temperature)
    model = TemporalModel.from_blob(blob)
    parts = parts_of(dataset, split)
    scores = {
        name: score(model, part, label_delay=LABEL_DELAY, context=model.default_context) for name, part in parts.items()
    }
    temperatures = (1.0,) if calibration is None else (1.0, calibration.temperature)
    sure = {
        name: confidence(
            predictions(plain, part, label_delay=LABEL_DELAY, warm_up=WARM_UP, context=plain.default_context),
            temperatures,
        )
        for name, part in parts.items()
    }
    uncalibrated = {name: found[0].error for name, found in sure.items()}
    errors = {name: found[-1].error for name, found in sure.items()}
    report = Report(blob, scores, uncalibrated, errors, calibration, held_out)
    _write(run, report, dataset.classes, sure)
    if out is not None:
        blob.save(out)
    return report


def _write(run: Run, report: Report, classes: Sequence[str], sure: Mapping[str, Sequence[Confidence]]) -> None:
    run.write("model.rvne", report.blob.serialize())
    run.write("result.json", report.document())
    from .plots import draw_run

    draw_run(run, classes, report.scores, sure)


def configuration(dataset: Dataset, split: Split, recipe: Recipe, source: str) -> dict[str, Any]:
    """What decides the result, for a run's folder: two runs with the same give the same blob."""
    return {
        "recipe": "activity",
        "data": source,
        "recordings": {
            "train": [_entry(dataset[i]) for i in split.train],
            "test": [_entry(dataset[i]) for i in split.test],
        },
        "classes": list(dataset.classes),
        "features": dataclasses.asdict(dataset.features),
        **dataclasses.asdict(recipe),
        "environment": environment(),
    }


def _entry(recording: LabelledRecording) -> list[Any]:
    return [recording.name, recording.digest]


def cross_validate(
    dataset: Dataset, recipe: Recipe, folds: int, *, on_fold: Any = None, **training: Any
) -> list[Scores]:
    """Every recording of the dataset scored by a model that has not seen it, fold by fold: what settings are chosen
    by."""
    found = []
    for number, split in enumerate(splits.folds(dataset, folds)):
        rest, held = split.parts(dataset)
        title = f"fold {number + 1} of {folds}"
        blob = train(rest, recipe, checkpoint=f"fold{number + 1}.pt", title=title, **training)
        model = TemporalModel.from_blob(blob)
        scores = score(model, held, label_delay=LABEL_DELAY, context=model.default_context)
        found.append(scores)
        if on_fold is not None:
            on_fold(number, scores)
    return found
