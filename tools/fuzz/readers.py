"""The readers of the Python package that are fuzzed, by name, each as a function of bytes that raises where the reader
breaks its promise."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aether_temporal import StreamPool, TemporalModel, WeightBlobHeader, crc32
from aether_temporal.blob_tools import random_blob
from aether_temporal.device import report, slots, update
from aether_temporal.errors import PartitionError, TemporalError
from aether_temporal.recordings import Recording, RecordingError, open_file
from aether_temporal.recordings.csi_lines import bounded_lines
from aether_temporal.recordings.csi_parser import CsiParser
from aether_temporal.recordings.manifest import read_manifest
from aether_temporal.running.gallery import Gallery

_FILE = Path(tempfile.mkdtemp(prefix=f"fuzz-{os.getpid()}-")) / "input"
_MOST = 1 << 12
"""Recordings of a file that are opened."""


def check(recording: Recording) -> None:
    """What every recording promises."""
    values = recording.iq if recording.frames is None else recording.frames
    assert values is not None
    assert len(values) == len(recording)
    assert recording.timestamps is None or np.isfinite(recording.timestamps).all()
    assert all(count > 0 for count in recording.dropped.values())
    features = recording.features()
    assert features.shape == (len(recording), recording.width)
    assert np.isfinite(features).all()
    for name in (recording.name, *recording.label_names):
        name.encode()
    if recording.labels is not None:
        assert recording.labels.shape == (len(recording),)


def _recordings(format_: str | None) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        _FILE.write_bytes(data)
        with contextlib.suppress(RecordingError):
            file = open_file(_FILE, format=format_)
            for info in file.infos[:_MOST]:
                check(file.open(info))

    return read


def _lines(data: bytes) -> None:
    """A stream of text: every line is a record, a header, blank, or counted."""
    import io

    parser = CsiParser()
    for line in bounded_lines(io.BytesIO(data), limit=4096):
        before = parser.dropped.total()
        records = parser.feed(line)
        begun = 0 if line is None else line.count(b"CSI_DATA")
        assert len(records) + parser.dropped.total() - before <= max(1, begun)
        assert all(len(record.values) % 2 == 0 and len(record.values) for record in records)


def _manifest(data: bytes) -> None:
    _FILE.write_bytes(data)
    with contextlib.suppress(RecordingError):
        assert read_manifest(_FILE)


def _gallery(data: bytes) -> None:
    _FILE.write_bytes(data)
    with contextlib.suppress(TemporalError):
        found = Gallery.load(_FILE)
        assert len(found.names) == len(found.embeddings)
        for name in found.names:
            name.encode()


def _slot_image(data: bytes) -> None:
    found = slots.read_slot("a", data)
    assert found.header is not None or found.problem


def _partition_table(data: bytes) -> None:
    with contextlib.suppress(PartitionError):
        table = update.parse_table(data)
        update.slot_partitions(table)


def _serial_report(data: bytes) -> None:
    splitter = report.LineSplitter()
    text = "\n".join(splitter.feed(data) + splitter.feed(b"\n"))
    report.read_lines(text)
    with contextlib.suppress(report.ReportError):
        report.parse(text)


def random_model() -> TemporalModel:
    """What the pools are pools of."""
    return TemporalModel.from_blob(random_blob(WeightBlobHeader("float32", 3, 2, 1, 2, 1, 2), 1))


_MODEL = random_model()


def _saved_pool(data: bytes) -> None:
    """As it is, and with a checksum that fits. A pool that can be read is written as it was read."""
    for changed in (data, data[:-4] + crc32(data[:-4]).to_bytes(4, "little")):
        with contextlib.suppress(TemporalError):
            pool = StreamPool.from_bytes(_MODEL, changed, most=64)
            again = StreamPool.from_bytes(_MODEL, pool.to_bytes())
            assert again.to_bytes() == pool.to_bytes()


READERS: dict[str, Callable[[bytes], None]] = {
    "any_file": _recordings(None),
    "csi_text": _recordings("csi-text"),
    "csi_lines": _lines,
    "npz": _recordings("npz"),
    "npy": _recordings("npy"),
    "raw_frames": _recordings("raw-frames"),
    "udp_capture": _recordings("udp-capture"),
    "nexmon": _recordings("nexmon"),
    "intel_5300": _recordings("intel-5300"),
    "atheros": _recordings("atheros"),
    "manifest": _manifest,
    "gallery": _gallery,
    "slot_image": _slot_image,
    "partition_table": _partition_table,
    "serial_report": _serial_report,
    "saved_pool": _saved_pool,
}
