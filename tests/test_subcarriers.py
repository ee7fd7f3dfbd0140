"""Subcarriers by number: layouts, the search in them, their text, and the same features from any chip's order."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aether_temporal import (
    InvalidArgumentError,
    InvalidConfigError,
    ModelSettings,
    ShapeError,
    TemporalModel,
    WeightBlob,
    WeightBlobHeader,
    csi_amplitude,
)
from aether_temporal.listening import NodePredictor, PacketReceiver
from aether_temporal.listening.packets import RawFrame
from aether_temporal.listening.recent_frames import RecentFrames
from aether_temporal.recordings import Hints, Recording, RecordingShapeError, Sources
from aether_temporal.recordings.csi_buffers import settled_subcarriers
from aether_temporal.recordings.node_packets import RawHeader
from aether_temporal.running.inputs import INDEX_NOTE, FrameMapper, columns_for, model_frames, model_input
from aether_temporal.settings import SubcarrierNumberSettings, SubcarrierSettings
from aether_temporal.subcarriers import (
    CHIPS,
    Band,
    SubcarrierMap,
    find_subcarriers,
    layout_of,
    parse_layout,
    parse_subcarriers,
)

WRAPPED = [*range(32), *range(-32, 0)]
FACTS: list[dict[str, Any]] = [
    {"sig_mode": s, "bandwidth": w, "stbc": t, "secondary": c}
    for s, w, t, c in itertools.product((0, 1, 4), (0, 1), (0, 1), (0, 1, 2))
]


def blob_of_settings(input_dim: int, **sections: Any) -> TemporalModel:
    header = WeightBlobHeader(
        input_dim=input_dim, n_q_heads=1, n_kv_heads=1, head_dim=1, n_layers=1, n_classes=2, dtype="float32"
    )
    core = bytes(header.core_bytes(input_dim))
    return TemporalModel.from_blob(WeightBlob(header, core, ModelSettings(**sections)))


def model_of(wanted: str) -> TemporalModel:
    numbers = parse_subcarriers(wanted)
    return blob_of_settings(len(numbers), subcarrier_numbers=SubcarrierNumberSettings.of(numbers))


# -- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chip", CHIPS)
def test_every_layout_has_as_many_distinct_subcarriers_as_pairs(chip: str) -> None:
    known = 0
    for pairs in range(1, 320):
        for facts in [{}, *FACTS]:
            for twelve_bits in (False, True):
                layout = layout_of(chip, pairs, **{"twelve_bits": twelve_bits, **facts})
                if layout is not None:
                    known += 1
                    assert len(layout) == pairs == len(set(zip(layout.bands, layout.numbers, strict=True)))
    assert known > 5


@pytest.mark.parametrize(
    ("pairs", "facts", "expected"),
    [
        (64, (0, 0, 0, 0), "lltf:0..31,-32..-1"),
        (64, (0, 0, 0, 1), "lltf:-32..31"),
        (64, (1, 0, 0, 0), "0..31,-32..-1"),
        (128, (1, 0, 0, 0), "lltf:0..31,-32..-1,htltf:0..31,-32..-1"),
        (128, (1, 1, 0, 2), "htltf40:0..63,-64..-1"),
        (192, (1, 0, 1, 0), "lltf:0..31,-32..-1,htltf:0..31,-32..-1,stbc:0..31,-32..-1"),
        (192, (1, 1, 0, 2), "lltf:-32..31,htltf40:0..63,-64..-1"),
        (190, (1, 0, 1, 2), "lltf:-32..31,htltf:-32..30,stbc:-32..30"),
        (188, (1, 0, 1, 1), "lltf:-32..31,htltf:-30..31,stbc:-30..31"),
        (306, (1, 1, 1, 1), "lltf:-32..31,htltf40:0..60,-60..-1,stbc40:0..60,-60..-1"),
    ],
)
def test_older_chips_order_by_packet_and_channel(pairs: int, facts: tuple[int, ...], expected: str) -> None:
    named = dict(zip(("sig_mode", "bandwidth", "stbc", "secondary"), facts, strict=True))
    for chip in ("esp32", "ESP32-S2", "s3", "c3"):
        assert str(layout_of(chip, pairs, **named)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chip", "pairs", "expected"),
    [
        ("c5", 53, "lltf:-26..26"),
        ("c5", 57, "htltf:-28..28"),
        ("c61", 114, "htltf:-28..28,stbc:-28..28"),
        ("c5", 117, "htltf40:-58..58"),
        ("c5", 234, "htltf40:-58..58,stbc40:-58..58"),
        ("c5", 245, "heltf:-122..122"),
        ("c5", 64, "-32..31"),
        ("c6", 64, "-32..31"),
    ],
)
def test_newer_chips_order_by_length(chip: str, pairs: int, expected: str) -> None:
    assert str(layout_of(chip, pairs)) == expected


def test_words_of_12_bits_are_every_second_subcarrier() -> None:
    layout = layout_of("c5", 26, twelve_bits=True)
    assert layout is not None
    assert layout.numbers == tuple(n for n in range(-26, 27, 2) if n)
    assert layout_of("c5", 26) is None


def test_what_is_not_known_is_none_and_never_a_guess() -> None:
    assert layout_of("s3", 64) is None  # 0..31, -32..-1, or -32..31 with a secondary channel
    assert layout_of("s3", 128, sig_mode=1, secondary=2) is None  # L-LTF and HT-LTF, or HT-LTF of 40 MHz
    assert layout_of("s3", 128, sig_mode=1, bandwidth=0, stbc=1, secondary=0) is None  # which field is switched off?
    assert layout_of("s3", 63) is None
    either = layout_of("s3", 64, secondary=0)  # L-LTF or HT-LTF: the same numbers
    assert either == SubcarrierMap.of(WRAPPED)
    with pytest.raises(InvalidConfigError, match="chip: expected 'esp32' or .*'esp32c6', found 'c4'"):
        layout_of("c4", 64)


# -- text ------------------------------------------------------------------------------------------------------------


def test_ranges_leave_out_the_centre_unless_it_is_asked_for_alone() -> None:
    assert parse_subcarriers("-2..2").numbers == (-2, -1, 1, 2)
    assert parse_subcarriers("-2..2,0").numbers == (-2, -1, 1, 2, 0)
    assert parse_layout("-2..2").numbers == (-2, -1, 0, 1, 2)
    found = parse_subcarriers("lltf:-3,5..9/2,htltf:1")
    assert found == SubcarrierMap((Band.LLTF,) * 4 + (Band.HTLTF,), (-3, 5, 7, 9, 1))


@pytest.mark.parametrize("text", ["", "a", "1..", "3..1", "1-3", "ltf:1", "1..9/0", "1,1", "-3..3,2", "512", "1e3"])
def test_other_text_is_an_error(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="subcarriers: expected"):
        parse_subcarriers(text)


def test_text_is_read_back(rng: np.random.Generator) -> None:
    every = [(band, number) for band in Band for number in range(-60, 61)]
    for count in (1, 2, 7, 300):
        chosen = [every[i] for i in rng.permutation(len(every))[:count]]
        found = SubcarrierMap(tuple(b for b, _ in chosen), tuple(n for _, n in chosen))
        assert parse_layout(str(found)) == found
    for chip, pairs in (("c5", 26), ("c5", 117), ("esp32", 306)):
        layout = layout_of(chip, pairs, twelve_bits=pairs == 26)
        assert layout is not None
        assert parse_layout(str(layout)) == layout


# -- search ----------------------------------------------------------------------------------------------------------


def naive(there: SubcarrierMap, wanted: SubcarrierMap) -> list[int] | None:
    """The rule of docs/spec/subcarriers.md, word by word."""
    columns = list(zip(there.bands, there.numbers, strict=True))
    for band in (Band.LLTF, Band.HTLTF, Band.ANY):
        asked = [(band if b == Band.ANY else b, n) for b, n in zip(wanted.bands, wanted.numbers, strict=True)]
        asked_of_any = [n for b, n in zip(wanted.bands, wanted.numbers, strict=True) if b == Band.ANY]
        if band == Band.LLTF and any(abs(n) > 26 for n in asked_of_any):
            continue  # empty pairs
        if all(one in columns for one in asked):
            return [columns.index(one) for one in asked]
    return None


def test_the_search_is_the_rule(rng: np.random.Generator) -> None:
    layouts = [
        layout_of(chip, pairs, **f) for chip in ("s3", "c5", "c6") for pairs in (57, 64, 128, 192) for f in FACTS
    ]
    found = missed = 0
    for there in {layout for layout in layouts if layout is not None}:
        for _ in range(40):
            bands = rng.choice(np.array([*list(Band)[:3], Band.HTLTF40]), size=3)
            numbers = rng.choice(np.arange(-34, 34), size=3, replace=False)
            wanted = SubcarrierMap(tuple(Band(str(b)) for b in bands), tuple(map(int, numbers)))
            expected = naive(there, wanted)
            if expected is None:
                missed += 1
                with pytest.raises(ShapeError, match="subcarriers: expected"):
                    find_subcarriers(there, wanted)
            else:
                found += 1
                assert find_subcarriers(there, wanted).tolist() == expected
    assert found > 20
    assert missed > 20


def test_any_is_one_band_and_prefers_lltf() -> None:
    both = parse_layout("lltf:-26..26,htltf:-28..28")
    assert find_subcarriers(both, parse_subcarriers("-1,1")).tolist() == [25, 27]
    assert find_subcarriers(both, parse_subcarriers("-28,1")).tolist() == [53, 53 + 29]
    with pytest.raises(ShapeError, match="subcarriers: expected 29, found lltf:-26..26,htltf:-28..28"):
        find_subcarriers(both, parse_subcarriers("1,29"))
    with pytest.raises(ShapeError, match="expected heltf:1"):
        find_subcarriers(both, parse_subcarriers("heltf:1"))


def test_any_takes_no_empty_pair_of_lltf() -> None:
    """A raw L-LTF frame has 64 pairs, of which those beyond 26 are empty; HT-LTF carries 27 and 28."""
    classic, both = layout_of("s3", 64, sig_mode=0, secondary=0), layout_of("s3", 128, sig_mode=1, stbc=0, secondary=0)
    assert classic is not None
    assert both is not None
    assert find_subcarriers(classic, parse_subcarriers("-26,26")).tolist() == [38, 26]
    for number in (-28, -27, 27, 28):
        with pytest.raises(ShapeError, match=rf"subcarriers: expected {number}, found lltf:0..31,-32..-1"):
            find_subcarriers(classic, SubcarrierMap.of([1, number]))
        columns = find_subcarriers(both, SubcarrierMap.of([1, number])).tolist()
        assert [both.bands[column] for column in columns] == [Band.HTLTF, Band.HTLTF]
    assert find_subcarriers(classic, parse_subcarriers("lltf:27")).tolist() == [27]  # asked for by name


# -- features --------------------------------------------------------------------------------------------------------


def test_amplitudes_of_12_bits_are_correctly_rounded(rng: np.random.Generator) -> None:
    iq = np.concatenate([rng.integers(-2048, 2048, (500, 2)), [[-2048, -2048], [2047, -2048], [0, 0]]]).astype(np.int16)
    exact = np.sqrt((iq.astype(np.float64) ** 2).sum(axis=1))  # of exact sums: rounding twice is rounding once here
    np.testing.assert_array_equal(csi_amplitude(iq), exact.astype(np.float32))
    small = rng.integers(-128, 128, (64, 2))
    np.testing.assert_array_equal(csi_amplitude(small.astype(np.int16)), csi_amplitude(small.astype(np.int8)))
    with pytest.raises(InvalidArgumentError):
        csi_amplitude(np.array([[2048, 0]], np.int16))


def physical(rng: np.random.Generator) -> dict[int, np.ndarray]:
    return {n: rng.integers(-90, 90, (5, 2)).astype(np.int8) for n in range(-32, 32)}


def recording(channel: dict[int, np.ndarray], layout: SubcarrierMap | None, numbers: Any = None) -> Recording:
    iq = np.stack([channel[n] for n in (numbers if layout is None else layout.numbers)], axis=1)
    return Recording("f", "r", "test", iq=iq, subcarriers=layout)


def test_the_same_frame_in_either_chips_order_gives_the_same_bits(rng: np.random.Generator) -> None:
    channel, model = physical(rng), model_of("-26..26")
    classic = layout_of("s3", 64, sig_mode=1, bandwidth=0, secondary=0)
    shifted, padded, short = layout_of("s3", 64, sig_mode=0, secondary=1), layout_of("c6", 64), layout_of("c5", 57)
    frames = [model_frames(model, recording(channel, layout)) for layout in (classic, shifted, padded, short)]
    for other in frames[1:]:
        np.testing.assert_array_equal(other.view(np.uint32), frames[0].view(np.uint32))
    mapper = FrameMapper(model)
    for layout in (classic, shifted, padded, short):
        given = recording(channel, layout)
        assert given.iq is not None
        row = mapper.frame(given.iq[2], layout)
        np.testing.assert_array_equal(row, frames[0][2])
    # features whose columns have numbers, in another order and with more of them
    columns = SubcarrierMap.of(reversed(range(-30, 31)))
    assert classic is not None
    amplitudes = recording(channel, columns).selected()
    assert not amplitudes.is_raw
    np.testing.assert_array_equal(model_frames(model, amplitudes), frames[0])
    chosen = recording(channel, classic).selected(parse_subcarriers("-26..26"))
    assert chosen.subcarriers == parse_subcarriers("-26..26")
    np.testing.assert_array_equal(model_frames(model, chosen), frames[0])


def test_a_frame_that_lacks_a_subcarrier_is_an_error_that_names_it(rng: np.random.Generator) -> None:
    model = model_of("lltf:-26..26,htltf:27")
    message = r"f:r: subcarriers: expected htltf:27, found lltf:-26..26 \(53 columns, 53 wanted\); choose"
    with pytest.raises(RecordingShapeError, match=message):
        model_frames(model, recording(physical(rng), layout_of("c5", 53)))
    mapper = FrameMapper(model)
    assert mapper.frame(np.zeros((53, 2), np.int8), layout_of("c5", 53)) is None
    assert mapper.why is not None
    assert "htltf:27" in mapper.why


def test_raw_frames_of_an_unknown_order_are_asked_about(rng: np.random.Generator) -> None:
    channel, model = physical(rng), model_of("-28..28")
    unknown = recording(channel, None, WRAPPED)
    with pytest.raises(RecordingShapeError, match="--chip"):
        model_frames(model, unknown)
    assert FrameMapper(model).frame(np.zeros((64, 2), np.int8), None) is None
    assert unknown.iq is not None
    told = FrameMapper(model, hints=Hints(chip="esp32s3")).frame(unknown.iq[0], None)
    stated = FrameMapper(model, hints=Hints(layout=SubcarrierMap.of(WRAPPED))).frame(unknown.iq[0], None)
    known = model_frames(model, recording(channel, SubcarrierMap.of(WRAPPED)))
    np.testing.assert_array_equal(told, known[0])
    np.testing.assert_array_equal(stated, known[0])


def test_plain_features_are_taken_in_order_and_a_note_says_so(rng: np.random.Generator) -> None:
    model, frames = model_of("-2..2"), rng.random((6, 4), np.float32)
    given = model_input(model, Recording("f", "r", "test", frames=frames))
    np.testing.assert_array_equal(given.frames, frames)
    assert any("does not say which subcarriers its columns are" in note for note in given.notes)
    told = model_input(model, Recording("f", "r", "test", frames=frames, subcarriers=parse_subcarriers("2,1,-1,-2")))
    np.testing.assert_array_equal(told.frames, frames[:, ::-1])
    assert not any("does not say" in note for note in told.notes)
    with pytest.raises(RecordingShapeError, match=r"f:r: frame width: expected 4 features .*, found 3; name the subc"):
        model_input(model, Recording("f", "r", "test", frames=frames[:, :3].copy()))


def test_an_old_blob_keeps_its_indices_and_says_so(rng: np.random.Generator) -> None:
    model = blob_of_settings(2, subcarriers=SubcarrierSettings(64, [40, 7]))
    given = recording(physical(rng), SubcarrierMap.of(WRAPPED))
    found = model_input(model, given)
    assert INDEX_NOTE in found.notes
    assert given.iq is not None
    np.testing.assert_array_equal(found.frames[0], csi_amplitude(given.iq[0], [40, 7]))
    with pytest.raises(RecordingShapeError, match="expected raw frames of 64 I/Q pairs"):
        columns_for(model, None, 57, raw=True, where="f")


def test_a_node_states_its_layout_in_the_header_of_a_raw_frame() -> None:
    def header(layout: int, pairs: int = 64, antennas: int = 1) -> RawHeader:
        return RawHeader(1, antennas, pairs, 2412, 0, -40, -90, layout)

    assert header(0).subcarriers is None
    assert str(header(1).subcarriers) == "lltf:0..31,-32..-1"
    assert str(header(1 | 1 << 4 | 1 << 6 | 2 << 8, 192).subcarriers) == "lltf:-32..31,htltf40:0..63,-64..-1"
    assert str(header(2, 53).subcarriers) == "lltf:-26..26"
    assert header(1, antennas=2).subcarriers is None
    assert header(15).subcarriers is None
    assert header(1 | 1 << 10).subcarriers is None
    assert header(1 | 1 << 11).subcarriers is None
    assert [str(header(3 | code << 4).subcarriers) for code in (0, 1, 3)] == [
        "lltf:-32..31",
        "htltf:-32..31",
        "-32..31",
    ]
    assert str(header(2 | 1 << 10, 53).subcarriers) == "lltf:-26..-2/2,2..26/2"
    assert header(2 | 1 << 10, 53).words
    assert not header(2, 53).words


def settled(said: str | None, chips: tuple[str, ...] = (), **hints: Any) -> tuple[str, tuple[str, ...]]:
    layout = None if said is None else parse_layout(said)
    told: dict[str, Any] = {name: parse_layout(hint) if name == "layout" else hint for name, hint in hints.items()}
    used, notes = settled_subcarriers(layout, Hints(**told), chips, 64)
    return str(used), notes


def test_what_a_user_says_otherwise_than_a_recording_is_named() -> None:
    numbers, shifted = "lltf:0..31,-32..-1", "lltf:-32..31"
    assert settled(numbers) == (numbers, ())
    assert settled(numbers, layout=numbers) == (numbers, ())
    assert settled("0..31,-32..-1", layout=numbers) == (numbers, ())  # says more, nothing else
    said = f"the recording says that its subcarriers are {numbers}"
    assert settled(numbers, layout=shifted) == (shifted, (f"{said}, --layout says {shifted}: --layout counts",))
    assert settled(numbers, chip="esp32c6") == (
        numbers,
        (f"{said}, --chip esp32c6 says -32..31: the recording counts",),
    )
    other = "the recording comes from chip esp32c5 or esp32c6, --chip says esp32s3: --chip counts"
    assert settled(None, ("esp32c5", "esp32c6"), chip="esp32c61") == ("-32..31", ())
    assert settled(None, ("esp32",), chip="esp32s3") == ("0..31,-32..-1", ())
    found = settled(None, ("esp32c5", "esp32c6"), chip="esp32s3")
    assert found[0] == "0..31,-32..-1"
    assert found[1][0].endswith("--chip esp32s3 says 0..31,-32..-1: --chip esp32s3 counts")
    used, notes = settled_subcarriers(None, Hints(chip="esp32s3"), ("esp32c5", "esp32c6"), 53)
    assert (used, notes) == (None, (other,))
    with pytest.raises(RecordingShapeError, match="layout: expected a subcarrier for each of 64 columns, found 2"):
        settled(numbers, layout="1..2")


def test_every_reader_says_what_a_user_says_otherwise(tmp_path: Path, rng: np.random.Generator) -> None:
    iq = rng.integers(-90, 90, (9, 64, 2)).astype(np.int8)
    np.savez(tmp_path / "set.npz", iq=iq, subcarrier=np.arange(-32, 32))
    header = RawHeader(1, 1, 64, 2412, 0, -40, -90, 3)
    frames = [RawFrame(dataclasses.replace(header, sequence=i), row.tobytes()) for i, row in enumerate(iq)]
    (tmp_path / "frames.bin").write_bytes(b"".join(frame.to_bytes() for frame in frames))
    fields = f"CSI_DATA,1,aa:bb:cc:dd:ee:ff,-40,11,-90,1,2,6,{{}},9,0,128,0,{json.dumps([1] * 128)}\n"
    (tmp_path / "c6.csv").write_text("".join(fields.format(1000 * i) for i in range(9)), "utf-8")
    wanted = parse_layout("htltf:0..31,-32..-1")
    for name in ("set.npz", "frames.bin", "c6.csv"):
        found = Sources([tmp_path / name], hints=Hints(layout=wanted)).one()
        assert found.subcarriers == wanted, name
        assert [note for note in found.notes if "--layout counts" in note], name
        assert not [note for note in Sources([tmp_path / name]).one().notes if "counts" in note], name


def test_a_node_that_sends_12_bit_words_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    words = rng.integers(-2048, 2048, (40, 52)).astype("<i2")
    words[:, 0] = -2048
    header = RawHeader(1, 1, 53, 2412, 0, -40, -90, 2 | 1 << 10)
    frames = [
        RawFrame(dataclasses.replace(header, sequence=i), row.tobytes() + b"\x55\x55") for i, row in enumerate(words)
    ]
    (tmp_path / "frames.bin").write_bytes(b"".join(frame.to_bytes() for frame in frames))
    found = Sources([tmp_path / "frames.bin"]).one()
    assert found.iq is not None
    np.testing.assert_array_equal(found.iq.reshape(40, 52), words)
    assert str(found.subcarriers) == "lltf:-26..-2/2,2..26/2"
    recent = RecentFrames()
    for i, frame in enumerate(frames):
        recent.add("node 1", frame.header.values(frame.values), i / 50)
    (shown,) = recent.recordings()
    assert shown.iq is not None
    np.testing.assert_array_equal(shown.iq, found.iq)
    assert RawHeader(1, 1, 2, 2412, 0, -40, -90, 2).values(b"abcd") == b"abcd"
    seen: list[np.ndarray] = []
    model = model_of("-26,4")
    heard = NodePredictor(model, on_prediction=lambda _, prediction: seen.append(prediction.scores))
    receiver = PacketReceiver(on_arrival=heard.offer)
    for i, frame in enumerate(frames[:20]):
        receiver.take(frame.to_bytes(), "10.0.0.5", 1, float(i), float(i))
    heard.close()
    expected = model.forward(model_frames(model, found)[:20])
    np.testing.assert_array_equal(np.array(seen), expected[: len(seen)])
    assert len(seen) == 20


def test_an_npz_with_numbers_is_a_recording_with_numbers(tmp_path: Path) -> None:
    numbers = [*range(-26, 0), *range(1, 27)]
    np.savez(tmp_path / "set.npz", iq=np.ones((9, 52, 2), np.int8), subcarrier=np.array(numbers))
    found = Sources([tmp_path / "set.npz"]).one()
    assert found.subcarriers == SubcarrierMap.of(numbers)
    with pytest.raises(RecordingShapeError, match="expected -28, found"):
        found.features(parse_subcarriers("-28"))


def test_maps_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="each subcarrier once"):
        SubcarrierMap.of([1, 1])
    with pytest.raises(InvalidArgumentError, match="-511 to 511"):
        SubcarrierMap.of([512])
    with pytest.raises(ShapeError):
        SubcarrierMap((Band.ANY,), (1, 2))
    layout = layout_of("c5", 53)
    assert layout is not None
    assert dataclasses.astuple(layout[1:3]) == ((Band.LLTF,) * 2, (-25, -24))
