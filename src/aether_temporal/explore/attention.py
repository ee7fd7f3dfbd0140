"""Which frames the queries of a recording attended to, by the model's own softmax weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording
from aether_temporal.running import model_input
from aether_temporal.running.stream import labels_of, prediction_names

from .attending import Attending, Floats, Weights
from .sources import no_frames
from .tracing import has_classes, trace

COLUMNS, ROWS = 1200, 400
"""Cells of a map at most: neighbouring queries are averaged, neighbouring distances added."""


@dataclass(frozen=True, eq=False)
class LayerMap:
    """Where a layer looks. `heads` [q_heads, rows, columns]: what a query (mean over the queries of a column) gives to
    the frames at a distance (sum over those of a row; row 0 is the query's own frame), block means shared out equally
    among their frames. `beyond` [q_heads, columns]: what goes to global frames farther back. The sum is 1."""

    heads: Floats
    beyond: Floats


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames begin … end - 1, over which the model's stream ran on. `edges` [columns + 1]: queries at which columns
    begin; a row is `frames_a_row` frames. `attending`: the layers."""

    begin: int
    end: int
    edges: NDArray[np.int64]
    frames_a_row: int
    maps: tuple[LayerMap, ...]
    attending: tuple[Attending, ...]


@dataclass(frozen=True, eq=False)
class Attention:
    """What a model attended to in a recording of `frames` frames.

    query: index of the chosen frame. answers, truth [T] or None (the model has no classifier; nothing is known): index
    into names, -1 unknown; truth is each frame's own label, however late the model's answers are. difference: the
    largest one between the binary64 outputs behind the weights and the core's (logits or, without a classifier,
    embeddings), over the largest of the core's.
    """

    recording: Recording
    names: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    frames: int
    query: int
    answers: NDArray[np.int64] | None
    truth: NDArray[np.int64] | None
    difference: float
    notes: tuple[str, ...]

    @property
    def layers(self) -> int:
        return len(self.stretches[0].maps)

    @property
    def heads(self) -> int:
        return int(self.stretches[0].maps[0].heads.shape[0])

    @property
    def answer(self) -> str | None:
        """After the chosen frame."""
        return None if self.answers is None else self.names[int(self.answers[self.query])]

    def weights(self, layer: int) -> tuple[Weights, Stretch]:
        """Of the chosen query in a layer; its token indices count from the stretch's begin."""
        stretch = next(s for s in self.stretches if s.begin <= self.query < s.end)
        at = self.query - stretch.begin
        return stretch.attending[layer].weights(at, at + 1), stretch

    def document(self) -> dict[str, Any]:
        """The chosen query's weights, as JSON takes them: frame index and weight, block means with their frames."""
        return {
            "recording": self.recording.title,
            "frames": self.frames,
            "query": self.query,
            "answer": self.answer,
            "difference_from_core": self.difference,
            "layers": [self._layer_document(layer) for layer in range(self.layers)],
            "notes": list(self.notes),
        }

    def _layer_document(self, layer: int) -> list[dict[str, Any]]:
        found, stretch = self.weights(layer)
        size = stretch.attending[layer].pattern.block_size
        heads = []
        for head in range(self.heads):
            tokens, blocks = found.of_tokens[head, 0], found.of_blocks[head, 0]
            heads.append(
                {
                    "head": head,
                    "tokens": [
                        {"frame": int(t) + stretch.begin, "weight": float(w)}
                        for t, w in zip(found.tokens, tokens, strict=True)
                        if w > 0
                    ],
                    "block_means": [
                        {
                            "first": int(b) * size + stretch.begin,
                            "last": int(b + 1) * size - 1 + stretch.begin,
                            "weight": float(w),
                        }
                        for b, w in zip(found.blocks, blocks, strict=True)
                        if w > 0
                    ],
                }
            )
        return heads


def attend(
    model: TemporalModel,
    recording: Recording,
    *,
    context: int,
    dtype: Dtype = "float32",
    query: int | None = None,
    select: Sequence[int] | None = None,
) -> Attention:
    """query: index of a frame (negative: from the end) as the model is given them; None: the last.

    RecordingError for a recording without frames, ResultOverflowError naming the recording, InvalidArgumentError for a
    query that is not there.
    """
    given = model_input(model, recording, select)
    if not len(given.frames):
        raise no_frames(given.recording)
    count = len(given.frames)
    chosen = count - 1 if query is None else query
    if not -count <= chosen < count:
        raise InvalidArgumentError.of("query", f"a frame from 0 to {count - 1} of {recording.title}", chosen)
    answers_classes = has_classes(model)
    made, answers, worst, largest, begin = [], [], 0.0, 0.0, 0
    for frames in given.segments():
        try:
            logits, embeddings = model.run(frames, context, dtype, bool(model.embed_dim))
        except ResultOverflowError as error:
            raise ResultOverflowError(f"{recording.title}: {error}") from None
        traced = trace(model, frames, context, dtype)
        core, own = (logits, traced.logits) if answers_classes else (embeddings, traced.embeddings)
        if core is not None and own is not None:
            worst = max(worst, float(np.abs(own - core).max()))
            largest = max(largest, float(np.abs(core).max()))
        made.append(_stretch(begin, traced.layers))
        answers.append(logits.argmax(axis=1))
        begin += len(frames)
    names = prediction_names(model)
    truth = labels_of(names, given.recording, False)[0] if answers_classes else None
    return Attention(
        recording=given.recording,
        names=names,
        stretches=tuple(made),
        frames=count,
        query=chosen % count,
        answers=np.concatenate(answers) if answers_classes else None,
        truth=truth,
        difference=worst / largest if largest else worst,
        notes=(*given.recording.notes, *given.notes),
    )


def _stretch(begin: int, layers: tuple[Attending, ...]) -> Stretch:
    tokens = len(layers[0])
    columns = min(tokens, COLUMNS)
    edges = np.arange(columns + 1, dtype=np.int64) * tokens // columns
    frames_a_row = -(-layers[0].span // ROWS)
    maps = tuple(_map(layer, edges, frames_a_row) for layer in layers)
    return Stretch(begin, begin + tokens, edges, frames_a_row, maps, layers)


def _map(layer: Attending, edges: NDArray[np.int64], frames_a_row: int) -> LayerMap:
    span, columns, heads = layer.span, len(edges) - 1, layer.q.shape[1]
    rows = -(-span // frames_a_row)
    total, beyond = np.zeros((columns, heads, rows)), np.zeros((columns, heads))
    for found in layer.walk():
        near, far = by_frame(found, layer.pattern.block_size, span)
        padded = np.pad(near, ((0, 0), (0, 0), (0, rows * frames_a_row - span)))
        binned = padded.reshape(heads, -1, rows, frames_a_row).sum(axis=3)
        queries = np.arange(found.begin, found.begin + found.values.shape[1])
        column = np.searchsorted(edges, queries, side="right") - 1
        np.add.at(total, column, binned.transpose(1, 0, 2))
        np.add.at(beyond, column, far.T)
    counts = np.diff(edges)
    return LayerMap((total / counts[:, None, None]).transpose(1, 2, 0), (beyond / counts[:, None]).T)


def by_frame(found: Weights, block_size: int, span: int) -> tuple[Floats, Floats]:
    """What queries give to the frame 0, 1, … span - 1 back [q_heads, queries, span], a block mean shared out equally
    among its frames; and to global tokens farther back [q_heads, queries]."""
    queries = found.values.shape[1]
    older = int((found.tokens < found.first).sum())
    frames = found.of_tokens[:, :, older:].copy()
    if len(found.blocks):
        start = int(found.blocks[0]) * block_size - found.first
        shared = np.repeat(found.of_blocks / block_size, block_size, axis=2)
        frames[:, :, start : start + shared.shape[2]] += shared
    back = np.arange(found.begin, found.begin + queries)[:, None] - np.arange(span)[None, :] - found.first
    near = np.where(back >= 0, frames[:, np.arange(queries)[:, None], np.maximum(back, 0)], 0.0)
    far = 1.0 - near.sum(axis=2)
    return near, np.where(far > 1e-9, far, 0.0)
