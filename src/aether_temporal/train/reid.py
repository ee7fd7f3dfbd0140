"""`aether train reid`: contrastive training of window embeddings, evaluated on identities met and never met."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Annotated, Any

import numpy as np
import torch

from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import Description, NetworkConfig, TemporalClassifier, to_blob
from aether_temporal.torch.network import Layer

from .configuration import LONGEST, Within, check_ranges
from .contrastive import ContrastConfig, Contrasting, Pairs, Views
from .dataset import Dataset, Features, Stack, expect_length
from .reid_protocol import Baselines, Captures, Part, Protocol, arrange, embeddings, entry, fit_discriminant, take
from .retrieval import Array, Matches, match
from .runs import Run, environment
from .supervised import some_frames

HISTORY = 128
"""Frames that a query sees back: all of a window."""

SOFT = 100.0
"""eps of the norm: so large that dividing by the root mean square is nearly dividing by a constant. The window's mean
then keeps what LDA lives on, how large each subcarrier is."""

FLOOR = 6.0
"""Standard deviations below the mean at which the stem's ReLU cuts off a channel that is to pass as it is."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """length: frames of a window. pool: of the embedding's mean, fewer so that a fresh stream's first frames do not
    count. components: principal directions of the subcarriers that pass as they are; changes: subcarriers whose changes
    from frame to frame are kept apart. The width is the sum of both."""

    length: Annotated[int, Within(2, LONGEST)] = 100
    pool: Annotated[int, Within(1, LONGEST)] = 96
    components: Annotated[int, Within(1, 4096)] = 40
    changes: Annotated[int, Within(0, 4096)] = 52
    hidden: Annotated[int, Within(0, 65535)] = 48
    embedding: Annotated[int, Within(1, 4096)] = 64
    stem_taps: Annotated[int, Within(2, 64)] = 8

    def __post_init__(self) -> None:
        check_ranges(self)


def network_shape(input_dim: int, shape: Shape) -> NetworkConfig:
    """One layer; window, log-strides and landmarks within HISTORY frames. The two classes are there because a blob has
    a classifier; nothing is trained into it."""
    return NetworkConfig(
        input_dim=input_dim,
        n_classes=2,
        width=components(input_dim, shape) + changes(input_dim, shape),
        n_layers=1,
        pattern=PatternSettings(window=32, block_size=16, history=HISTORY, global_tokens=()),
        agc="mean",
        stem_taps=shape.stem_taps,
        stem_activation="relu",
        eps=SOFT,
        taps=4,
        hidden=shape.hidden,
        pool_frames=shape.pool,
        embedding_dim=min(shape.embedding, components(input_dim, shape) + changes(input_dim, shape)),
    )


def components(input_dim: int, shape: Shape) -> int:
    """Channels of principal directions: dividing by the mean leaves one direction fewer than features."""
    return max(1, min(shape.components, input_dim - 1))


def changes(input_dim: int, shape: Shape) -> int:
    """Channels of changes."""
    return min(shape.changes, input_dim)


def warm_start(network: TemporalClassifier, train: Dataset, shape: Shape, stride: int) -> None:
    """Weights to begin with: the window's mean of (principal directions of the subcarriers, changes of subcarriers by
    frame), the layer adding little yet. Both are what identities were found to differ in; training continues from
    there. ValueError for frames that are all the same."""
    c = network.config
    first, length = components(c.input_dim, shape), shape.length
    with torch.no_grad():
        frames = network.remove_agc(torch.from_numpy(some_frames(train)))
        mean, scale = network.normalisation.mean, network.normalisation.scale
        mean.copy_(frames.mean(0))
        spread = frames.std(0)
        if not (spread > 1e-6).any():
            raise ValueError(
                "frames: expected some that differ by more than their amplitude scale, found none; check that the "
                "recordings hold motion"
            )
        scale.copy_(1.0 / torch.where(spread > 1e-6, spread, torch.ones_like(spread)))
        still = take(train, length, max(stride, length // 2))[0]
        means = torch.cat(
            [((network.remove_agc(torch.from_numpy(batch)) - mean) * scale).mean(1) for batch in still.batches(256)]
        )
        centred = (means - means.mean(0)).double()
        directions = torch.linalg.eigh(centred.t() @ centred)[1].flip(1)[:, :first].float()
        directions = directions * torch.where(directions.sum(0) < 0, -1.0, 1.0)  # one of two signs
        passing = ((frames - mean) * scale) @ directions
        chosen = torch.linspace(0, c.input_dim - 1, c.width - first).round().long()
        projection, stem = _given(network.projection), _given(network.stem)
        project, kernel, floor = projection["weight"], stem["weight"], stem["bias"]
        project.zero_()
        project[:, :first] = directions / passing.std(0).clamp(min=1e-6)
        project[chosen, torch.arange(first, c.width)] = 1.0
        projection["bias"].zero_()
        kernel.zero_()
        kernel[0] = 1.0
        kernel[1, first:] = -1.0
        floor.zero_()
        floor[:first] = FLOOR
        _given(network.norm)["final"].fill_(math.sqrt(SOFT))
        for layer in network.layers:
            assert isinstance(layer, Layer)
            _given(layer.norm)["weight"].fill_(math.sqrt(SOFT) / 3)
            _given(layer.feed_forward)["norm"].fill_(math.sqrt(SOFT) / 3)
            layer.attention["wo"].mul_(0.1)
            _given(layer.feed_forward)["w2"].mul_(0.1)
        network.classifier["weight"].zero_()


def pooled(network: TemporalClassifier, frames: Stack, batch: int = 64) -> Array:
    """What the embedding is made from, after the last frame of each window: [n, width]."""
    training = network.training
    network.eval()
    with torch.no_grad():
        found = [network.hidden(torch.from_numpy(some))[:, -1].numpy() for some in frames.batches(batch)]
    network.train(training)
    return np.concatenate(found).astype(np.float64)


def fit_embedding(network: TemporalClassifier, train: Dataset, shape: Shape, stride: int, shrinkage: float) -> float:
    """Sets the embedding in closed form: directions in which the training's identities differ, in units of one
    identity's own spread. Returns the mean length of an embedding before it is normalised."""
    frames, of = take(train, shape.length, stride)
    features = pooled(network, frames)
    index = np.unique(np.array(of), return_inverse=True)[1].astype(np.int64)
    found = fit_discriminant(features, index, dim=network.config.embedding_dim, shrinkage=shrinkage)
    with torch.no_grad():
        _given(network.embedding)["weight"].copy_(torch.from_numpy(found.matrix))
        _given(network.embedding)["bias"].copy_(torch.from_numpy(found.bias))
    return float(np.linalg.norm(found(features), axis=1).mean())


