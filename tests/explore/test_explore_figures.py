"""The figures behind the pictures, against the scalar reference, independent sums and sums by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore.picture_models import HKV, HQ, NAMES, F, full_blob, save_sessions
from numpy.typing import NDArray

from aether_temporal import InvalidArgumentError, InvalidConfigError, PatternSettings, TemporalModel, WeightBlob
from aether_temporal._internal.figures import band_patches, class_styles, draw_band, new_figure
from aether_temporal.bundled import bundled_or_path
from aether_temporal.explore.attention_weights import attention_of
from aether_temporal.explore.confusion import confusion_of, labelled_predictions
from aether_temporal.explore.drift import drift_of, without_agc
from aether_temporal.explore.embedding_map import map_embeddings, moved_apart, principal_components
from aether_temporal.explore.recording_figure import amplitude_map, recording_picture
from aether_temporal.recordings import Recording, RecordingError, Sources, open_recordings
from aether_temporal.recordings.recording import rate_of
from aether_temporal.running import enrol, run
from aether_temporal.subcarriers import Band, SubcarrierMap
from tools.reference import attention as reference_attention
from tools.reference import model as reference_model
from tools.reference import numeric as nm
from tools.reference import rvne as reference_rvne
from tools.reference.pattern import blocks, tokens

MODEL = TemporalModel.from_blob(full_blob(PatternSettings(window=5, block_size=3, history=40)))


def test_confusion_frame_by_frame(tmp_path: Path) -> None:
    path = save_sessions(tmp_path / "a.npz")
    found = confusion_of(MODEL, Sources([path]), context=40)
    expected = np.zeros((3, 3), dtype=int)
    for recording in open_recordings(path):
        predictions = MODEL.forward(recording.frames, context=40).argmax(axis=1)
        assert recording.labels is not None
        for t in range(2, len(predictions)):  # the blob states a label delay of 2 frames
            expected[recording.labels[t - 2], predictions[t]] += 1
    np.testing.assert_array_equal(found.counts, expected)
    assert (found.names, found.label_delay, found.recordings) == (NAMES, 2, 4)
    assert found.accuracy == pytest.approx(np.trace(expected) / expected.sum())
    assert found.balanced_accuracy == pytest.approx(np.mean([expected[c, c] / expected[c].sum() for c in range(3)]))
    other = confusion_of(MODEL, Sources([path]), context=40, label_delay=0)
    assert other.counts.sum() == expected.sum() + 8
    assert confusion_of(MODEL, Sources([path], sessions=["tue"]), context=40).counts.sum() * 2 == expected.sum()


def test_a_label_delay_beyond_a_recording_leaves_nothing_to_count(tmp_path: Path) -> None:
    path = save_sessions(tmp_path / "a.npz")
    with pytest.raises(RecordingError, match=r"99 frames before a prediction, found none"):
        confusion_of(MODEL, Sources([path]), context=40, label_delay=99)


@pytest.mark.parametrize("delay", [-1, 2.0, True, 10**9 + 1])
def test_a_label_delay_that_is_no_number_of_frames_is_rejected(delay: Any) -> None:
    expected = f"label_delay: expected an integer from 0 to 1000000000, found {delay}"
    with pytest.raises(InvalidConfigError, match=f"^{expected}$"):
        confusion_of(MODEL, [], context=40, label_delay=delay)


@pytest.mark.parametrize("window", [7, 20, 33])
def test_windows_agree_with_a_run(tmp_path: Path, window: int) -> None:
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    right = known = 0
    for recording in recordings:
        result = run(MODEL, recording, context=40)
        labels, predictions = labelled_predictions(result, window)
        np.testing.assert_array_equal((labels, predictions), result.windows(window))
        right, known = right + int((labels == predictions).sum()), known + len(labels)
    found = confusion_of(MODEL, recordings, context=40, window=window)
    assert (np.trace(found.counts), found.counts.sum()) == (right, known)


def test_confusion_of_identities(tmp_path: Path) -> None:
    path = save_sessions(tmp_path / "a.npz")
    recordings = list(open_recordings(path))
    gallery = enrol(MODEL, [(r.subject or "", r) for r in recordings[:2]], context=40)
    found = confusion_of(MODEL, recordings[2:], context=40, gallery=gallery)
    assert found.names == ("ann", "ben")
    assert found.counts.sum() == 120
    similar = MODEL.embeddings(recordings[3].frames, context=40) @ gallery.embeddings.T
    assert found.counts[1, 1] == (similar.argmax(axis=1) == 1).sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_activity": None, "activity_names": None}, r"classes \(sit, walk, turn\), found none"),
        ({"activity_names": ["x", "y", "z"]}, "found none; labels there: x, y, z"),
    ],
)
def test_confusion_needs_labels(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = save_sessions(tmp_path / "a.npz", **changes)
    with pytest.raises(RecordingError, match=message) as error:
        confusion_of(MODEL, Sources([path]), context=40)
    assert str(path) in str(error.value)


def test_rejects_identities_that_are_not_enrolled(tmp_path: Path) -> None:
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    gallery = enrol(MODEL, [("cleo", recordings[0])], context=40)
    with pytest.raises(RecordingError, match="expected enrolled identities, found none"):
        confusion_of(MODEL, recordings, context=40, gallery=gallery)


def test_principal_components() -> None:
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((200, 5)) * [3, 1, 0.5, 0.2, 0.1] @ np.linalg.qr(rng.standard_normal((5, 5)))[0] + 7
    found = principal_components(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(found.share, (values / values.sum())[::-1][:4], rtol=1e-9)
    for axis, vector in zip(found.axes, vectors.T[::-1], strict=False):
        assert abs(axis @ vector) == pytest.approx(1, abs=1e-9)
        assert axis[np.abs(axis).argmax()] > 0
    np.testing.assert_allclose(found(rows).mean(axis=0), 0, atol=1e-12)
    assert found(rows).var(axis=0, ddof=1)[0] == pytest.approx(values[-1])
    assert principal_components(rows[:1]).axes.shape == (2, 5)
    assert principal_components(np.ones((9, 5)))(np.ones((2, 5))).tolist() == np.zeros((2, 4)).tolist()


def test_embedding_map(tmp_path: Path) -> None:
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    found = map_embeddings(MODEL, recordings, window=25, context=40)
    assert found.names == ("ann", "ben")
    assert found.gallery.identity.tolist() == [0, 0, 1, 1]
    assert found.probe.identity.tolist() == [0, 0, 1, 1]
    rows = MODEL.embeddings(recordings[3].frames, context=40).astype(np.float64)
    mean = rows[25:50].mean(axis=0)
    np.testing.assert_allclose(found.probe.rows[3], mean / np.linalg.norm(mean), rtol=1e-12)
    right = sum(
        int((found.means @ row).argmax() == who) for row, who in zip(found.probe.rows, [0, 0, 1, 1], strict=True)
    )
    assert found.rank1 == (right, 4)
    other = map_embeddings(MODEL, recordings, gallery_session="tue", window=25, context=40)
    np.testing.assert_array_equal(other.gallery.rows, found.probe.rows)
    gallery = enrol(MODEL, [("ann", recordings[0])], context=40)
    stored = map_embeddings(MODEL, recordings, gallery=gallery, window=25, context=40)
    assert stored.probe.identity.tolist() == [0, 0, -1, -1, 0, 0, -1, -1]
    assert stored.notes == ("not enrolled: ben",)
    assert stored.rank1 == (4, 4)  # one identity alone


def test_embedding_map_rejects(tmp_path: Path) -> None:
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    with pytest.raises(RecordingError, match=r"a.npz:a: expected at least 61 frames without a gap, found 60"):
        map_embeddings(MODEL, recordings, window=61, context=40)
    with pytest.raises(RecordingError, match="gallery session: expected recordings of session 'wed', found none"):
        map_embeddings(MODEL, recordings, gallery_session="wed", window=25, context=40)
    with pytest.raises(RecordingError, match="expected at least two points for a map, found one"):
        map_embeddings(MODEL, recordings[:1], window=60, context=40)
    unknown = open_recordings(save_sessions(tmp_path / "b.npz", rec_subject=None))
    with pytest.raises(RecordingError, match=r"b.npz:a: subject: expected a subject for each recording, found none"):
        map_embeddings(MODEL, unknown, window=25, context=40)
    with pytest.raises(InvalidArgumentError, match="expected a model with an embedding, found one without"):
        map_embeddings(TemporalModel.from_blob("activity"), recordings, context=40)
    gallery = enrol(MODEL, [("ann", recordings[0])], context=40)
    other = type(gallery)(gallery.names, gallery.embeddings[:, :3])
    with pytest.raises(InvalidArgumentError, match="expected embeddings of 5 values, found 3"):
        map_embeddings(MODEL, recordings, gallery=other, context=40)


def test_drift_by_hand(tmp_path: Path) -> None:
    recordings = list(open_recordings(save_sessions(tmp_path / "a.npz")))
    found = drift_of(MODEL, recordings, window=25, context=40)
    assert ([s.name for s in found.sessions], found.unit, found.model_removes_agc) == (["mon", "tue"], "seconds", True)
    parts = [r.frames.astype(np.float64) for r in recordings if r.frames is not None]
    shapes = [part / part.mean(axis=1, keepdims=True) for part in parts]
    first, second = np.concatenate(shapes[:2]), np.concatenate(shapes[2:])
    np.testing.assert_allclose(found.sessions[0].mean, first.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.sessions[1].spread, second.std(axis=0), rtol=1e-12)
    shift = (second.mean(axis=0) - first.mean(axis=0)) / first.std(axis=0)
    np.testing.assert_allclose(found.sessions[1].shift(found.sessions[0]), shift, rtol=1e-9, atol=1e-12)
    assert found.sessions[1].average("amplitude") == pytest.approx(np.concatenate(parts[2:]).mean())
    logits = [MODEL.forward(r.frames, context=40).astype(np.float64) for r in recordings[2:]]
    powers = [np.exp(row) / np.exp(row).sum(axis=1, keepdims=True) for row in logits]
    assert found.sessions[1].average("confidence") == pytest.approx(np.concatenate(powers).max(axis=1).mean())
    results = [run(MODEL, r, context=40) for r in recordings[2:]]
    right = sum(entry[0] for result in results for entry in result.tally().values())
    assert found.sessions[1].accuracy == pytest.approx(right / 116)
    assert found.sessions[1].average("margin") == pytest.approx(np.mean([r.margins.mean() for r in results]), rel=1e-6)
    (window,) = found.sessions[0].recordings[0].windows[2:]
    assert (window.frames, window.at) == (10, pytest.approx(54.5 / 50))
    assert found.sessions[0].recordings[0].length == pytest.approx(60 / 50)


def test_shift_reveals_a_changed_shape_but_not_a_changed_gain(tmp_path: Path) -> None:
    path = save_sessions(tmp_path / "a.npz")
    with np.load(path) as archive:
        amp = archive["amp"]
    same = np.concatenate([amp[:120], amp[:120]])
    louder = same.copy()
    louder[120:] *= 4
    moved = same.copy()
    moved[120:, 2] *= 2
    shifts = []
    for values in (louder, moved):
        path = save_sessions(tmp_path / "b.npz", amp=values)
        first, second = drift_of(MODEL, Sources([path]), context=40).sessions
        assert second.average("amplitude") > 1.05 * first.average("amplitude")
        shifts.append(np.abs(second.shift(first)))
    assert shifts[0].max() < 1e-5
    assert shifts[1].argmax() == 2
    assert shifts[1][2] > 1


def test_negative_features_are_compared_as_they_are(tmp_path: Path) -> None:
    """Their mean may be close to 0 or negative, so it cannot stand for the gain."""
    path = save_sessions(tmp_path / "a.npz")
    with np.load(path) as archive:
        amp = archive["amp"]
    moved = amp - amp.mean(axis=1, keepdims=True)
    moved[120:, 2] += 3.0
    assert (moved[:120] < 0).any()
    found = drift_of(MODEL, Sources([save_sessions(path, amp=moved)]), context=40)
    first, second = found.sessions
    assert not found.agc_removed
    np.testing.assert_allclose(first.mean, moved[:120].mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(second.spread, moved[120:].std(axis=0, dtype=np.float64), rtol=1e-6)
    shift = (moved[120:].mean(axis=0) - moved[:120].mean(axis=0)) / moved[:120].std(axis=0)
    np.testing.assert_allclose(second.shift(first), shift, rtol=1e-4, atol=1e-6)


def test_names_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    centres, sizes = rng.uniform(0, 6, (60, 2)), np.tile([0.4, 0.15], (60, 1))
    centres[1] = centres[0]

    def overlaps(places: np.ndarray) -> int:
        away = np.abs(places[:, None] - places[None])
        return int(((away < 0.9 * sizes[0]).all(axis=2).sum() - len(places)) // 2)

    found = moved_apart(centres, sizes)
    assert overlaps(centres) > 5
    assert overlaps(found) == 0
    assert np.abs(found - centres).max() < 0.5
    far = np.array([[0.0, 0.0], [3.0, 3.0]])
    np.testing.assert_allclose(moved_apart(far, sizes[:2]), far, atol=1e-5)
    assert moved_apart(centres[:1], sizes[:1]).shape == (1, 2)


def test_drift_needs_sessions(tmp_path: Path) -> None:
    path = save_sessions(tmp_path / "a.npz")
    with pytest.raises(RecordingError, match="expected recordings of at least two sessions, found mon alone"):
        drift_of(MODEL, Sources([path], sessions=["mon"]), context=40)
    path = save_sessions(tmp_path / "b.npz", rec_session=None)
    with pytest.raises(RecordingError, match=r"b.npz:a: session: expected a session for each recording, found none"):
        drift_of(MODEL, Sources([path]), context=40)


def test_frames_without_amplitude() -> None:
    shape, gain = without_agc(np.array([[0, 0], [1, 3]], dtype=np.float32))
    assert shape.tolist() == [[0, 0], [0.5, 1.5]]
    assert gain.tolist() == [0, 2]


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


WIDTH = 12


def recording(times: NDArray[np.float64], subcarriers: SubcarrierMap | None = None) -> Recording:
    """Frame t has amplitude t + 1 in all columns but the first, which is dead."""
    frames = np.repeat(np.arange(1, len(times) + 1, dtype=np.float32)[:, None], WIDTH, axis=1)
    frames[:, 0] = 0
    labels = np.where(np.arange(len(times)) < len(times) // 2, 0, 1)
    return Recording(
        "a.npz",
        "a",
        "npz",
        frames=frames,
        timestamps=times,
        labels=labels,
        label_names=("sit", "walk"),
        frame_rate=rate_of(times),
        subcarriers=subcarriers,
    )


def test_steps_hold_the_mean_of_their_frames() -> None:
    found = amplitude_map(recording(np.arange(100) / 50), bins=20)
    assert found.unit == "seconds"
    assert found.frames.tolist() == [5] * 20
    assert found.values[:, 1].tolist() == pytest.approx([5 * step + 3 for step in range(20)])
    assert found.labels.tolist() == [0] * 10 + [1] * 10


def test_a_gap_stays_blank() -> None:
    times = np.arange(100) / 50
    times[50:] += 8
    found = amplitude_map(recording(times), bins=100)
    blank = np.isnan(found.values[:, 1])
    middle = (found.edges[:-1] > 1.2) & (found.edges[:-1] < 8.9)
    assert blank[middle].all()
    assert not blank[~middle & ((found.edges[:-1] < 0.9) | (found.edges[:-1] > 9.1))].any()
    assert (found.labels[blank] == -1).all()


def test_without_times_the_axis_counts_frames() -> None:
    plain = Recording("a.npz", "a", "npz", frames=np.ones((30, 4), np.float32))
    found = amplitude_map(plain)
    assert (found.unit, found.edges[-1]) == ("frames", 30)


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(RecordingError, match="expected frames"):
        amplitude_map(Recording("a.npz", "a", "npz", frames=np.ones((0, 4), np.float32)))


def test_each_band_has_a_map_by_number() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    numbers = SubcarrierMap((Band.LLTF,) * 6 + (Band.HTLTF,) * 6, (0, 1, 2, -3, -2, -1, 2, 4, 6, -6, -4, -2))
    figure = recording_picture(amplitude_map(recording(np.arange(60) / 50, numbers))).figure
    band, first, second, rate, _ = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("lltf subcarrier", "htltf subcarrier")
    assert rate.get_ylabel() == "frames a second"
    shown = np.ma.getmaskarray(np.ma.asarray(first.images[0].get_array()))
    assert shown.shape[0] == 6  # -3 … 2
    assert shown[3].all()  # 0 is dead
    assert not shown[[0, 1, 2, 4, 5]].any()
    assert list(first.images[0].get_extent()[2:]) == [-3.5, 2.5]
    wide = np.ma.getmaskarray(np.ma.asarray(second.images[0].get_array()))
    assert wide.shape[0] == 7  # every second number from -6 to 6
    assert wide[3].all()
    assert {text.get_text() for text in band.texts} == {"sit", "walk"}


def test_a_class_has_the_colour_of_its_name_in_every_list() -> None:
    """Whatever its place and spelling; also where a file has names that a model lacks."""
    names = ["empty", "still", "walking", "waving", "falling"]
    styles = dict(zip(names, class_styles(names), strict=True))
    assert len({style.colour for style in styles.values()}) == 5
    assert class_styles(names[::-1]) == [styles[name] for name in names[::-1]]
    assert class_styles(["WALKING", "Still"]) == [styles["walking"], styles["still"]]
    assert class_styles(["zebra", "ant", "bee", "walking"])[3] == styles["walking"]
    assert class_styles(["WALKING_TX", "WALKING_RX"])[1] == styles["walking"]
    own = ["bed", "door", "kitchen", "stairs", "sofa"]
    assert class_styles(own) == [dict(zip(sorted(own), class_styles(sorted(own)), strict=True))[name] for name in own]
    assert len({style.colour for style in class_styles(own)}) == 5


@pytest.mark.parametrize(
    "names",
    [
        [
            f"{name}_{side}"
            for name in ("SEATED", "SITTING_DOWN", "STANDING_UP", "TURN", "WALKING")
            for side in ("RX", "TX")
        ],
        [f"room {number}" for number in range(30)],
        ["walking", "WALKING", "Walking "],
        ["", "?", "turn", "waving"],
    ],
)
def test_two_classes_never_have_one_style(names: list[str]) -> None:
    styles = class_styles(names)
    assert len(set(styles)) == len(names)
    assert len({(style.colour, style.line) for style in styles}) == len(names)


def test_band_and_legend_agree_on_colours() -> None:
    """Of a file whose list of names is the other way round."""
    from matplotlib.colors import to_hex
    from matplotlib.patches import Patch

    figure = new_figure(6, 1)
    axes = figure.subplots()
    for names in (["still", "walking", "empty"], ["empty", "walking", "still"]):
        axes.clear()
        values = np.array([names.index(name) for name in ("empty", "still", "walking")])
        unnamed = draw_band(axes, np.arange(4.0), values, names, 0.01)
        assert [to_hex(patch.get_facecolor()) for patch in axes.patches] == ["#0072b2", "#e69f00", "#009e73"]
        legend = {
            patch.get_label(): to_hex(patch.get_facecolor())
            for patch in band_patches(unnamed, names)
            if isinstance(patch, Patch)
        }
        assert legend == {"empty": "#0072b2", "still": "#e69f00", "walking": "#009e73"}
