"""Blob slots in flash (docs/spec/slots.md): pack an image, read and choose slots."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal._core import crc32
from aether_temporal.errors import BlobError, SlotError, TemporalError
from aether_temporal.model import Dtype, TemporalModel

__all__ = [
    "BLOB_OFFSET",
    "LABELS",
    "SECTOR",
    "Slot",
    "SlotHeader",
    "check_frames",
    "check_value",
    "choose_target",
    "first_choice",
    "next_sequence",
    "pack_slot",
    "read_slot",
    "slot_bytes_needed",
    "without_commit",
]

LABELS = ("aether_a", "aether_b")
SECTOR = 4096
BLOB_OFFSET = 256
CHECK_FRAMES = 8
CHECK_SEED = 0x41455448
PREFIX = 0x94  # header and flags

_MAGIC = 0x544C5341
_VERSION = 1
_HEADER = struct.Struct("<IHHIIIIIIII20sI")
_ERASED = 0xFFFFFFFF
_COMMIT_AT, _COMMITTED = 0x40, 0x54494D43
_TRIALS_AT = (0x50, 0x60, 0x70)
_CONFIRM_AT, _CONFIRMED = 0x80, 0x464E4F43
_RAN_AT, _RAN = 0x90, 0x214E4152


@dataclass(frozen=True)
class SlotHeader:
    """The header of a slot's image."""

    sequence: int
    blob_offset: int
    blob_length: int
    blob_crc: int
    check_frames: int
    check_seed: int
    check_binary32: int
    check_binary16: int

    def encode(self) -> bytes:
        words = (self.sequence, self.blob_offset, self.blob_length, self.blob_crc)
        check = (self.check_frames, self.check_seed, self.check_binary32, self.check_binary16)
        body = _HEADER.pack(_MAGIC, _VERSION, _HEADER.size, *words, *check, bytes(20), 0)[:-4]
        return body + crc32(body).to_bytes(4, "little")

    @classmethod
    def decode(cls, data: bytes, slot_bytes: int) -> SlotHeader:
        """Decodes the first bytes of a slot of `slot_bytes` bytes. SlotError."""
        if len(data) < _HEADER.size:
            raise SlotError.of("slot", f"at least {_HEADER.size} bytes", len(data))
        magic, version, size, *words, reserved, crc = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            found = "erased flash" if data[: _HEADER.size].strip(b"\xff") == b"" else f"0x{magic:08X}"
            raise SlotError.of("slot magic", f"0x{_MAGIC:08X}", found, 0)
        if version != _VERSION:
            raise SlotError.of("slot version", str(_VERSION), version, 4)
        found_crc = crc32(data[: _HEADER.size - 4])
        if crc != found_crc:
            raise SlotError.of("slot header CRC", f"0x{found_crc:08X}, that of the bytes before", f"0x{crc:08X}", 0x3C)
        if size != _HEADER.size or reserved != bytes(20):
            raise SlotError.of("slot header", f"{_HEADER.size} bytes, reserved ones 0", f"{size}, {reserved.hex()}", 6)
        header = cls(*words)
        header._check(slot_bytes)
        return header

    def _check(self, slot_bytes: int) -> None:
        if self.blob_offset % 16 or self.blob_offset < BLOB_OFFSET:
            raise SlotError.of("blob_offset", f"a multiple of 16 from {BLOB_OFFSET} on", self.blob_offset, 0x0C)
        if self.blob_length < 28 or self.blob_offset + self.blob_length > slot_bytes:
            allowed = f"28 to {max(slot_bytes - self.blob_offset, 28)} bytes in a slot of {slot_bytes}"
            raise SlotError.of("blob_length", allowed, self.blob_length, 0x10)
        if not 1 <= self.check_frames <= 64:
            raise SlotError.of("check_frames", "1 to 64", self.check_frames, 0x18)


@dataclass(frozen=True)
class Slot:
    """What a slot holds. `problem` says why the node would not use it; empty: it counts, its blob is whole, and the
    model computes here what the header states. `header` is None when it cannot be read. `last_resort`: its trials are
    used up, but the node has run it, and uses it where there is no other."""

    label: str
    header: SlotHeader | None
    committed: bool = False
    trials: int = 0  # begun
    confirmed: bool = False
    ran: bool = False  # a task of the node has run the model
    problem: str = ""
    last_resort: bool = False
    blob: bytes = b""

    @property
    def valid(self) -> bool:
        return not self.problem

    @property
    def standing(self) -> int:
        """How a start regards it: 3 confirmed, 2 pending, 1 last resort, 0 unusable."""
        return 2 + self.confirmed if self.valid else int(self.last_resort)


