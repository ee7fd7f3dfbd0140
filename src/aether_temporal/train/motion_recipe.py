"""`aether train motion`: is somebody moving? Recordings of people at rest and in motion, disturbed in the ways in which
rooms, chips and receivers differ."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.blob import WeightBlob
from aether_temporal.errors import InvalidConfigError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError
from aether_temporal.settings import PatternSettings, SubcarrierNumberSettings, TimingSettings
from aether_temporal.simulation import ACTIVITIES, Receiver, simulate
from aether_temporal.subcarriers import parse_subcarriers
from aether_temporal.torch.exchange import to_blob
from aether_temporal.torch.network import Description, NetworkConfig, TemporalClassifier

from . import splits
from .activity import ATTRIBUTION
from .dataset import Dataset, LabelledRecording
from .evaluation import logits_of
from .prepared import file_names, read_dataset
from .reading import Reading, RunSettings, without_side
from .runs import Run, environment, expect_place, say_written
from .shards import Cut
from .supervised import Batch, FitConfig, fit, some_frames

Array = NDArray[np.float64]

CLASSES = ("quiet", "moving")
SUBCARRIERS = "-26..26"
FEATURES = 52
PERIOD_US = 20_000
"""Of the grid that the model is fed on: every rate from 50 packets a second on fills it."""
MAX_GAP_US = 1_000_000
FINE_US = 10_000
"""Of the grid that recordings are read on, from which other packet rates are made."""
WARM_UP = 37
"""Frames without a prediction that counts: 0.75 s."""
LABEL_DELAY = 12
PURE = 2 * LABEL_DELAY + 1
"""A frame has a target where the last half second has one label."""
CROP = 100
CROPS = 24
STEPS = 400
HISTORY = 64
PATTERN = PatternSettings(window=8, block_size=4, history=HISTORY, pattern="pyramid")
"""In training: runs of frames, which taught a better model than single frames did."""
EXPORTED = PatternSettings(
    window=HISTORY - 1, history=HISTORY, use_log_stride=False, use_landmarks=False, global_tokens=()
)
"""In the blob: each of these frames by itself, which every node can, compiled with the pyramid or not."""
FAINT = 1e-3
"""What the frames are scaled by: beside what attention adds, the stem's own output then vanishes, and the model sees
ratios only. A level differs from room to room."""
PROVENANCE = "Trained on {recordings} recordings ({origin}); seed {seed}."


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What is done to a crop, in parts of the mean amplitude; each value 0 switches its part off.

    response: spread of the log of how strongly the channel responds to motion. profile, jitter: of a static log gain,
    smooth over the subcarriers and of each alone: another room. noise: of each value, from packet to packet. tilt: of
    smooth shapes over the subcarriers, from packet to packet, with heavy tails: gain control, timing, interference.
    glitches: largest share of packets with another profile. drift: of a smooth log gain that grows over the crop.
    """

    response: Annotated[float, Within(0.0, 10.0)] = 0.4
    profile: Annotated[float, Within(0.0, 10.0)] = 0.3
    jitter: Annotated[float, Within(0.0, 10.0)] = 0.05
    noise: Annotated[float, Within(0.0, 10.0)] = 0.02
    tilt: Annotated[float, Within(0.0, 10.0)] = 0.015
    glitches: Annotated[float, Within(0.0, 1.0)] = 0.05
    drift: Annotated[float, Within(0.0, 10.0)] = 0.05

    def __post_init__(self) -> None:
        check_ranges(self)

    def apply(self, frames: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """A disturbed copy of frames [T, F], each divided by its mean."""
        normal, (count, width) = generator.normal, frames.shape
        mean = frames.mean(axis=0, dtype=np.float64)
        out = mean + (frames - mean) * np.exp(normal(0.0, self.response))
        out *= np.exp(_smooth(width, self.profile, generator) + normal(0.0, self.jitter, width))
        if generator.random() < 0.7:
            level = self.noise * np.exp(normal(0.0, 0.8))
            out += normal(0.0, level, out.shape) * np.exp(normal(0.0, 0.4, width))
        if generator.random() < 0.6:
            out *= np.maximum(1.0 + self._tilts(count, generator) @ waves(width, range(1, 7)).T, 0.05)
        if generator.random() < 0.4:
            for row in np.flatnonzero(generator.random(count) < self.glitches * generator.random()):
                out[row] *= np.exp(_smooth(width, 0.25, generator))
        if generator.random() < 0.3:
            out *= np.exp(np.linspace(0.0, 1.0, count)[:, None] * _smooth(width, self.drift, generator))
        made: NDArray[np.float32] = np.maximum(out, 0.0).astype(np.float32)
        return made

    def _tilts(self, count: int, generator: np.random.Generator) -> Array:
        """Sizes [count, 6] of the smooth shapes; for half of the crops in bursts of 20 frames."""
        sizes = generator.standard_t(4, (count, 6)) * np.exp(-0.3 * np.arange(6))
        sizes *= self.tilt * np.exp(generator.normal(0.0, 0.7))
        if generator.random() < 0.5:
            sizes *= np.repeat(np.exp(generator.normal(0.0, 0.7, count // 20 + 1)), 20)[:count, None]
        return np.asarray(sizes)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result. quiet: labels that mean that nobody moves, in small letters; every other label is
    motion. false_alarm: how much more a quiet frame counts. test_recordings: simulated ones to score. disturbance: of a
    crop."""

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    quiet: tuple[str, ...] = ("seated", "still", "standing", "lying", "empty", "quiet", "baseline", "static")
    false_alarm: Annotated[float, Within(1e-3, 1e3)] = 2.0
    test_recordings: Annotated[int, Within(1, 10**6)] = 60
    fit: FitConfig = dataclasses.field(default_factory=lambda: FitConfig(steps=STEPS))
    disturbance: Disturbance = dataclasses.field(default_factory=Disturbance)
    pattern: PatternSettings = PATTERN

    def __post_init__(self) -> None:
        check_ranges(self)
        self.pattern.check()


def waves(width: int, which: Sequence[int]) -> Array:
    """Cosines over the subcarriers [width, n] of so many half periods, each with a mean square of 1."""
    place = (np.arange(width)[:, None] + 0.5) / width
    found: Array = np.sqrt(2.0) * np.cos(np.pi * place * np.asarray(which))
    return found


def _smooth(width: int, spread: float, generator: np.random.Generator) -> Array:
    """A random smooth profile [width]."""
    knots = np.linspace(0, width - 1, 8)
    found: Array = np.interp(np.arange(width), knots, generator.normal(0.0, spread, 8))
    return found


def network_shape(pattern: PatternSettings = PATTERN) -> NetworkConfig:
    """One layer of width 24, under 8 KB in binary16."""
    return NetworkConfig(
        input_dim=FEATURES,
        n_classes=len(CLASSES),
        width=24,
        n_layers=1,
        n_q_heads=1,
        head_dim=8,
        pattern=pattern,
        agc="mean",
        stem_taps=12,
        stem_activation="relu",
        zero_sum_stem=True,
        eps=1e-14,
        hidden=12,
        pool_frames=5,
    )


def begin(network: TemporalClassifier) -> None:
    """The projection begins with cosines over the subcarriers, the stem with three filters: what changes within a fifth
    of a second, within two frames, and from frame to frame. The paths of a room change neighbouring subcarriers alike
    and slowly; noise does neither."""
    assert network.projection is not None
    assert network.stem is not None
    taps, width = network.stem["weight"].shape
    slow, quick, noise = np.zeros((3, taps))
    slow[0:4], slow[8:12] = 0.25, -0.25
    quick[0:2], quick[4:6] = 0.5, -0.5
    noise[0:3] = 0.5, -1.0, 0.5
    bank = [(wave, kernel) for wave in range(1, 6) for kernel in (slow, quick, noise)]
    bank += [(wave, noise) for wave in (9, 13, 18, 22, 27, 31, 36, 42, 48)]
    signs = (-1.0) ** np.arange(width)
    shapes = waves(FEATURES, [wave for wave, _ in bank]) / np.sqrt(FEATURES) * signs
    network.projection["weight"].copy_(torch.from_numpy(shapes))
    network.stem["weight"].copy_(torch.from_numpy(np.stack([kernel for _, kernel in bank], axis=1)))
    network.normalisation.scale.mul_(FAINT)
    network.layers[0].get_parameter("attention.wq").mul_(0.1)  # at first, all of the past counts alike
    for part in (network.projection, network.stem):
        part["bias"].requires_grad_(False)  # a bias would be a level


def _targets(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Targets [T] of labels [T]: the label that the last `PURE` frames share, else -1."""
    found = np.full(len(labels), -1, dtype=np.int64)
    if len(labels) >= PURE:
        parts = np.lib.stride_tricks.sliding_window_view(labels, PURE)
        same = (parts == parts[:, :1]).all(axis=1)
        found[PURE - 1 :] = np.where(same, labels[PURE - 1 :], -1)
    found[:WARM_UP] = -1
    return found


def _between(
    frames: NDArray[np.float32], labels: NDArray[np.int64], times: NDArray[Any], at: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames of ascending times on a grid, as docs/spec/features.md does it, with the labels of the packets due."""
    after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    weight = np.clip((at - times[after - 1]) / (times[after] - times[after - 1]), 0.0, 1.0)[:, None]
    made = frames[after - 1] + (frames[after] - frames[after - 1]) * weight
    return made.astype(np.float32), labels[after]


def _other_rate(
    frames: NDArray[np.float32], labels: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames of the fine grid, as a sender of fewer packets would have given them, on the model's grid."""
    kept = np.flatnonzero(generator.random(len(frames)) < generator.uniform(0.55, 1.0))
    at = np.arange(generator.uniform(0.0, PERIOD_US), (len(frames) - 1) * FINE_US, PERIOD_US)
    return _between(frames[kept], labels[kept], kept * float(FINE_US), at)


def draw(recordings: Sequence[LabelledRecording], disturbance: Disturbance, generator: np.random.Generator) -> Batch:
    """Frames [CROPS, CROP, F] and targets [CROPS, CROP] of recordings on the fine grid; half of the crops end quiet,
    half moving."""
    found: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    while len(found) < CROPS:
        recording = recordings[int(generator.integers(len(recordings)))]
        start = int(generator.integers(0, len(recording) - fine_length() + 1))
        part = slice(start, start + fine_length())
        frames, labels = _other_rate(recording.frames[part], recording.labels[part], generator)
        targets = _targets(labels[:CROP])
        if targets[-1] == len(found) % len(CLASSES):
            found.append((disturbance.apply(frames[:CROP], generator), targets))
    return np.stack([frames for frames, _ in found]), np.stack([targets for _, targets in found])


def fine_length() -> int:
    """Frames on the fine grid that make a crop, wherever it begins."""
    return (CROP + 2) * PERIOD_US // FINE_US


def simulated_recordings(first: int, count: int) -> list[LabelledRecording]:
    """Recordings of seeds first … first + count - 1 on the model's grid, at 50 to 150 packets a second, each with a
    room, a subject, a receiver and a gain control of its own."""
    found = []
    for seed in range(first, first + count):
        generator = np.random.Generator(np.random.PCG64([seed, 2]))
        script = [("empty", float(generator.uniform(4.0, 8.0)))] if generator.random() < 0.5 else []
        for _ in range(3):
            choices = [name for name in ("still", "walking", "waving") if not script or name != script[-1][0]]
            script.append((str(generator.choice(choices)), float(generator.uniform(3.0, 7.0))))
        receiver = Receiver(
            snr_db=float(generator.uniform(28.0, 45.0)),
            level=float(generator.uniform(15.0, 60.0)),
            jump_probability=float(generator.choice([0.0, 0.05, 0.3])),
            jump_db=int(generator.integers(1, 7)),
        )
        rate = float(np.exp(generator.uniform(np.log(50.0), np.log(150.0))))
        made = simulate(script, seed, frame_rate=rate, receiver=receiver)
        amplitudes, times = made.frames, made.timestamps * 1e6
        labels = (made.labels >= ACTIVITIES.index("walking")).astype(np.int64)
        amplitudes /= amplitudes.mean(axis=1, keepdims=True)
        frames, labels = _between(amplitudes, labels, times, np.arange(times[0], times[-1], PERIOD_US))
        found.append(LabelledRecording(f"seed{seed}", "simulated", frames, labels))
    return found


def read_motion(paths: Sequence[str], recipe: Recipe, reading: Reading) -> Dataset:
    """Recordings on the fine grid, labelled quiet or moving. RecordingError: one of both is missing."""
    if reading.wanted is None and reading.select is None:
        reading = dataclasses.replace(reading, subcarriers=SUBCARRIERS)
    if reading.period_us is not None:
        raise InvalidConfigError.of("period_us", "none, for the recipe has a grid of its own", reading.period_us)
    reading = dataclasses.replace(reading, period_us=FINE_US, max_gap_us=MAX_GAP_US, shortest=fine_length())

    def rename(label: str) -> str:
        return CLASSES[0 if without_side(label).casefold() in recipe.quiet else 1]

    dataset = read_dataset(*paths, rename=rename, classes=CLASSES, reading=reading)
    if dataset.width != FEATURES:
        raise InvalidConfigError.of("subcarriers", f"{FEATURES} of them", dataset.width)
    for number, name in enumerate(CLASSES):
        if not any((np.asarray(recording.labels) == number).any() for recording in dataset):
            raise RecordingError(
                f"labels: expected some frames of {name!r}, found none: a label is quiet if it is one of "
                f"{', '.join(recipe.quiet)} (`quiet` in --config), and motion otherwise"
            )
    return dataset


def coarse(recordings: Sequence[LabelledRecording]) -> list[LabelledRecording]:
    """Recordings of the fine grid on the model's."""
    step = PERIOD_US // FINE_US
    return [dataclasses.replace(r, frames=r.frames[::step], labels=r.labels[::step]) for r in recordings]


@dataclasses.dataclass(frozen=True)
class Alarms:
    """Shares of frames that are predicted as "moving", with the frames they are of; frames whose last half second has
    two labels do not count."""

    quiet: int
    false: int
    moving: int
    found: int

    def __str__(self) -> str:
        recall = f"{self.found / self.moving:.4f}" if self.moving else "none"
        false = f"{self.false / self.quiet:.4f}" if self.quiet else "none"
        return f"recall {recall} of {self.moving} frames, false alarms {false} of {self.quiet}"


def alarms(model: TemporalModel, recordings: Sequence[LabelledRecording]) -> Alarms:
    """What the core predicts on recordings on the model's grid."""
    counts = np.zeros((2, 2), dtype=np.int64)
    for recording in recordings:
        targets = _targets(np.asarray(recording.labels))
        predictions = logits_of(model, recording.frames, model.default_context).argmax(axis=1)
        np.add.at(counts, (targets[targets >= 0], predictions[targets >= 0]), 1)
    return Alarms(int(counts[0].sum()), int(counts[0, 1]), int(counts[1].sum()), int(counts[1, 1]))


def train(dataset: Dataset, recipe: Recipe, provenance: str, **training: Any) -> WeightBlob:
    """A binary16 blob trained on recordings on the fine grid. training: as `fit` takes it."""
    network = fit(
        network_shape(recipe.pattern),
        some_frames(dataset),
        Cut(functools.partial(draw, list(dataset), recipe.disturbance)),
        recipe.fit,
        seed=recipe.seed,
        class_weights=np.array([recipe.false_alarm, 1.0], dtype=np.float32),
        begin=begin,
        checkpoint="model.pt",
        title="motion",
        **training,
    )
    description = Description(
        CLASSES,
        1e6 / PERIOD_US,
        provenance,
        timing=TimingSettings(LABEL_DELAY, PERIOD_US, MAX_GAP_US),
        subcarrier_numbers=SubcarrierNumberSettings.of(parse_subcarriers(SUBCARRIERS)),
    )
    blob = to_blob(network, description).to_dtype("float16")
    assert blob.settings is not None
    return blob.with_settings(blob.settings.replace(pattern=EXPORTED))


def main(
    data: Sequence[str],
    recipe: Recipe,
    reading: Reading,
    settings: RunSettings,
    say: Callable[[str], None],
    **options: Any,
) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    dataset = read_motion(data, recipe, reading)
    for note in dataset.notes:
        say(note)
    sessions = splits.sessions(dataset)
    parts = {name: dataset.subset(i for i, r in enumerate(dataset) if r.session == name) for name in sessions}
    trained = parts[sessions[0]]
    sources = file_names(data)
    text = PROVENANCE.format(recordings=len(trained), origin=splits.origin(trained), seed=recipe.seed)
    if "geotec" in sources:
        text = f"{ATTRIBUTION} {text}"
    configuration = {"recipe": "motion", "data": sources, **dataclasses.asdict(recipe), "environment": environment()}
    folder = options["run_folder"]
    with Run.open(
        folder, configuration, resume=options["resume"], steps=("fit", "steps"), shards=settings.shards
    ) as run:
        for note in run.notes:
            say(note)
        blob = train(
            trained,
            recipe,
            text,
            run=run,
            checkpoint_every=settings.checkpoint_every,
            workers=settings.workers,
        )
        model = TemporalModel.from_blob(blob)
        scores = {
            f"session {name}" + (" (trained on)" if name == sessions[0] else ""): alarms(model, coarse(part))
            for name, part in parts.items()
        }
        scores["simulated rooms"] = alarms(model, simulated_recordings(0, recipe.test_recordings))
        for name, found in scores.items():
            say(f"{name}: {found}")
        run.write("model.rvne", blob.serialize())
        document = {name: dataclasses.asdict(found) for name, found in scores.items()}
        run.write("result.json", {"bytes": len(blob.serialize()), "scores": document})
        if options["out"] is not None:
            blob.save(options["out"])
        say_written(options["out"], folder, say)
