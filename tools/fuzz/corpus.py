#!/usr/bin/env python3
"""The inputs that fuzzers start from: seeds, which are made here, and finds, which are kept in tests/fuzz/corpus.zip.

    tools/fuzz/corpus.py unpack FOLDER    write both, each into FOLDER/TARGET/
    tools/fuzz/corpus.py add FOLDER       keep what is new in FOLDER/TARGET/ (`tools/fuzz/run --keep` does this)

The archive depends on the names and bytes of the finds alone.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
ARCHIVE = ROOT / "tests" / "fuzz" / "corpus.zip"
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from checkout import needs  # noqa: E402

try:
    import numpy as np
    import readers
    from blob_bytes import extended, plain
    from recordings import making
    from reference import golden_file

    from aether_temporal.device import slots
    from aether_temporal.pool import StreamId
except ModuleNotFoundError as lacking:
    needs("tools/fuzz/corpus.py", lacking)


def blobs() -> Iterator[tuple[str, bytes]]:
    """Plain ones, one with every section, that one with the pyramid, and with each section left out."""
    for binary16 in (False, True):
        kind = "binary16" if binary16 else "binary32"
        whole = extended(binary16=binary16)
        yield f"plain-{kind}", plain(binary16=binary16)
        yield f"extended-{kind}", whole.encode()
        yield f"pyramid-{kind}", whole.with_payload(1, struct.pack("<5I", 2, 1, 0, 8, 0)).encode()
        for ident in (s.ident for s in whole.sections):
            yield f"without-{ident}-{kind}", whole.with_sections(s for s in whole.sections if s.ident != ident).encode()


def golden() -> Iterator[tuple[str, bytes]]:
    """The shortest committed case of each kernel."""
    files = sorted((ROOT / "tests" / "golden").glob("*.agv"))
    cases = [case for path in files for case in golden_file.decode(path.read_bytes())]
    for kernel in golden_file.Kernel:
        encoded = (golden_file.encode([case]) for case in cases if case.kernel == kernel)
        yield kernel.name.lower(), min(encoded, key=len)


def csi_text() -> Iterator[tuple[str, bytes]]:
    """A few lines of each layout, sound and cut."""
    classic = "type,id,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi," + (
        "noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,len,first_word,data"
    )
    newer = "type,id,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len," + (
        "first_word,data"
    )
    mac = "1a:00:00:00:00:00"
    for name, header, middle in (
        ("classic", classic, "-40,11,1,7,1,1,1,0,0,0,1,-96,0,11,2,{},0,47,0,8,{}"),
        ("newer", newer, "-40,11,-96,30,20,11,{},47,0,8,{}"),
    ):
        metas = [middle.format(4294960000 + 9000 * i, i % 2) for i in range(4)]  # the clock wraps on the way
        lines = [f'CSI_DATA,{i},{mac},{meta},"[1,-2,3,-4,5,-6,7,{i}]"' for i, meta in enumerate(metas)]
        body = "\n".join(lines)
        yield name, f"{header}\n{body}\n".encode()
        yield f"{name}-without-header", f"{body}\n".encode()
        yield f"{name}-cut", f"{header}\n{body[:-20]}\nI (123) wifi: log\n{body}".encode()
    values = [(37 * i) % 256 - 128 for i in range(128)]
    yield "csi-tool", "\n".join(making.tool(values, us=9 * i, seconds=i) for i in range(2)).encode()
    yield "words", "\n".join(making.c6(i, [2047, -2048, *range(50)], us=i) for i in range(2)).encode()
    yield "base64", b"time,len,data\n1,8,AAECAwQFBgc=\n2,8,AAECAwQFBgc=\n"
    yield "columns", b"len;v0;v1;v2;v3;v4;v5;v6;v7\n8;1;2;3;4;5;6;7;8\n4;1;2;3;4;;;;\n"


def _archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


_IQ = (np.arange(64).reshape(8, 4, 2) - 32).astype(np.int8)
_AMP = np.arange(32, dtype=np.float32).reshape(8, 4)


def archives() -> Iterator[tuple[str, bytes]]:
    """Recordings of every kind of array."""
    yield "pairs", _archive(iq=_IQ, t=np.arange(8.0), rec_offset=[0, 3, 8], rec_name=np.array(["a", "b"]))
    yield "clip", _archive(csi_data=_IQ.reshape(8, 8), num_subcarriers=4, label="walk", chip="c5", duration_ms=9.0)
    yield "words", _archive(csi_data=np.zeros((2, 106), np.int8), chip="c5")
    yield "labels", _archive(frames=_AMP, labels=np.array(list("ababcaba")), rate_hz=2.0)
    yield "one-hot", _archive(X=_AMP, y=np.eye(2)[[0, 1, 1, 0, 1, 0, 0, 0]], label_names=np.array(["x", "y"]))
    yield "windows", _archive(X=np.arange(576, dtype=np.float32).reshape(4, 12, 12), y=[0, 1, 2, 0])
    yield "antennas", _archive(csi=np.ones((2, 3, 4, 12), np.complex64))


def arrays() -> Iterator[tuple[str, bytes]]:
    """Arrays of features and of pairs."""
    for name, values in (("features", _AMP), ("pairs", _IQ), ("row", _IQ.reshape(8, 8)), ("text", np.array(["a"]))):
        buffer = io.BytesIO()
        np.save(buffer, values)
        yield name, buffer.getvalue()


_FRAMES = [making.raw_frame(i, bytes(range(8 * (i % 2 + 1))), node=i % 2) for i in range(4)]


def raw_frames() -> Iterator[tuple[str, bytes]]:
    """Frames of two nodes and sizes, with garbage between them."""
    yield "frames", b"".join(_FRAMES) + b"garbage" + _FRAMES[0][:9]


def _capture(payloads: list[bytes], write: Callable[..., bytes], port: int = 5005) -> bytes:
    return write([(i / 50, making.ethernet(making.ipv4_packet(one, port=port))) for i, one in enumerate(payloads)])


def udp_captures() -> Iterator[tuple[str, bytes]]:
    """Captures of either format."""
    yield "pcap", _capture(_FRAMES, making.pcap)
    yield "pcapng", _capture(_FRAMES, making.pcapng)


def nexmon() -> Iterator[tuple[str, bytes]]:
    """A capture of two packets."""
    payload = struct.pack("<HbB6sHHHH", 0x1111, -50, 8, b"\2\0\0\0\0\1", 1, 0, 0xD001, 0x0065) + bytes(range(256))
    yield "pcap", _capture([payload, payload[:-9]], making.pcap, 5500)


def intel_5300() -> Iterator[tuple[str, bytes]]:
    """A log of two records."""
    size = (30 * (1 * 1 * 16 + 3) + 6) // 8
    head = struct.pack("<BIHHBBBBBbBBHH", 0xBB, 5, 1, 0, 1, 1, 40, 41, 42, -90, 30, 36, size, 1)
    record = struct.pack(">H", len(head) + size) + head + bytes(range(size))
    yield "log", record + record[:-5]


def atheros() -> Iterator[tuple[str, bytes]]:
    """A log of each byte order."""
    for order, name in (("<", "little"), (">", "big")):
        head = struct.pack(f"{order}QHHBBBBBBBBBBBH", 9, 140, 2437, 0, 0, 128, 0, 56, 1, 1, 40, 41, 42, 43, 0)
        yield name, struct.pack(f"{order}H", len(head) + 140) + head + bytes(range(140))


def manifests() -> Iterator[tuple[str, bytes]]:
    """Tables with every column."""
    yield "spans", b"file,recording,person,session,start,end,label\na.csv,x,anna,1,0,2.5,walk\n*.npz,,,,,,sit\n"


def galleries() -> Iterator[tuple[str, bytes]]:
    """Two identities."""
    yield "two", _archive(gallery_names=np.array(["anna", "ben"]), gallery_embeddings=np.eye(2, 3, dtype=np.float32))


def slot_images() -> Iterator[tuple[str, bytes]]:
    """A packed blob, whole and cut."""
    image = slots.pack_slot(plain(binary16=False), 3)
    yield "whole", image
    yield "cut", image[:300]


def partition_tables() -> Iterator[tuple[str, bytes]]:
    """Two slots and their checksum."""
    entries = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, 0x40, 0, 0x110000 + 0x10000 * i, 0x10000, f"blob{i}".encode(), 0)
        for i in range(2)
    )
    yield "table", entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest() + b"\xff" * 32


def serial_reports() -> Iterator[tuple[str, bytes]]:
    """Lines with their checksums."""
    lines = ["aether begin chip=esp32s3 kernels=portable", "aether end cases=1 failed=0"]
    yield "lines", "".join(f"{line} *{zlib.crc32(line.encode()):08X}\n" for line in lines).encode()


def saved_pools() -> Iterator[tuple[str, bytes]]:
    """Three streams of different ages, with an id of each kind, and none."""
    names: tuple[StreamId, ...] = ("hall", 7, b"\x01")
    pool = readers.random_model().pool(4, context=8)
    yield "empty", pool.to_bytes()
    for turn in range(12):
        ids = names[: 1 + turn % 3]
        pool.push(ids, np.full((len(ids), 3), turn, np.float32))
    yield "three", pool.to_bytes()


def any_files() -> Iterator[tuple[str, bytes]]:
    """One of each kind, and packed ones."""
    for make in (csi_text, archives, arrays, raw_frames, udp_captures, nexmon, intel_5300, atheros):
        name, data = next(iter(make()))
        yield f"{make.__name__}-{name}", data
    text = next(iter(csi_text()))[1]
    yield "gzip", gzip.compress(text, mtime=0)


SEEDS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "rvne": blobs,
    "golden": golden,
    "csi_text": csi_text,
    "csi_lines": csi_text,
    "npz": archives,
    "npy": arrays,
    "raw_frames": raw_frames,
    "udp_capture": udp_captures,
    "nexmon": nexmon,
    "intel_5300": intel_5300,
    "atheros": atheros,
    "manifest": manifests,
    "gallery": galleries,
    "slot_image": slot_images,
    "partition_table": partition_tables,
    "serial_report": serial_reports,
    "saved_pool": saved_pools,
    "any_file": any_files,
}


def seeds() -> dict[str, bytes]:
    """The seeds of every target, by "target/name"."""
    return {f"{target}/{name}": data for target, make in SEEDS.items() for name, data in make()}


def finds() -> dict[str, bytes]:
    """What the archive holds, by "target/name"."""
    if not ARCHIVE.exists():
        return {}
    with zipfile.ZipFile(ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def unpack(folder: Path) -> int:
    """Writes seeds and finds; the number of files."""
    inputs = {**finds(), **seeds()}
    for name, data in inputs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return len(inputs)


def pack(inputs: dict[str, bytes]) -> None:
    """Replaces the archive. Nothing is compressed, so that no version of zlib changes it."""
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(inputs):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # the same on Windows
            archive.writestr(info, inputs[name])


def add(folder: Path) -> int:
    """Keeps the files of FOLDER/TARGET/ whose bytes are neither seed nor find; how many they are."""
    kept = finds()
    known = {(name.split("/")[0], data) for name, data in (*seeds().items(), *kept.items())}
    new = {}
    for path in sorted(folder.glob("*/*")):
        if path.is_file() and (path.parent.name, path.read_bytes()) not in known:
            new[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    if new:
        pack({**kept, **new})
    return len(new)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["unpack", "add"])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.action == "unpack":
        print(f"{unpack(options.folder)} inputs in {options.folder}")
    else:
        print(f"{add(options.folder)} new finds in {ARCHIVE.relative_to(ROOT)}")
