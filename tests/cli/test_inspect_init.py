"""aether inspect, init and recordings."""

from __future__ import annotations

import struct
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import call, call_json, make_blob, save_model, save_recordings
from recordings.making import classic, values_of

from aether_temporal import (
    InvalidArgumentError,
    ModelSettings,
    PatternSettings,
    TemporalModel,
    WeightBlob,
    WeightBlobHeader,
    crc32,
)
from aether_temporal.blob_tools import check_blob, float16_error, random_blob
from aether_temporal.cli.inspect_command import settings_lines


def test_inspect_says_everything(tmp_path: Path) -> None:
    path = save_model(tmp_path, n_pairs=12)
    document = call_json("inspect", path, "--context", 100)
    assert list(document) == [
        "file", "whole", "bytes", "crc32", "header", "width", "weights", "settings", "arrays", "memory",
    ]  # fmt: skip
    raw = path.read_bytes()
    assert document["bytes"] == len(raw)
    assert document["crc32"] == f"0x{struct.unpack('<I', raw[-4:])[0]:08X}"
    assert document["header"]["head_dim"] == 4
    assert document["settings"]["class_names"] == ["sit", "walk", "turn"]
    assert document["settings"]["subcarriers"] == {"n_pairs": 12, "index": [0, 2, 4, 6, 8, 10]}
    assert document["settings"]["embedding"] == {"dim": 5}
    assert document["settings"]["provenance"] == "made for a test"
    memory = TemporalModel.from_blob(raw).memory(context=100, dtype="float16")
    chip = TemporalModel.from_blob(raw).memory(context=100, dtype="float16", pointer_bytes=4)
    found = document["memory"]["float16"]
    assert found["state"] == memory.state < document["memory"]["float32"]["state"]
    assert found["multiply_adds"] == memory.multiply_adds
    assert found["ram"] == memory.state + memory.scratch
    assert found["ram_32_bit"] == chip.ram < memory.ram
    first = document["arrays"][0]
    assert (first["name"], first["shape"], first["offset"]) == ("layers.0.attention.wq", [6, 8], 24)
    ends = [array["offset"] + array["bytes"] for array in document["arrays"]]
    assert all(end <= array["offset"] for end, array in zip(ends, document["arrays"][1:], strict=False))
    assert ends[-1] <= len(raw) - 4
    text = call("inspect", path).stdout
    for words in (
        "classes         sit, walk, turn",
        "made for a test",
        "layers.0.attention.wq",
        "multiply-adds a frame",
        document["crc32"],
    ):
        assert words in text
    assert "history 64" in text
    assert "\x1b" not in text


def test_inspect_shows_every_declared_section() -> None:
    absent: dict[str, Any] = {field.name: None for field in fields(ModelSettings) if field.name != "width"}
    assert settings_lines(absent) == ["pooling         newest frame"]
    shown = settings_lines(absent | {"tilt": {"angles": 3, "unit": "rad"}, "note": "free text"})
    assert shown[1:] == ["tilt            angles 3, unit rad", "note            free text"]


def test_inspect_names_the_pyramid(tmp_path: Path) -> None:
    header = WeightBlobHeader("float32", 2, 1, 1, 1, 1, 2)
    pattern = PatternSettings(pattern="pyramid", window=8, block_size=4)
    path = tmp_path / "pyramid.rvne"
    WeightBlob(header, bytes(header.core_bytes()), ModelSettings(pattern=pattern)).save(path)
    shown = call("inspect", path).stdout.splitlines()
    assert "pattern         pyramid: window 8, block 4, history unlimited" in shown
    assert any(line.startswith("A stream with a context of 4 294 967 295 frames") for line in shown)
    document = call_json("inspect", path)
    assert document["settings"]["pattern"]["pattern"] == "pyramid"


def _flip(raw: bytearray) -> None:
    raw[30] ^= 4


