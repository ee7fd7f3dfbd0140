"""`aether train reid`: window embeddings in closed form, evaluated on identities of days that were not trained on."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
import torch

from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import Description, NetworkConfig, TemporalClassifier, to_blob

from .dataset import Dataset
from .reading import LONGEST
from .reid_protocol import (
    SHRINKAGE,
    Baselines,
    Captures,
    HeldOut,
    Part,
    arrange,
    embeddings,
    entry,
    fit_discriminant,
    held_out_in_turn,
    take,
)
from .retrieval import Matches, match
from .runs import environment
from .supervised import some_frames

RAM_BUDGET, WEIGHT_BUDGET = 64 * 1024, 128 * 1024
"""Bytes that a node gives to a stream and to a blob."""

ATTRIBUTION = (
    "Trained on recordings of Wi-PER81 (github.com/Markz88/WiPER at 122b4a5; Cascio et al., Scientific Data 12:1522, "
    "2025, doi 10.1038/s41597-025-05804-0; MIT licence)."
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result, beside the recordings.

    length: frames of a window. embedding: directions that are kept. captures: trained on. stride: between the windows
    that the closed form is fitted on. shrinkage: `fit_discriminant`.
    """

    length: Annotated[int, Within(2, LONGEST)] = 100
    embedding: Annotated[int, Within(1, 4096)] = 64
    captures: Captures = "gallery"
    stride: Annotated[int, Within(1, LONGEST)] = 20
    shrinkage: Annotated[float, Within(0.0, 1.0)] = SHRINKAGE
    provenance: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """The blob, trained on all identities; and what each method found in each part, a list with the matches of each
    training. lda_decisions: LDA as a classifier of trained identities. ram: bytes of a stream."""

    blob: WeightBlob
    held_out: HeldOut
    matches: dict[str, dict[str, list[Matches]]]
    lda_decisions: float | None
    ram: int


def network_shape(input_dim: int, recipe: Recipe) -> NetworkConfig:
    """The mean of a window's frames, each divided by its own mean. The one layer that a blob has to have adds nothing,
    and the two classes are unused."""
    return NetworkConfig(
        input_dim=input_dim,
        n_classes=2,
        width=input_dim,
        n_layers=1,
        n_q_heads=1,
        n_kv_heads=1,
        pattern=PatternSettings(window=1, use_log_stride=False, use_landmarks=False, history=2, global_tokens=()),
        agc="mean",
        projection=False,
        eps=None,
        bias=False,
        pool_frames=recipe.length,
        embedding_dim=min(recipe.embedding, input_dim),
    )


def train(dataset: Dataset, recipe: Recipe) -> WeightBlob:
    """A blob whose embedding is fitted on all of this dataset: directions in which its identities differ, in units of
    one identity's own spread. RecordingError for recordings that are too short, or so wide that the model is beyond a
    chip's budget; ValueError for frames that are all the same."""
    network = TemporalClassifier(network_shape(dataset.width, recipe))
    assert network.embedding is not None
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        _expect_small(dataset, _blob(network, dataset, recipe))
        network.set_normalisation(torch.from_numpy(some_frames(dataset)))
        if not torch.isfinite(network.normalisation.scale).all():
            raise ValueError(
                "frames: expected some that differ by more than their amplitude scale, found none; check that the "
                "recordings hold motion"
            )
        windows, of = take(dataset, recipe.length, recipe.stride)
        means = torch.cat([network.hidden(torch.from_numpy(some))[:, -1] for some in windows.batches(64)])
        whose = np.unique(np.array(of), return_inverse=True)[1].astype(np.int64)
        dim = network.config.embedding_dim
        found = fit_discriminant(means.double().numpy(), whose, dim=dim, shrinkage=recipe.shrinkage)
        network.embedding["weight"].copy_(torch.from_numpy(found.matrix))
        network.embedding["bias"].copy_(torch.from_numpy(found.bias))
    return _blob(network, dataset, recipe)


def _blob(network: TemporalClassifier, dataset: Dataset, recipe: Recipe) -> WeightBlob:
    about = dataset.features
    text = (
        f"{recipe.provenance} Embeds windows of {recipe.length} frames; the classifier is unused. Distinguishes "
        "identities in the same place shortly after."
    ).strip()
    timing = None if about.period_us is None else about.timing(0)
    described = Description(("unused_0", "unused_1"), about.frame_rate, text, **about.selection(), timing=timing)
    return to_blob(network, described)


def ram_of(blob: WeightBlob) -> int:
    """Bytes of a stream on a 32-bit chip: its state, and scratch."""
    return TemporalModel.from_blob(blob).memory(context_of(blob), pointer_bytes=4).ram


def context_of(blob: WeightBlob) -> int:
    """Frames that a query sees back."""
    assert blob.settings is not None
    assert blob.settings.pattern is not None
    return blob.settings.pattern.history or 1


def _expect_small(dataset: Dataset, blob: WeightBlob) -> None:
    size, ram = len(blob.serialize()), ram_of(blob)
    if ram > RAM_BUDGET or size > WEIGHT_BUDGET:
        raise RecordingError(
            f"{dataset[0].title}: frame width: expected a model of at most {RAM_BUDGET} bytes of RAM and "
            f"{WEIGHT_BUDGET} of weights for a chip, found {ram} and {size} with {dataset.width} features a frame; "
            "choose fewer of them (subcarriers in [reading] of --config), or use recordings of fewer subcarriers"
        )


TRAINED, UNSEEN = "trained identities", "unseen identities"


def train_reid(dataset: Dataset, recipe: Recipe) -> Report:
    """Trains once without each group of `held_out_in_turn`, to be asked for it, and once on all. RecordingError,
    LeakError, ValueError."""
    held_out = held_out_in_turn(dataset)
    matches: dict[str, dict[str, list[Matches]]] = {}
    decisions = None
    for unseen in ((), *held_out.groups.values()):
        arranged = arrange(dataset, length=recipe.length, unseen=unseen, captures=recipe.captures)
        blob = train(arranged.train, recipe)
        name = UNSEEN if unseen else TRAINED
        if not unseen:
            final = blob
        if name not in arranged.parts:
            continue
        part, baselines = arranged.parts[name], Baselines.fit(arranged.train, recipe.length, recipe.stride)
        for method, found in {"model": model_matches(blob, part), **baselines.matches(part)}.items():
            matches.setdefault(name, {}).setdefault(method, []).append(found)
        if not unseen:
            decisions = baselines.decisions(part)
    return Report(final, held_out, matches, decisions, ram_of(final))


def model_matches(blob: WeightBlob, part: Part) -> Matches:
    """The part's windows as the core embeds them, matched."""
    model, context = TemporalModel.from_blob(blob), context_of(blob)
    gallery, probes = (embeddings(model, windows, context) for windows in (part.gallery, part.probes))
    return match(gallery, part.gallery_of, probes, part.probes_of)


def configuration(dataset: Dataset, recipe: Recipe, source: str) -> dict[str, Any]:
    """What decides the result, for a run's folder: two runs with the same give the same blob."""
    return {
        "recipe": "reid",
        "data": source,
        "recordings": [entry(recording) for recording in dataset],
        "features": dataclasses.asdict(dataset.features),
        **dataclasses.asdict(recipe),
        "environment": environment(),
    }