def slot_bytes_needed(blob_length: int) -> int:
    """Bytes of flash for a blob: whole sectors."""
    return -(-(BLOB_OFFSET + blob_length) // SECTOR) * SECTOR


def pack_slot(blob: bytes, sequence: int = 0, size: int | None = None) -> bytes:
    """The image of a slot: header, flags, blob, then 0xFF up to whole sectors.

    The blob is opened as a model, which computes the check values. size: bytes of the partition. BlobError;
    SlotError: `size` is too small. Whether a node can run the model, `check_node` says.
    """
    model = TemporalModel.from_blob(blob)
    if not 0 <= sequence <= 0xFFFFFFFF:
        raise SlotError.of("sequence", "0 to 4294967295", sequence)
    needed = slot_bytes_needed(len(blob))
    if size is not None and (size < needed or size % SECTOR):
        raise SlotError.of("size", f"a multiple of {SECTOR} bytes, at least {needed} for this blob", size)
    header = SlotHeader(
        sequence=sequence,
        blob_offset=BLOB_OFFSET,
        blob_length=len(blob),
        blob_crc=crc32(blob[:-4]),
        check_frames=CHECK_FRAMES,
        check_seed=CHECK_SEED,
        check_binary32=check_value(model, CHECK_FRAMES, CHECK_SEED, "float32"),
        check_binary16=check_value(model, CHECK_FRAMES, CHECK_SEED, "float16"),
    )
    image = bytearray(b"\xff" * needed)
    image[: _HEADER.size] = header.encode()
    image[_COMMIT_AT : _COMMIT_AT + 4] = _COMMITTED.to_bytes(4, "little")
    image[BLOB_OFFSET : BLOB_OFFSET + len(blob)] = blob
    return bytes(image)


def without_commit(image: bytes) -> bytes:
    """The image with the commit flag erased: no node uses it."""
    return image[:_COMMIT_AT] + b"\xff" * 4 + image[_COMMIT_AT + 4 :]


def _flag(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def read_slot(label: str, data: bytes, slot_bytes: int | None = None) -> Slot:
    """Reads a slot from its bytes. `data` may end after the blob; `slot_bytes` is then the size of the partition."""
    try:
        header = SlotHeader.decode(data, slot_bytes or len(data))
    except SlotError as error:
        return Slot(label, None, problem=str(error))
    blob = bytes(data[header.blob_offset : header.blob_offset + header.blob_length])
    slot = Slot(
        label,
        header,
        committed=_flag(data, _COMMIT_AT) == _COMMITTED,
        trials=sum(_flag(data, at) != _ERASED for at in _TRIALS_AT),
        confirmed=_flag(data, _CONFIRM_AT) == _CONFIRMED,
        ran=_flag(data, _RAN_AT) == _RAN,
        blob=blob,
    )
    problem = _damage(slot, header, blob)
    if not problem and not slot.confirmed and slot.trials == len(_TRIALS_AT):
        problem = f"not confirmed after {slot.trials} trials; write it again"
        return replace(slot, problem=problem, last_resort=slot.ran)
    return replace(slot, problem=problem)


def _damage(slot: Slot, header: SlotHeader, blob: bytes) -> str:
    if not slot.committed:
        return "the update was interrupted; write it again"
    if (found := crc32(blob[:-4])) != header.blob_crc:
        return f"the blob is damaged: expected CRC 0x{header.blob_crc:08X}, found 0x{found:08X}"
    try:
        model = TemporalModel.from_blob(blob)
    except BlobError as error:
        return f"the blob is rejected: {error}"
    checks: list[tuple[Dtype, int]] = [("float32", header.check_binary32), ("float16", header.check_binary16)]
    for dtype, expected in checks:
        found = check_value(model, header.check_frames, header.check_seed, dtype)
        if found != expected:
            return f"the model computes other bits with a {dtype} cache: expected 0x{expected:08X}, found 0x{found:08X}"
    return ""


def _newer(a: int, b: int) -> bool:
    return 0 < (a - b) % (1 << 32) < 1 << 31


def first_choice(slots: Sequence[Slot]) -> int | None:
    """The index of the slot that a node tries first, among those it can use; None: neither."""
    first, second = slots
    if first.valid != second.valid:
        return 0 if first.valid else 1
    if not first.valid and first.last_resort != second.last_resort:
        return 0 if first.last_resort else 1
    if first.standing == 0 or first.header is None or second.header is None:
        return None
    return 1 if _newer(second.header.sequence, first.header.sequence) else 0


def choose_target(slots: Sequence[Slot]) -> int:
    """The index of the slot that an update goes to: never the one that a node would revert to.

    An unusable slot comes first, then a last resort, then a pending one, then the older one.
    """
    first, second = slots
    if first.standing != second.standing:
        return 0 if first.standing < second.standing else 1
    if first.standing == 0 or first.header is None or second.header is None:
        return 0
    return 1 if _newer(first.header.sequence, second.header.sequence) else 0


def next_sequence(other: Slot) -> int:
    """The sequence number of an update; `other` is the slot that is kept."""
    return 0 if other.header is None else (other.header.sequence + 1) % (1 << 32)


def _mix(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def check_frames(count: int, input_dim: int, seed: int) -> NDArray[np.float32]:
    """The frames of the check, float32 [count, input_dim] in [0, 64)."""
    index = np.arange(count * input_dim, dtype=np.uint32)
    mixed = _mix(np.uint32(seed) + index * np.uint32(0x9E3779B9))
    return ((mixed >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-18)).reshape(count, input_dim)


def check_value(model: TemporalModel, count: int, seed: int, dtype: Dtype) -> int:
    """The CRC over the model's outputs for the check's frames, with this cache type (docs/spec/slots.md)."""
    stream = model.stream(count, dtype)
    crc = 0
    for frame in check_frames(count, model.input_dim, seed):
        try:
            logits = stream.push(frame)
        except TemporalError as error:
            crc = crc32(_status(error).to_bytes(4, "little"), crc)
            continue
        crc = crc32(bytes(4) + logits.astype("<f4").tobytes(), crc)
        embedding = stream.embedding
        if embedding is not None:
            crc = crc32(embedding.astype("<f4").tobytes(), crc)
    return crc


def _status(error: TemporalError) -> int:
    return [cls for _, _, cls in _core.status_table()].index(type(error))
