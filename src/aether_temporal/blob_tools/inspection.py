"""Describes a blob, and names the check that a damaged one fails."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aether_temporal._core import crc32
from aether_temporal._extension import describe
from aether_temporal.blob import WeightBlob
from aether_temporal.errors import BlobError
from aether_temporal.model import ArrayInfo, Dtype, TemporalModel

__all__ = ["Check", "check_blob", "describe_model"]

MAGIC = 0x52564E45
SHORTEST = 28
HEADER = struct.Struct("<IHBBHHHHHHI")


@dataclass(frozen=True)
class Check:
    """One step of reading a blob, in the order of the specification. `passed` None: not reached."""

    name: str
    passed: bool | None
    expected: str
    found: str


def check_blob(raw: bytes) -> tuple[list[Check], BlobError | None]:
    """Every check a reader makes of a blob's bytes, and the error of the one that failed. Never raises."""
    checks: list[Check] = []
    error: BlobError | None = None
    try:
        TemporalModel.from_blob(raw)
    except BlobError as found:
        error = found

    def check(name: str, expected: str, found: str, passed: bool) -> bool:
        checks.append(Check(name, passed, expected, found))
        return passed

    ok = check("shortest length", f"at least {SHORTEST} bytes", f"{len(raw)} bytes", len(raw) >= SHORTEST)
    if ok:
        magic, version, *_, weights_len = HEADER.unpack_from(raw)
        stored, computed = struct.unpack_from("<I", raw, len(raw) - 4)[0], crc32(raw[:-4])
        ok = check("magic", f"0x{MAGIC:08X}", f"0x{magic:08X}", magic == MAGIC)
        ok = ok and check("version", "1", str(version), version == 1)
        ok = ok and check(
            "length", f"{SHORTEST} + weights_len {weights_len} = {SHORTEST + weights_len} bytes", f"{len(raw)} bytes",
            SHORTEST + weights_len == len(raw),
        )  # fmt: skip
        ok = ok and check("CRC-32", f"0x{stored:08X} (stored)", f"0x{computed:08X} (of the bytes)", stored == computed)
        if ok:
            check(
                "flags, header values, sections, weights",
                "all in range",
                "all in range" if error is None else str(error),
                error is None,
            )
    missing = ("shortest length", "magic", "version", "length", "CRC-32", "flags, header values, sections, weights")
    checks += [Check(name, None, "", "not reached") for name in missing[len(checks) :]]
    return checks, error


def describe_model(
    model: str | os.PathLike[str] | bytes, *, context: int | None = None, dtype: Dtype = "float32"
) -> dict[str, Any]:
    """Header, settings, arrays, memory and CRC of a blob, as JSON takes it.

    context None: the history that the blob states, else 256. BlobError, OSError, InvalidConfigError.
    """
    raw = model if isinstance(model, bytes) else Path(model).read_bytes()
    opened = TemporalModel.from_blob(raw)
    blob = WeightBlob.parse(raw)
    frames = opened.default_context if context is None else context
    memory = opened.memory(context=frames, dtype=dtype)
    chip = opened.memory(context=frames, dtype=dtype, pointer_bytes=4)
    arrays = [_array(array) for array in opened.array_table()]
    header = blob.header
    return {
        "bytes": len(raw),
        "crc32": f"0x{crc32(raw[:-4]):08X}",
        "header": {
            "version": 1,
            "flags": header.flags,
            "dtype": header.dtype,
            "input_dim": header.input_dim,
            "n_q_heads": header.n_q_heads,
            "n_kv_heads": header.n_kv_heads,
            "head_dim": header.head_dim,
            "n_layers": header.n_layers,
            "n_classes": header.n_classes,
            "weights_len": len(blob.weights),
        },
        "width": blob.width,
        "weights": sum(math.prod(array["shape"]) for array in arrays),
        "settings": None if opened.settings is None else describe(opened.settings),
        "arrays": arrays,
        "memory": {
            "context": frames,
            "dtype": opened.kept_as(dtype),
            "ram": memory.ram,
            "ram_32_bit": chip.ram,
            **asdict(memory),
        },
    }


def _array(array: ArrayInfo) -> dict[str, Any]:
    return {
        "name": array.name if array.layer is None else f"layers.{array.layer}.{array.name}",
        "shape": list(array.shape),
        "dtype": array.dtype,
        "offset": array.offset,
        "bytes": math.prod(array.shape) * np.dtype(array.dtype).itemsize,
    }
