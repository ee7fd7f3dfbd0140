"""Files, folders, wildcards and manifests become recordings with labels; what cannot be correct is named by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from making import c6, values_of

from aether_temporal.recordings import Recording, RecordingError, RecordingFormatError, RecordingSelectionError, Sources
from aether_temporal.recordings.manifest import add_to_manifest, is_manifest, read_manifest
from aether_temporal.train.prepared import prepare, read_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CSI text of one sender, an array, and a set of two recordings."""
    lines = "\n".join(c6(i, values_of(i, 8), us=10_000 * i) for i in range(12))
    (tmp_path / "anna.csv").write_text(lines + "\n")
    np.save(tmp_path / "ben.npy", np.random.default_rng(0).integers(-90, 90, (20, 4, 2)).astype(np.int8))
    iq = np.ones((9, 4, 2), np.int8)
    (tmp_path / "notes.txt").write_text("the door was open\n")
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
    found = list(Sources([table]))
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
    assert len(list(Sources([folder / "ben.npy"]))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,who\nben.npy,x\n", "line 1: expected columns of .* found 'who'"),
        ("file,file\n", "line 1: .* each once"),
        ("file,person\n", "at least one row"),
        ("file,person\nben.npy\n", "line 2: expected 2 columns, found 1"),
        ("file,person\n,anna\n", "line 2: file: expected a path"),
        ("file,person\nnobody.npy,anna\n", "line 2: file: expected a file that can be read, found: No such file"),
        ("file,person\n*.wav,anna\n", r"line 2: file: expected files that match \*.wav, found none"),
        ("file,person\n*.txt,anna\n", r"expected files that match \*.txt, found none among 1 files"),
        (
            "file,recording\nset.npz,x\nset.npz,\n",
            r"line 3: expected each recording once, .* found set.npz \(x\) again",
        ),
        ("file,label\n*.npy,sit\nben.npy,walk\n", r"line 3: expected each recording once.* as in .*line 2"),
        ("file,recording\nset.npz,z\n", "line 2: .*expected an index"),
        ("file,start,label\nanna.csv,x,sit\n", "line 2: start: expected seconds, found 'x'"),
        ("file,start,label\nanna.csv,nan,sit\n", "line 2: start: expected seconds, found 'nan'"),
        ("file,start,end,label\nanna.csv,2,1,sit\n", r"line 2: end: expected a time after start \(2\), found 1"),
        ("file,start,end,label\nanna.csv,1,2,\n", "line 2: label: expected one"),
        (
            "file,start,end,label\nanna.csv,0,0.05,sit\nanna.csv,0.04,0.08,walk\n",
            "line 3: start, end: .* overlap, found frames of both 0.04 to 0.08 and 0 to 0.05",
        ),
        (
            "file,start,end,label\nanna.csv,7,8,sit\nanna.csv,9,,walk\n",
            r"line 2: start, end: .*anna.csv.*, 0 to 0.11 s .* found none that has a frame \(7 to 8, 9 to\)",
        ),
        ("file,start,end,label\nben.npy,0,1,sit\n", "line 2: start, end: expected a recording with times"),
    ],
)
def test_tables_that_cannot_be_right_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        list(Sources([write(folder, text)]))


def test_raw_frames_and_features_are_not_mixed(folder: Path) -> None:
    np.save(folder / "made.npy", np.ones((20, 4), np.float32))
    table = write(folder, "file,label\nben.npy,sit\nmade.npy,walk\n")
    with pytest.raises(RecordingError, match=r"made.npy:made: frames: expected 4 I/Q pairs .* found features"):
        read_dataset(table)


def test_text_that_is_not_utf8_is_rejected(folder: Path) -> None:
    (folder / "table.csv").write_bytes(b"file,person\nben.npy,\xff\n")
    with pytest.raises(RecordingFormatError, match="UTF-8"):
        list(Sources([folder / "table.csv"]))


def test_cells_that_are_too_long_are_named(folder: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"line 2: expected cells of CSV, found others \(field larger"):
        list(Sources([write(folder, "file,label\n" + "a" * 200_000 + ",sit\n")]))


