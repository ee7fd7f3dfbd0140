"""The weights that are drawn are the model's own: outputs as the core gives them, rows as the specification says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from explore.picture_models import HKV, HQ, D, F, full_blob
from literal_pattern import seen_blocks, seen_tokens

from aether_temporal import InvalidArgumentError, PatternSettings, TemporalHeadConfig, TemporalModel, WeightBlob
from aether_temporal.explore.attending import Attending, block_means
from aether_temporal.explore.attention import COLUMNS, ROWS, attend, by_frame
from aether_temporal.explore.tracing import has_classes, trace
from aether_temporal.recordings import Recording, open_recording
from aether_temporal.running import model_input
from aether_temporal.shipped import shipped_models

PATTERNS = {
    "default": PatternSettings(),
    "small": PatternSettings(window=5, block_size=3, history=40, global_tokens=(0, 7, 50)),
    "unlimited": PatternSettings(window=None, block_size=4, global_tokens=()),
    "no landmarks": PatternSettings(window=2, use_landmarks=False, history=33),
    "no strides": PatternSettings(window=0, block_size=1, use_log_stride=False, global_tokens=(3,)),
    "one frame": PatternSettings(window=9, block_size=2, history=1, global_tokens=()),
}


def frames_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 20, (count, F)).astype(np.float32)


def closeness(found: np.ndarray, core: np.ndarray) -> float:
    return float(np.abs(found - core).max() / np.abs(core).max())


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("context", [7, 64, 1000])
def test_outputs_agree_with_the_core(name: str, context: int) -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS[name]))
    frames = frames_of(130)
    logits, embeddings = model.forward(frames, context=context, return_embeddings=True)
    found = trace(model, frames, context)
    assert found.embeddings is not None
    assert closeness(found.logits, logits) < 1e-4
    assert closeness(found.embeddings, embeddings) < 1e-4


def test_it_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound above lies far below what one frame too few or a missing landmark does."""
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    frames = frames_of(130)
    logits = model.forward(frames, context=64)
    assert closeness(trace(model, frames, 32).logits, logits) > 1e-3  # 32 back is the farthest but block means
    monkeypatch.setattr(Attending, "_sees_block", lambda self, query, block: (query < 0) & (block < 0))
    assert closeness(trace(model, frames, 64).logits, logits) > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_half_weights_half_caches_short_recordings(plain_blob: WeightBlob, dtype: str, count: int) -> None:
    for blob in (full_blob(PATTERNS["small"], dtype=dtype), full_blob(PATTERNS["default"], pool=1), plain_blob):
        model = TemporalModel.from_blob(blob)
        frames = np.random.default_rng(1).uniform(0.5, 3, (count, model.input_dim)).astype(np.float32)
        for cache in ("float32", "float16"):
            logits = model.forward(frames, context=32, dtype=cache)  # type: ignore[arg-type]
            assert closeness(trace(model, frames, 32, cache).logits, logits) < 1e-4  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_shipped_models(name: str) -> None:
    model = TemporalModel.from_blob(name)
    frames = np.random.default_rng(2).uniform(5, 40, (300, model.input_dim)).astype(np.float32)
    assert closeness(trace(model, frames, 128).logits, model.forward(frames, context=128)) < 1e-4
    assert has_classes(model)


def test_real_frames(recordings_dir: Path) -> None:
    model = TemporalModel.from_blob("activity")
    recording = open_recording(recordings_dir / "geotec_sessions_1_3.npz", recording=2)
    frames = model_input(model, recording).frames
    assert closeness(trace(model, frames, 128).logits, model.forward(frames, context=128)) < 1e-4


def layer_of(pattern: PatternSettings, history: int, tokens: int, seed: int = 4) -> Attending:
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal((tokens, heads, D)) for heads in (HQ, HKV, HKV))
    means = block_means(k, pattern.block_size), block_means(v, pattern.block_size)
    return Attending(pattern, history, q, k, v, *means)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("history", [1, 5, 40, 1000])
def test_a_row_looks_where_the_pattern_says(name: str, history: int) -> None:
    pattern, tokens = PATTERNS[name], 97
    history = min(history, pattern.history or history)
    head = TemporalHeadConfig(
        window=10**6 if pattern.window is None else pattern.window,
        block_size=pattern.block_size,
        global_tokens=pattern.global_tokens,
        use_log_stride=pattern.use_log_stride,
        use_landmarks=pattern.use_landmarks,
        history=history,
    )
    layer = layer_of(pattern, history, tokens)
    seen = 0
    for found in layer.walk():
        np.testing.assert_allclose(found.values.sum(axis=2), 1.0, rtol=1e-12)
        for at in range(found.values.shape[1]):
            query = found.begin + at
            for h in range(HQ):
                looked = {int(t) for t, w in zip(found.tokens, found.of_tokens[h, at], strict=True) if w > 0}
                blocks = {int(b) for b, w in zip(found.blocks, found.of_blocks[h, at], strict=True) if w > 0}
                assert looked == seen_tokens(head, tokens, query)
                assert blocks == seen_blocks(head, tokens, query)
            seen += 1
    assert seen == tokens


