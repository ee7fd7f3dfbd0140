"""Makes firmware/test/node_blobs.h: small blobs, and what the reference implementation, which shares no code with the
core, computes as their check values. Running this writes it; test_node_component.py compares."""

from __future__ import annotations

import struct
import sys
import zlib
from copy import deepcopy
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

import blob_bytes  # noqa: E402
from reference import (  # noqa: E402
    Rejected,
    model,
    rvne,
)
from reference.golden_file import uniform  # noqa: E402

OUT = ROOT / "firmware" / "test" / "node_blobs.h"
FRAMES, SEED = 8, 0x5EED


def check_value(data: bytes, frames: int, seed: int, *, half: bool) -> int:
    """The check of docs/spec/slots.md."""
    blob = rvne.parse(data)
    stream = model.Stream(blob, 256, half=half)
    n = blob.header.input_dim
    # The golden rule "uniform" draws from [-1, 1) in steps of 2^-23: the same words, moved into [0, 64).
    drawn = np.array(uniform(frames * n, seed, 0).words(), dtype="<u4").view("<f4").astype(np.float64)
    values = ((drawn + 1) * 32).astype(np.float32)
    crc = 0
    for t in range(frames):
        before = deepcopy(stream)
        try:
            logits, embedding = stream.push([np.float32(x) for x in values[t * n : (t + 1) * n]])
        except Rejected:
            stream = before  # the reference does not take back what it has done
            crc = zlib.crc32(struct.pack("<I", 5), crc)
            continue
        outputs = [*logits, *(embedding or [])]
        crc = zlib.crc32(struct.pack(f"<I{len(outputs)}f", 0, *outputs), crc)
    return crc


def overflowing() -> bytes:
    """Weights with which the logits of some frames leave binary32."""
    header = {"input_dim": 2, "n_q_heads": 1, "n_kv_heads": 1, "head_dim": 1, "n_layers": 1, "n_classes": 2}
    return blob_bytes.blob_of(header, struct.pack("<12f", *[0.25] * 8, *[4e36, -4e36, 4e36, 4e36]))


def numbered() -> bytes:
    """HT-LTF -28 and subcarrier 5 of either band, by number."""
    whole = blob_bytes.extended()
    return whole.with_sections(s for s in whole.sections if s.ident in (5, 17)).encode()


def blobs() -> dict[str, bytes]:
    """By name."""
    return {
        "plain": blob_bytes.plain(),
        "half": blob_bytes.plain(binary16=True),
        "every": blob_bytes.extended().encode(),
        "overflow": overflowing(),
        "numbered": numbered(),
    }


def source() -> str:
    """The whole header."""
    lines = [
        "/* Made by tests/firmware/make_node_blobs.py. Do not edit. */",
        "#ifndef AETHER_TEST_NODE_BLOBS_H",
        "#define AETHER_TEST_NODE_BLOBS_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        f"#define NODE_BLOB_FRAMES {FRAMES}u",
        f"#define NODE_BLOB_SEED 0x{SEED:X}u",
        "",
        "typedef struct node_blob {",
        "    const char *name;",
        "    const uint32_t *words; /* 4-byte aligned, the last one filled up with zero bytes */",
        "    size_t bytes;",
        "    uint32_t crc; /* its own left out */",
        "    uint32_t check_binary32, check_binary16; /* by the reference implementation */",
        "} node_blob;",
        "",
    ]
    table = []
    for name, data in blobs().items():
        padded = data + bytes(-len(data) % 4)
        words = [f"0x{word:08X}u" for (word,) in struct.iter_unpack("<I", padded)]
        lines.append(f"static const uint32_t NODE_BLOB_{name.upper()}[{len(words)}] = {{")
        lines += ["    " + ", ".join(words[at : at + 8]) + "," for at in range(0, len(words), 8)]
        lines += ["};", ""]
        checks = ", ".join(f"0x{check_value(data, FRAMES, SEED, half=half):08X}u" for half in (False, True))
        table.append(
            f'    {{"{name}", NODE_BLOB_{name.upper()}, {len(data)}u, 0x{zlib.crc32(data[:-4]):08X}u, {checks}}},'
        )
    names = ", ".join(f"NODE_{name.upper()}" for name in blobs())
    lines += [
        f"enum {{ {names}, NODE_BLOBS }};",
        "",
        "static const node_blob NODE_BLOB[NODE_BLOBS] = {",
        *table,
        "};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    OUT.write_text(source(), encoding="utf-8")
