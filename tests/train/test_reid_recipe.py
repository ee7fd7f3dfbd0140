"""Who is trained on, what the network begins with, that a killed run ends alike, and that it works on real
identities."""

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

from aether_temporal.torch import TemporalClassifier, from_blob  # noqa: E402
from aether_temporal.train import reid  # noqa: E402
from aether_temporal.train.checkpoints import CheckpointError  # noqa: E402
from aether_temporal.train.configuration import RunSettings  # noqa: E402
from aether_temporal.train.contrastive import ContrastConfig, Contrasting  # noqa: E402
from aether_temporal.train.dataset import Dataset, LabelledRecording, without_short_segments  # noqa: E402
from aether_temporal.train.prepared import (  # noqa: E402
    prepare,
    read_dataset,
)
from aether_temporal.train.reading import Reading  # noqa: E402
from aether_temporal.train.reid import Recipe, Shape, network_shape, pooled, train, train_reid, warm_start  # noqa: E402
from aether_temporal.train.reid_command import main  # noqa: E402
from aether_temporal.train.reid_protocol import Baselines, arrange, cut, embeddings, inside_galleries, take  # noqa: E402
from aether_temporal.train.retrieval import figures  # noqa: E402
from aether_temporal.train.runs import Run  # noqa: E402
from aether_temporal.train.splits import LeakError  # noqa: E402

SMALL = Shape(length=40, pool=36, components=6, changes=8, hidden=8, embedding=10, stem_taps=4)
"""A network for the recordings of `some_identities`."""


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


