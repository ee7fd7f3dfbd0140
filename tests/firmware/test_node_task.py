"""The temporal task on this computer: slots, packets, and what goes wrong. Slot images are written from
docs/spec/slots.md with nothing of the firmware."""

from __future__ import annotations

import re
import socket
import struct
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import blob_bytes
import crcmod.predefined
import numpy as np
import pytest
from building import SANITIZERS, component_program, run

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.bundled import model_path
from aether_temporal.cache_types import Dtype
from aether_temporal.device.node_limits import OWN, node_needs
from aether_temporal.device.slots import pack_slot
from aether_temporal.errors import ResultOverflowError
from aether_temporal.recordings import Recording
from aether_temporal.running.motion_threshold import SETTLING, odds, quiet_threshold
from aether_temporal.subcarriers import layout_of

HEADER = struct.Struct("<IHHIIIIIIII20x")
COMMIT, CONFIRM, RAN = 0x54494D43, 0x464E4F43, 0x214E4152
SECTOR = 4096


def _mix(h: int) -> int:
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def check(blob: bytes, frames: int, seed: int, dtype: str) -> int:
    """The check value that a chip must reproduce, computed by the package."""
    model = TemporalModel.from_blob(blob)
    stream = model.stream(context=256, dtype=dtype)  # type: ignore[arg-type]
    crc = 0
    for t in range(frames):
        indices = range(t * model.input_dim, (t + 1) * model.input_dim)
        words = [_mix((seed + i * 0x9E3779B9) & 0xFFFFFFFF) >> 8 for i in indices]
        frame = np.array(words, dtype=np.float32) * np.float32(2.0**-18)
        try:
            logits = stream.push(frame)
        except ResultOverflowError:
            crc = zlib.crc32(struct.pack("<I", 5), crc)
            continue
        crc = zlib.crc32(struct.pack("<I", 0) + logits.astype("<f4").tobytes(), crc)
        if stream.embedding is not None:
            crc = zlib.crc32(stream.embedding.astype("<f4").tobytes(), crc)
    return crc