@pytest.mark.parametrize("between", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", '"', ","])
def test_a_row_is_read_as_it_was_added(folder: Path, between: str) -> None:
    table = folder / "added.csv"
    name = f"sit{between}walk"
    for file in (f"a{between}b.npy", "c.npy"):
        add_to_manifest(table, {"file": file, "label": name})
    assert [(entry.files, entry.label) for entry in read_manifest(table)] == [
        (f"a{between}b.npy", name),
        ("c.npy", name),
    ]


def labels(recording: Recording) -> list[str | None]:
    assert recording.labels is not None
    return [recording.label_names[label] if label >= 0 else None for label in recording.labels.tolist()]


def test_a_manifest_takes_wildcards_and_says_what_it_leaves_out(folder: Path) -> None:
    table = write(folder, "file,label\n*.csv,walk\n*.npy,sit\n")
    sources = Sources([table])
    assert [(Path(r.source).name, labels(r)[:1], len(r)) for r in sources] == [
        ("anna.csv", ["walk"], 12),
        ("ben.npy", ["sit"], 20),
    ]
    assert sources.notes == ("left out, for they are no recordings: 1 of the files there (table.csv)",)


def test_a_manifest_in_a_folder_is_not_passed_over_in_silence(folder: Path) -> None:
    table = write(folder, "file,label\nanna.csv,walk\n")
    notes = Sources([folder]).notes
    assert notes == (
        "left out, for they are no recordings: 2 of the files there (notes.txt, table.csv)",
        f"{table}: a manifest, whose labels, subjects and sessions are not used; name it in place of its folder",
    )
    assert Sources([table]).notes == ()


def test_spans_label_the_frames_between_their_times(folder: Path) -> None:
    table = write(folder, "file,start,end,label\nanna.csv,0.03,0.05,sit\nanna.csv,,0.02,walk\nanna.csv,0.05,,sit\n")
    (found,) = Sources([table])
    assert labels(found) == ["walk"] * 2 + [None] + ["sit"] * 9
    assert found.notes[-1] == "labels: spans are in seconds since the first frame; 11 of 12 frames have one"
    dataset = read_dataset(table)
    assert dataset.classes == ("sit", "walk")
    assert dataset[0].labels.tolist() == [1, 1, -1] + [0] * 9


def test_a_span_beyond_the_recording_is_said(folder: Path) -> None:
    table = write(folder, "file,start,end,label\nanna.csv,0,0.11,sit\nanna.csv,0.12,0.2,walk\n")
    (found,) = Sources([table])
    assert labels(found) == ["sit"] * 11 + [None]
    assert found.label_names == ("sit", "walk")
    assert found.notes[-1].endswith(
        "11 of 12 frames have one; spans without any frame: 1 of 2, such as 0.12 to 0.2 (walk)"
    )


def test_spans_on_the_clock_of_the_recording_are_recognised(folder: Path) -> None:
    np.savez(folder / "late.npz", frames=np.ones((12, 4), np.float32), t=1.7e9 + np.arange(12))
    table = write(folder, "file,start,end,label\nlate.npz,1.7e9,1700000006,sit\nlate.npz,1700000006,,walk\n")
    (found,) = Sources([table])
    assert labels(found) == ["sit"] * 6 + ["walk"] * 6
    assert "the recording's own clock" in found.notes[-1]
    seconds = write(folder, "file,start,end,label\nlate.npz,0,6,sit\n")
    assert labels(next(iter(Sources([seconds])))) == ["sit"] * 6 + [None] * 6


def test_times_come_from_the_frame_rate_where_there_are_none(folder: Path) -> None:
    np.savez(folder / "rate.npz", frames=np.ones((10, 4), np.float32), rate_hz=5.0)
    (found,) = Sources([write(folder, "file,start,end,label\nrate.npz,1,1.5,sit\n")])
    assert labels(found) == [None] * 5 + ["sit"] * 3 + [None] * 2


def classes(folder: Path) -> Path:
    """A folder a class, with a file that is no recording beside the recordings."""
    for name in ("sit_ann_1", "sit_ben_1", "walk_ann_1"):
        place = folder / "data" / name.split("_")[0] / f"{name}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, np.ones((20, 4), np.float32))
    (folder / "data" / "README").write_text("mine")
    (folder / "data" / ".hidden").write_text("")
    return folder / "data"


def test_a_folder_or_a_name_can_be_the_label(folder: Path) -> None:
    data = classes(folder)
    sources = Sources([data], label_from="folder")
    assert [(r.name, r.label_names, r.subject) for r in sources] == [
        ("sit_ann_1", ("sit",), None),
        ("sit_ben_1", ("sit",), None),
        ("walk_ann_1", ("walk",), None),
    ]
    assert sources.notes == ("left out, for they are no recordings: 1 of the files there (README)",)
    wild = Sources([f"{data}/*/*.npy"], label_from=r"name:^(?P<label>[a-z]+)_(?P<subject>[a-z]+)")
    assert [(r.label_names, r.subject) for r in wild] == [(("sit",), "ann"), (("sit",), "ben"), (("walk",), "ann")]
    assert wild.notes == ()
    for pattern in ("name:sit|walk", "name:^([a-z]+)_"):
        assert [r.label_names for r in Sources([data], label_from=pattern)] == [("sit",), ("sit",), ("walk",)]


def test_what_a_manifest_states_counts_more_than_a_name(folder: Path) -> None:
    classes(folder)
    table = write(folder, "file,label\ndata/sit,rest\ndata/walk/*,\n")
    assert [r.label_names for r in Sources([table], label_from="folder")] == [("rest",), ("rest",), ("walk",)]


@pytest.mark.parametrize(
    ("label_from", "message"),
    [
        ("name", "label-from: expected folder or name:PATTERN, found 'name'"),
        ("name:(", "label-from: expected a regular expression after name:, found '.'"),
        ("name:^run", r"sit_ann_1.npy: label: expected a name that matches \^run, found sit_ann_1"),
    ],
)
def test_names_without_a_label_are_named(folder: Path, label_from: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        list(Sources([classes(folder)], label_from=label_from))


def test_one_recording_of_many_files_is_chosen_by_name_or_index(folder: Path) -> None:
    table = write(folder, "file,subject\nanna.csv,anna\nset.npz,ben\n")
    sources = Sources([table])
    assert [(Path(r.source).name, r.name, r.subject) for r in sources] == [
        ("anna.csv", "1a:00:00:00:00:00", "anna"),
        ("set.npz", "x", "ben"),
        ("set.npz", "y", "ben"),
    ]
    assert (sources.one("y").subject, len(sources.one(1)), len(Sources([folder / "anna.csv"]).one())) == ("ben", 4, 12)
    with pytest.raises(RecordingSelectionError, match="found none for 3 recordings; choose one: 0 "):
        sources.one()
    assert [r.name for r in Sources([table], sessions=["5"])] == ["x", "y"]
    with pytest.raises(RecordingSelectionError, match=r"session: expected one of those there are \(5\), found 6"):
        list(Sources([table], sessions=["6"]))


def test_a_file_is_opened_once(folder: Path) -> None:
    with pytest.raises(RecordingError, match=r"ben\.npy: expected each file once, found it again"):
        Sources([folder, folder / "." / "ben.npy"])


def test_files_that_cannot_be_found_are_named(folder: Path) -> None:
    for name in ("absent.csv", "absent/*.csv"):
        with pytest.raises(RecordingError, match="expected .*, found:? [Nn]o"):
            Sources([folder / name])
    (folder / "empty").mkdir()
    with pytest.raises(RecordingError, match="empty: expected recordings in this folder, found none"):
        Sources([folder / "empty"])


def test_a_manifest_states_chip_and_layout_of_a_file(folder: Path) -> None:
    np.save(folder / "raw.npy", np.random.default_rng(1).integers(-90, 90, (20, 64, 2)).astype(np.int8))
    plain = Sources([folder / "raw.npy"]).one()
    assert plain.subcarriers is None
    old, new = (Sources([write(folder, f"file,chip\nraw.npy,{chip}\n")]).one() for chip in ("esp32", "c6"))
    assert old.subcarriers is not None
    assert new.subcarriers is not None
    assert old.subcarriers.numbers[:2] == (0, 1)
    assert new.subcarriers.numbers[:2] == (-32, -31)
    table = write(folder, 'file,layout\nben.npy,"lltf:-2..-1,1..2"\n')
    (found,) = list(Sources([table]))
    assert str(found.subcarriers) == "lltf:-2..-1,1..2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,chip\nben.npy,esp9\n", "line 2: chip: expected"),
        ("file,layout\nben.npy,lltf:x\n", "line 2: layout: expected"),
        ("file,recording,chip\nset.npz,x,esp32\nset.npz,y,c6\n", "line 3: chip: expected the one that another row"),
    ],
)
def test_bad_chips_and_layouts_name_their_line(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(RecordingFormatError, match=reason):
        list(Sources([write(folder, text)]))