def test_weights_by_hand() -> None:
    """Softmax of scaled dot products over tokens and block means, key heads shared by query heads."""
    pattern = PatternSettings(window=2, block_size=2, use_log_stride=False, global_tokens=(0,))
    layer = layer_of(pattern, 100, 7)
    found = layer.weights(5, 6)
    for head in range(HQ):
        key = head // (HQ // HKV)
        rows = [layer.k[t, key] for t in (0, 3, 4, 5)] + [layer.k[2 * b : 2 * b + 2, key].mean(axis=0) for b in (1, 2)]
        powers = [math.exp(float(layer.q[5, head] @ row) / math.sqrt(D)) for row in rows]
        expected = np.zeros(6 + 3)
        expected[[0, 3, 4, 5, 7, 8]] = np.array(powers) / sum(powers)
        np.testing.assert_allclose(found.values[head, 0], expected, rtol=1e-12)


def test_pieces_do_not_matter() -> None:
    layer = layer_of(PATTERNS["small"], 40, 90)
    whole = layer.weights(0, 90)
    for begin, end in ((0, 1), (40, 90), (89, 90)):
        part = layer.weights(begin, end)
        np.testing.assert_allclose(part.of_tokens, whole.of_tokens[:, begin:end, part.tokens], rtol=1e-12, atol=0)
        np.testing.assert_allclose(part.of_blocks, whole.of_blocks[:, begin:end, part.blocks], rtol=1e-12, atol=0)
        left = np.delete(whole.of_tokens[:, begin:end], part.tokens, axis=2)
        assert not left.any()


def test_by_frame_shares_block_means_out() -> None:
    layer = layer_of(PATTERNS["small"], 40, 90)
    for found in (layer.weights(0, 20), layer.weights(60, 85)):
        near, far = by_frame(found, 3, 40)
        for at in range(near.shape[1]):
            query = found.begin + at
            expected, beyond = np.zeros((HQ, 40)), np.zeros(HQ)
            for column, t in enumerate(found.tokens):
                if query - t >= 40:
                    beyond += found.of_tokens[:, at, column]
                elif t <= query:
                    expected[:, query - t] += found.of_tokens[:, at, column]
            for column, b in enumerate(found.blocks):
                for t in range(3 * b, 3 * b + 3):
                    if t <= query and query - t < 40:
                        expected[:, query - t] += found.of_blocks[:, at, column] / 3
            np.testing.assert_allclose(near[:, at], expected, atol=1e-12)
            np.testing.assert_allclose(far[:, at], beyond, atol=1e-9)


def recording_of(frames: np.ndarray, **more: object) -> Recording:
    return Recording(source="made", name="", format="npy", frames=frames, frame_rate=50.0, **more)  # type: ignore[arg-type]


def test_maps_of_long_recordings_lose_nothing() -> None:
    """More queries than columns, more history than rows: every column still adds up to 1."""
    model = TemporalModel.from_blob(full_blob(PatternSettings(window=4, block_size=8, global_tokens=(0,))))
    found = attend(model, recording_of(frames_of(COLUMNS + 301)), context=ROWS + 77)
    (stretch,) = found.stretches
    assert stretch.frames_a_row == 2
    for layer in stretch.maps:
        assert layer.heads.shape[1:] == (-(-(ROWS + 77) // 2), COLUMNS)
        np.testing.assert_allclose(layer.heads.sum(axis=1) + layer.beyond, 1.0, rtol=1e-9)
        assert layer.beyond[:, -1].min() > 0
        assert not layer.beyond[:, 0].any()
    assert found.difference < 1e-4
    document = found.document()
    for heads in document["layers"]:
        for head in heads:
            total = sum(entry["weight"] for entry in head["tokens"] + head["block_means"])
            assert total == pytest.approx(1.0, rel=1e-9)
            assert {entry["frame"] for entry in head["tokens"]} >= {0, found.query}


def test_the_chosen_query() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    frames = frames_of(50)
    assert attend(model, recording_of(frames), context=64).query == 49
    assert attend(model, recording_of(frames), context=64, query=-50).query == 0
    found = attend(model, recording_of(frames), context=64, query=20)
    logits = model.forward(frames, context=64)
    assert found.answer == ("sit", "walk", "turn")[int(logits[20].argmax())]
    for wrong in (50, -51):
        with pytest.raises(InvalidArgumentError, match="query: expected a frame from 0 to 49 of made, found"):
            attend(model, recording_of(frames), context=64, query=wrong)


def test_truth_is_that_of_the_frame() -> None:
    """However late the answers are: the strip stands over the frames that are looked at."""
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    labels = np.repeat([0, 1, 2], 10)
    recording = recording_of(frames_of(30), labels=labels, label_names=("sit", "walk", "turn"))
    truth = attend(model, recording, context=64).truth
    assert model.delay == 2
    np.testing.assert_array_equal(truth, labels)


def test_a_model_for_persons_answers_nothing() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"], classifier=0))
    found = attend(model, recording_of(frames_of(50)), context=64)
    assert (found.answers, found.answer, found.truth) == (None, None, None)
    assert 0 < found.difference < 1e-4


def test_frames_that_are_not_finite() -> None:
    model = TemporalModel.from_blob(full_blob(PATTERNS["small"]))
    frames = frames_of(5)
    frames[2, 1] = np.nan
    with pytest.raises(InvalidArgumentError, match="all of them finite"):
        trace(model, frames, 8)
