"""The float16 quantisation error of a blob: its matrices are rounded one by one, and the core runs the result."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aether_temporal import _core
from aether_temporal.blob import WeightBlob
from aether_temporal.errors import InvalidConfigError, ShapeError
from aether_temporal.model import TemporalModel

__all__ = ["Float16Error", "Float16ErrorReport", "float16_error"]


@dataclasses.dataclass(frozen=True)
class Float16Error:
    """The error of rounding one array (or all) to float16.

    max_relative, mean_relative: the rounding error of a value over the value, without zeros; at most 2^-11 in float16's
    normal range. logits: the largest change of a logit, over the largest logit. embeddings: the largest change of a
    value of an embedding; None for a model without one. changed: share of frames whose prediction changes.
    """

    name: str
    values: int
    max_relative: float
    mean_relative: float
    logits: float
    embeddings: float | None
    changed: float


@dataclasses.dataclass(frozen=True)
class Float16ErrorReport:
    """Each matrix rounded alone, in the blob's order; and all together, which is what a binary16 blob computes."""

    arrays: tuple[Float16Error, ...]
    together: Float16Error
    frames: int
    bytes_before: int
    bytes_after: int


def float16_error(blob: WeightBlob, frames: ArrayLike) -> Float16ErrorReport:
    """Runs the model over frames (T, input_dim), once for each matrix.

    InvalidConfigError (a blob whose matrices are binary16 already), ShapeError (T of 0 among them), ResultOverflowError
    (a value beyond binary16), and those of `TemporalModel.forward`.
    """
    if blob.header.dtype != "float32":
        raise InvalidConfigError.of("blob", "matrices in float32", blob.header.dtype)
    half = blob.to_dtype("float16")
    model = TemporalModel.from_blob(blob)
    count, *_ = np.shape(frames) or (0,)
    if count == 0:
        raise ShapeError.of("frames", f"shape (T, {model.input_dim}) with at least one frame", np.shape(frames))
    rounded = half.arrays()
    before = _outputs(model, frames)
    costs, everything = [], bytearray(blob.weights)
    for info in model.array_table():
        name = info.name if info.layer is None else f"layers.{info.layer}.{info.name}"
        if rounded[name].dtype != np.float16:
            continue
        value = rounded[name].astype("<f4").tobytes()
        begin = info.offset - _core.HEADER_BYTES
        alone = bytearray(blob.weights)
        for weights in (alone, everything):
            weights[begin : begin + len(value)] = value
        after = _outputs(_with(blob, alone), frames)
        costs.append(_cost(name, [(model.arrays()[name], rounded[name])], before, after))
    exact = model.arrays()
    pairs = [(exact[cost.name], rounded[cost.name]) for cost in costs]
    together = _cost("all", pairs, before, _outputs(_with(blob, everything), frames))
    return Float16ErrorReport(
        tuple(costs), together, count, bytes_before=len(blob.serialize()), bytes_after=len(half.serialize())
    )


Outputs = tuple[NDArray[np.float32], NDArray[np.float32] | None]


def _with(blob: WeightBlob, weights: bytearray) -> TemporalModel:
    return TemporalModel.from_blob(WeightBlob(blob.header, bytes(weights)))


def _outputs(model: TemporalModel, frames: ArrayLike) -> Outputs:
    return model.run(frames, None, "float32", model.embed_dim > 0)


def _cost(
    name: str, pairs: list[tuple[NDArray[np.float32], NDArray[np.float16]]], before: Outputs, after: Outputs
) -> Float16Error:
    exact = np.concatenate([pair[0].ravel() for pair in pairs]).astype(np.float64)
    error = np.abs(np.concatenate([pair[1].ravel() for pair in pairs]).astype(np.float64) - exact)
    some = exact != 0
    relative = error[some] / np.abs(exact[some])
    largest = float(np.abs(before[0]).max())
    change = float(np.abs(after[0] - before[0]).max())
    return Float16Error(
        name=name,
        values=exact.size,
        max_relative=float(relative.max(initial=0.0)),
        mean_relative=float(relative.mean()) if relative.size else 0.0,
        logits=change / largest if largest > 0 else change,
        embeddings=None if before[1] is None or after[1] is None else float(np.abs(after[1] - before[1]).max()),
        changed=float((after[0].argmax(axis=1) != before[0].argmax(axis=1)).mean()),
    )
