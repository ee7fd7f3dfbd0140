"""Packing for a node: what it cannot run is rejected; a blob as C source is the blob, aligned."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import blob_bytes
import pytest
from click.testing import CliRunner, Result

from aether_temporal import PatternSettings, TemporalModel, WeightBlob
from aether_temporal.bundled import bundled_models, model_path
from aether_temporal.cli import aether
from aether_temporal.device import check_node, node_needs
from aether_temporal.device.c_header import c_header
from aether_temporal.errors import BlobCrcError, InvalidArgumentError, SlotError


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


MAIN = """
#include <stdio.h>
#include "model.h"
#include "model.h"
int main(void) {
    if ((unsigned long)(const void *)model % 16u != 0) { return 3; }
    return fwrite(model, 1, sizeof model, stdout) == sizeof model ? 0 : 4;
}
"""
C99 = ["-std=c99", "-pedantic"]
C11 = ["-std=c11", "-pedantic", "-U__GNUC__"]  # as a compiler without GNU attributes would read it
CPP = ["-std=c++17", "-x", "c++"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "options"),
    [("gcc", C99), ("clang-22", C11), ("clang-22", CPP)],
    ids=["c99", "c11", "c++"],
)
@pytest.mark.parametrize("name", ["activity", "plain"])
def test_a_compiler_gives_the_bytes_back(
    tmp_path: Path, plain_blob: WeightBlob, compiler: str, options: list[str], name: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    blob = bundled_models()["activity"].read_bytes() if name == "activity" else plain_blob.serialize()
    (tmp_path / "model.h").write_text(c_header(blob, "model", "a.rvne"), encoding="ascii")
    (tmp_path / "main.c").write_text(MAIN, encoding="ascii")
    command = [compiler, *options, "-Wall", "-Wextra", "-Werror", "main.c", "-o", "program"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert found == blob


def test_what_it_says() -> None:
    text = c_header(bundled_models()["activity"].read_bytes(), "walk", "activity.rvne")
    assert "RVNE weight blob activity.rvne: " in text
    assert "56 features in, 5 classes out, 2 layers" in text
    assert "Classes: SEATED, SITTING_DOWN, STANDING_UP, TURN, WALKING." in text
    ram = TemporalModel.from_blob("activity").memory(context=128, pointer_bytes=4).ram
    assert f"A stream of 128 frames takes {ram} bytes of RAM on a 32-bit chip (float32 cache)." in text
    assert max(map(len, text.splitlines())) < 140


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "a;int b", "ä", "int", "class"])
def test_names_are_identifiers(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="name: expected a C identifier"):
        c_header(bundled_models()["demo"].read_bytes(), name)


def test_a_name_cannot_leave_the_comment() -> None:
    text = c_header(bundled_models()["demo"].read_bytes(), "m", "x*/int y;/*\n#error\\")
    head = text.split("#ifndef")[0]
    assert head.count("*/") == 1
    assert "\n#error" not in head


def test_a_damaged_blob_is_rejected() -> None:
    blob = bytearray(bundled_models()["demo"].read_bytes())
    blob[100] ^= 1
    with pytest.raises(BlobCrcError):
        c_header(bytes(blob), "m")
