"""The softmax weights of a model's attention over a recording.

The core computes these weights and does not keep them. It does give each layer's queries, keys, values and output, and
its visibility pattern; the weights follow from those (docs/spec/numerics.md), here in binary64. Applied to the values
they must give the core's own output, and `Attention.difference` says how closely they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.model import Dtype, LayerTrace, TemporalModel
from aether_temporal.recordings import Recording
from aether_temporal.recordings.recording import Selection
from aether_temporal.running import model_input
from aether_temporal.running.stream import labels_of, prediction_names

from .picture_sources import has_classifier, no_frames

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

COLUMNS, ROWS = 1200, 400
"""A map has at most this many cells. Neighbouring queries are averaged, weights of neighbouring distances added."""

_CELLS = 1 << 21
"""Weights computed at a time."""


@dataclass(frozen=True, eq=False)
class QueryWeights:
    """Weights of consecutive queries from `begin` on: `values` [q_heads, queries, tokens + means].

    A row adds up to 1; it is 0 where the query does not see. `tokens` ascend: those before `first` are global tokens.
    `spans` [means, 2]: the first token of each mean, which is `first` or later, and the one after its last.
    """

    begin: int
    tokens: Indices
    first: int
    spans: Indices
    values: Floats

    @property
    def of_tokens(self) -> Floats:
        """[q_heads, queries, tokens]."""
        return self.values[:, :, : len(self.tokens)]

    @property
    def of_means(self) -> Floats:
        """[q_heads, queries, means]."""
        return self.values[:, :, len(self.tokens) :]

    @property
    def end(self) -> int:
        """The query after the last one."""
        return self.begin + int(self.values.shape[1])


class LayerAttention:
    """The attention of one causal layer over T tokens; memory grows with T, not with its square."""

    def __init__(self, config: TemporalHeadConfig, trace: LayerTrace, dtype: Dtype = "float32"):
        """config: the model's, its history limited by the context. dtype: of the cache, which rounds token rows."""
        self.config = config
        self.trace = trace
        self._k, self._v = _kept(trace.k, dtype), _kept(trace.v, dtype)
        pyramid = config.pattern == "pyramid"
        averaged = (self._k, self._v) if pyramid else (trace.k, trace.v)
        self._k_means, self._v_means = (means_of(rows, config.block_size, pyramid) for rows in averaged)

    def __len__(self) -> int:
        return int(self.trace.q.shape[0])

    @property
    def heads(self) -> int:
        return int(self.trace.q.shape[1])

    @property
    def span(self) -> int:
        """How many tokens a query can see, itself included and older global tokens excepted."""
        history = self.config.history or len(self)
        whole_blocks = self.config.block_size - 1 if self.config.pattern == "pyramid" else 0
        return min(history + whole_blocks, len(self))

    def weights(self, begin: int, end: int) -> QueryWeights:
        """Of the queries begin … end - 1."""
        mask = self.config.mask(end, begin)
        tokens = np.flatnonzero(mask.tokens.any(axis=0)).astype(np.int64)
        means = np.flatnonzero(mask.blocks.any(axis=0))
        seen = np.concatenate([mask.tokens[:, tokens], mask.blocks[:, means]], axis=1)
        sizes = np.concatenate([np.ones(len(tokens)), mask.sizes[means]])
        keys = self._rows(self._k, self._k_means, tokens, mask.spans[means])
        scores = np.einsum("qhd,chd->hqc", self.trace.q[begin:end], keys) / math.sqrt(self.trace.q.shape[2])
        scores = np.where(seen[None], scores, -math.inf)
        weights = sizes * np.exp(scores - scores.max(axis=2, keepdims=True))
        values = weights / weights.sum(axis=2, keepdims=True)
        return QueryWeights(begin, tokens, max(0, begin - self.span + 1), mask.spans[means], values)

    def pieces(self) -> Iterator[QueryWeights]:
        """Of all queries, a few at a time."""
        begin = 0
        most = max(1, min(128, _CELLS // (self.heads * (self.span + 128))))
        while begin < len(self):
            end = min(begin + most, len(self))
            yield self.weights(begin, end)
            begin = end

    def difference(self, found: QueryWeights) -> float:
        """Largest difference between the weights applied to the values and the core's own output."""
        values = self._rows(self._v, self._v_means, found.tokens, found.spans)
        output = np.einsum("hqc,chd->qhd", found.values, values)
        return float(np.abs(output - self.trace.out[found.begin : found.end]).max())

    @property
    def largest(self) -> float:
        """The largest magnitude in the core's output."""
        return float(np.abs(self.trace.out).max())

    def _rows(self, rows: NDArray[np.float32], means: list[Floats], tokens: Indices, spans: Indices) -> Floats:
        """Rows of tokens, then of means, each key/value head repeated for its query heads: [.., q_heads, head_dim]."""
        averaged = np.empty((len(spans), *rows.shape[1:]))
        for level, of_level in enumerate(means):
            length = self.config.block_size << level
            these = spans[:, 1] - spans[:, 0] == length
            averaged[these] = of_level[spans[these, 0] // length]
        chosen = np.concatenate([rows[tokens], averaged], dtype=np.float64)
        return np.repeat(chosen, self.heads // rows.shape[1], axis=1)


def means_of(rows: NDArray[np.float32], size: int, runs: bool = False) -> list[Floats]:
    """Means of the complete blocks of `size` rows, [T // size, …]; with `runs` also of runs of 2, 4, 8 … blocks."""
    blocks = len(rows) // size
    found: list[Floats] = [rows[: blocks * size].reshape(blocks, size, *rows.shape[1:]).mean(axis=1, dtype=np.float64)]
    while runs and len(found[-1]) > 1:
        pairs = len(found[-1]) // 2 * 2
        found.append((found[-1][0:pairs:2] + found[-1][1:pairs:2]) / 2)
    return found


def _kept(rows: NDArray[np.float32], dtype: Dtype) -> NDArray[np.float32]:
    """As the cache keeps token rows: every dtype but float32 rounds them to float16."""
    return rows if dtype == "float32" else rows.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LayerMap:
    """Weights of one layer by time and distance.

    `heads` [q_heads, rows, columns]: weight on the frames at a distance (a row; row 0 is the query's own frame), mean
    over the queries of a column. The weight of a mean is divided equally among its frames. `beyond` [q_heads,
    columns]: weight on global frames farther back than the map. Each column with its `beyond` adds up to 1.
    """

    heads: Floats
    beyond: Floats


@dataclass(frozen=True, eq=False)
class Segment:
    """Frames begin … end - 1, which the model's stream saw without a restart.

    `edges` [columns + 1]: first query of each column of the maps; a row of the maps is `frames_per_row` frames.
    `layers` and `maps` have one entry a layer.
    """

    begin: int
    end: int
    edges: Indices
    frames_per_row: int
    maps: tuple[LayerMap, ...]
    layers: tuple[LayerAttention, ...]


@dataclass(frozen=True, eq=False)
class Attention:
    """A model's attention over a recording of `frames` frames; `query` is the index of the chosen frame.

    predictions, labels [T]: indices into `names`, -1 unknown; None for a model without a classifier or a recording
    without labels. labels: each frame's own label, whatever the model's label delay. difference: the largest difference
    between the weights applied to the values and the core's attention output, relative to the largest output.
    """

    recording: Recording
    names: tuple[str, ...]
    segments: tuple[Segment, ...]
    frames: int
    query: int
    predictions: Indices | None
    labels: Indices | None
    difference: float
    notes: tuple[str, ...]

    @property
    def layers(self) -> int:
        return len(self.segments[0].layers)

    @property
    def heads(self) -> int:
        return self.segments[0].layers[0].heads

    @property
    def prediction(self) -> str | None:
        """After the chosen frame."""
        return None if self.predictions is None else self.names[int(self.predictions[self.query])]

    def weights(self, layer: int) -> tuple[QueryWeights, Segment]:
        """Of the chosen query in a layer; token indices count from the segment's begin."""
        segment = next(s for s in self.segments if s.begin <= self.query < s.end)
        at = self.query - segment.begin
        return segment.layers[layer].weights(at, at + 1), segment

    def document(self) -> dict[str, Any]:
        """The chosen query's weights as JSON (docs/guide/explore.md)."""
        return {
            "recording": self.recording.title,
            "frames": self.frames,
            "query": self.query,
            "prediction": self.prediction,
            "difference_from_core": self.difference,
            "layers": [self._layer_document(layer) for layer in range(self.layers)],
            "dropped": dict(self.recording.dropped),
            "notes": list(self.notes),
        }

    def _layer_document(self, layer: int) -> list[dict[str, Any]]:
        found, segment = self.weights(layer)
        heads = []
        for head in range(self.heads):
            tokens, means = found.of_tokens[head, 0], found.of_means[head, 0]
            heads.append(
                {
                    "head": head,
                    "tokens": [
                        {"frame": int(t) + segment.begin, "weight": float(w)}
                        for t, w in zip(found.tokens, tokens, strict=True)
                        if w > 0
                    ],
                    "block_means": [
                        {
                            "first": int(first) + segment.begin,
                            "last": int(last) - 1 + segment.begin,
                            "weight": float(w),
                        }
                        for (first, last), w in zip(found.spans, means, strict=True)
                        if w > 0
                    ],
                }
            )
        return heads


def attention_of(
    model: TemporalModel,
    recording: Recording,
    *,
    context: int,
    dtype: Dtype = "float32",
    query: int | None = None,
    select: Selection | None = None,
) -> Attention:
    """The model's attention over the recording, as a stream of this context and dtype computes it.

    query: index of a frame, after resampling if the blob asks for it; negative from the end; None: the last.
    RecordingError for a recording without frames, ResultOverflowError naming the recording, InvalidArgumentError for a
    query out of range.
    """
    given = model_input(model, recording, select)
    if not len(given.frames):
        raise no_frames(given.recording)
    count = len(given.frames)
    chosen = count - 1 if query is None else query
    if not -count <= chosen < count:
        raise InvalidArgumentError.of("query", f"a frame from 0 to {count - 1} of {recording.title}", chosen)
    classifies = has_classifier(model)
    config = model.config.within(context)
    segments, predictions, worst, largest, begin = [], [], 0.0, 0.0, 0
    for frames in given.segments():
        try:
            layers = [
                LayerAttention(config, trace, dtype) for trace in model.trace(frames, context=context, dtype=dtype)
            ]
            if classifies:
                predictions.append(model.forward(frames, context=context, dtype=dtype).argmax(axis=1))
        except ResultOverflowError as error:
            raise ResultOverflowError(f"{recording.title}: {error}") from None
        segment, difference = _segment(begin, layers)
        segments.append(segment)
        worst, largest = max(worst, difference), max(largest, *(layer.largest for layer in layers))
        begin += len(frames)
    names = prediction_names(model)
    return Attention(
        recording=given.recording,
        names=names,
        segments=tuple(segments),
        frames=count,
        query=chosen % count,
        predictions=np.concatenate(predictions) if classifies else None,
        labels=labels_of(names, given.recording, False)[0] if classifies else None,
        difference=worst / largest if largest else worst,
        notes=(*given.recording.notes, *given.notes),
    )


def _segment(begin: int, layers: Sequence[LayerAttention]) -> tuple[Segment, float]:
    """The segment, and the largest difference from the core's output in it."""
    tokens = len(layers[0])
    columns = min(tokens, COLUMNS)
    edges = np.arange(columns + 1, dtype=np.int64) * tokens // columns
    frames_per_row = -(-layers[0].span // ROWS)
    maps, differences = zip(*(_map(layer, edges, frames_per_row) for layer in layers), strict=True)
    return Segment(begin, begin + tokens, edges, frames_per_row, maps, tuple(layers)), max(differences)


def _map(layer: LayerAttention, edges: Indices, frames_per_row: int) -> tuple[LayerMap, float]:
    span, columns, heads = layer.span, len(edges) - 1, layer.heads
    rows = -(-span // frames_per_row)
    total, beyond = np.zeros((columns, heads, rows)), np.zeros((columns, heads))
    difference = 0.0
    for found in layer.pieces():
        difference = max(difference, layer.difference(found))
        near, far = by_distance(found, span)
        padded = np.pad(near, ((0, 0), (0, 0), (0, rows * frames_per_row - span)))
        binned = padded.reshape(heads, -1, rows, frames_per_row).sum(axis=3)
        column = np.searchsorted(edges, np.arange(found.begin, found.end), side="right") - 1
        np.add.at(total, column, binned.transpose(1, 0, 2))
        np.add.at(beyond, column, far.T)
    counts = np.diff(edges)
    return LayerMap((total / counts[:, None, None]).transpose(1, 2, 0), (beyond / counts[:, None]).T), difference


def by_distance(found: QueryWeights, span: int) -> tuple[Floats, Floats]:
    """Weights on the frames 0, 1, … span - 1 back [q_heads, queries, span], and on global tokens farther back
    [q_heads, queries]. The weight of a mean is divided equally among its frames."""
    heads, queries = found.values.shape[:2]
    frames = np.zeros((heads, queries, found.end - found.first))
    near_tokens = found.tokens >= found.first
    frames[:, :, found.tokens[near_tokens] - found.first] = found.of_tokens[:, :, near_tokens]
    lengths = found.spans[:, 1] - found.spans[:, 0]
    for length in np.unique(lengths):  # means of one length share no frame
        these = lengths == length
        inside = (found.spans[these, :1] - found.first + np.arange(length)).ravel()
        frames[:, :, inside] += np.repeat(found.of_means[:, :, these] / length, length, axis=2)
    back = np.arange(found.begin, found.end)[:, None] - np.arange(span)[None, :] - found.first
    near = np.where(back >= 0, frames[:, np.arange(queries)[:, None], np.maximum(back, 0)], 0.0)
    far = 1.0 - near.sum(axis=2)
    return near, np.where(far > 1e-9, far, 0.0)
