"""The figures behind the pictures, against the scalar reference and independent sums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore.picture_models import HKV, HQ, F, full_blob, save_sessions

from aether_temporal import PatternSettings, TemporalModel, WeightBlob
from aether_temporal.bundled import bundled_or_path
from aether_temporal.explore.attention_weights import attention_of
from aether_temporal.explore.confusion import confusion_of
from aether_temporal.explore.drift import drift_of
from aether_temporal.recordings import Recording, Sources, open_recordings
from aether_temporal.running import enrol
from tools.reference import attention as reference_attention
from tools.reference import model as reference_model
from tools.reference import numeric as nm
from tools.reference import rvne as reference_rvne
from tools.reference.pattern import blocks, tokens

PATTERN = PatternSettings(window=5, block_size=3, history=40, global_tokens=(0, 7))


class RecordingReference:
    """A stream of the scalar reference that records its softmax weights in the order of its candidates."""

    def __init__(self, blob: bytes, context: int, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = reference_model.Stream(reference_rvne.parse(blob), context, half=half)
        self.pattern = self.stream.caches[0].head.pattern
        self.calls: list[np.ndarray] = []
        real = reference_attention.attend

        def recorded(q: Any, keys: Any, values: Any, scale: np.float32) -> Any:
            scores = [nm.dot(q, k) * scale for k in keys]
            powers = np.array([nm.exp(s - max(scores)) for s in scores], dtype=np.float64)
            self.calls.append(powers / powers.sum())
            return real(q, keys, values, scale)

        monkeypatch.setattr(reference_attention, "attend", recorded)

    def rows(self, frames: np.ndarray, heads: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """(frame, layer, head, weights)."""
        for t, frame in enumerate(frames):
            self.calls.clear()
            self.stream.push([np.float32(x) for x in frame])
            for index, weights in enumerate(self.calls):
                yield t, index // heads, index % heads, weights


def assert_weights(blob: WeightBlob, frames: np.ndarray, context: int, half: bool, patch: pytest.MonkeyPatch) -> None:
    model = TemporalModel.from_blob(blob)
    recording = Recording(source="made", name="", format="npy", frames=frames, frame_rate=50.0)
    found = attention_of(model, recording, context=context, dtype="float16" if half else "float32")
    reference = RecordingReference(blob.serialize(), context, half, patch)
    heads, compared = model.header.n_q_heads, 0
    for t, layer, head, expected in reference.rows(frames, heads):
        ours = found.segments[0].layers[layer].weights(t, t + 1)
        token = dict(zip(ours.tokens.tolist(), ours.of_tokens[head, 0].tolist(), strict=True))
        first_blocks = (ours.spans[:, 0] // reference.pattern.block_size).tolist()
        block = dict(zip(first_blocks, ours.of_means[head, 0].tolist(), strict=True))
        seen, means = tokens(reference.pattern, t, t + 1), blocks(reference.pattern, t, t + 1)
        np.testing.assert_allclose([token[s] for s in seen] + [block[b] for b in means], expected, rtol=1e-3, atol=1e-6)
        compared += 1
    assert compared == len(frames) * model.header.n_layers * heads


@pytest.mark.parametrize("half", [False, True])
def test_attention_weights_match_the_scalar_reference(half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HQ != HKV
    frames = np.random.default_rng(7).uniform(1, 20, (55, F)).astype(np.float32)
    assert_weights(full_blob(PATTERN), frames, 33, half, monkeypatch)


@pytest.mark.slow
@pytest.mark.memory
def test_attention_weights_of_a_bundled_model_on_a_recording(
    recordings_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = next(iter(open_recordings(recordings_dir / "geotec_sessions_1_3.npz")))
    assert recording.frames is not None
    blob = WeightBlob.load(bundled_or_path("activity"))
    assert_weights(blob, recording.frames[200:250], 128, False, monkeypatch)


def own_counts(path: Path, session: int, window: int | None) -> np.ndarray:
    """Counted from the file's own arrays, frame by frame through a stream; the bundled model is 25 frames late."""
    model = TemporalModel.from_blob("activity")
    names = [name.lower() for name in model.class_names]
    with np.load(path) as archive:
        data = {name: archive[name] for name in archive.files}
    kind = [next(i for i, n in enumerate(names) if str(a).lower().startswith(n)) for a in data["activity_names"]]
    counts = np.zeros((5, 5), dtype=int)
    for r in np.flatnonzero(data["rec_session"] == session):
        part = slice(data["rec_offset"][r], data["rec_offset"][r + 1])
        stream = model.stream(context=128)
        predictions = [int(np.argmax(stream.push(frame))) for frame in data["amp"][part].astype(np.float32)]
        labels = [kind[a] for a in data["frame_activity"][part]]
        if window is None:
            for a, b in zip(labels[: len(labels) - 25], predictions[25:], strict=True):
                counts[a, b] += 1
            continue
        for end in range(window, len(predictions) + 1, window):  # windows are not shifted by the label delay
            inside = labels[end - window : end]
            counts[max(sorted(set(inside)), key=inside.count), predictions[end - 1]] += 1
    return counts


