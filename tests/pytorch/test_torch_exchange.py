"""From torch to a blob and back: no bit is lost, and the core computes the same model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_blob import TINY, all_settings, core_arrays

from aether_temporal import ShapeError, TemporalModel, WeightBlob, blob_tools
from aether_temporal.bundled import bundled_models
from aether_temporal.recordings import list_recordings, open_recording
from aether_temporal.settings import ModelSettings, PatternSettings, PoolingSettings, SubcarrierSettings, TimingSettings
from aether_temporal.simulation import demo_script, simulate

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import exchange  # noqa: E402
from aether_temporal.torch.exchange import describe, export, float16_error, from_blob, load, to_blob  # noqa: E402
from aether_temporal.torch.network import (  # noqa: E402
    Description,
    NetworkConfig,
    TemporalClassifier,
)

SHAPES = {
    "everything": NetworkConfig(
        input_dim=52,
        n_classes=5,
        width=24,
        pattern=PatternSettings(window=9, block_size=4, history=40, global_tokens=(0, 3)),
        agc="mean",
        stem_taps=16,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=5,
        hidden=40,
        pool_frames=25,
        embedding_dim=7,
        dropout=0.2,
    ),
    "plain": NetworkConfig(
        input_dim=52, n_classes=4, width=52, head_dim=32, normalisation=False, projection=False, eps=None, bias=False
    ),
    "grouped": NetworkConfig(
        input_dim=52,
        n_classes=3,
        width=20,
        n_layers=3,
        n_q_heads=6,
        n_kv_heads=2,
        head_dim=3,
        pattern=PatternSettings(window=5, block_size=8, use_log_stride=False, global_tokens=()),
        stem_taps=3,
        eps=1e-3,
    ),
    "pyramid": NetworkConfig(
        input_dim=52,
        n_classes=3,
        width=16,
        n_kv_heads=2,
        pattern=PatternSettings(pattern="pyramid", window=8, block_size=4),
        hidden=8,
    ),
    "no landmarks": NetworkConfig(
        input_dim=52,
        n_classes=2,
        width=16,
        n_kv_heads=4,
        pattern=PatternSettings(window=None, use_landmarks=False),
        agc="mean",
        hidden=8,
        taps=64,
    ),
}
WORDS = Description(["a", "b", "c", "d", "é"], 50.0, "made by a test")


def network(name: str) -> TemporalClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = TemporalClassifier(SHAPES[name]).eval()
        with torch.no_grad():
            for parameter in made.parameters():  # no array may stand at its initial, possibly neutral, value
                parameter.add_(0.1 * torch.randn_like(parameter))
            made.set_normalisation(torch.from_numpy(frames()))
    return made


def frames() -> np.ndarray:
    return simulate(demo_script(), seed=4).frames[150:450]


def words(made: TemporalClassifier) -> Description:
    names = [f"class {i}" for i in range(made.config.n_classes)]
    return Description(names, WORDS.frame_rate, WORDS.provenance)


@pytest.mark.parametrize("name", SHAPES)
def test_export_and_load_lose_no_bit(name: str, tmp_path: Path) -> None:
    made = network(name)
    path = tmp_path / "model.rvne"
    blob = export(made, path, words(made))
    assert path.read_bytes() == blob.serialize()
    again = load(path)
    assert to_blob(again, describe(WeightBlob.load(path))).serialize() == path.read_bytes()
    with torch.no_grad():
        ours, theirs = made(torch.from_numpy(frames())[None]), again.eval()(torch.from_numpy(frames())[None])
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_is_in_the_blob_under_the_same_name(name: str) -> None:
    made = network(name)
    arrays = to_blob(made, words(made)).arrays()
    expected = made.state_dict()
    if not made.config.normalisation:
        del expected["normalisation.mean"], expected["normalisation.scale"]
    if "stem.weight" in expected:
        expected["stem.weight"] = made.stem_filter().detach()
    assert set(arrays) - {"subcarriers.index"} == set(expected)
    for key, value in expected.items():
        assert value.numpy().astype("<f4").tobytes() == arrays[key].astype("<f4").tobytes(), key


@pytest.mark.parametrize("name", SHAPES)
def test_the_core_computes_what_torch_trains(name: str) -> None:
    made = network(name)
    model = TemporalModel.from_blob(to_blob(made, words(made)))
    recorded = frames()
    with torch.no_grad():
        expected = made(torch.from_numpy(recorded)[None])[0].numpy()
    found = model.forward(recorded, len(recorded))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_core_computes_the_same_embeddings() -> None:
    made = network("everything")
    model = TemporalModel.from_blob(to_blob(made, words(made)))
    recorded = frames()
    with torch.no_grad():
        expected = made.embeddings(torch.from_numpy(recorded)[None])[0].numpy()
    np.testing.assert_allclose(model.embeddings(recorded), expected, rtol=0, atol=1e-5)


def test_a_plain_version_1_blob_becomes_a_network_and_a_plain_blob_again(plain_blob: WeightBlob) -> None:
    made = from_blob(plain_blob).eval()
    assert to_blob(made).serialize() == plain_blob.serialize()
    recorded = np.random.default_rng(1).standard_normal((90, 16)).astype(np.float32)
    with torch.no_grad():
        expected = made(torch.from_numpy(recorded)[None])[0].numpy()
    found = TemporalModel.from_blob(plain_blob).forward(recorded, len(recorded))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_section_that_torch_does_not_know_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    extended = dataclasses.make_dataclass("Extended", [("tilt", Any, None)], bases=(ModelSettings,), frozen=True)
    monkeypatch.setattr(exchange, "ModelSettings", extended)
    described = describe(SimpleNamespace(settings=extended(tilt=[1.0, 2.0, 3.0], frame_rate=50.0)))  # type: ignore[arg-type]
    found = exchange.to_settings(network("plain"), described)
    assert (found.tilt, found.frame_rate) == ([1.0, 2.0, 3.0], 50.0)  # type: ignore[union-attr]


def test_a_blob_with_every_section_comes_back_as_it_was(rng: np.random.Generator) -> None:
    blob = WeightBlob.from_arrays(TINY, *core_arrays(rng, TINY, 5), all_settings(rng, TINY, 5))
    assert to_blob(from_blob(blob)).serialize() == blob.serialize()


def test_a_binary16_blob_is_widened() -> None:
    made = network("everything")
    half = to_blob(made, words(made), "float16")
    again = from_blob(half)
    expected = made.classifier["weight"].detach().numpy().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(again.classifier["weight"].detach().numpy(), expected)
    assert to_blob(again, dtype="float16").serialize() == half.serialize()


NEUTRAL = {
    "nothing": {},
    "what absence says": {"pattern": PatternSettings(), "agc": "none", "pooling": PoolingSettings()},
    "pooling alone": {"pooling": PoolingSettings()},
    "words": {"class_names": ["a", "b", "c", "é"], "frame_rate": 33.3, "provenance": "", "agc": "mean"},
    "timing": {"frame_rate": 100.0, "timing": TimingSettings(25, 10_000, 60_000)},
    "subcarriers": {"subcarriers": SubcarrierSettings(64, np.arange(16) * 4)},
    "pyramid": {"pattern": PatternSettings(pattern="pyramid", window=16, block_size=8, history=300)},
    "another pattern": {"pattern": PatternSettings(history=50, global_tokens=(0, 2, 70_000))},
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_blob_comes_back_as_it_was(name: str, plain_blob: WeightBlob, tmp_path: Path) -> None:
    blob = WeightBlob(plain_blob.header, plain_blob.weights, ModelSettings(**NEUTRAL[name]))  # type: ignore[arg-type]
    blob.save(tmp_path / "given.rvne")
    export(load(tmp_path / "given.rvne"), tmp_path / "again.rvne")
    assert (tmp_path / "again.rvne").read_bytes() == (tmp_path / "given.rvne").read_bytes()


@pytest.mark.parametrize("name", ["activity", "demo"])
def test_the_bundled_blobs_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    path = bundled_models()[name]
    export(load(path), tmp_path / "again.rvne")
    assert (tmp_path / "again.rvne").read_bytes() == path.read_bytes()
    half = export(load(path), tmp_path / "half.rvne", dtype="float16")
    assert half == WeightBlob.load(path).to_dtype("float16")
    assert export(load(tmp_path / "half.rvne"), tmp_path / "again.rvne", dtype="float16") == half


def agree(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return bool(np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max())


def test_torch_and_the_core_agree_on_real_frames(recordings_dir: Path) -> None:
    path = recordings_dir / "geotec_sessions_1_3.npz"
    made, model = load(bundled_models()["activity"]).eval(), TemporalModel.from_blob("activity")
    for info in list_recordings(path)[::7]:
        recorded = open_recording(path, recording=info.name).features()
        assert len(recorded) > 300
        with torch.no_grad():
            assert agree(model.forward(recorded), made(torch.from_numpy(recorded)).numpy()), info.name


def test_embeddings_agree_on_real_frames(recordings_dir: Path) -> None:
    path = recordings_dir / "wiper_persons_0_59.npz"
    recorded = open_recording(path, recording=list_recordings(path)[5].name).features()
    config = dataclasses.replace(SHAPES["everything"], input_dim=recorded.shape[1], dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(8)
        made = TemporalClassifier(config).eval()
    made.set_normalisation(torch.from_numpy(recorded))
    model = TemporalModel.from_blob(to_blob(made))
    with torch.no_grad():
        assert agree(model.forward(recorded), made(torch.from_numpy(recorded)).numpy())
        assert agree(model.embeddings(recorded), made.embeddings(torch.from_numpy(recorded)).numpy())


def test_one_sequence_or_many() -> None:
    made, recorded = network("everything"), torch.from_numpy(frames())
    with torch.no_grad():
        for call in (made, made.embeddings, made.hidden):
            torch.testing.assert_close(call(recorded), call(recorded[None])[0], rtol=1e-5, atol=1e-6)
    for shape in ((52,), (3, 51), (1, 2, 3, 52)):
        with pytest.raises(ShapeError, match="frames"):
            made(torch.zeros(shape))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("shape", [(2, 0, 52), (0, 0, 52), (0, 9, 52), (0, 52)])
def test_no_frames_give_no_predictions(name: str, shape: tuple[int, ...]) -> None:
    """As of the core: nothing in, nothing out, and gradients of zero."""
    made = network(name)
    logits = made(torch.zeros(shape))
    assert logits.shape == (*shape[:-1], made.config.n_classes)
    logits.sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in made.parameters())
    core = TemporalModel.from_blob(to_blob(made, words(made)))
    assert core.forward(np.zeros((0, 52), np.float32)).shape == (0, made.config.n_classes)


def test_gradients_reach_every_parameter() -> None:
    made, recorded = network("everything").train(), torch.from_numpy(frames())
    (made(recorded).square().mean() + made.embeddings(recorded)[:, 0].mean()).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_compiled_and_exported_it_is_the_same() -> None:
    made, recorded = network("everything"), torch.from_numpy(frames())[None]
    with torch.no_grad():
        expected = made(recorded)
        compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(recorded), expected)
        shapes = ({0: torch.export.Dim("sequences"), 1: torch.export.Dim("tokens", min=2)},)
        program = torch.export.export(made, (recorded.expand(2, -1, -1),), dynamic_shapes=shapes)
        torch.testing.assert_close(program.module()(recorded[:, :40].expand(3, -1, -1))[1], made(recorded[0, :40]))


def test_weights_that_are_not_finite_are_not_exported(tmp_path: Path) -> None:
    made = network("everything")
    with torch.no_grad():
        made.classifier["weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="classifier"):
        export(made, tmp_path / "model.rvne", words(made))
    assert not (tmp_path / "model.rvne").exists()


@pytest.mark.parametrize("bad", [{"n_kv_heads": 3}, {"projection": False}, {"hidden": 4, "eps": None}])
def test_shapes_that_make_no_sense_are_rejected_by_name(bad: dict[str, object]) -> None:
    field = "eps" if "eps" in bad else next(iter(bad))
    with pytest.raises(ValueError, match=field):
        NetworkConfig(input_dim=8, n_classes=2, width=4, **bad)  # type: ignore[arg-type]


def test_float16_error_of_a_network_is_that_of_its_blob() -> None:
    path = bundled_models()["demo"]
    frames = np.random.default_rng(2).uniform(0.5, 1.5, (40, 52)).astype(np.float32)
    expected = blob_tools.float16_error(WeightBlob.load(path), frames)
    assert float16_error(load(path), torch.from_numpy(frames)) == float16_error(load(path), frames) == expected


def test_under_autocast_the_network_trains_as_without() -> None:
    torch.manual_seed(3)
    network = TemporalClassifier(dataclasses.replace(SHAPES["everything"], dropout=0.0))
    frames = torch.from_numpy(simulate(demo_script(), 4).frames[None, :60])
    losses = []
    for half in (torch.bfloat16, torch.float32):
        network.zero_grad()
        with torch.autocast("cpu", half, enabled=half is torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(frames)[0], torch.arange(60) % 5)
        loss.backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())
        assert network.layers[0].attention["wq"].grad.abs().max() > 0
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
