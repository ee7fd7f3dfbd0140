"""The drawn weights are the core's: applied to its values they give its output, and they follow its pattern."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from explore.picture_models import HKV, HQ, D, F, full_blob
from reference_pattern import seen_means, seen_tokens

from aether_temporal import (
    AetherTemporalHead,
    InvalidArgumentError,
    NonFiniteError,
    PatternSettings,
    TemporalHeadConfig,
    TemporalModel,
)
from aether_temporal.blob import WeightBlob
from aether_temporal.bundled import bundled_models
from aether_temporal.explore.attention_weights import (
    COLUMNS,
    ROWS,
    Attention,
    LayerAttention,
    attention_of,
    by_distance,
    means_of,
)
from aether_temporal.model import LayerTrace
from aether_temporal.recordings import Recording, open_recording

PATTERNS = {
    "default": PatternSettings(),
    "small": PatternSettings(window=5, block_size=3, history=40, global_tokens=(0, 7, 50)),
    "unlimited": PatternSettings(window=None, block_size=4, global_tokens=()),
    "no landmarks": PatternSettings(window=2, use_landmarks=False, history=33),
    "no strides": PatternSettings(window=0, block_size=1, use_log_stride=False, global_tokens=(3,)),
    "pyramid": PatternSettings(pattern="pyramid", window=5, block_size=4),
    "one frame": PatternSettings(window=9, block_size=2, history=1, global_tokens=()),
}
CLOSE = 2e-6
Cache = Literal["float32", "float16"]


def frames_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 20, (count, F)).astype(np.float32)


def recording_of(frames: np.ndarray, **more: object) -> Recording:
    return Recording(source="made", name="", format="npy", frames=frames, frame_rate=50.0, **more)  # type: ignore[arg-type]


def attended(model: TemporalModel, frames: np.ndarray, context: int, dtype: Cache = "float32") -> Attention:
    return attention_of(model, recording_of(frames), context=context, dtype=dtype)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("context", [7, 64, 1000])
def test_weights_give_the_output_of_the_core(name: str, context: int) -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS[name]))
    assert attended(model, frames_of(130), context).difference < CLOSE


def test_difference_reveals_a_wrong_pattern() -> None:
    """One frame less of history, missing landmarks or the other cache type are far outside the tolerance."""
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    for dtype in ("float32", "float16"):
        (trace, _) = model.trace(frames_of(130), context=33, dtype=dtype)  # type: ignore[arg-type]
        other = "float16" if dtype == "float32" else "float32"
        config = model.config.replace(history=33)

        def difference(config: TemporalHeadConfig, cache: str, trace: LayerTrace = trace) -> float:
            layer = LayerAttention(config, trace, cache)  # type: ignore[arg-type]
            return max(layer.difference(found) for found in layer.pieces()) / layer.largest

        assert difference(config, dtype) < CLOSE
        assert difference(config.replace(history=32), dtype) > 1e-3
        assert difference(config.replace(use_landmarks=False), dtype) > 1e-3
        assert difference(config.replace(global_tokens=()), dtype) > 1e-3
        assert difference(config, other) > 10 * CLOSE


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_short_recordings_and_float16(plain_blob: WeightBlob, dtype: str, count: int) -> None:
    for blob in (full_blob(PATTERNS["small"], dtype=dtype), full_blob(PATTERNS["default"], pool=1), plain_blob):
        model = TemporalModel.from_blob(blob)
        frames = np.random.default_rng(1).uniform(0.5, 3, (count, model.input_dim)).astype(np.float32)
        assert attended(model, frames, 32).difference < CLOSE
        assert attended(model, frames, 32, "float16").difference < CLOSE


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_bundled_models(name: str) -> None:
    model = TemporalModel.from_blob(name)
    frames = np.random.default_rng(2).uniform(5, 40, (300, model.input_dim)).astype(np.float32)
    found = attended(model, frames, 128)
    assert found.difference < CLOSE
    assert found.predictions is not None
    np.testing.assert_array_equal(found.predictions, model.forward(frames, context=128).argmax(axis=1))


def test_recorded_frames(recordings_dir: Path) -> None:
    recording = open_recording(recordings_dir / "geotec_sessions_1_3.npz", recording=2)
    assert attention_of(TemporalModel.from_blob("activity"), recording, context=128).difference < CLOSE


def config_of(pattern: PatternSettings, history: int) -> TemporalHeadConfig:
    return pattern.replace(history=None).head(HQ, HKV, D).within(history)


def random_trace(tokens: int) -> LayerTrace:
    rng = np.random.default_rng(4)
    q, k, v, out = (rng.standard_normal((tokens, h, D)).astype(np.float32) for h in (HQ, HKV, HKV, HQ))
    return LayerTrace(q, k, v, out)


def layer_of(pattern: PatternSettings, history: int, tokens: int) -> LayerAttention:
    return LayerAttention(config_of(pattern, history), random_trace(tokens))


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("history", [1, 5, 40, 1000])
def test_weights_follow_the_pattern(name: str, history: int) -> None:
    pattern, tokens = PATTERNS[name], 97
    layer = layer_of(pattern, min(history, pattern.history or history), tokens)
    count = 0
    for found in layer.pieces():
        np.testing.assert_allclose(found.values.sum(axis=2), 1.0, rtol=1e-12)
        for at, query in enumerate(range(found.begin, found.end)):
            for h in range(HQ):
                with_weight = {int(t) for t, w in zip(found.tokens, found.of_tokens[h, at], strict=True) if w > 0}
                means = [range(*span) for span, w in zip(found.spans, found.of_means[h, at], strict=True) if w > 0]
                assert sorted(with_weight) == seen_tokens(layer.config, tokens, query)
                assert sorted(means, key=lambda mean: mean.start) == seen_means(layer.config, tokens, query)
            count += 1
    assert count == tokens


PYRAMIDS = {
    "window of two blocks": {"window": 8, "block_size": 4},
    "blocks longer than the window": {"window": 3, "block_size": 16},
    "no window, single tokens": {"window": 0, "block_size": 1},
    "history": {"window": 5, "block_size": 4, "history": 37},
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", PYRAMIDS)
def test_pyramid_weights_give_the_output_of_the_core(name: str, dtype: Cache) -> None:
    tokens = 261
    config = TemporalHeadConfig(q_heads=HQ, kv_heads=HKV, head_dim=D, pattern="pyramid", **PYRAMIDS[name])
    made = random_trace(tokens)
    out = AetherTemporalHead(config).forward(made.q, made.k, made.v, dtype=dtype)
    layer = LayerAttention(config, LayerTrace(made.q, made.k, made.v, out), dtype)
    other = LayerAttention(config, layer.trace, "float16" if dtype == "float32" else "float32")
    shorter = LayerAttention(config.replace(window=config.window + 1), layer.trace, dtype)
    for found in layer.pieces():
        assert layer.difference(found) < CLOSE * layer.largest
        near, far = by_distance(found, layer.span)
        np.testing.assert_allclose(near.sum(axis=2), 1.0, rtol=1e-12)
        assert not far.any()
        for at, query in enumerate(range(found.begin, found.end)):
            seen = {int(t): w for t, w in zip(found.tokens, found.of_tokens[0, at], strict=True) if w > 0}
            assert sorted(seen) == seen_tokens(config, tokens, query)
            means = {range(*s): w for s, w in zip(found.spans, found.of_means[0, at], strict=True) if w > 0}
            assert sorted(means, key=lambda mean: mean.start) == seen_means(config, tokens, query)
            expected = np.zeros(layer.span)
            for t, weight in seen.items():
                expected[query - t] += weight
            for mean, weight in means.items():
                expected[query - np.array(mean)] += weight / len(mean)
            np.testing.assert_allclose(near[0, at], expected, atol=1e-12)
    for wrong in (other, shorter):
        assert max(wrong.difference(found) for found in wrong.pieces()) > 10 * CLOSE * layer.largest


def test_weights_match_a_softmax_by_hand() -> None:
    """Scaled dot products over tokens and block means; query heads share key heads."""
    pattern = PatternSettings(window=2, block_size=2, use_log_stride=False, global_tokens=(0,))
    k, q = random_trace(7).k.astype(np.float64), random_trace(7).q.astype(np.float64)
    found = layer_of(pattern, 100, 7).weights(5, 6)
    for head in range(HQ):
        key = head // (HQ // HKV)
        rows = [k[t, key] for t in (0, 3, 4, 5)] + [k[2 * b : 2 * b + 2, key].mean(axis=0) for b in (1, 2)]
        powers = [math.exp(float(q[5, head] @ row) / math.sqrt(D)) for row in rows]
        assert found.tokens.tolist() == [0, 3, 4, 5]
        assert found.spans.tolist() == [[2, 4], [4, 6]]
        np.testing.assert_allclose(found.values[head, 0], np.array(powers) / sum(powers), rtol=1e-12)


def test_block_means_ignore_an_incomplete_block() -> None:
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    (of_blocks,) = means_of(rows, 3)
    np.testing.assert_array_equal(of_blocks, [[2, 3], [8, 9]])


def test_pieces_equal_the_whole() -> None:
    layer = layer_of(PATTERNS["small"], 40, 90)
    whole = layer.weights(0, 90)
    for begin, end in ((0, 1), (40, 90), (89, 90)):
        part = layer.weights(begin, end)
        columns = [whole.tokens.tolist().index(t) for t in part.tokens]
        columns += [len(whole.tokens) + whole.spans.tolist().index(span) for span in part.spans.tolist()]
        np.testing.assert_allclose(part.values, whole.values[:, begin:end, columns], rtol=1e-12, atol=0)
        assert not np.delete(whole.values[:, begin:end], columns, axis=2).any()


def test_block_means_are_divided_among_their_frames() -> None:
    layer = layer_of(PATTERNS["small"], 40, 90)
    for found in (layer.weights(0, 20), layer.weights(60, 85)):
        near, far = by_distance(found, 40)
        for at in range(near.shape[1]):
            query = found.begin + at
            expected, beyond = np.zeros((HQ, 40)), np.zeros(HQ)
            for column, t in enumerate(found.tokens):
                if query - t >= 40:
                    beyond += found.of_tokens[:, at, column]
                elif t <= query:
                    expected[:, query - t] += found.of_tokens[:, at, column]
            for column, (first, last) in enumerate(found.spans):
                for t in range(first, last):
                    if t <= query and query - t < 40:
                        expected[:, query - t] += found.of_means[:, at, column] / (last - first)
            np.testing.assert_allclose(near[:, at], expected, atol=1e-12)
            np.testing.assert_allclose(far[:, at], beyond, atol=1e-9)


def test_maps_of_long_recordings_add_up_to_one() -> None:
    """Also with more queries than columns and more history than rows."""
    model = TemporalModel.from_blob(full_blob(PatternSettings(window=4, block_size=8, global_tokens=(0,))))
    found = attended(model, frames_of(COLUMNS + 301), ROWS + 77)
    (segment,) = found.segments
    assert segment.frames_per_row == 2
    for layer in segment.maps:
        assert layer.heads.shape[1:] == (-(-(ROWS + 77) // 2), COLUMNS)
        np.testing.assert_allclose(layer.heads.sum(axis=1) + layer.beyond, 1.0, rtol=1e-9)
        assert layer.beyond[:, -1].min() > 0
        assert not layer.beyond[:, 0].any()
    assert found.difference < CLOSE
    document = found.document()
    for heads in document["layers"]:
        for head in heads:
            total = sum(entry["weight"] for entry in head["tokens"] + head["block_means"])
            assert total == pytest.approx(1.0, rel=1e-9)
            assert {entry["frame"] for entry in head["tokens"]} >= {0, found.query}


def test_chosen_query() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    recording = recording_of(frames_of(50))
    assert attention_of(model, recording, context=64).query == 49
    assert attention_of(model, recording, context=64, query=-50).query == 0
    found = attention_of(model, recording, context=64, query=20)
    logits = model.forward(recording.frames, context=64)
    assert found.prediction == ("sit", "walk", "turn")[int(logits[20].argmax())]
    for wrong in (50, -51):
        with pytest.raises(InvalidArgumentError, match="query: expected a frame from 0 to 49 of made, found"):
            attention_of(model, recording, context=64, query=wrong)


def test_labels_are_those_of_the_frames() -> None:
    """The model's label delay does not shift the strip above the maps."""
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    labels = np.repeat([0, 1, 2], 10)
    recording = recording_of(frames_of(30), labels=labels, label_names=("sit", "walk", "turn"))
    assert model.label_delay == 2
    np.testing.assert_array_equal(attention_of(model, recording, context=64).labels, labels)


def test_model_without_a_classifier_predicts_nothing() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"], classifier=0))
    found = attended(model, frames_of(50), 64)
    assert (found.predictions, found.prediction, found.labels) == (None, None, None)
    assert 0 < found.difference < CLOSE


def test_rejects_frames_that_are_not_finite() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    frames = frames_of(5)
    frames[2, 1] = np.nan
    with pytest.raises(NonFiniteError):
        attended(model, frames, 8)
