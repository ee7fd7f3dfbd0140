#!/usr/bin/env python3
"""Writes the seeds of the fuzz corpus, from which the fuzzers start: `tools/fuzz/seeds.py`. What they find is added by
`tools/fuzz/run --keep`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from blob_bytes import extended, plain  # noqa: E402
from reference import golden_file  # noqa: E402


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


if __name__ == "__main__":
    for target, seeds in {"rvne": blobs(), "golden": golden(), "csi_text": csi_text()}.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for seed_name, data in seeds:
            (folder / seed_name).write_bytes(data)
