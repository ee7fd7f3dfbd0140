"""What a node cannot run is rejected before it is packed or written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blob_bytes
import pytest
from click.testing import CliRunner, Result

from aether_temporal import PatternSettings, TemporalModel, WeightBlob
from aether_temporal.bundled import bundled_models, model_path
from aether_temporal.cli import aether
from aether_temporal.device import check_node, node_needs
from aether_temporal.errors import SlotError


def at_rate(rate: float) -> bytes:
    """`activity`, for frames at another rate."""
    blob = WeightBlob.load(model_path("activity"))
    assert blob.settings is not None
    settings = replace(blob.settings, frame_rate=rate)
    return WeightBlob(blob.header, blob.weights[: blob.header.core_bytes(blob.width)], settings).serialize()


def plain(classes: int = 2, features: int = 1) -> bytes:
    header = {
        "input_dim": features,
        "n_q_heads": 1,
        "n_kv_heads": 1,
        "head_dim": 1,
        "n_layers": 1,
        "n_classes": classes,
    }
    return blob_bytes.blob_of(header, bytes(4 * (4 * features + classes * features)))


@pytest.mark.parametrize("name", list(bundled_models()))
def test_bundled_models_suit_a_node(name: str) -> None:
    assert check_node(TemporalModel.from_blob(name)) == []


def test_classes_that_a_packet_cannot_name() -> None:
    assert check_node(TemporalModel.from_blob(plain(256))) == []
    with pytest.raises(
        SlotError, match="n_classes: expected at most 256, as many as a packet of a node can name, found 257"
    ):
        check_node(TemporalModel.from_blob(plain(257)))


def test_memory_that_a_node_does_not_have() -> None:
    """The queue of 32 frames alone can be too much."""
    assert check_node(TemporalModel.from_blob(plain(features=1000))) == []
    with pytest.raises(
        SlotError, match=r"memory: expected at most 327680 bytes of memory on a node, found \d{6}; train"
    ):
        check_node(TemporalModel.from_blob(plain(features=3000)))


def test_time_that_a_frame_takes() -> None:
    model = TemporalModel.from_blob(at_rate(10_000))
    with pytest.raises(
        SlotError, match=r"time for a frame: expected one every 0.1 ms, as the blob asks for, found at least"
    ):
        check_node(model)
    (warning,) = check_node(TemporalModel.from_blob(at_rate(1000)))
    assert warning.startswith("a frame may take a node")
    assert "more than the 1 ms between two frames: it may not be confirmed" in warning
    assert node_needs(model).frame_us == pytest.approx(100)


def pyramid() -> bytes:
    """`activity` with the pyramid pattern."""
    blob = WeightBlob.load(model_path("activity"))
    assert blob.settings is not None
    settings = replace(blob.settings, pattern=PatternSettings(pattern="pyramid", window=8, block_size=4))
    return WeightBlob(blob.header, blob.weights[: blob.header.core_bytes(blob.width)], settings).serialize()


def test_a_pyramid_needs_a_node_that_was_compiled_with_it() -> None:
    model = TemporalModel.from_blob(pyramid())
    assert check_node(model) == [
        "the model has the pyramid pattern: a node compiled without AETHER_PYRAMID (Kconfig) rejects it"
    ]
    assert node_needs(model).memory < node_needs(TemporalModel.from_blob("activity")).memory


def pack(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(aether, ["device", "pack", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_pack_rejects_and_warns(tmp_path: Path) -> None:
    blob, image = tmp_path / "model.rvne", tmp_path / "slot.bin"
    blob.write_bytes(plain(257))
    assert "n_classes: expected at most 256" in pack(blob, "--out", image, code=2).stderr
    assert not image.exists()
    pack(blob, "--header", tmp_path / "model.h")  # firmware without packets may have more
    blob.write_bytes(at_rate(1000))
    done = pack(blob, "--out", image)
    assert "warning: a frame may take a node" in done.stderr
    assert "of memory for it, queue and stack included" in done.stdout
