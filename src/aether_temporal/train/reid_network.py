"""The network that tells persons apart, and the two closed forms that it begins and ends with."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from aether_temporal.settings import PatternSettings
from aether_temporal.torch import NetworkConfig, TemporalClassifier
from aether_temporal.torch.network import Layer

from .dataset import Dataset
from .discriminant import fit_discriminant
from .fitting import some_frames
from .reid_protocol import take
from .retrieval import Array
from .windows import Stack

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
    count. components: principal subcarriers' directions that pass as they are; changes: subcarriers whose changes from frame
    to frame are kept apart. The width is the sum of both."""

    length: int = 100
    pool: int = 96
    components: int = 40
    changes: int = 52
    hidden: int = 48
    embedding: int = 64
    stem_taps: int = 8


def network_shape(input_dim: int, shape: Shape) -> NetworkConfig:
    """One layer; window, log-strides and landmarks within HISTORY frames. The two classes are there because a blob has
    a classifier; nothing is trained into it."""
    return NetworkConfig(
        input_dim=input_dim,
        n_classes=2,
        width=components(input_dim, shape) + changes(input_dim, shape),
        n_layers=1,
        pattern=PatternSettings(window=32, block_size=16, history=HISTORY, global_tokens=()),
        gain="mean",
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
    frame), the layer adding little yet. Both are what persons were found to differ in; training goes on from there.
    ValueError for frames that are all the same."""
    c = network.config
    first, length = components(c.input_dim, shape), shape.length
    with torch.no_grad():
        frames = network.without_gain(torch.from_numpy(some_frames(train)))
        network.mean.copy_(frames.mean(0))
        spread = frames.std(0)
        if not (spread > 1e-6).any():
            raise ValueError(
                "frames: expected some that differ by more than their gain, found none: there is nothing to tell "
                "persons apart by"
            )
        network.scale.copy_(1.0 / torch.where(spread > 1e-6, spread, torch.ones_like(spread)))
        still = take(train, length, max(stride, length // 2))[0]
        means = torch.cat(
            [
                ((network.without_gain(torch.from_numpy(batch)) - network.mean) * network.scale).mean(1)
                for batch in still.batches(256)
            ]
        )
        centred = (means - means.mean(0)).double()
        directions = torch.linalg.eigh(centred.t() @ centred)[1].flip(1)[:, :first].float()
        directions = directions * torch.where(directions.sum(0) < 0, -1.0, 1.0)  # one of two signs
        passing = ((frames - network.mean) * network.scale) @ directions
        chosen = torch.linspace(0, c.input_dim - 1, c.width - first).round().long()
        project, kernel, floor = (_given(x) for x in (network.project, network.stem_kernel, network.stem_bias))
        project.zero_()
        project[:, :first] = directions / passing.std(0).clamp(min=1e-6)
        project[chosen, torch.arange(first, c.width)] = 1.0
        _given(network.project_bias).zero_()
        kernel.zero_()
        kernel[0] = 1.0
        kernel[1, first:] = -1.0
        floor.zero_()
        floor[:first] = FLOOR
        _given(network.gain).fill_(math.sqrt(SOFT))
        for layer in network.layers:
            assert isinstance(layer, Layer)
            _given(layer.gain).fill_(math.sqrt(SOFT) / 3)
            _given(layer.ffn_gain).fill_(math.sqrt(SOFT) / 3)
            layer.Wo.mul_(0.1)
            _given(layer.W2).mul_(0.1)
        network.classifier.zero_()


def pooled(network: TemporalClassifier, frames: Stack, batch: int = 64) -> Array:
    """What the embedding is made from, after the last frame of each window: [n, width]."""
    training = network.training
    network.eval()
    with torch.no_grad():
        found = [network.hidden(torch.from_numpy(some))[:, -1].numpy() for some in frames.batches(batch)]
    network.train(training)
    return np.concatenate(found).astype(np.float64)


def fit_embedding(network: TemporalClassifier, train: Dataset, shape: Shape, stride: int, shrinkage: float) -> float:
    """Sets the embedding in closed form: directions in which the training's persons differ, in units of one person's
    own spread. Returns the mean length of an embedding before it is normalised."""
    frames, of = take(train, shape.length, stride)
    features = pooled(network, frames)
    index = np.unique(np.array(of), return_inverse=True)[1].astype(np.int64)
    found = fit_discriminant(features, index, dim=network.config.embedding_dim, shrinkage=shrinkage)
    with torch.no_grad():
        _given(network.embed).copy_(torch.from_numpy(found.matrix))
        _given(network.embed_bias).copy_(torch.from_numpy(found.bias))
    return float(np.linalg.norm(found(features), axis=1).mean())


def _given(tensor: torch.Tensor | None) -> torch.Tensor:
    """A parameter that this shape has."""
    assert tensor is not None
    return tensor
