#!/usr/bin/env python3
"""The inputs that fuzzers start from: seeds, which are made here, and finds, which are kept in tests/fuzz/corpus.zip.

    tools/fuzz/corpus.py unpack FOLDER    write both, each into FOLDER/TARGET/
    tools/fuzz/corpus.py add FOLDER       keep what is new in FOLDER/TARGET/ (`tools/fuzz/run --keep` does this)

The archive depends on the names and bytes of the finds alone.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ARCHIVE = ROOT / "tests" / "fuzz" / "corpus.zip"
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from checkout import needs  # noqa: E402

try:
    from blob_bytes import extended, plain
    from reference import golden_file
except ModuleNotFoundError as lacking:
    needs("tools/fuzz/corpus.py", lacking)


def blobs() -> Iterator[tuple[str, bytes]]:
    """Plain ones, one with every section, and that one with each section left out."""
    for binary16 in (False, True):
        kind = "binary16" if binary16 else "binary32"
        whole = extended(binary16=binary16)
        yield f"plain-{kind}", plain(binary16=binary16)
        yield f"extended-{kind}", whole.encode()
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


SEEDS = {"rvne": blobs, "golden": golden, "csi_text": csi_text}


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