def small(**changes: object) -> Recipe:
    return Recipe(
        held_out=2,
        shape=SMALL,
        stride=10,
        contrast=ContrastConfig(steps=6, warm_up_steps=2),
        batch=6,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# -- who is trained on -------------------------------------------------------------------------------------------------


def test_unseen_identities_are_nowhere_in_training_and_probes_are_not_either() -> None:
    dataset = some_identities(10)
    seen = set()
    for seed in range(8):
        found = arrange(dataset, length=40, held_out=3, captures="gallery", seed=seed)
        seen.add(found.held_out)
        assert len(found.held_out) == 3
        assert {t.session for t in found.train} == {"0"}
        assert {t.subject for t in found.train} == {f"p{i}" for i in range(10)} - set(found.held_out)
        known, unseen = found.parts["trained identities"], found.parts["unseen identities"]
        assert set(unseen.gallery_of) == set(unseen.probes_of) == set(found.held_out)
        assert set(known.gallery_of) == set(known.probes_of) == {t.subject for t in found.train}
        trained = {t.frames.tobytes() for t in found.train}
        assert not trained & {t.frames.tobytes() for t in dataset if t.session == "1" or t.subject in found.held_out}
    assert len(seen) > 4
    again = arrange(dataset, length=40, held_out=3, captures="gallery", seed=7)
    assert again.held_out == found.held_out


def test_identities_whose_probes_were_trained_on_are_not_asked_for() -> None:
    dataset = some_identities(8)
    both = arrange(dataset, length=40, held_out=3, captures="all", seed=0)
    assert list(both.parts) == ["unseen identities"]
    assert len(both.train) == 10
    none = arrange(dataset, length=40, held_out=0, captures="gallery", seed=0)
    assert list(none.parts) == ["trained identities"]


def test_windows_do_not_overlap_and_come_from_the_right_capture() -> None:
    dataset = some_identities(3, frames=215)
    part = cut(dataset, 50)
    assert part.gallery[:].shape == part.probes[:].shape == (12, 50, 8)
    np.testing.assert_array_equal(np.concatenate(list(part.gallery[4:8])), dataset[2].frames[:200])
    np.testing.assert_array_equal(np.concatenate(list(part.probes[4:8])), dataset[3].frames[:200])
    assert part.gallery_of[4:8] == ["p1"] * 4


def test_settings_can_be_chosen_without_a_look_at_any_probe() -> None:
    dataset = some_identities(5)
    found = inside_galleries(dataset)
    assert {t.session for t in found} == {"first", "last"}
    for before, (first, last) in zip(dataset[::2], zip(found[::2], found[1::2], strict=True), strict=True):
        np.testing.assert_array_equal(first.frames, before.frames[:90])
        np.testing.assert_array_equal(last.frames, before.frames[110:])
    assert list(arrange(found, length=40, held_out=2, captures="gallery", seed=0).parts) == [
        "trained identities",
        "unseen identities",
    ]


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
        arrange(Dataset(recordings, ()), length=40, held_out=0, captures="gallery", seed=0)


@pytest.mark.parametrize(("held_out", "captures"), [(1, "gallery"), (5, "gallery"), (0, "all")])
def test_too_few_or_too_many_identities_held_out_are_rejected(held_out: int, captures: reid.Captures) -> None:
    with pytest.raises(RecordingError, match="held out: expected"):
        arrange(some_identities(6), length=40, held_out=held_out, captures=captures, seed=0)


# -- what is trained ---------------------------------------------------------------------------------------------------


def test_training_begins_with_means_of_directions_and_of_changes() -> None:
    dataset = some_identities()
    torch.manual_seed(0)
    network = TemporalClassifier(network_shape(8, SMALL))
    warm_start(network, dataset, SMALL, 10)
    with torch.no_grad():
        network.layers[0].attention["wo"].zero_()
        network.layers[0].feed_forward["w2"].zero_()
    frames, _ = take(dataset, 40, 40)
    found = pooled(network, frames)
    x = frames[:] / frames[:].mean(axis=2, keepdims=True)
    every = np.concatenate([t.frames / t.frames.mean(axis=1, keepdims=True) for t in dataset])
    z = (x - every.mean(axis=0)) / every.std(axis=0)
    changes = np.maximum(z[:, 4:] - z[:, 3:-1], 0).mean(axis=1)
    for channel in range(8):
        assert np.corrcoef(found[:, 6 + channel], changes[:, channel])[0, 1] > 0.98
    # six of seven directions pass the mean of the subcarriers as it is: it can be read off them
    centred = found[:, :6] - found[:, :6].mean(axis=0)
    still = z[:, 4:].mean(axis=1)
    still -= still.mean(axis=0)
    rest = still - centred @ np.linalg.lstsq(centred, still, rcond=None)[0]
    assert (rest**2).sum() < 0.05 * (still**2).sum()


def test_the_core_embeds_what_torch_was_trained_to() -> None:
    blob, _ = train(some_identities(), small(), show_progress=False)
    frames, _ = take(some_identities(seed=6), 40, 40)
    network = from_blob(blob).eval()
    with torch.no_grad():
        expected = network.embeddings(torch.from_numpy(frames[:]))[:, -1].numpy()
    np.testing.assert_allclose(embeddings(TemporalModel.from_blob(blob), frames, 128), expected, atol=2e-5)


def test_training_moves_the_trunk_and_its_closed_form_follows() -> None:
    blob, start = train(some_identities(), small(shrinkage=0.0), show_progress=False)
    before, after = start.arrays(), blob.arrays()
    assert all(
        not np.array_equal(before[f"layers.0.attention.{name}"], after[f"layers.0.attention.{name}"])
        for name in ("wq", "wv", "wo")
    )
    assert blob.settings is not None
    assert blob.settings.embedding is not None
    whitened = pooled(from_blob(blob), take(some_identities(), 40, 10)[0]) @ np.asarray(blob.settings.embedding.weight)
    of = np.array(take(some_identities(), 40, 10)[1])
    inside = np.concatenate([whitened[of == p] - whitened[of == p].mean(axis=0) for p in set(of)])
    np.testing.assert_allclose(np.diag(inside.T @ inside / len(inside)), 1.0, rtol=1e-3)


def test_a_seed_decides_everything(tmp_path: Path) -> None:
    def trained(seed: int) -> bytes:
        return train(some_identities(), small(seed=seed), show_progress=False)[0].serialize()

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


class _Interrupted(Exception):
    pass


def test_a_run_that_is_interrupted_ends_as_one_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, recipe = some_identities(), small()
    with Run.open(tmp_path / "whole", {"a": 1}) as run:
        expected, _ = train(dataset, recipe, run=run, checkpoint_every=2, show_progress=False)
    step = Contrasting.step

    def dies(self: Contrasting, number: int, batch: object) -> object:
        if number == 5:
            raise _Interrupted
        return step(self, number, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Contrasting, "step", dies)
    with pytest.raises(_Interrupted), Run.open(tmp_path / "cut", {"a": 1}) as run:
        train(dataset, recipe, run=run, checkpoint_every=2, show_progress=False)
    monkeypatch.undo()
    with Run.open(tmp_path / "cut", {"a": 1}, resume=True) as run:
        found, _ = train(dataset, recipe, run=run, checkpoint_every=2, show_progress=False)
    assert found.serialize() == expected.serialize()
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    wider = dataclasses.replace(recipe, shape=dataclasses.replace(SMALL, hidden=9))
    with (
        pytest.raises(CheckpointError, match="expected shape"),
        Run.open(tmp_path / "cut", {"a": 1}, resume=True) as run,
    ):
        train(dataset, wider, run=run, show_progress=False)


def test_a_model_beyond_the_chip_is_rejected_before_it_is_trained() -> None:
    recipe = dataclasses.replace(small(), shape=Shape(length=40, pool=36, components=300, changes=300))
    with pytest.raises(RecordingError, match="of at most 65536 bytes of RAM and 131072 of weights"):
        train(some_identities(3, width=400), recipe, show_progress=False)


# -- the command and real identities ----------------------------------------------------------------------------------


def write_npz(dataset: Dataset, path: Path) -> None:
    np.savez(
        path,
        frames=np.concatenate([t.frames for t in dataset]),
        rec_offset=np.cumsum([0, *map(len, dataset)]),
        rec_subject=np.array([t.subject for t in dataset]),
        rec_session=np.array([t.session for t in dataset]),
    )


def test_the_command_trains_resumes_and_leaves_a_run_that_tells_all(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    data, run, out = tmp_path / "some.npz", tmp_path / "run", tmp_path / "who.rvne"
    write_npz(some_identities(7, frames=220), data)
    (tmp_path / "run.toml").write_text("[run]\ncheckpoint_every = 2\n")
    options = ("--data", data, "--held-out", 3, "--steps", 4, "--quiet", "--config", tmp_path / "run.toml")
    found = call("train", "reid", *options, "--out", out, "--run", run)
    for text in (
        "trained identities (4 identities",
        "unseen identities (3 identities",
        "cosine",
        "LDA",
        "model - cosine",
        "mAP",
    ):
        assert text in found.output
    assert out.read_bytes() == (run / "model.rvne").read_bytes()
    result = json.loads((run / "result.json").read_text())
    assert set(result["unseen identities"]["rows"]["model"]) >= {"rank1", "rank5", "map", "auc"}
    assert 0 < result["ram"] <= 65536
    assert "expected a new run folder" in call("train", "reid", *options, "--run", run, code=2).output
    again = call("train", "reid", *options, "--run", run, "--resume", "--out", tmp_path / "again.rvne")
    assert again.output == found.output
    assert (tmp_path / "again.rvne").read_bytes() == out.read_bytes()
    assert "held out: expected" in call("train", "reid", *options, "--held-out", 6, "--out", out, code=2).output
    lost = call("train", "reid", *options, "--run", tmp_path / "lost", "--out", tmp_path / "no" / "who.rvne", code=2)
    assert "expected a folder" in lost.output
    assert not (tmp_path / "lost").exists()  # said before anything is trained
    call("train", "reid", *options, "--seeds", 2, "--run", tmp_path / "two")
    assert {p.name for p in (tmp_path / "two").iterdir()} == {"seed0", "seed1", "result.json"}
    model = TemporalModel.from_blob(out)
    assert model.embed_dim == 15


def test_frames_too_wide_for_the_chip_are_rejected_by_the_files_name_and_leave_no_run(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
    from command import call

    data, run = tmp_path / "wide.npz", tmp_path / "run"
    write_npz(some_identities(5, width=900), data)
    options = ("--data", data, "--held-out", 2, "--steps", 1, "--quiet", "--run", run)
    found = call("train", "reid", *options, code=2).output
    assert f"{data}:subject" in found
    assert "frame width: expected a model of at most 65536 bytes of RAM" in found
    assert "--select" in found
    assert not run.exists()
    call("train", "reid", *options, "--select", "0-19")
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
    options = ("--data", data, "--held-out", 2, "--steps", 1, "--quiet", "--run", run)
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
    found = call("train", "reid", "--data", data, "--held-out", 2, "--steps", 2, "--quiet", "--run", run, code=2).output
    assert f"{data}: " in found
    assert not run.exists()


@pytest.fixture(scope="module")
def real_identities(recordings_dir: Path) -> Dataset:
    """Sixty identities, two captures of 1000 frames each."""
    return read_dataset(recordings_dir / "wiper_persons_0_59.npz")


def test_real_identities_are_told_apart_better_than_by_their_profiles(real_identities: Dataset) -> None:
    """A handful of steps, fifteen identities never met: the smallest real task that can fail."""
    recipe = Recipe(held_out=15, contrast=ContrastConfig(steps=4))
    report = train_reid(real_identities, recipe, show_progress=False)
    assert report.ram <= 65536
    assert len(report.blob.serialize()) <= 131072
    for part, methods in report.matches.items():
        found = {method: {k: float(v.mean()) for k, v in figures(m).items()} for method, m in methods.items()}
        assert found["model"]["rank1"] > 0.88, part
        assert found["model"]["rank1"] > found["cosine"]["rank1"] + 0.08, part
        assert found["model"]["map"] > found["LDA"]["map"] + 0.01, part


def test_the_baselines_are_those_that_were_published_with_the_recordings(real_identities: Dataset) -> None:
    protocol = arrange(real_identities, length=100, held_out=0, captures="gallery", seed=0)
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
        train(dataset, small(), show_progress=False)[0]
        for dataset in (read_dataset(data, reading=grid), prepare([data], tmp_path / "folder", reading=grid))
    ]
    assert blobs[0].serialize() == blobs[1].serialize()
    found = blobs[0].settings
    assert found.subcarriers is not None
    assert found.subcarriers.n_pairs == 8
    assert np.asarray(found.subcarriers.index).tolist() == [0, 2, 3, 5, 7]
    assert found.timing is not None
    assert (found.timing.period_us, found.timing.max_gap_us) == (20_000, 500_000)
    with pytest.raises(RecordingError, match="is prepared already"):
        main([str(tmp_path / "folder")], small(), grid, RunSettings(), print, inside_galleries=False, out=None)


def test_segments_too_short_for_a_window_are_left_out_where_their_recording_has_others() -> None:
    def segment(name: str, recording: str, frames: int) -> LabelledRecording:
        return LabelledRecording(
            name, "0", np.ones((frames, 3), np.float32), np.zeros(frames, np.int64), recording_name=recording
        )

    parts = [("a+0", "a", 1), ("a+1", "a", 60), ("b+0", "b", 39), ("b+1", "b", 7), ("c", "c", 40)]
    kept = without_short_segments(Dataset([segment(*part) for part in parts], ()), 40)
    assert [recording.name for recording in kept] == ["a+1", "b+0", "b+1", "c"]  # b: to be refused by name


def test_real_bursty_captures_on_a_grid_have_windows_for_everybody(recordings_dir: Path) -> None:
    """Gaps of a second and more leave segments of a few frames; the others suffice."""
    dataset = read_dataset(recordings_dir / "wiper_persons_0_59.npz", reading=Reading(period_us=20_000))
    with pytest.raises(RecordingError, match="frames: expected at least 100, one window"):
        arrange(dataset, length=100, held_out=15, captures="gallery", seed=0)
    protocol = arrange(without_short_segments(dataset, 100), length=100, held_out=15, captures="gallery", seed=0)
    assert {len(set(part.probes_of)) for part in protocol.parts.values()} == {45, 15}
