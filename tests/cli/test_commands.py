"""aether parity, demo, bench and train."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from command import call, call_json
from rich.console import Console

from aether_temporal import kernels
from aether_temporal.bundled import bundled_models
from aether_temporal.cli.output import print_table, wrapped
from aether_temporal.host.benchmark import measure
from aether_temporal.host.golden import golden_files
from aether_temporal.recordings import RecordingError, open_recording, save_recording
from aether_temporal.simulation import DEMO_SEED, demo_recording


def test_parity_of_every_variant_on_this_host() -> None:
    document = call_json("parity")
    assert document["passed"] is True
    assert {report["kernels"] for report in document["reports"]} == set(kernels())
    assert len(document["reports"]) == len(kernels()) * len(golden_files())
    assert all(report["checks"] > 0 and report["values"] > 0 for report in document["reports"])
    out = call("parity", "--kernels", "portable").stdout
    assert "all bits equal" in out
    assert "avx" not in out


def test_parity_fails_on_one_wrong_bit(tmp_path: Path) -> None:
    """One bit of one expected value is changed, and the file's CRC corrected."""
    import struct
    import zlib

    name, data = golden_files()[0]
    changed = None
    for at in range(len(data) - 8, 64, -4):
        raw = bytearray(data)
        raw[at] ^= 1
        struct.pack_into("<I", raw, len(raw) - 4, zlib.crc32(raw[:-4]))
        (tmp_path / name).write_bytes(raw)
        try:
            document = call_json("parity", "--golden", tmp_path, "--kernels", "portable", code=1)
        except AssertionError:
            continue
        changed = document
        break
    assert changed is not None
    assert changed["passed"] is False
    (report,) = changed["reports"]
    assert report["failures"][0]["case"]
    result = call("parity", "--golden", tmp_path, "--kernels", "portable", code=1)
    assert "FAILED" in result.stdout
    assert report["failures"][0]["case"] in result.stdout


def test_parity_rejects(tmp_path: Path) -> None:
    assert "no golden files" in call("parity", "--golden", tmp_path, code=2).stderr
    (tmp_path / "x.agv").write_bytes(b"nonsense")
    assert call("parity", "--golden", tmp_path, code=2).stderr.startswith("aether: ")
    assert "expected one of" in call("parity", "--kernels", "mmx", code=2).stderr


def test_parity_rejects_a_wrong_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_KERNELS", "bogus")
    result = call("parity", code=2)
    assert "AETHER_KERNELS: expected one of portable" in result.stderr
    assert result.stdout == ""


def test_demo_recording_is_simulated_and_always_the_same(tmp_path: Path) -> None:
    recording, again = demo_recording(), demo_recording()
    assert recording.format == "simulation"
    assert recording.iq is not None
    assert again.iq is not None
    assert recording.iq.tobytes() == again.iq.tobytes()
    assert demo_recording(DEMO_SEED + 1).iq.tobytes() != recording.iq.tobytes()  # type: ignore[union-attr]
    save_recording(recording, tmp_path / "demo.npz")
    stored = open_recording(tmp_path / "demo.npz")
    assert np.array_equal(stored.iq, recording.iq)  # type: ignore[arg-type]
    assert np.array_equal(stored.labels, recording.labels)  # type: ignore[arg-type]
    assert stored.label_names == recording.label_names
    assert stored.frame_rate == pytest.approx(recording.frame_rate, rel=1e-4)  # by its timestamps
    with pytest.raises(RecordingError, match="No such file"):
        open_recording(tmp_path / "absent" / "demo.npz")


def test_demo(tmp_path: Path) -> None:
    """What a newcomer sees first: it says that it is simulated, and everything is correct."""
    assert "demo" in bundled_models()
    document = call_json("demo", "--save", tmp_path / "demo.npz")
    assert document["simulated"] is True
    assert document["parity"]["passed"] is True
    summary = document["recording"]
    assert summary["frames"] == 1200
    chance = 1 / 5
    assert summary["accuracy"]["fraction"] > 3 * chance
    again = call_json("run", "demo", tmp_path / "demo.npz")["recordings"][0]
    assert again["predictions"] == summary["predictions"]
    before = (tmp_path / "demo.npz").read_bytes()
    assert "found an existing one" in call("demo", "--seed", 1, "--save", tmp_path / "demo.npz", code=2).stderr
    assert (tmp_path / "demo.npz").read_bytes() == before
    call("demo", "--seed", 1, "--save", tmp_path / "other.npz", "--json")
    assert (tmp_path / "other.npz").read_bytes() != before
    out = call("demo").stdout
    assert "compared with the label 50 frames (1 s) before" in out
    assert "SIMULATED" in out.splitlines()[0]
    assert "all bits equal" in out
    assert "FAILED" not in out


def test_bench_has_everything_side_by_side() -> None:
    document = call_json("bench", "--rounds", 2, "--forward", 32, "--step", 100, "--step", 1000)
    groups = {group["name"]: group["results"] for group in document["groups"]}
    caches, streams = "step of 64 caches after 256 tokens", "a frame of 2000 streams (activity)"
    steps = ["step, pyramid", "step, reference", caches, streams]
    assert list(groups) == ["forward, 32 tokens", *steps, "CRC-32 of 1 MiB"]
    names = [result["name"] for result in groups["forward, 32 tokens"]]
    other = "numpy dense" if document["torch"] is None else "torch scaled_dot_product_attention"
    assert names == ["pyramid", "reference", "dense", other]
    assert [result["name"] for result in groups["CRC-32 of 1 MiB"]] == ["crc32", "zlib.crc32"]
    for results in groups.values():
        assert results[0]["ratio"] == 1
        for result in results:
            assert result["median_us"] >= result["best_us"] > 0
            assert result["ratio"] == pytest.approx(result["median_us"] / results[0]["median_us"])
    out = call("bench", "--rounds", 1, "--forward", 32, "--step", 100).stdout
    assert "zlib.crc32" in out
    assert other in out