def _given(section: torch.nn.ParameterDict | None) -> torch.nn.ParameterDict:
    """A section that this shape has."""
    assert section is not None
    return section


RAM_BUDGET, WEIGHT_BUDGET = 64 * 1024, 128 * 1024
"""Bytes that a node gives to a stream and to a blob."""

ATTRIBUTION = (
    "Trained on recordings of Wi-PER81 (github.com/Markz88/WiPER at 122b4a5; Cascio et al., Scientific Data 12:1522, "
    "2025, doi 10.1038/s41597-025-05804-0; MIT licence)."
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result, beside the recordings.

    held_out: identities kept from training, drawn by seed. captures: of the others. stride: between the windows that
    the closed forms are fitted on. shrinkage: `fit_discriminant`. batch: identities in a batch, two views of each.
    """

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    held_out: Annotated[int, Within(0, 10**6)] = 15
    captures: Captures = "gallery"
    contrast: ContrastConfig = dataclasses.field(default_factory=ContrastConfig)
    views: Views = dataclasses.field(default_factory=Views)
    shape: Shape = dataclasses.field(default_factory=Shape)
    batch: Annotated[int, Within(2, LONGEST)] = 60
    stride: Annotated[int, Within(1, LONGEST)] = 20
    shrinkage: Annotated[float, Within(0.0, 1.0)] = 0.02
    provenance: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """The blob; what each method found in each part ("trained identities", "unseen identities"); sizes in bytes.

    start: the same model before contrastive training. lda_decisions: LDA as a classifier, on trained identities.
    """

    blob: WeightBlob
    held_out: tuple[str, ...]
    matches: dict[str, dict[str, Matches]]
    lda_decisions: float | None
    ram: int


class Pairing:
    """Batches of views: `batch` identities, two views each, from anywhere in that identity's captures. Picklable."""

    def __init__(self, train: Dataset, recipe: Recipe) -> None:
        for recording in train:
            expect_length(recording, recipe.shape.length)
        self.train, self.recipe = train, recipe
        names = sorted({str(recording.subject) for recording in train})
        self.recordings = [[i for i, recording in enumerate(train) if recording.subject == name] for name in names]
        frames = some_frames(train).astype(np.float64)
        mean = frames.mean(axis=1, keepdims=True)
        profile = (frames / np.where(mean > 0, mean, 1.0)).mean(axis=0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.profile = (profile / profile.mean()).astype(np.float32)
        if not np.isfinite(self.profile).all():
            raise RecordingError(
                "frames: expected ones that can be divided by their mean, found some whose mean is nearly zero: "
                "amplitudes are to be positive; leave such frames out"
            )

    def __call__(self, generator: np.random.Generator) -> Pairs:
        length, views = self.recipe.shape.length, self.recipe.views
        found, identities = [], []
        for identity in generator.permutation(len(self.recordings))[: self.recipe.batch].tolist():
            for _ in range(2):
                mine = self.recordings[identity]
                frames = self.train[mine[int(generator.integers(len(mine)))]].frames
                start = int(generator.integers(0, len(frames) - length + 1))
                found.append(views.view(frames, start, length, self.profile, generator))
                identities.append(identity)
        return np.stack(found), np.array(identities, dtype=np.int64)


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    run: Run | None = None,
    checkpoint: str = "model.pt",
    title: str = "reid",
    checkpoint_every: int = 20,
    workers: int = 0,
    show_progress: bool = True,
) -> tuple[WeightBlob, WeightBlob]:
    """A blob trained on all of this dataset, and the blob it was before contrastive training. RecordingError for
    recordings that are too short, or so wide that the model is beyond a chip's budget."""
    draw = Pairing(dataset, recipe)
    network = first_network(dataset, recipe)
    warm_start(network, dataset, recipe.shape, recipe.stride)
    length = fit_embedding(network, dataset, recipe.shape, recipe.stride, recipe.shrinkage)
    start = _blob(network, recipe, dataset.features)
    task = Contrasting(network, recipe.contrast, scale=1.0 / length, seed=recipe.seed)
    (run or Run(None, {})).train(
        task,
        draw,
        steps=recipe.contrast.steps,
        seed=recipe.seed,
        title=title,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        workers=workers,
        show_progress=show_progress,
    )
    fit_embedding(task.ema, dataset, recipe.shape, recipe.stride, recipe.shrinkage)
    return _blob(task.ema, recipe, dataset.features), start


def ram_of(blob: WeightBlob) -> int:
    """Bytes of a stream on a 32-bit chip: its state, and scratch."""
    return TemporalModel.from_blob(blob).memory(HISTORY, pointer_bytes=4).ram


def first_network(dataset: Dataset, recipe: Recipe) -> TemporalClassifier:
    """Random weights for frames of this dataset. RecordingError for frames so wide that the model is beyond what a chip
    gives it: its size does not change any more."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = TemporalClassifier(network_shape(dataset.width, recipe.shape))
    blob = _blob(network, recipe, dataset.features)
    size, ram = len(blob.serialize()), ram_of(blob)
    if ram > RAM_BUDGET or size > WEIGHT_BUDGET:
        raise RecordingError(
            f"{dataset[0].title}: frame width: expected a model of at most {RAM_BUDGET} bytes of RAM and "
            f"{WEIGHT_BUDGET} of weights for a chip, found {ram} and {size} with {dataset.width} features a frame; "
            "choose fewer of them (--select), or use recordings of fewer subcarriers"
        )
    return network


def expect_trainable(dataset: Dataset, recipe: Recipe) -> Protocol:
    """The recipe's protocol. RecordingError, LeakError for what would stop a training on it halfway."""
    protocol = arrange_for(dataset, recipe)
    Pairing(protocol.train, recipe)
    first_network(protocol.train, recipe)
    return protocol


def _blob(network: TemporalClassifier, recipe: Recipe, about: Features) -> WeightBlob:
    text = (
        f"{recipe.provenance} Embeds windows of {recipe.shape.length} frames; the classifier is unused. Distinguishes "
        f"identities in the same place shortly after; seed {recipe.seed}."
    ).strip()
    timing = None if about.period_us is None else about.timing(0)
    described = Description(
        ("unused_0", "unused_1"), about.frame_rate, text, subcarriers=about.subcarriers(), timing=timing
    )
    return to_blob(network, described)


def train_reid(
    dataset: Dataset,
    recipe: Recipe,
    *,
    out: str | os.PathLike[str] | None = None,
    run: Run | None = None,
    **training: Any,
) -> Report:
    """Trains, and asks the core for both parts; writes the blob to `out`. RecordingError, LeakError, CheckpointError,
    RunError, OSError."""
    protocol = arrange_for(dataset, recipe)
    blob, start = train(protocol.train, recipe, run=run, **training)
    model, before = TemporalModel.from_blob(blob), TemporalModel.from_blob(start)
    baselines = Baselines.fit(protocol.train, recipe.shape.length, recipe.stride)
    matches = {}
    for name, part in protocol.parts.items():
        found = {"model": model_matches(model, part), "start": model_matches(before, part)}
        matches[name] = {**found, **baselines.matches(part)}
    known = protocol.parts.get("trained identities")
    decisions = None if known is None else baselines.decisions(known)
    if out is not None:
        blob.save(out)
    return Report(blob, protocol.held_out, matches, decisions, ram_of(blob))


def model_matches(model: TemporalModel, part: Part) -> Matches:
    """The part's windows as the core embeds them, matched."""
    return match(
        embeddings(model, part.gallery, HISTORY),
        part.gallery_of,
        embeddings(model, part.probes, HISTORY),
        part.probes_of,
    )


def arrange_for(dataset: Dataset, recipe: Recipe) -> Protocol:
    """The recipe's protocol."""
    return arrange(
        dataset, length=recipe.shape.length, held_out=recipe.held_out, captures=recipe.captures, seed=recipe.seed
    )


def configuration(dataset: Dataset, protocol: Protocol, recipe: Recipe, source: str) -> dict[str, Any]:
    """What decides the result, for a run's folder: two runs with the same give the same blob."""
    return {
        "recipe": "reid",
        "data": source,
        "recordings": {
            "train": [entry(dataset[i]) for i in protocol.split.train],
            "test": [entry(dataset[i]) for i in protocol.split.test],
        },
        "features": dataclasses.asdict(dataset.features),
        **dataclasses.asdict(recipe),
        "environment": environment(),
    }
