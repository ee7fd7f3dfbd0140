"""Slot images, written from docs/spec/slots.md with nothing of the firmware."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from aether_temporal import TemporalModel
from aether_temporal.errors import ResultOverflowError

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
