"""A table tells what recorders do not know, and is refused by line where it cannot be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from making import c6, values_of

from aether_temporal.recordings import RecordingError, RecordingFormatError
from aether_temporal.recordings.manifest import is_manifest, open_all
from aether_temporal.train.prepared import prepare, read_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CSI text of one sender, an array, and a set of two recordings."""
    lines = "\n".join(c6(i, values_of(i, 8), us=10_000 * i) for i in range(12))
    (tmp_path / "anna.csv").write_text(lines + "\n")
    np.save(tmp_path / "ben.npy", np.random.default_rng(0).integers(-90, 90, (20, 4, 2)).astype(np.int8))
    iq = np.ones((9, 4, 2), np.int8)
    np.savez(tmp_path / "set.npz", iq=iq, rec_offset=[0, 4, 9], rec_name=["x", "y"], rec_session=[5, 5])
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_recordings_of_any_format_get_subject_session_and_label(folder: Path) -> None:
    table = write(
        folder,
        "File,recording,person,session,label\nanna.csv,,anna,monday,walk\n\nben.npy,,ben,monday,sit\nset.npz,y,anna,,\n",
    )
    assert is_manifest(table)
    assert not is_manifest(folder / "anna.csv")
    found = list(open_all(table))
    assert [(r.subject, r.session, len(r)) for r in found] == [
        ("anna", "monday", 12),
        ("ben", "monday", 20),
        ("anna", "5", 5),
    ]
    assert [r.label_names for r in found] == [("walk",), ("sit",), ()]
    assert found[0].timestamps is not None
    dataset = read_dataset(table)
    assert dataset.classes == ("sit", "walk")
    assert [int(recording.labels[0]) for recording in dataset] == [1, 0, -1]
    assert dataset.features.pairs == 4
    made = prepare([table], folder / "dataset")
    assert made.features == dataset.features
    for a, b in zip(dataset, made, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        assert (a.subject, a.session) == (b.subject, b.session)
    assert len(list(open_all(folder / "ben.npy"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,who\nben.npy,x\n", "line 1: expected columns of .* found 'who'"),
        ("file,file\n", "line 1: .* each once"),
        ("file,person\n", "at least one row"),
        ("file,person\nben.npy\n", "line 2: expected 2 columns, found 1"),
        ("file,person\n,anna\n", "line 2: file: expected a path"),
        ("file,person\nnobody.npy,anna\n", "line 2: file: expected a file, found none"),
        ("file,recording\nset.npz,x\nset.npz,\n", r"line 3: expected each recording once, found set.npz \(x\) again"),
        ("file,recording\nset.npz,z\n", "expected an index"),
    ],
)
def test_tables_that_cannot_be_right_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        list(open_all(write(folder, text)))


def test_raw_frames_and_features_are_not_mixed(folder: Path) -> None:
    np.save(folder / "made.npy", np.ones((20, 4), np.float32))
    table = write(folder, "file,label\nben.npy,sit\nmade.npy,walk\n")
    with pytest.raises(RecordingError, match=r"made.npy:made: frames: expected 4 I/Q pairs .* found features"):
        read_dataset(table)


def test_text_that_is_not_utf8_is_rejected(folder: Path) -> None:
    (folder / "table.csv").write_bytes(b"file,person\nben.npy,\xff\n")
    with pytest.raises(RecordingFormatError, match="UTF-8"):
        list(open_all(folder / "table.csv"))
