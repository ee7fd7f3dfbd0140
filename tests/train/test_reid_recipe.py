"""Who is trained on, who is held out, what the model is, and that it works on real identities."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aether_temporal import TemporalModel
from aether_temporal.recordings import RecordingError

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import from_blob  # noqa: E402
from aether_temporal.train.dataset import Dataset, LabelledRecording, without_short_segments  # noqa: E402
from aether_temporal.train.prepared import (  # noqa: E402
    prepare,
    read_dataset,
)
from aether_temporal.train.reading import (  # noqa: E402
    Reading,
    RunSettings,
)
from aether_temporal.train.reid import UNSEEN, Recipe, context_of, train, train_reid  # noqa: E402
from aether_temporal.train.reid_command import main  # noqa: E402
from aether_temporal.train.reid_protocol import (  # noqa: E402
    Baselines,
    arrange,
    cut,
    embeddings,
    fit_discriminant,
    held_out_in_turn,
    take,
)
from aether_temporal.train.retrieval import figures  # noqa: E402
from aether_temporal.train.splits import LeakError  # noqa: E402

SMALL = Recipe(length=40, embedding=8, stride=10)
"""For the recordings of `some_identities`."""


def some_identities(identities: int = 6, frames: int = 200, width: int = 8, seed: int = 5) -> Dataset:
    """Two captures of each: a profile of their own, motion of their own strength, a gain that jumps."""
    rng = np.random.default_rng(seed)
    recordings = []
    for identity in range(identities):
        profile, strength = rng.uniform(0.5, 1.5, width), rng.uniform(0.02, 0.2)
        for session in range(2):
            moving = profile + strength * rng.standard_normal((frames, width)).cumsum(axis=0) / 8
            gain = rng.choice([5.0, 8.0, 13.0], (frames, 1))
            values = np.maximum(np.abs(moving) * gain, 0.1).astype(np.float32)
            labels = np.full(frames, -1, np.int64)
            name = f"p{identity}/s{session}"
            recordings.append(
                LabelledRecording(
                    name,
                    str(session),
                    values,
                    labels,
                    subject=f"p{identity}",
                    recording_name=name,
                    digest=len(recordings),
                )
            )
    return Dataset(recordings, ())


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# -- who is trained on -------------------------------------------------------------------------------------------------


def test_unseen_identities_are_nowhere_in_training_and_probes_are_not_either() -> None:
    dataset, names = some_identities(10), ("p2", "p5", "p6")
    found = arrange(dataset, length=40, unseen=names, captures="gallery")
    assert {t.session for t in found.train} == {"0"}
    assert {t.subject for t in found.train} == {f"p{i}" for i in range(10)} - set(names)
    known, unseen = found.parts["trained identities"], found.parts["unseen identities"]
    assert set(unseen.gallery_of) == set(unseen.probes_of) == set(names)
    assert set(known.gallery_of) == set(known.probes_of) == {t.subject for t in found.train}
    trained = {t.frames.tobytes() for t in found.train}
    assert not trained & {t.frames.tobytes() for t in dataset if t.session == "1" or t.subject in names}


def test_identities_whose_probes_were_trained_on_are_not_asked_for() -> None:
    dataset = some_identities(8)
    both = arrange(dataset, length=40, unseen=("p1", "p2"), captures="all")
    assert list(both.parts) == ["unseen identities"]
    assert len(both.train) == 12
    assert list(arrange(dataset, length=40, unseen=(), captures="gallery").parts) == ["trained identities"]


def on_days(dataset: Dataset, days: dict[str, str]) -> Dataset:
    return Dataset([dataclasses.replace(t, day=days.get(t.name, days.get(str(t.subject), ""))) for t in dataset], ())


def test_each_day_is_held_out_in_turn_and_identities_of_one_day_stay_together() -> None:
    dataset = some_identities(6)
    days = {"p0": "2023-10-20", "p1": "2023-10-20", "p2": "2023-10-21", "p3": "2023-10-21", "p4": "2023-10-22"}
    found = held_out_in_turn(on_days(dataset, {**days, "p5/s0": "2023-10-21", "p5/s1": "2023-10-23"}))
    assert found.by_day
    assert found.groups == {  # p4 is alone on a day; p5 was there on two days
        "2023-10-20": ("p0", "p1"),
        "2023-10-21 and 2023-10-23": ("p2", "p3", "p5"),
    }
    assert found.lines() == [
        "held out by day of recording, in turn: 2023-10-20 (2 identities), 2023-10-21 and 2023-10-23 (3 identities)"
    ]


@pytest.mark.parametrize("days", [{}, {f"p{i}": "2023-10-20" for i in range(6)}, {"p0": "2023-10-20"}])
def test_where_days_do_not_part_the_identities_fifths_are_held_out_and_it_is_said(days: dict[str, str]) -> None:
    found = held_out_in_turn(on_days(some_identities(6), days))
    assert not found.by_day
    assert found.groups == {f"part {k + 1} of 3": (f"p{k}", f"p{k + 3}") for k in range(3)}
    assert "warning: the recordings do not say that they are of several days" in found.lines()[1]
    assert held_out_in_turn(some_identities(3)).groups == {}


def test_windows_do_not_overlap_and_come_from_the_right_capture() -> None:
    dataset = some_identities(3, frames=215)
    part = cut(dataset, 50)
    assert part.gallery[:].shape == part.probes[:].shape == (12, 50, 8)
    np.testing.assert_array_equal(np.concatenate(list(part.gallery[4:8])), dataset[2].frames[:200])
    np.testing.assert_array_equal(np.concatenate(list(part.probes[4:8])), dataset[3].frames[:200])
    assert part.gallery_of[4:8] == ["p1"] * 4


def _copy_probe(recordings: list[LabelledRecording]) -> None:
    recordings[3] = dataclasses.replace(recordings[3], frames=recordings[2].frames, digest=recordings[2].digest)


def _one_session(recordings: list[LabelledRecording]) -> None:
    recordings[:] = [t for t in recordings if t.session == "0"]


def _no_probe(recordings: list[LabelledRecording]) -> None:
    del recordings[5]


def _nameless(recordings: list[LabelledRecording]) -> None:
    recordings[4] = dataclasses.replace(recordings[4], subject=None)


def _too_short(recordings: list[LabelledRecording]) -> None:
    recordings[1] = dataclasses.replace(
        recordings[1], frames=recordings[1].frames[:39], labels=recordings[1].labels[:39]
    )


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_copy_probe, LeakError, r"p1/s1: .*the same frames"),
        (_one_session, RecordingError, "session: expected at least two, a gallery and a probe, found 0"),
        (_no_probe, RecordingError, "subject p2: expected a probe capture too, found none"),
        (_nameless, RecordingError, "p2/s0: subject: expected one"),
        (_too_short, RecordingError, "p0/s1: frames: expected at least 40, one window, found 39"),
    ],
)
def test_what_cannot_be_judged_honestly_is_rejected(
    damage: Callable[[list[LabelledRecording]], None], error: type[Exception], message: str
) -> None:
    recordings = list(some_identities(6))
    damage(recordings)
    with pytest.raises(error, match=message):
        arrange(Dataset(recordings, ()), length=40, unseen=(), captures="gallery")


# -- what is trained ---------------------------------------------------------------------------------------------------


def test_an_embedding_is_the_discriminant_of_a_windows_mean_frame() -> None:
    dataset = some_identities()
    blob = train(dataset, SMALL)
    frames, of = take(dataset, 40, 10)
    means = (frames[:].astype(np.float64) / frames[:].mean(axis=2, keepdims=True)).mean(axis=1)
    whose = np.unique(np.array(of), return_inverse=True)[1]
    expected = fit_discriminant(means, whose.astype(np.int64), dim=8)(means)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = embeddings(TemporalModel.from_blob(blob), frames, context_of(blob))
    # the cosines, because directions in which identities do not differ may turn
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)
    assert train(dataset, SMALL).serialize() == blob.serialize()


def test_the_core_embeds_what_torch_does() -> None:
    blob = train(some_identities(), SMALL)
    frames, _ = take(some_identities(seed=6), 40, 40)
    network = from_blob(blob).eval()
    with torch.no_grad():
        expected = network.embeddings(torch.from_numpy(frames[:]))[:, -1].numpy()
    np.testing.assert_allclose(embeddings(TemporalModel.from_blob(blob), frames, context_of(blob)), expected, atol=2e-5)


def test_a_model_beyond_the_chip_is_rejected_before_it_is_trained() -> None:
    with pytest.raises(RecordingError, match="of at most 65536 bytes of RAM and 131072 of weights"):
        train(some_identities(3, width=600), SMALL)


# -- the closed form ---------------------------------------------------------------------------------------------------


def some_features(rng: np.random.Generator, identities: int = 9, rows: int = 30, width: int = 12) -> tuple:
    mixing = rng.standard_normal((width, width))
    centres = rng.standard_normal((identities, width)) * 2
    x = np.concatenate([c + rng.standard_normal((rows, width)) @ mixing for c in centres]) * rng.uniform(0.1, 9, width)
    return x, np.repeat(np.arange(identities), rows)


def test_within_an_identity_the_spread_is_one_in_every_direction(rng: np.random.Generator) -> None:
    x, of = some_features(rng)
    y = fit_discriminant(x, of, dim=12, shrinkage=0.0)(x)
    inside = np.concatenate([y[of == p] - y[of == p].mean(axis=0) for p in range(9)])
    np.testing.assert_allclose(inside.T @ inside / len(inside), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(np.mean([y[of == p].mean(axis=0) for p in range(9)], axis=0), 0, atol=1e-9)


def test_directions_are_in_order_of_how_much_identities_differ(rng: np.random.Generator) -> None:
    x, of = some_features(rng)
    y = fit_discriminant(x, of, dim=12, shrinkage=0.0)(x)
    between = np.stack([y[of == p].mean(axis=0) for p in range(9)]).var(axis=0)
    assert (np.diff(between) <= 1e-9).all()
    np.testing.assert_allclose(between[8:], 0, atol=1e-9)  # nine identities differ in eight directions
    assert fit_discriminant(x, of).matrix.shape == (12, 8)


def test_the_first_direction_is_the_best_there_is(rng: np.random.Generator) -> None:
    x, of = some_features(rng, identities=4, width=5)
    found = fit_discriminant(x, of, shrinkage=0.0)

    def ratio(direction: np.ndarray) -> float:
        y = x @ direction
        return float(np.var([y[of == p].mean() for p in range(4)]) / np.mean([y[of == p].var() for p in range(4)]))

    best = ratio(found.matrix[:, 0])
    assert all(ratio(rng.standard_normal(5)) < best for _ in range(500))
    step = 1e-3 * np.abs(found.matrix[:, 0])
    assert all(ratio(found.matrix[:, 0] + step * rng.standard_normal(5)) <= best + 1e-9 for _ in range(100))


def test_an_identity_with_more_windows_does_not_count_more(rng: np.random.Generator) -> None:
    x, of = some_features(rng)
    one, more = fit_discriminant(x, of), fit_discriminant(x, of)
    np.testing.assert_array_equal(one.matrix, more.matrix)  # the same twice, signs too
    doubled = np.concatenate([x, x[of == 0]]), np.concatenate([of, of[of == 0]])
    y, z = one(x), fit_discriminant(*doubled)(x)
    near = np.linalg.norm(y[:, None] - y[None], axis=2), np.linalg.norm(z[:, None] - z[None], axis=2)
    np.testing.assert_allclose(near[0], near[1], rtol=0.02, atol=0.05)


def test_a_feature_that_never_changes_does_no_harm(rng: np.random.Generator) -> None:
    x, of = some_features(rng)
    x[:, 3] = 5.0
    assert np.isfinite(fit_discriminant(x, of)(x)).all()


def test_one_identity_cannot_be_told_apart(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="expected at least two to tell apart, found 1"):
        fit_discriminant(rng.standard_normal((5, 3)), np.zeros(5, np.int64))


# -- the command and real identities ----------------------------------------------------------------------------------


def write_npz(dataset: Dataset, path: Path) -> None:
    np.savez(
        path,
        frames=np.concatenate([t.frames for t in dataset]),
        rec_offset=np.cumsum([0, *map(len, dataset)]),
        rec_subject=np.array([t.subject for t in dataset]),
        rec_session=np.array([t.session for t in dataset]),
        rec_start=np.array([1.6e9 + 86400.0 * (i // 4) for i in range(len(dataset))]),
    )


def test_the_command_holds_out_days_and_leaves_a_run_that_holds_all(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    data, run, out = tmp_path / "some.npz", tmp_path / "run", tmp_path / "who.rvne"
    write_npz(some_identities(7, frames=220), data)
    found = call("train", "reid", "--data", data, "--out", out, "--run", run)
    for text in (
        "2020-09-13 (2 identities), 2020-09-14 (2 identities), 2020-09-15 (2 identities)\n",
        "trained identities (7 identities, 14 probe windows)",
        "unseen identities (6 identities, 12 probe windows)",
        "model - cosine",
        "model - LDA",
        "mAP",
    ):
        assert text in found.output
    assert out.read_bytes() == (run / "model.rvne").read_bytes()
    result = json.loads((run / "result.json").read_text())
    assert set(result["unseen identities"]["rows"]["LDA"]) >= {"rank1", "rank5", "map", "auc"}
    assert result["held_out"]["by_day"] is True
    assert 0 < result["ram"] <= 65536
    assert "expected a new run folder" in call("train", "reid", "--data", data, "--run", run, code=2).output
    (tmp_path / "all.toml").write_text('captures = "all"\n')
    options = ("--config", tmp_path / "all.toml", "--out", tmp_path / "all.rvne")
    everything = call("train", "reid", "--data", data, *options)
    assert "trained identities" not in everything.output
    lost = call("train", "reid", "--data", data, "--run", tmp_path / "lost", "--out", tmp_path / "no" / "w", code=2)
    assert "expected a folder" in lost.output
    assert not (tmp_path / "lost").exists()  # printed before anything is trained
    assert TemporalModel.from_blob(out).embed_dim == 8


def test_frames_too_wide_for_the_chip_are_rejected_by_the_files_name_and_leave_no_run(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    data, run = tmp_path / "wide.npz", tmp_path / "run"
    write_npz(some_identities(5, width=900), data)
    options = ("--data", data, "--run", run)
    found = call("train", "reid", *options, code=2).output
    assert f"{data}:subject" in found
    assert "frame width: expected a model of at most 65536 bytes of RAM" in found
    assert "subcarriers in [reading] of --config" in found
    assert not run.exists()
    (tmp_path / "few.toml").write_text(f"[reading]\nselect = {list(range(20))}\n")
    call("train", "reid", *options, "--config", tmp_path / "few.toml")
    assert (run / "model.rvne").exists()


@pytest.mark.parametrize("alike", ["all but for their gain", "within an identity"])
def test_identities_that_nothing_tells_apart_are_rejected_by_the_files_name_and_leave_no_run(
    tmp_path: Path, alike: str
) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    dataset = some_identities(5)
    for index, recording in enumerate(dataset):
        gain = 1 + np.arange(len(recording), dtype=np.float32)[:, None] + index
        recording.frames[:] = gain if alike.startswith("all") else recording.frames[:1]
    data, run = tmp_path / "alike.npz", tmp_path / "run"
    write_npz(dataset, data)
    options = ("--data", data, "--run", run)
    assert f"{data}: frames: expected " in call("train", "reid", *options, code=2).output
    assert not run.exists()


def test_numbers_that_leave_their_range_in_training_name_the_file_and_leave_no_run(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    dataset = some_identities(5)
    for recording in dataset:  # means of nearly zero: dividing by them leaves the range
        recording.frames[::7] = 0
        recording.frames[::7, :3] = 1e25, -1e25, 1e-20
    data, run = tmp_path / "zero.npz", tmp_path / "run"
    write_npz(dataset, data)
    found = call("train", "reid", "--data", data, "--run", run, code=2).output
    assert f"{data}: " in found
    assert not run.exists()


@pytest.fixture(scope="module")
def real_identities(recordings_dir: Path) -> Dataset:
    """Sixty identities, two captures of 1000 frames each."""
    return read_dataset(recordings_dir / "wiper_persons_0_59.npz")


def test_real_identities_of_another_day_are_told_apart_better_than_by_their_profiles(real_identities: Dataset) -> None:
    report = train_reid(real_identities, Recipe())
    assert [len(names) for names in report.held_out.groups.values()] == [12, 27, 21]
    assert report.ram <= 65536
    assert len(report.blob.serialize()) <= 131072
    found = {
        method: {key: float(np.concatenate([figures(m)[key] for m in every]).mean()) for key in ("rank1", "map")}
        for method, every in report.matches[UNSEEN].items()
    }
    assert found["model"]["rank1"] > 0.87
    assert found["model"]["rank1"] > found["cosine"]["rank1"] + 0.06
    assert found["model"]["map"] > found["LDA"]["map"] + 0.01


def test_the_baselines_are_those_that_were_published_with_the_recordings(real_identities: Dataset) -> None:
    protocol = arrange(real_identities, length=100, unseen=(), captures="gallery")
    part = protocol.parts["trained identities"]
    baselines = Baselines.fit(protocol.train, 100, 50)
    assert float(figures(baselines.matches(part)["cosine"])["rank1"].mean()) == pytest.approx(0.758, abs=0.01)
    assert baselines.decisions(part) == pytest.approx(0.890, abs=0.005)


# -- what the blob says of its frames ----------------------------------------------------------------------------------


def test_the_blob_says_how_raw_frames_become_its_own_also_from_a_prepared_folder(tmp_path: Path) -> None:
    """Subcarriers, rate and grid go into the blob, so that host and chip make the frames that it was trained on."""
    rng = np.random.default_rng(3)
    iq = rng.integers(-40, 40, (6, 200, 1, 2)) + rng.integers(-9, 9, (6, 200, 8, 2))
    data = tmp_path / "raw.npz"
    np.savez(
        data,
        iq=iq.reshape(-1, 8, 2).astype(np.int8),
        t=np.tile(np.arange(200) / 50, 6),
        rec_offset=np.arange(7) * 200,
        rec_subject=np.repeat([0, 1, 2], 2),
        rec_session=np.tile([0, 1], 3),
    )
    grid = Reading(select=(0, 2, 3, 5, 7), period_us=20_000, max_gap_us=500_000)
    blobs = [
        train(dataset, dataclasses.replace(SMALL, embedding=5))
        for dataset in (read_dataset(data, reading=grid), prepare([data], tmp_path / "folder", reading=grid))
    ]
    assert blobs[0].serialize() == blobs[1].serialize()
    found = blobs[0].settings
    assert found is not None
    assert found.subcarriers is not None
    assert found.subcarriers.n_pairs == 8
    assert np.asarray(found.subcarriers.index).tolist() == [0, 2, 3, 5, 7]
    assert found.timing is not None
    assert (found.timing.period_us, found.timing.max_gap_us) == (20_000, 500_000)
    with pytest.raises(RecordingError, match="is prepared already"):
        main([str(tmp_path / "folder")], SMALL, grid, RunSettings(), print, run_folder=None, out=None)


def test_segments_too_short_for_a_window_are_left_out_where_their_recording_has_others() -> None:
    def segment(name: str, recording: str, frames: int) -> LabelledRecording:
        return LabelledRecording(
            name, "0", np.ones((frames, 3), np.float32), np.zeros(frames, np.int64), recording_name=recording
        )

    parts = [("a+0", "a", 1), ("a+1", "a", 60), ("b+0", "b", 39), ("b+1", "b", 7), ("c", "c", 40)]
    kept = without_short_segments(Dataset([segment(*part) for part in parts], ()), 40)
    assert [recording.name for recording in kept] == ["a+1", "b+0", "b+1", "c"]  # b: to be rejected by name


def test_real_bursty_captures_on_a_grid_have_windows_for_everybody(recordings_dir: Path) -> None:
    """Gaps of a second and more leave segments of a few frames; the others suffice."""
    dataset = read_dataset(recordings_dir / "wiper_persons_0_59.npz", reading=Reading(period_us=20_000))
    with pytest.raises(RecordingError, match="frames: expected at least 100, one window"):
        arrange(dataset, length=100, unseen=(), captures="gallery")
    protocol = arrange(without_short_segments(dataset, 100), length=100, unseen=("3", "7"), captures="gallery")
    assert {len(set(part.probes_of)) for part in protocol.parts.values()} == {58, 2}