def _header(offset: int, form: str, value: int) -> Any:
    """Changes a header field and corrects the CRC."""

    def change(raw: bytearray) -> None:
        struct.pack_into(form, raw, offset, value)
        struct.pack_into("<I", raw, len(raw) - 4, crc32(bytes(raw[:-4])))

    return change


DAMAGE = {
    "shortest length": (lambda raw: raw.__delitem__(slice(20, None)), "at least 28 bytes", "20 bytes"),
    "magic": (lambda raw: raw.__setitem__(slice(0, 4), b"ABCD"), "0x52564E45", "0x44434241"),
    "version": (_header(4, "<H", 2), "1", "2"),
    "length": (lambda raw: raw.append(0), "28 + weights_len", "bytes"),
    "CRC-32": (_flip, "(stored)", "(of the bytes)"),
    "flags, header values, sections, weights": (_header(0x0C, "<H", 3), "all in range", "n_kv_heads"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_inspect_explains_damage(tmp_path: Path, name: str) -> None:
    change, expected, found = DAMAGE[name]
    path = save_model(tmp_path)
    raw = bytearray(path.read_bytes())
    change(raw)
    path.write_bytes(raw)
    document = call_json("inspect", path, code=1)
    assert document["whole"] is False
    failed = [check for check in document["checks"] if check["passed"] is False]
    assert [check["name"] for check in failed] == [name]
    assert expected in failed[0]["expected"]
    assert found in failed[0]["found"]
    order = [check["name"] for check in document["checks"]]
    assert order == list(DAMAGE)
    assert all(check["passed"] is None for check in document["checks"][order.index(name) + 1 :])
    result = call("inspect", path, code=1)
    assert "FAILED" in result.stdout
    assert document["error"]["type"] in result.stderr


def test_every_truncation_is_explained() -> None:
    raw = make_blob().serialize()
    for length in range(0, len(raw), 7):
        checks, error = check_blob(raw[:length])
        assert error is not None
        assert [check.passed for check in checks].count(False) == 1
    checks, error = check_blob(raw)
    assert error is None
    assert all(check.passed for check in checks)


def test_init_gives_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """Pinned: whoever changes the rule changes these numbers, and its description."""
    path = tmp_path / "random.rvne"
    document = call_json("init", path, "--seed", 7)
    raw = path.read_bytes()
    assert document == {"file": str(path), "bytes": 41244, "crc32": "0xA6C66923", "seed": 7}
    assert struct.unpack_from("<3f", raw, 24) == tuple(_rule(7, i, 16) for i in range(3))
    at = 24 + 4 * (2 * 2 * (16 * 128 + 16 * 32))
    assert struct.unpack_from("<f", raw, at)[0] == _rule(7, (at - 24) // 4, 16)  # the classifier's first weight
    half = call_json("init", tmp_path / "half.rvne", "--seed", 7, "--set", "dtype=float16")
    assert (half["bytes"], half["crc32"]) == (20636, "0x095A8871")
    model = TemporalModel.from_blob(path)
    assert model.settings is None
    assert len(model.array_table()) == 9


def _rule(seed: int, index: int, rows: int) -> float:
    """The documented rule, with Python's integers and one weight at a time."""
    import numpy as np

    mask = (1 << 64) - 1
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    k = (z ^ (z >> 31)) >> 40
    return float(np.float32((2 * k + 1 - 2**24) / 2**24) * (np.float32(1) / np.sqrt(np.float32(rows))))


def test_random_blobs_stay_within_their_bounds() -> None:
    header = WeightBlobHeader(
        dtype="float32", input_dim=9, n_q_heads=6, n_kv_heads=2, head_dim=5, n_layers=3, n_classes=2
    )
    blob = random_blob(header, 2**64 - 1)
    assert blob != random_blob(header, 0)
    assert WeightBlob.parse(blob.serialize()) == blob
    for name, array in blob.arrays().items():
        assert abs(array).max() <= 1 / array.shape[0] ** 0.5, name
        assert abs(array).max() > 0.5 / array.shape[0] ** 0.5, name
    for seed in (-1, 2**64):
        with pytest.raises(InvalidArgumentError, match="seed: expected an integer from 0"):
            random_blob(header, seed)


def test_init_rejects(tmp_path: Path) -> None:
    path = tmp_path / "x.rvne"
    assert "kv_heads" in call("init", path, "--set", "n_kv_heads=3", code=2).stderr
    assert not path.exists()
    call("init", path)
    before = path.read_bytes()
    assert "--force" in call("init", path, "--seed", 1, code=2).stderr
    assert path.read_bytes() == before
    call("init", path, "--seed", 1, "--force")
    assert path.read_bytes() != before
    assert "No such file" in call("init", tmp_path / "absent" / "x.rvne", code=2).stderr


def test_recordings_are_described_as_they_will_be_used(tmp_path: Path) -> None:
    path = save_recordings(tmp_path)
    document = call_json("recordings", path)
    assert [entry["name"] for entry in document["recordings"]] == ["a", "b", "c"]
    entry = document["recordings"][2]
    assert (entry["index"], entry["format"], entry["subject"], entry["session"]) == (2, "npz", "4", "1")
    assert (entry["frames"], entry["width"], entry["kind"]) == (60, 6, "features")
    assert (entry["classes"], entry["frame_rate"]) == ({"TURN_A": 30, "OTHER": 30}, 50)
    out = call("recordings", path).stdout
    assert "set.npz:c (npz)" in out
    assert "labels       TURN_A 30, OTHER 30" in out
    assert [entry["name"] for entry in call_json("recordings", path, "b")["recordings"]] == ["b"]
    assert "found 'd'" in call("recordings", path, "d", code=2).stderr
    assert ".npz, .npy" in call("recordings", save_model(tmp_path), code=2).stderr


def test_many_recordings_are_listed_with_a_total(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    frames = np.random.default_rng(3).uniform(1, 40, (50, 6)).astype(np.float32)
    frames[20:30] = frames[20]
    np.savez(path, frames=frames, rec_offset=[0, 10, 20, 30, 40, 50], rec_label=["sit", "sit", "walk", "walk", "run"])
    out = call("recordings", path).stdout
    assert "5 recordings, 50 frames" in out
    assert "labels       sit 20, walk 20, run 10" in out
    assert "recording2: 9 of 10 frames repeat an earlier one exactly, 10 in a row" in out


def test_recordings_that_lose_frames_say_so(tmp_path: Path) -> None:
    """Frames of three sizes: the most frequent one is used."""
    path = tmp_path / "sizes.csv"
    sizes = [128, 128, 114, 128, 256]
    path.write_text("\n".join(classic(i, values_of(i, sizes[i % 5]), us=10_000 * i) for i in range(50)))
    (entry,) = call_json("recordings", path)["recordings"]
    assert (entry["frames"], entry["width"], entry["dropped"]) == (30, 64, {"other_shape": 20})
    assert entry["dropped_share"] == 0.4
    warning = "20 of 50 frames are dropped (40%): 20 other_shape"
    assert warning in entry["warnings"]
    assert warning in call("recordings", path).stdout
    blob = save_model(tmp_path, input_dim=64)
    assert f"note      {warning}" in call("run", blob, path).stdout


def save_frames(path: Path, width: int) -> Path:
    rng = np.random.default_rng(2)
    np.savez(path, amp=rng.uniform(1, 40, (90, width)).astype(np.float32), rate_hz=50.0)
    return path


def test_half_prints_what_is_measured(tmp_path: Path) -> None:
    model, frames = save_model(tmp_path), save_frames(tmp_path / "frames.npz", 6)
    document = call_json("inspect", model, "--float16-error", frames)["float16_error"]
    report = float16_error(WeightBlob.load(model), np.load(frames)["amp"])
    assert document["recording"] == str(frames)
    assert document["together"] == asdict(report.together)
    assert document["arrays"] == [asdict(cost) for cost in report.arrays]
    assert report.together.embeddings is not None
    text = call("inspect", model, "--float16-error", frames).stdout
    assert "Over the 90 frames" in text
    for cost in (*report.arrays, report.together):
        (line,) = [line for line in text.splitlines() if line.split() and line.split()[0] == cost.name and "%" in line]
        assert f"{cost.logits:.1e}" in line
    assert "half" not in call_json("inspect", model)


def test_float16_error_of_an_unsuitable_blob_is_rejected(tmp_path: Path) -> None:
    model, half = save_model(tmp_path), tmp_path / "half.rvne"
    assert (
        "frame width" in call("inspect", model, "--float16-error", save_frames(tmp_path / "wide.npz", 7), code=2).stderr
    )
    WeightBlob.load(model).to_dtype("float16").save(half)
    assert "float16" in call("inspect", half, "--float16-error", save_frames(tmp_path / "frames.npz", 6), code=2).stderr
    assert "nothing.npz" in call("inspect", model, "--float16-error", tmp_path / "nothing.npz", code=2).stderr


def test_what_inspect_shows_stays_short_whatever_a_blob_holds() -> None:
    """A long text without spaces, long names, thousands of layers: each took time that grows with its square."""
    absent: dict[str, Any] = {field.name: None for field in fields(ModelSettings) if field.name != "width"}
    shown = settings_lines(absent | {"provenance": "x" * 5_000_000, "class_names": ["y" * 100_000] * 200})
    assert sum(map(len, shown)) < 150_000
    assert "… and 4 998 000 characters more" in " ".join(" ".join(shown).split())
    assert any(line.endswith(", … and 136 more") for line in shown)


def test_inspect_of_many_layers_lists_the_first_arrays(tmp_path: Path) -> None:
    header = WeightBlobHeader(
        dtype="float32", input_dim=1, n_q_heads=1, n_kv_heads=1, head_dim=1, n_layers=3000, n_classes=2
    )
    path = tmp_path / "deep.rvne"
    random_blob(header, 1).save(path)
    out = call("inspect", path).stdout
    assert len(out.splitlines()) < 300
    assert "… and 11 801 arrays more; --json lists them" in out
    assert len(call_json("inspect", path)["arrays"]) == 4 * 3000 + 1


def test_a_stream_beyond_the_limit_is_rejected_before_it_is_made(tmp_path: Path) -> None:
    """A small blob may state a history of gigabytes."""
    path = save_model(tmp_path, history=100_000_000)
    recording = save_recordings(tmp_path)
    for command, mend in (
        (("run", path, recording, "--all"), "choose a smaller --context, or allow more with --max-memory"),
        (("enroll", path, recording, "-o", tmp_path / "g.npz"), "use a blob that states a shorter history"),
    ):
        error = call(*command, code=2).stderr
        assert error.startswith("aether: memory: expected at most 1 073 741 824 bytes (1024.0 MiB) for a stream with a")
        assert error.endswith(f"; {mend}\n")
    call("run", path, recording, "--all", "--context", "64")
    error = call("listen", "--bind", "127.0.0.1:0", "--model", path, "--duration", 0.1, code=2).stderr
    assert "memory: expected at least" in error
    assert (
        "of memory, for a context of 4 000 000 frames"
        in call("run", path, recording, "--all", "--context", "4000000", "--max-memory", "2G").stdout
    )


def test_scores_beyond_the_limit_are_rejected(tmp_path: Path) -> None:
    error = call("run", save_model(tmp_path), save_recordings(tmp_path), "--all", "--max-memory", "4K", code=2).stderr
    assert "memory: expected at most 4096 bytes" in error or "memory: expected at most 4 096 bytes" in error
