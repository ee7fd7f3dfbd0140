"""Between a torch network and an RVNE blob, losslessly: every binary32 bit of a parameter is the blob's, and back.

What a blob says beside (class names, subcarriers, timing …) stays with the network as its `description`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from aether_temporal import blob_tools
from aether_temporal.blob import WeightBlob
from aether_temporal.errors import InvalidConfigError
from aether_temporal.header import WeightBlobHeader
from aether_temporal.settings import (
    BiasSettings,
    ConvolutionSettings,
    EmbeddingSettings,
    FeedForwardSettings,
    ModelSettings,
    NormalisationSettings,
    NormSettings,
    PatternSettings,
    PoolingSettings,
    ProjectionSettings,
    StemSettings,
)

from .network import Description, Layer, NetworkConfig, TemporalClassifier

__all__ = ["Description", "describe", "export", "float16_error", "from_blob", "load", "to_blob", "to_settings"]

# Sections that a NetworkConfig and its parameters hold, and those that are fields of a Description.
_OF_NETWORK = (
    *("pattern", "agc", "normalisation", "projection", "norm", "convolution", "bias", "feed_forward", "pooling"),
    *("embedding", "stem"),
)
_DESCRIBED = ("class_names", "frame_rate", "provenance", "subcarriers", "timing", "subcarrier_numbers")


def _array(tensor: torch.Tensor | None) -> NDArray[np.float32]:
    assert tensor is not None
    found: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return found


def _arrays(section: Any, *names: str) -> dict[str, NDArray[np.float32]]:
    """Arrays of a section of the network, by name."""
    return {name: _array(section[name]) for name in names}


def _stacked(layers: Sequence[Layer], section: str, *names: str) -> dict[str, NDArray[np.float32]]:
    """The same of a section that every layer has, the layers along the first axis."""
    return {name: np.stack([_array(getattr(layer, section)[name]) for layer in layers]) for name in names}


def _layers(network: TemporalClassifier) -> list[Layer]:
    return [layer for layer in network.layers if isinstance(layer, Layer)]


def to_settings(network: TemporalClassifier, description: Description) -> ModelSettings | None:
    """The network's sections; None where a plain version 1 blob says it all."""
    c, layers, written = network.config, _layers(network), description.neutral
    found: dict[str, Any] = {name: getattr(description, name) for name in _DESCRIBED} | dict(description.others)
    if c.pattern != PatternSettings() or "pattern" in written:
        found["pattern"] = c.pattern
    if c.agc != "none" or "agc" in written:
        found["agc"] = c.agc
    if c.normalisation:
        n = network.normalisation
        found["normalisation"] = NormalisationSettings(mean=_array(n.mean), scale=_array(n.scale))
    if c.projection:
        found["projection"] = ProjectionSettings(**_arrays(network.projection, "weight", "bias"))
    if network.stem is not None:
        weight, bias = _array(network.stem_filter()), _array(network.stem["bias"])
        found["stem"] = StemSettings(weight=weight, bias=bias, activation=c.stem_activation)
    if c.eps is not None:
        norms = _stacked(layers, "norm", "weight") | _arrays(network.norm, "final")
        found["norm"] = NormSettings(**norms, eps=c.eps)
    if c.taps:
        found["convolution"] = ConvolutionSettings(**_stacked(layers, "convolution", "weight", "bias"))
    if c.bias:
        biases = _stacked(layers, "attention", "bq", "bk", "bv", "bo")
        found["bias"] = BiasSettings(**biases, classifier=_array(network.classifier["bias"]))
    if c.hidden:
        names = ("norm", "w1", "b1", "w2", "b2")
        found["feed_forward"] = FeedForwardSettings(**_stacked(layers, "feed_forward", *names))
    if c.pool_frames > 1:
        found["pooling"] = PoolingSettings("mean", c.pool_frames)
    elif "pooling" in written:
        found["pooling"] = PoolingSettings()
    if c.embedding_dim:
        found["embedding"] = EmbeddingSettings(**_arrays(network.embedding, "weight", "bias"))
    if c.width == c.input_dim and "extension" not in written and all(value is None for value in found.values()):
        return None
    return ModelSettings(width=c.width, **found)