@dataclass(frozen=True)
class Image:
    """A slot image; None stands for the correct value."""

    blob: bytes
    sequence: int = 0
    frames: int = 8
    seed: int = 1
    magic: int = 0x544C5341
    version: int = 1
    header_bytes: int = 64
    blob_offset: int = 256
    blob_length: int | None = None
    blob_crc: int | None = None
    check_binary32: int | None = None
    check_binary16: int | None = None
    header_crc: int | None = None
    commit: int = COMMIT
    trials: int = 0
    confirm: int = 0xFFFFFFFF
    ran: int = 0xFFFFFFFF

    def header(self) -> bytes:
        """The 64 bytes."""
        checks = [
            value if value is not None else check(self.blob, self.frames, self.seed, dtype)
            for value, dtype in ((self.check_binary32, "float32"), (self.check_binary16, "float16"))
        ]
        body = HEADER.pack(
            self.magic,
            self.version,
            self.header_bytes,
            self.sequence,
            self.blob_offset,
            len(self.blob) if self.blob_length is None else self.blob_length,
            zlib.crc32(self.blob[:-4]) if self.blob_crc is None else self.blob_crc,
            self.frames,
            self.seed,
            *checks,
        )
        return body + struct.pack("<I", zlib.crc32(body) if self.header_crc is None else self.header_crc)

    def encode(self) -> bytes:
        """The image, up to a whole sector."""
        out = bytearray(b"\xff" * -(-(self.blob_offset + len(self.blob)) // SECTOR) * SECTOR)
        out[:64] = self.header()
        out[0x40:0x44] = struct.pack("<I", self.commit)
        for i in range(self.trials):
            out[0x50 + 16 * i : 0x54 + 16 * i] = bytes(4)
        out[0x80:0x84] = struct.pack("<I", self.confirm)
        out[0x90:0x94] = struct.pack("<I", self.ran)
        out[self.blob_offset : self.blob_offset + len(self.blob)] = self.blob
        return bytes(out)


crc32 = crcmod.predefined.mkPredefinedCrcFun("crc-32")

PLAIN = blob_bytes.plain()
EVERY = blob_bytes.extended().encode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return component_program(tmp_path_factory.mktemp("task"), "task")


class Slots:
    """Files for the two slots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *images: Image | bytes | None) -> list[str | Path]:
        paths: list[str | Path] = []
        for name, image in zip("ab", (*images, None, None), strict=False):
            if image is None:
                paths.append("-")
                continue
            path = self.folder / f"slot_{name}"
            path.write_bytes(image if isinstance(image, bytes) else image.encode())
            paths.append(path)
        return paths


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path)


@pytest.mark.slow
def test_packed_images_are_used(program: Path, slots: Slots) -> None:
    """What `aether device pack` writes; and that is what the specification, read independently, gives."""
    for name in ("demo", "activity"):
        blob = Path(model_path(name)).read_bytes()
        packed = pack_slot(blob, sequence=7)
        out = run(program, "start", *slots(None, packed))
        assert "start ESP_OK" in out
        assert "slot aether_b: in use: sequence 7" in out
        assert "slot aether_a: empty" in out
    header = struct.unpack_from("<II", packed, 0x18)
    assert packed == Image(blob, sequence=7, frames=header[0], seed=header[1]).encode()


@pytest.mark.slow
def test_newest_is_used(program: Path, slots: Slots) -> None:
    out = run(program, "start", *slots(Image(PLAIN, 4), Image(EVERY, 5)))
    assert "slot aether_b: in use: sequence 5" in out
    assert "slot aether_a: not tried" in out


DAMAGED = PLAIN[:40] + bytes([PLAIN[40] ^ 1]) + PLAIN[41:]
WRONG = [
    ("damaged", Image(DAMAGED, 9, blob_crc=0), "INVALID_CRC", "the blob is damaged"),
    ("other bits", Image(PLAIN, 9, check_binary16=0x12345678), "INVALID_STATE", "expected 12345678, found"),
    ("a cut blob", Image(PLAIN[:-4] + bytes(4), 9), "INVALID_CRC", "CRC"),
    ("a version to come", Image(blob_bytes.with_header(PLAIN, version=2), 9, check_binary32=0, check_binary16=0),
     "INVALID_VERSION", "version"),
    ("no blob", Image(bytes(92), 9, check_binary32=0, check_binary16=0), "INVALID_ARG", "magic"),
    ("an uncommitted update", Image(PLAIN, 9, commit=0xFFFFFFFF), "NOT_FOUND", "update was interrupted"),
    ("no trials left", Image(PLAIN, 9, trials=3), "INVALID_STATE", "three trials"),
    ("slot version", Image(PLAIN, 9, version=2), "INVALID_VERSION", "unknown version"),
    ("header CRC", Image(PLAIN, 9, header_crc=1), "INVALID_CRC", "header is damaged"),
    ("beyond the slot", Image(PLAIN, 9, blob_length=0x20000), "INVALID_SIZE", "does not fit"),
    ("field", Image(PLAIN, 9, blob_offset=264), "INVALID_SIZE", "out of range"),
    ("garbage", b"garbage" * 600, "INVALID_ARG", "not a slot image"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("image", "code", "why"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_node_keeps_running_with_a_wrong_blob(
    program: Path, slots: Slots, image: Image | bytes, code: str, why: str
) -> None:
    """Alone: no head, and the log says why. Beside a good one: that is used."""
    if isinstance(image, Image) and image.blob[:4] == PLAIN[:4] and image.blob != PLAIN:
        image = replace(image, check_binary32=0, check_binary16=0)
    out = run(program, "start", *slots(image))
    assert f"start ESP_ERR_{code}" in out
    assert re.search(rf"E ruv_blob: slot aether_a: .*{re.escape(why)}", out), out
    assert f"no head: ESP_ERR_{code}" in out
    out = run(program, "start", *slots(image, Image(EVERY, 1)))
    assert "start ESP_OK" in out
    assert "slot aether_b: in use: sequence 1" in out
    assert why in out


@pytest.mark.slow
def test_no_blob_at_all(program: Path, slots: Slots) -> None:
    assert "start ESP_ERR_NOT_FOUND" in run(program, "start", *slots())
    out = run(program, "start", slots(Image(PLAIN, 1))[0], "-none")
    assert "start ESP_OK" in out
    assert "slot aether_b: no such partition" in out


@pytest.mark.slow
def test_rejects_invalid_settings(program: Path, slots: Slots) -> None:
    assert "ok rejections" in run(program, "rejections", *slots(Image(PLAIN, 1)))


@pytest.mark.slow
def test_more_classes_than_a_packet_can_name(program: Path, slots: Slots) -> None:
    header = {"input_dim": 1, "n_q_heads": 1, "n_kv_heads": 1, "head_dim": 1, "n_layers": 1, "n_classes": 257}
    blob = blob_bytes.blob_of(header, bytes(4 * (4 + 257)))
    out = run(program, "start", *slots(Image(blob)))
    assert "start ESP_ERR_INVALID_SIZE" in out
    assert "n_classes: expected at most 256, as many as a packet can name, found 257" in out
    for _ in range(4):  # and beside a good one, that is used
        out = run(program, "start", *slots(Image(PLAIN, 1, confirm=CONFIRM), Image(blob, 2)))
        assert "slot aether_a: in use: sequence 1" in out


@pytest.mark.slow
def test_every_allocation_and_every_call_of_the_flash_fails(program: Path, slots: Slots) -> None:
    """In turn, from the first start to the last flag: the node has a model at this start or the next one, and in the
    end the new one."""
    half = blob_bytes.plain(binary16=True)
    out = run(program, "faults", *slots(Image(PLAIN, 1, confirm=CONFIRM), Image(half, 2)))
    assert "ok faults" in out
    assert re.search(r"allocations \d+, calls of the flash \d+", out)


@pytest.mark.slow
def test_a_model_that_does_not_fit_leaves_the_old_one_in_use(program: Path, slots: Slots) -> None:
    """At every start, however often; and it is never confirmed."""
    demo = Path(model_path("demo")).read_bytes()
    out = run(program, "heap", *slots(Image(PLAIN, 1, confirm=CONFIRM), Image(demo, 2)), 24_000)
    assert "ok heap" in out
    assert out.count("slot aether_b: not enough memory for the model") == 6
    assert out.count("slot aether_a: in use: sequence 1") == 6


@pytest.mark.slow
def test_starts_without_frames_do_not_use_up_the_trials(program: Path, slots: Slots) -> None:
    out = run(program, "no-frames", *slots(Image(PLAIN, 1)), 10)
    assert out.count("bytes, on trial") == 11
    assert out.count("the new model is confirmed") == 1


@pytest.mark.slow
def test_a_model_without_predictions_is_used_when_there_is_no_other(program: Path, slots: Slots) -> None:
    spent = Image(EVERY, 2, trials=3, ran=RAN)
    assert "slot aether_a: in use: sequence 2" in run(program, "start", *slots(spent))
    out = run(program, "start", *slots(spent, Image(PLAIN, 1, confirm=CONFIRM)))
    assert "slot aether_a: not confirmed after three trials" in out
    assert "slot aether_b: in use: sequence 1" in out


@pytest.mark.slow
def test_memory_of_a_start(tmp_path: Path, program: Path) -> None:
    """To the byte, stack and queue included: one byte less does not suffice."""
    path = tmp_path / "model.rvne"
    path.write_bytes(Path(model_path("demo")).read_bytes())
    out = run(program, "memory", path)
    assert "ok memory" in out
    found = re.search(r"^memory (\d+)$", out, re.MULTILINE)
    assert found is not None
    predicted = node_needs(TemporalModel.from_blob("demo"), pointer_bytes=8).memory
    assert predicted - OWN < int(found[1]) <= predicted


@pytest.mark.slow
def test_a_thousand_starts(program: Path, slots: Slots) -> None:
    """While frames come from another task; nothing is left behind, and the sanitizers agree."""
    out = run(program, "cycle", *slots(Image(PLAIN, 1)), 1000)
    assert "ok cycle" in out
    assert out.count("in use") == 1001
    assert out.count("every bit is the same") == 1  # the self-test runs once


@pytest.mark.slow
def test_flood_never_blocks(program: Path, slots: Slots, plain_blob: WeightBlob) -> None:
    out = run(program, "flood", *slots(Image(plain_blob.serialize(), 1)))
    assert re.search(r"queued \d+ dropped [1-9]\d*", out)


@pytest.mark.slow
def test_no_data_races(tmp_path: Path, slots: Slots) -> None:
    """Sender, task and reader of the figures under the sanitizer of threads."""
    program = component_program(tmp_path, "races", sanitizers=("-fsanitize=thread",))
    paths = slots(Image(PLAIN, 1))
    assert "ok flood" in run(program, "flood", *paths)
    assert "ok cycle" in run(program, "cycle", *paths, 50)
    assert "ok csi" in run(program, "csi", *slots(Image(EVERY, 1)), 5)


@pytest.mark.slow
def test_csi_and_wrapping_timestamps(program: Path, slots: Slots) -> None:
    assert "ok csi" in run(program, "csi", *slots(Image(EVERY, 1)), 5)


def state_packet(folder: Path) -> Path:
    packet = struct.pack("<IBBHQ9fHH", 0xC5110006, 1, 0, 5, 123456, *range(9), 0, 0)
    (folder / "packet").write_bytes(packet + struct.pack("<I", crc32(packet)))
    return folder / "packet"


@pytest.mark.slow
def test_feature_state(tmp_path: Path, program: Path, slots: Slots) -> None:
    header = {"input_dim": 9, "n_q_heads": 1, "n_kv_heads": 1, "head_dim": 2, "n_layers": 1, "n_classes": 2}
    weights = np.linspace(-1, 1, 9 * 2 * 4 + 9 * 2, dtype="<f4")
    blob = blob_bytes.blob_of(header, weights.tobytes())
    assert "ok state" in run(program, "state", *slots(Image(blob)), state_packet(tmp_path))


@pytest.mark.slow
def test_wrong_shapes_are_counted(tmp_path: Path, program: Path, slots: Slots) -> None:
    assert "ok other-shape" in run(program, "other-shape", *slots(Image(PLAIN)), state_packet(tmp_path))


@pytest.mark.slow
def test_update_over_any_channel(tmp_path: Path, program: Path, slots: Slots) -> None:
    image = tmp_path / "new.bin"
    image.write_bytes(pack_slot(Path(model_path("activity")).read_bytes(), sequence=900))
    out = run(program, "update", *slots(Image(PLAIN, 30)), image)
    assert "ok update" in out
    assert "slot aether_b is pending" in out
    assert "slot aether_b: in use: sequence 31" in out


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", [tuple(SANITIZERS), ("-fsanitize=thread",)], ids=["memory", "threads"])
def test_updates_while_the_task_starts_and_stops(tmp_path: Path, slots: Slots, sanitizers: tuple[str, ...]) -> None:
    """From another task. A slot that a start opens is never erased under it."""
    program = component_program(tmp_path, "update-cycle", sanitizers=sanitizers)
    image = tmp_path / "new.bin"
    image.write_bytes(pack_slot(EVERY))
    out = run(program, "update-cycle", *slots(Image(PLAIN, 30), Image(EVERY, 29)), 60, image)
    assert "ok update-cycle" in out
    assert "is damaged" not in out


def calibration_frames(depth: int, count: int = 1100) -> Recording:
    """As node_component_check.c and motion_app.c make them."""
    t, i = np.mgrid[:count, :128].astype(np.int64)
    state, noise = 1, []
    for _ in range(count * 128):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise.append((state >> 24) % 5)
    iq = 20 + i * 7 % 23 + t * (1 + i // 2 % 7) // 3 % depth + np.array(noise).reshape(count, 128)
    times = np.arange(count) * 10000 + np.arange(count) * 7919 % 3000
    layout = layout_of("esp32", 64, sig_mode=0, bandwidth=0, stbc=0, secondary=0)
    pairs = iq.astype(np.int8).reshape(count, 64, 2)
    return Recording("made", "made", "npz", iq=pairs, timestamps=times / 1e6, subcarriers=layout)


def calibration_threshold(depth: int, dtype: Dtype) -> int:
    """Bits, as `aether calibrate` finds them in what a node measures: ten seconds, the first two left out."""
    model = TemporalModel.from_blob(model_path("motion"))
    found, _ = odds(model, calibration_frames(depth), SETTLING, dtype)
    return int(np.float32(quiet_threshold(found[:400])).view(np.uint32))


@pytest.mark.slow
def test_a_node_calibrates_itself(program: Path, slots: Slots) -> None:
    """Its threshold is the computer's, survives a restart, and stays when a measurement fails."""
    out = run(program, "calibration", *slots(Image(Path(model_path("motion")).read_bytes())))
    assert "ok calibration" in out
    said = dict(line.rsplit(" ", 1) for line in out.splitlines() if re.fullmatch(r"[a-z ]+ [0-9a-f]{8}", line))
    quiet = calibration_threshold(3, "float16")
    assert {int(said[what], 16) for what in ("quiet", "restarted", "moving", "short", "unchanged", "quiet again")} == {
        quiet
    }
    assert int(said["lowest"], 16) == calibration_threshold(1, "float16") == np.float32(-2).view(np.uint32)
    assert re.search(
        r"I temporal_task: quiet room: threshold -1\.79\d\d after 400 predictions, of which 0 were false alarms", out
    )
    assert "motion: expected a quiet room, found motion in 2" in out
    assert re.search(
        r"frames: expected 400 predictions within 60 s, found \d+; calibrate again while packets come", out
    )
    assert out.count("the room's threshold is not stored") == 4


@pytest.mark.slow
def test_a_calibration_belongs_to_one_model(tmp_path: Path, program: Path) -> None:
    motion = WeightBlob.load(model_path("motion"))
    assert motion.settings is not None
    other = motion.with_settings(motion.settings.replace(provenance="another")).serialize()
    paths = []
    for name, blob in {"a": motion.serialize(), "b": other, "c": PLAIN}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(Image(blob).encode())
    assert "ok other-calibration" in run(program, "other-calibration", *paths)


class Receiver:
    """Datagrams to a port of this computer, as they come."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port: int = self.socket.getsockname()[1]
        self.packets: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._receive)

    def _receive(self) -> None:
        while True:
            try:
                self.packets.append(self.socket.recv(2048))
            except TimeoutError:
                if self._ended.is_set():
                    return

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self.socket.close()


@pytest.mark.slow
def test_packets_hold_what_the_package_computes(program: Path, slots: Slots, plain_blob: WeightBlob) -> None:
    """Bad frames and jumping clocks included; every packet holds what the package computes."""
    blob = plain_blob.serialize()
    model = TemporalModel.from_blob(blob)
    with Receiver() as receiver:
        out = run(program, "send", *slots(Image(blob)), receiver.port)
    assert "ok send" in out
    assert "sent 5\n" in out
    assert len(receiver.packets) == 5
    assert re.search(r"worst frame \d+ us, stack never used \d+ of 16384 bytes", out)

    t, f = np.meshgrid(np.arange(44), np.arange(model.input_dim), indexing="ij")
    frames = ((t * 37 + f * 11) % 64).astype(np.float32) / np.float32(4)
    logits = model.forward(frames, context=256, dtype="float16")
    predictions = []
    for row in logits:
        second, top = np.sort(row)[-2:]
        predictions.append((int(row.argmax()), top, np.float32(top - second)))
    for sequence, packet in enumerate(receiver.packets):
        assert len(packet) == 40
        assert struct.unpack_from("<I", packet, 36)[0] == crc32(packet[:36])
        magic, version, classes, node, time, seq, argmax, top, margin = struct.unpack("<IHHB3xQIB3xff4x", packet)
        assert (magic, version, classes, node, seq) == (0xC5110007, 1, model.n_classes, 1, sequence)
        assert time > 0
        assert packet[9:12] == packet[25:28] == bytes(3)
        assert (argmax, top, margin) in predictions
    assert struct.unpack_from("<B3xff", receiver.packets[-1], 0x18) == predictions[-1]