def test_bench_without_torch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    document = call_json("bench", "--rounds", 1, "--forward", 64, "--step", 10)
    assert document["torch"] is None
    assert document["groups"][0]["results"][3]["name"] == "numpy dense"


def test_the_reference_that_bench_compares_with_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison with something that computes something else would be worth nothing."""
    from aether_temporal import AetherTemporalHead, TemporalHeadConfig
    from aether_temporal.host.benchmark import _dense, _inputs, _reference_dense, _torch

    config = TemporalHeadConfig.default_aether()
    q, k, v = _inputs(config, 40)
    ours = AetherTemporalHead(_dense(config)).forward(q, k, v)
    for torch in {None, _torch()}:
        name, compute = _reference_dense(config, q, k, v, torch)
        theirs = np.asarray(compute()).reshape(config.q_heads, 40, config.head_dim).transpose(1, 0, 2)
        np.testing.assert_allclose(ours, theirs, atol=2e-6, err_msg=name)


def test_candidates_take_turns() -> None:
    order: list[str] = []

    def candidate(name: str) -> object:
        import time

        order.append(name)
        time.sleep(0.003)
        return None

    timings = measure({name: lambda name=name: candidate(name) for name in "ab"}, rounds=3)  # type: ignore[misc]
    assert order == list("aabb") + list("ab") * 3
    assert all(timing.median >= timing.best >= 0.003 for timing in timings.values())


@pytest.mark.parametrize("missing", ["torch", "scipy"])
def test_training_without_a_library_says_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.setitem(sys.modules, missing, None)
    for recipe in ("demo", "activity"):
        data = () if recipe == "demo" else ("--data", tmp_path)
        error = call("train", recipe, *data, "--out", tmp_path / "x.rvne", code=2).stderr
        assert f"{missing}: expected it for training, found none; pip install torch scipy" in error
    error = call("gate", "--data", tmp_path, "--out", tmp_path / "gate", code=2).stderr
    assert f"{missing}: expected it for training, found none; pip install torch scipy" in error


def test_training_the_demo_for_a_moment(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    out = tmp_path / "demo.rvne"
    (tmp_path / "few.toml").write_text("recordings = 3\ncalibration_recordings = 1\ntest_recordings = 1\n")
    arguments = ("--steps", 2, "--config", tmp_path / "few.toml")
    text = call("train", "demo", "--out", out, *arguments).stdout
    assert "unseen simulated recordings:" in text
    assert call_json("inspect", out)["settings"]["class_names"] == ["empty", "still", "walking", "waving", "falling"]


def test_recordings_that_cannot_be_trained_on_are_rejected(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    np.savez(tmp_path / "x.npz", amp=np.ones((9, 4), np.float32))
    error = call("train", "activity", "--data", tmp_path / "x.npz", "--out", tmp_path / "x.rvne", code=2).stderr
    assert "x.npz:x: labels: expected some to train by, found none" in error
    labels = np.zeros(9, np.int8)
    np.savez(tmp_path / "x.npz", amp=np.ones((9, 4), np.float32), labels=labels, label_names=["A"], rec_session=["0"])
    error = call("train", "activity", "--data", tmp_path / "x.npz", "--out", tmp_path / "x.rvne", code=2).stderr
    assert "x.npz: labels: expected at least two classes, found A" in error
    two = {"labels": np.arange(9, dtype=np.int8) % 2, "label_names": ["A", "B"]}
    np.savez(tmp_path / "x.npz", amp=np.ones((9, 4), np.float32), rec_session=["0"], **two)
    error = call("train", "activity", "--data", tmp_path / "x.npz", "--out", tmp_path / "x.rvne", code=2).stderr
    assert "x.npz:session0: frames: expected enough of each class to hold 50 or more out" in error
    assert not (tmp_path / "x.rvne").exists()


LONG = "a reason with words and numbers 0.055; 0.503 -> 0.171, and --out slot.bin"


@pytest.mark.parametrize("width", [20, 60, 80])
def test_lines_are_cut_between_words_only(width: int) -> None:
    lines = wrapped(f"  {LONG}", width).split("\n")
    assert max(map(len, lines)) <= width
    assert " ".join(lines).split() == LONG.split()
    assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("width", [200, 60, 40, 30])
def test_a_table_leaves_columns_out_and_cuts_no_number(width: int) -> None:
    out = Console(file=io.StringIO(), width=width)
    columns = ((">node", 0), ("address", 0), (">features", 2), (">classifications", 3), ("none", 1), (">lost", 1))
    rows = [["7", "fe80::1234:5678:9abc:def0", "123 456", "1 234", "", "99"]]
    print_table(out, columns, rows)
    head, row, *more = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(len(head), len(row)) <= width
    for name, cell in (("node", "7"), ("features", "123 456"), ("classifications", "1 234"), ("lost", "99")):
        assert (name in head) == (cell in row) == (name not in " ".join(more))
    assert ("classifications" in head) == (width == 200)
    assert ("fe80::1234:5678:9abc:def0" in row) == (width > 30)
    assert "address" in head