def to_blob(
    network: TemporalClassifier,
    description: Description | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> WeightBlob:
    """The network as a blob, with its own description where none is given.

    float32: without losing a bit. float16: matrices rounded to nearest even (`float16_error` says what that costs).
    InvalidConfigError (weights that are not finite), ResultOverflowError (beyond binary16).
    """
    c = network.config
    header = WeightBlobHeader(dtype, c.input_dim, c.n_q_heads, c.n_kv_heads, c.head_dim, c.n_layers, c.n_classes)
    core = [_arrays(layer.attention, "wq", "wk", "wv", "wo") for layer in _layers(network)]
    settings = to_settings(network, network.description if description is None else description)
    return WeightBlob.from_arrays(header, core, _array(network.classifier["weight"]), settings)


def describe(blob: WeightBlob) -> Description:
    """The sections of the blob that no parameter of a network holds."""
    s = blob.settings
    if s is None:
        return Description(neutral=frozenset())
    neutral = {"extension", *(name for name in ("pattern", "agc") if getattr(s, name) is not None)}
    if s.pooling is not None and s.pooling.frames == 1:
        neutral.add("pooling")
    others = {
        field.name: value
        for field in dataclasses.fields(s)
        if field.name not in ("width", *_OF_NETWORK, *_DESCRIBED) and (value := getattr(s, field.name)) is not None
    }
    described = {name: getattr(s, name) for name in _DESCRIBED}
    return Description(**described, neutral=frozenset(neutral), others=others)


def _shape(blob: WeightBlob, s: ModelSettings) -> NetworkConfig:
    h = blob.header
    return NetworkConfig(
        input_dim=h.input_dim,
        n_classes=h.n_classes,
        width=blob.width,
        n_layers=h.n_layers,
        n_q_heads=h.n_q_heads,
        n_kv_heads=h.n_kv_heads,
        head_dim=h.head_dim,
        pattern=s.pattern or PatternSettings(),
        agc=s.agc or "none",
        normalisation=s.normalisation is not None,
        projection=s.projection is not None,
        stem_taps=0 if s.stem is None else len(np.asarray(s.stem.weight)),
        stem_activation="none" if s.stem is None else s.stem.activation,
        eps=None if s.norm is None else s.norm.eps,
        taps=0 if s.convolution is None else np.shape(s.convolution.weight)[1],
        bias=s.bias is not None,
        hidden=0 if s.feed_forward is None else np.shape(s.feed_forward.b1)[1],
        pool_frames=1 if s.pooling is None else s.pooling.frames,
        embedding_dim=0 if s.embedding is None else len(np.asarray(s.embedding.bias)),
    )


def from_blob(blob: WeightBlob) -> TemporalClassifier:
    """The network of a blob (any the core accepts, the plain version 1 layout too); binary16 matrices are widened.

    `to_blob` of it is the same blob again, bit for bit, if it is asked for the blob's dtype. InvalidConfigError (a
    model in integers).
    """
    if blob.header.dtype == "int8":
        raise InvalidConfigError.of("blob", "a model in floating point; train the one this was made of", "int8")
    s = blob.settings or ModelSettings()
    network = TemporalClassifier(_shape(blob, s), describe(blob))
    arrays = blob.arrays()
    with torch.no_grad():
        for name, target in network.state_dict().items():  # which go by the blob's names
            if name in arrays:
                target.copy_(torch.from_numpy(np.array(arrays[name], dtype=np.float32)))
    return network


def export(
    network: TemporalClassifier,
    path: str | os.PathLike[str],
    description: Description | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> WeightBlob:
    """Writes the network as a blob, whole or not at all; returns it. The errors of `to_blob`; OSError."""
    blob = to_blob(network, description, dtype)
    blob.save(path)
    return blob


def load(path: str | os.PathLike[str]) -> TemporalClassifier:
    """The network of a blob on disk. OSError, BlobError."""
    return from_blob(WeightBlob.load(path))


def float16_error(network: TemporalClassifier, frames: ArrayLike) -> blob_tools.Float16ErrorReport:
    """What `export(..., dtype="float16")` would cost, matrix by matrix, over frames (T, input_dim), a tensor or array.
    The errors of `aether_temporal.blob_tools.float16_error` and of `to_blob`."""
    rows = frames.detach() if isinstance(frames, torch.Tensor) else frames
    return blob_tools.float16_error(to_blob(network), rows)