@pytest.mark.slow
@pytest.mark.memory
@pytest.mark.parametrize("window", [None, 50])
def test_confusion_of_a_recorded_session(recordings_dir: Path, window: int | None) -> None:
    path = recordings_dir / "geotec_sessions_1_3.npz"
    model = TemporalModel.from_blob("activity")
    found = confusion_of(model, Sources([path], sessions=["1"]), context=128, window=window)
    np.testing.assert_array_equal(found.counts, own_counts(path, 1, window))


def test_drift_with_a_gallery_by_hand(tmp_path: Path) -> None:
    """Cosine, margin and hits of windows of 25, from embeddings that a stream gave one by one."""
    model = TemporalModel.from_blob(full_blob(PATTERN))
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    gallery = enrol(model, [(r.subject or "", r) for r in recordings[:2]], context=40)
    found = drift_of(model, recordings, window=25, gallery=gallery, context=40)

    def embedded(recording: Recording) -> np.ndarray:
        stream, rows = model.stream(context=40), []
        assert recording.frames is not None
        for frame in recording.frames:
            stream.push(frame)
            rows.append(np.array(stream.embedding, dtype=np.float64))
        return np.stack(rows)

    means = np.stack([embedded(recording).mean(axis=0) for recording in recordings[:2]])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert [[recording.title for recording in session.recordings] for session in found.sessions] == [
        [recordings[0].title, recordings[1].title],
        [recordings[2].title, recordings[3].title],
    ]
    for index, recording in enumerate(recordings):
        cosine = embedded(recording) @ means.T
        own = ("ann", "ben").index(recording.subject or "")
        windows = found.sessions[index // 2].recordings[index % 2].windows
        assert [window.frames for window in windows] == [25, 25, 10]
        for window, at in zip(windows, (0, 25, 50), strict=True):
            rows = cosine[at : at + 25]
            assert window.confidence == pytest.approx(rows.max(axis=1).mean(), abs=1e-6)
            assert window.margin == pytest.approx(np.abs(rows[:, 0] - rows[:, 1]).mean(), abs=1e-6)
            assert (window.correct, window.labelled) == (int((rows.argmax(axis=1) == own).sum()), len(rows))
    third = embedded(recordings[2]) @ means.T, embedded(recordings[3]) @ means.T
    margin = np.concatenate([np.abs(rows[:, 0] - rows[:, 1]) for rows in third])
    (document,) = found.document()["sessions"][1:]
    assert document["margin"] == pytest.approx(margin.mean(), abs=1e-6)
    assert document["confidence"] == pytest.approx(np.concatenate(third).max(axis=1).mean(), abs=1e-6)
    assert document["accuracy"] == pytest.approx(
        ((third[0].argmax(1) == 0).sum() + (third[1].argmax(1) == 1).sum()) / 120
    )
