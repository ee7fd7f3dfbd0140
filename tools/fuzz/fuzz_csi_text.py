#!/usr/bin/env python3
"""Reads any bytes as Espressif's CSI text, coverage-guided by atheris (Linux: `pip install atheris`).

`tools/fuzz/corpus.py unpack FOLDER`, then `tools/fuzz/fuzz_csi_text.py [-max_total_time=SECONDS] FOLDER/csi_text`. A
file gives a recording or a RecordingError, never another exception, and every frame of a recording is whole.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["aether_temporal.recordings"]):
    from aether_temporal.recordings import RecordingError, open_recording

_FILE = Path(tempfile.mkdtemp()) / "console.csv"


def one_input(data: bytes) -> None:
    """Read `data` as a recording."""
    _FILE.write_bytes(data)
    try:
        recording = open_recording(_FILE, format="csi-text")
    except RecordingError:
        return
    assert recording.iq is not None
    assert len(recording) > 0
    assert recording.iq.shape == (len(recording), recording.width, 2)
    assert recording.timestamps is None or np.isfinite(recording.timestamps).all()
    assert all(count > 0 for count in recording.dropped.values())
    assert recording.features().shape == (len(recording), recording.width)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
