"""Weight blobs: bytes of the specification, lossless both ways, whole on disk whatever happens."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blob_bytes import extended, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_temporal import (
    BiasSettings,
    BlobCrcError,
    BlobError,
    BlobHeaderError,
    BlobLengthError,
    BlobMagicError,
    BlobTooShortError,
    CalibrationSettings,
    ConvolutionSettings,
    EmbeddingSettings,
    FeedForwardSettings,
    InputTypeError,
    InvalidConfigError,
    ModelSettings,
    NormalisationSettings,
    NormSettings,
    PatternSettings,
    PoolingSettings,
    ProjectionSettings,
    ResultOverflowError,
    ShapeError,
    StemSettings,
    SubcarrierNumberSettings,
    SubcarrierSettings,
    TemporalModel,
    TimingSettings,
    WeightBlob,
    WeightBlobHeader,
)
from tools.reference import rvne as reference_rvne

HEADER = WeightBlobHeader(
    dtype="float32", input_dim=16, n_q_heads=4, n_kv_heads=1, head_dim=32, n_layers=2, n_classes=4
)

TINY = WeightBlobHeader(dtype="float32", input_dim=2, n_q_heads=2, n_kv_heads=1, head_dim=3, n_layers=2, n_classes=3)


def test_the_bytes_are_those_of_the_format(rng: np.random.Generator) -> None:
    weights = rng.standard_normal(10304).astype("<f4").tobytes()
    raw = WeightBlob(HEADER, weights=weights).serialize()
    expected = struct.pack("<IHBB6HI", 0x52564E45, 1, 0, 0, 16, 4, 1, 32, 2, 4, 41216) + weights
    expected += struct.pack("<I", zlib.crc32(expected))
    assert len(raw) == 41_244
    assert raw == expected
    half = WeightBlob(HEADER.replace(dtype="float16"), weights=weights[:20608]).serialize()
    assert half[6] == 1
    assert len(half) == 28 + 20608


def test_parse_is_the_other_way(plain_blob: WeightBlob, tmp_path: Path) -> None:
    raw = plain_blob.serialize()
    for source in (raw, bytearray(raw), memoryview(raw), np.frombuffer(raw, np.uint32)):
        assert WeightBlob.parse(source) == plain_blob
    plain_blob.save(tmp_path / "model.rvne")
    assert (tmp_path / "model.rvne").read_bytes() == raw
    loaded = WeightBlob.load(str(tmp_path / "model.rvne"))
    assert loaded == plain_blob
    assert hash(loaded) == hash(plain_blob)
    assert loaded != WeightBlob(HEADER, bytes(41216))
    assert loaded.header == HEADER
    assert loaded.weights == plain_blob.weights
    assert loaded.settings is None
    assert loaded.width == 16
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    with pytest.raises(FileNotFoundError):
        WeightBlob.load(tmp_path / "none.rvne")


def test_blobs_of_other_tools_are_read() -> None:
    for binary16 in (False, True):
        raw = plain(binary16=binary16)
        assert WeightBlob.parse(raw).serialize() == raw
        arrays = WeightBlob.parse(raw).arrays()
        assert list(arrays) == [
            "layers.0.attention.wq",
            "layers.0.attention.wk",
            "layers.0.attention.wv",
            "layers.0.attention.wo",
            "classifier.weight",
        ]
        assert arrays["layers.0.attention.wk"].shape == (2, 1)
        assert arrays["layers.0.attention.wk"].dtype == (np.float16 if binary16 else np.float32)
        assert b"".join(a.tobytes() for a in arrays.values()) == raw[24:-4]


def test_each_defect_has_its_error(plain_blob: WeightBlob) -> None:
    raw = plain_blob.serialize()
    for cls, bad in (
        (BlobTooShortError, raw[:27]),
        (BlobTooShortError, b""),
        (BlobMagicError, b"R" + raw[1:]),
        (BlobLengthError, raw[:-1]),
        (BlobLengthError, raw + b"\0"),
        (BlobCrcError, raw[:100] + bytes([raw[100] ^ 1]) + raw[101:]),
    ):
        with pytest.raises(cls) as caught:
            WeightBlob.parse(bad)
        assert type(caught.value) is cls
        assert isinstance(caught.value, BlobError)
        bits = cls in (BlobMagicError, BlobCrcError)
        assert (f"0x{caught.value.found:08X}" if bits else str(caught.value.found)) in str(caught.value)
    with pytest.raises(BlobMagicError, match="magic: expected 0x52564E45, found 0x52564E00 at byte 0"):
        WeightBlob.parse(b"\0" + raw[1:])
    message = f"crc32: expected 0x{zlib.crc32(raw[:-4]):08X}, .*, found 0x00000007 at byte {len(raw) - 4}$"
    for read in (WeightBlob.parse, TemporalModel.from_blob):
        with pytest.raises(BlobCrcError, match=message):
            read(raw[:-4] + struct.pack("<I", 7))


@pytest.mark.parametrize("bad", [None, "text", 5, [1, 2], np.zeros(4, "datetime64[s]")], ids=repr)
def test_non_bytes_raise_a_type_error(bad: Any, plain_blob: WeightBlob) -> None:
    with pytest.raises(InputTypeError, match=f"^blob: expected .*, found {type(bad).__name__}$"):
        WeightBlob.parse(bad)
    with pytest.raises(InputTypeError, match=f"^weights: expected .*, found {type(bad).__name__}$"):
        WeightBlob(plain_blob.header, weights=bad)
    with pytest.raises(InputTypeError, match=f"^header: expected a WeightBlobHeader, found {type(bad).__name__}$"):
        WeightBlob(bad, weights=plain_blob.weights)
    with pytest.raises(InputTypeError, match="^header: expected a WeightBlobHeader"):
        WeightBlob.from_arrays(bad, [], [])
    with pytest.raises(InputTypeError, match="^settings: expected ModelSettings or None, found dict"):
        WeightBlob(plain_blob.header, plain_blob.weights, {"width": 3})  # type: ignore[arg-type]


def test_bytes_come_in_any_layout(plain_blob: WeightBlob) -> None:
    class Named(bytes):
        pass

    raw = plain_blob.serialize()
    spread = np.repeat(np.frombuffer(raw, np.uint8), 2)[::2]
    for data in (spread, bytearray(raw), memoryview(raw).cast("c"), Named(raw)):
        assert WeightBlob.parse(data) == plain_blob
    weights = np.repeat(np.frombuffer(plain_blob.weights, "<f4"), 2)[::2]
    assert WeightBlob(plain_blob.header, weights) == plain_blob
    with pytest.raises(InputTypeError, match=r"^layers\[0\]\.wq: expected real numbers"):
        WeightBlob.from_arrays(
            plain_blob.header, [dict.fromkeys(("wq", "wk", "wv", "wo"), "abc")] * plain_blob.header.n_layers, []
        )


@pytest.mark.parametrize("value", [np.array([1, 0]), [1], 2, "yes", None], ids=repr)
def test_dtype_and_extension_are_words_and_flags(value: Any, plain_blob: WeightBlob) -> None:
    for field in ("dtype", "extension"):
        with pytest.raises(InvalidConfigError, match=f"^{field}: expected"):
            plain_blob.header.replace(**{field: value})
    with pytest.raises(InvalidConfigError, match="^dtype: expected"):
        plain_blob.to_dtype(value)
    assert plain_blob.to_dtype(plain_blob.header.dtype) is plain_blob


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_dim", 0),
        ("input_dim", 65_536),
        ("input_dim", -1),
        ("input_dim", 1.0),
        ("n_q_heads", 0),
        ("n_kv_heads", 0),
        ("n_kv_heads", 3),
        ("head_dim", 0),
        ("n_layers", 0),
        ("n_classes", 1),
        ("n_classes", True),
        ("n_classes", np.array([2, 3])),
        ("input_dim", None),
    ],
)
def test_header_values_out_of_range_are_named(field: str, value: Any) -> None:
    with pytest.raises(BlobHeaderError) as caught:
        HEADER.replace(**{field: value})
    assert caught.value.field == field


def test_headers_are_frozen_and_know_their_types() -> None:
    with pytest.raises(InvalidConfigError, match="dtype"):
        HEADER.replace(dtype="float64")
    with pytest.raises(dataclasses.FrozenInstanceError):
        HEADER.input_dim = 3  # type: ignore[misc]
    assert HEADER.replace(input_dim=np.int64(7)).input_dim == 7
    assert (HEADER.flags, HEADER.replace(dtype="float16", extension=True).flags) == (0, 3)
    assert HEADER.core_bytes() == 41216


@pytest.mark.parametrize("length", [0, 41212, 41215, 41220])
def test_weights_are_as_long_as_the_header_says(length: int) -> None:
    with pytest.raises(BlobHeaderError, match=f"weights_len: expected 41216 bytes.*found {length}"):
        WeightBlob(HEADER, bytes(length))


def test_weights_that_are_not_finite_fail_the_check(plain_blob: WeightBlob) -> None:
    weights = bytearray(plain_blob.weights)
    struct.pack_into("<f", weights, 400, float("nan"))
    blob = WeightBlob.parse(WeightBlob(HEADER, weights).serialize())
    with pytest.raises(BlobHeaderError, match="weights"):
        blob.check()


# Arrays and settings


def all_settings(rng: np.random.Generator, header: WeightBlobHeader, width: int) -> ModelSettings:
    """Every section, with random contents."""
    layers, q, kv = header.n_layers, header.n_q_heads * header.head_dim, header.n_kv_heads * header.head_dim

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float16).astype(np.float32)

    found = ModelSettings(
        width=width,
        pattern=PatternSettings(
            window=7, block_size=5, history=40, use_log_stride=True, use_landmarks=False, global_tokens=(0, 4)
        ),
        subcarriers=SubcarrierSettings(9, [8, 1]),
        agc="mean",
        normalisation=NormalisationSettings(mean=draw(header.input_dim), scale=draw(header.input_dim)),
        projection=ProjectionSettings(weight=draw(header.input_dim, width), bias=draw(width)),
        norm=NormSettings(weight=draw(layers, width), final=draw(width), eps=1e-3),
        convolution=ConvolutionSettings(weight=draw(layers, 4, width), bias=draw(layers, width)),
        bias=BiasSettings(
            bq=draw(layers, q),
            bk=draw(layers, kv),
            bv=draw(layers, kv),
            bo=draw(layers, width),
            classifier=draw(header.n_classes),
        ),
        feed_forward=FeedForwardSettings(
            norm=draw(layers, width),
            w1=draw(layers, width, 6),
            b1=draw(layers, 6),
            w2=draw(layers, 6, width),
            b2=draw(layers, width),
        ),
        pooling=PoolingSettings("mean", 3),
        embedding=EmbeddingSettings(weight=draw(width, 2), bias=draw(2)),
        class_names=("still", "moving é", ""),
        frame_rate=50.0,
        provenance="drawn at random",
        stem=StemSettings(weight=draw(3, width), bias=draw(width), activation="relu"),
        timing=TimingSettings(label_delay=3, period_us=20000, max_gap_us=200000),
        subcarrier_numbers=SubcarrierNumberSettings(np.array([-28, 5]), ("htltf", "any")),
        calibration=CalibrationSettings(1.5),
    )
    absent = {field.name for field in dataclasses.fields(found) if getattr(found, field.name) is None}
    assert absent == {"integers"}  # of models in integers alone
    return found


def core_arrays(rng: np.random.Generator, header: WeightBlobHeader, width: int) -> tuple[list[Any], np.ndarray]:
    q, kv = header.n_q_heads * header.head_dim, header.n_kv_heads * header.head_dim
    shapes = {"wq": (width, q), "wk": (width, kv), "wv": (width, kv), "wo": (q, width)}

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float16).astype(np.float32)

    layers = [{name: draw(shape) for name, shape in shapes.items()} for _ in range(header.n_layers)]
    return layers, draw((width, header.n_classes))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_export_is_lossless(dtype: Any, rng: np.random.Generator) -> None:
    header = TINY.replace(dtype=dtype)
    layers, classifier = core_arrays(rng, header, 5)
    wanted = all_settings(rng, header, 5)
    blob = WeightBlob.parse(WeightBlob.from_arrays(header, layers, classifier, wanted).serialize())
    assert blob.header == header.replace(extension=True)
    assert blob.width == 5
    found = blob.settings
    assert found is not None
    assert_same_settings(found, wanted)
    arrays = blob.arrays()
    for index, layer in enumerate(layers):
        for name, array in layer.items():
            np.testing.assert_array_equal(arrays[f"layers.{index}.attention.{name}"], array)
    np.testing.assert_array_equal(arrays["classifier.weight"], classifier)
    np.testing.assert_array_equal(arrays["layers.1.convolution.weight"], np.asarray(wanted.convolution.weight)[1])
    assert arrays["embedding.weight"].dtype == dtype
    assert arrays["stem.weight"].dtype == np.float32
    again = WeightBlob.from_arrays(header, layers, classifier, found)
    assert again == blob


def assert_same_settings(found: Any, wanted: Any) -> None:
    for field in dataclasses.fields(wanted):
        a, b = getattr(found, field.name), getattr(wanted, field.name)
        if dataclasses.is_dataclass(b):
            assert_same_settings(a, b)
        elif isinstance(b, np.ndarray | list):
            np.testing.assert_array_equal(a, b)
        elif isinstance(b, float):
            assert np.float32(a) == np.float32(b)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("binary16", [False, True])
def test_every_section_written_by_hand_is_read_and_written_back(binary16: bool) -> None:
    raw = extended(binary16=binary16).encode()
    blob = WeightBlob.parse(raw)
    assert blob.serialize() == raw
    found = blob.settings
    assert found is not None
    assert found.pattern == PatternSettings(4, 2, 9, True, True, (0, 3))
    assert found.class_names == ("still", "moving é", "")
    assert found.provenance == "made by a test, for tests"
    assert found.frame_rate == 50.0
    assert found.stem is not None
    assert found.stem.activation == "relu"
    assert (found.subcarriers.n_pairs, list(found.subcarriers.index)) == (5, [4, 1])
    assert str(found.subcarrier_numbers.wanted()) == "htltf:-28,any:5"
    core = blob.weights[: blob.header.core_bytes(blob.width)]
    assert WeightBlob(blob.header.replace(extension=False), core, found).serialize() == raw


def test_specification_core_and_reference_name_the_same_arrays(rng: np.random.Generator) -> None:
    layers, classifier = core_arrays(rng, TINY, 5)
    raw = WeightBlob.from_arrays(TINY, layers, classifier, all_settings(rng, TINY, 5)).serialize()
    found = list(WeightBlob.parse(raw).arrays())
    parsed = reference_rvne.parse(raw)
    assert sorted(found) == sorted([*parsed.vectors, *parsed.matrices])
    page = (Path(__file__).parents[1] / "docs" / "spec" / "model.md").read_text(encoding="utf-8")
    table = page[page.index("| section | arrays") :]
    named = set(re.findall(r"`([a-z_]+\.[a-z0-9_]+) \[", table))
    assert {re.sub(r"^layers\.\d+\.", "", name) for name in found} == named


def test_each_section_stands_alone(rng: np.random.Generator) -> None:
    whole = all_settings(rng, TINY, 2)
    layers, classifier = core_arrays(rng, TINY, 2)
    for field in dataclasses.fields(ModelSettings):
        if field.name == "width":
            continue
        wanted = ModelSettings(**{field.name: getattr(whole, field.name)})
        if field.name == "feed_forward":
            wanted = wanted.replace(norm=whole.norm)
        found = WeightBlob.from_arrays(TINY, layers, classifier, wanted).settings
        assert found is not None
        assert_same_settings(found, wanted.replace(width=2))


def test_an_unlimited_pattern_is_unlimited(rng: np.random.Generator) -> None:
    layers, classifier = core_arrays(rng, TINY, 2)
    wanted = ModelSettings(pattern=PatternSettings(window=None, history=None, global_tokens=()))
    found = WeightBlob.from_arrays(TINY, layers, classifier, wanted).settings
    assert found is not None
    assert found.pattern == wanted.pattern


@pytest.mark.parametrize("history", [None, 40])
def test_a_pyramid_is_a_bit_of_the_pattern_section(history: int | None, rng: np.random.Generator) -> None:
    layers, classifier = core_arrays(rng, TINY, 2)
    wanted = ModelSettings(pattern=PatternSettings(window=8, block_size=4, history=history, pattern="pyramid"))
    blob = WeightBlob.from_arrays(TINY, layers, classifier, wanted)
    found = WeightBlob.parse(blob.serialize()).settings
    assert found is not None
    assert found.pattern == wanted.pattern
    section = struct.pack("<2HI5I", 1, 0, 20, 8, 4, history or 0, 8, 0)
    assert blob.weights[blob.header.core_bytes(2) :].startswith(section)
    config = TemporalModel.from_blob(blob).config
    assert (config.pattern, config.window, config.block_size, config.history) == ("pyramid", 8, 4, history)
    assert (config.global_tokens, config.use_log_stride, config.use_landmarks) == ((), False, False)


def test_a_pattern_has_the_defaults_of_its_kind() -> None:
    pyramid = PatternSettings(pattern="pyramid", window=8, block_size=4)
    assert (pyramid.use_log_stride, pyramid.use_landmarks, pyramid.global_tokens) == (False, False, ())
    assert PatternSettings(window=8, block_size=4, history=9).replace(
        pattern="pyramid", history=50
    ) == dataclasses.replace(pyramid, history=50)
    assert pyramid.replace(pattern="reference") == PatternSettings(window=8, block_size=4)
    assert pyramid.replace(window=9) == PatternSettings(pattern="pyramid", window=9, block_size=4)
    assert repr(pyramid) == "PatternSettings(window=8, block_size=4, pattern='pyramid')"
    assert repr(PatternSettings(use_landmarks=False)) == "PatternSettings(use_landmarks=False)"
    assert repr(CalibrationSettings(1 / 3)) == "CalibrationSettings(temperature=0.333333)"
    with pytest.raises(InvalidConfigError, match="pattern: expected 'reference' or 'pyramid', found 'ziggurat'"):
        PatternSettings(pattern="ziggurat")  # type: ignore[arg-type]


def pyramid(**changes: Any) -> Callable[[ModelSettings], ModelSettings]:
    return lambda s: s.replace(pattern=PatternSettings(pattern="pyramid", **changes))


def replaced(part: str, **changes: Any) -> Callable[[ModelSettings], ModelSettings]:
    return lambda s: s.replace(**{part: dataclasses.replace(getattr(s, part), **changes)})


WRONG: dict[str, tuple[type[Exception], str, Callable[[ModelSettings], ModelSettings]]] = {
    "width-0": (InvalidConfigError, "width", lambda s: s.replace(width=0)),
    "width-without-projection": (InvalidConfigError, "projection", lambda s: s.replace(projection=None)),
    "ffn-without-norm": (InvalidConfigError, "norm", lambda s: s.replace(norm=None)),
    "window": (InvalidConfigError, "pattern.window", replaced("pattern", window=2**32 - 1)),
    "block": (InvalidConfigError, "pattern.block_size", replaced("pattern", block_size=0)),
    "history": (InvalidConfigError, "pattern.history", replaced("pattern", history=0)),
    "globals": (InvalidConfigError, "pattern.global_tokens", replaced("pattern", global_tokens=(2**32,))),
    "pyramid window": (InvalidConfigError, "pattern.window", pyramid(window=2**20 + 1)),
    "pyramid without a window's end": (InvalidConfigError, "pattern.window", pyramid(window=None)),
    "pyramid block": (InvalidConfigError, "pattern.block_size", pyramid(block_size=12)),
    "pyramid history": (InvalidConfigError, "pattern.history", pyramid(history=32)),
    "pyramid globals": (InvalidConfigError, "pattern.globals", pyramid(global_tokens=(0,))),
    "pyramid log-stride": (InvalidConfigError, "pattern.use_log_stride", pyramid(use_log_stride=True)),
    "pyramid landmarks": (InvalidConfigError, "pattern.use_landmarks", pyramid(use_landmarks=True)),
    "pairs": (InvalidConfigError, "subcarriers.n_pairs", replaced("subcarriers", n_pairs=65_536)),
    "subcarriers": (InvalidConfigError, "subcarriers.index", replaced("subcarriers", index=[9, 0])),
    "subcarrier-count": (ShapeError, "subcarriers.index", replaced("subcarriers", index=[1])),
    "number": (InvalidConfigError, "subcarrier_numbers.number", replaced("subcarrier_numbers", number=[512, 0])),
    "number-count": (ShapeError, "subcarrier_numbers.number", replaced("subcarrier_numbers", number=[1])),
    "band": (InvalidConfigError, "subcarrier_numbers.band", replaced("subcarrier_numbers", band=("lltf", "ht"))),
    "band-count": (ShapeError, "subcarrier_numbers.band", replaced("subcarrier_numbers", band=("lltf",))),
    "number-twice": (
        InvalidConfigError,
        "subcarrier_numbers",
        replaced("subcarrier_numbers", number=[3, 3], band=("lltf", "lltf")),
    ),
    "agc": (InvalidConfigError, "agc", lambda s: s.replace(agc="median")),
    "mean": (ShapeError, "normalisation.mean", replaced("normalisation", mean=np.zeros(3))),
    "scale": (InvalidConfigError, "normalisation.scale", replaced("normalisation", scale=[np.nan, 1])),
    "project": (ShapeError, "projection.weight", replaced("projection", weight=np.zeros((5, 2)))),
    "eps": (InvalidConfigError, "norm.eps", replaced("norm", eps=0.0)),
    "eps-underflow": (InvalidConfigError, "norm.eps", replaced("norm", eps=1e-60)),
    "taps": (ShapeError, "convolution.weight", replaced("convolution", weight=np.zeros((2, 65, 5)))),
    "bias": (ShapeError, "bias.bq", replaced("bias", bq=np.zeros((2, 5)))),
    "ffn": (ShapeError, "feed_forward.w2", replaced("feed_forward", w2=np.zeros((2, 5, 6)))),
    "pooling": (InvalidConfigError, "pooling.kind", replaced("pooling", kind="max")),
    "pooling-frames": (InvalidConfigError, "pooling.frames", replaced("pooling", frames=65_536)),
    "pooling-newest": (InvalidConfigError, "pooling.frames", replaced("pooling", kind="newest")),
    "embedding": (ShapeError, "embedding.weight", replaced("embedding", weight=np.zeros((5, 3)))),
    "names": (ShapeError, "class_names", lambda s: s.replace(class_names=("a", "b"))),
    "names-zero": (InvalidConfigError, "class_names", lambda s: s.replace(class_names=("a\0", "b", "c"))),
    "names-surrogate": (InvalidConfigError, "class_names", lambda s: s.replace(class_names=("\ud800", "b", "c"))),
    "rate": (InvalidConfigError, "frame_rate", lambda s: s.replace(frame_rate=0)),
    "temperature": (InvalidConfigError, "calibration.temperature", replaced("calibration", temperature=0)),
    "rate-inf": (InvalidConfigError, "frame_rate", lambda s: s.replace(frame_rate=1e300)),
    "stem": (ShapeError, "stem.weight", replaced("stem", weight=np.zeros((0, 5)))),
    "stem-activation": (InvalidConfigError, "stem.activation", replaced("stem", activation="gelu")),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("name", WRONG)
def test_settings_that_do_not_fit_are_named(name: str, rng: np.random.Generator) -> None:
    cls, field, change = WRONG[name]
    settings_ = all_settings(rng, TINY, 5)
    layers, classifier = core_arrays(rng, TINY, 5)
    with pytest.raises(cls) as caught:
        WeightBlob.from_arrays(TINY, layers, classifier, change(settings_))
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_arrays_that_do_not_fit_are_named(rng: np.random.Generator) -> None:
    layers, classifier = core_arrays(rng, TINY, 2)
    with pytest.raises(ShapeError, match="layers: expected 2"):
        WeightBlob.from_arrays(TINY, layers[:1], classifier)
    with pytest.raises(ShapeError, match=r"layers\[1\].wo"):
        WeightBlob.from_arrays(TINY, [layers[0], layers[1] | {"wo": np.zeros((2, 6))}], classifier)
    with pytest.raises(InvalidConfigError, match="classifier.*inf"):
        WeightBlob.from_arrays(TINY, layers, np.full((2, 3), np.inf))


def test_to_dtype_rounds_matrices_and_nothing_else(rng: np.random.Generator) -> None:
    layers, classifier = core_arrays(rng, TINY, 5)
    layers[0]["wq"] = rng.standard_normal((5, 6)).astype(np.float32)
    blob = WeightBlob.from_arrays(TINY, layers, classifier, all_settings(rng, TINY, 5))
    half = blob.to_dtype("float16")
    assert half.header.dtype == "float16"
    assert blob.to_dtype("float32") is blob
    wide, narrow = blob.arrays(), half.arrays()
    assert list(wide) == list(narrow)
    for name, array in wide.items():
        np.testing.assert_array_equal(narrow[name], array.astype(narrow[name].dtype))
    assert (narrow["layers.0.attention.wq"] != wide["layers.0.attention.wq"]).any()
    assert half.to_dtype("float32").to_dtype("float16") == half
    layers[0]["wq"][0, 0] = 65_520
    with pytest.raises(ResultOverflowError, match=r"layers\[0\].wq"):
        WeightBlob.from_arrays(TINY, layers, classifier, all_settings(rng, TINY, 5)).to_dtype("float16")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_a_blob_or_a_named_error(data: bytes, seal: bool) -> None:
    if seal and len(data) >= 28:
        data = struct.pack("<IH", 0x52564E45, 1) + data[6:20] + struct.pack("<I", len(data) - 28) + data[24:-4]
        data += struct.pack("<I", zlib.crc32(data))
    try:
        assert WeightBlob.parse(data).serialize() == data
    except BlobError as error:
        assert error.field


# Saving


class Interrupted(Exception):
    """Stands for a power cut: nothing after it runs but clean-up."""


def _stop(*_: object) -> None:
    raise Interrupted


@pytest.mark.parametrize(
    ("where", "exists"),
    [(where, exists) for where in ("open", "fdopen", "fsync", "replace") for exists in (True, False)]
    + [("chmod", True)],
)
def test_an_interrupted_save_leaves_the_old_file_whole(
    where: str, exists: bool, plain_blob: WeightBlob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.rvne"
    old = WeightBlob(HEADER, bytes(41216))
    if exists:
        old.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, where, _stop)
        with pytest.raises(Interrupted):
            plain_blob.save(path)
    assert [p.name for p in tmp_path.iterdir()] == (["model.rvne"] if exists else [])
    if exists:
        assert WeightBlob.load(path) == old
    plain_blob.save(path)
    assert WeightBlob.load(path) == plain_blob


def test_a_killed_save_leaves_the_old_file_whole(plain_blob: WeightBlob, tmp_path: Path) -> None:
    """Really killed, between write and rename: no handler runs."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    path = tmp_path / "model.rvne"
    old = WeightBlob(HEADER, bytes(41216))
    old.save(path)
    for name in ("fsync", "replace"):
        child = os.fork()
        if child == 0:
            setattr(os, name, lambda *_: os._exit(9))
            plain_blob.save(path)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert WeightBlob.load(path) == old


def test_data_is_on_disk_before_the_name_is(
    plain_blob: WeightBlob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size
        events.append(f"fsync {kind}")
        fsync(descriptor)

    def spy_replace(source: Any, target: Any) -> None:
        events.append("replace")
        assert Path(source).parent == Path(target).parent
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    plain_blob.save(tmp_path / "model.rvne")
    assert events[:2] == ["fsync 41244", "replace"]


POSIX_FILES = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


@POSIX_FILES
def test_permissions_are_kept(plain_blob: WeightBlob, tmp_path: Path) -> None:
    path = tmp_path / "model.rvne"
    mask = os.umask(0o027)
    try:
        plain_blob.save(path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    WeightBlob(HEADER, bytes(41216)).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert WeightBlob.load(path).weights == bytes(41216)


@POSIX_FILES
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_an_unfinished_file_is_no_more_readable_than_its_target(
    plain_blob: WeightBlob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """At each call between its creation and its renaming, with an umask that takes nothing away."""
    path = tmp_path / "model.rvne"
    path.touch()
    path.chmod(mode)
    seen: list[tuple[int, int]] = []

    def note() -> None:
        seen.extend(
            (stat.S_IMODE(found.stat().st_mode), found.stat().st_size) for found in tmp_path.glob(".model.rvne.*")
        )

    def watched(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            note()
            result = real(*arguments, **named)
            note()
            return result

        return call

    for name in ("open", "fdopen", "chmod", "fsync", "replace"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    mask = os.umask(0)
    try:
        plain_blob.save(path)
    finally:
        os.umask(mask)
    assert seen
    assert not [found for found, _ in seen if found & ~(mode | 0o600)]
    assert not [found for found, size in seen if size and found != mode]
    assert stat.S_IMODE(path.stat().st_mode) == mode


@POSIX_FILES
@pytest.mark.parametrize("leads_to", ["a file", "nothing", "itself"])
def test_a_symbolic_link_is_replaced_and_not_followed(plain_blob: WeightBlob, tmp_path: Path, leads_to: str) -> None:
    other, link = tmp_path / "other", tmp_path / "link.rvne"
    if leads_to == "a file":
        other.write_bytes(b"somebody's")
    link.symlink_to(link if leads_to == "itself" else other)
    plain_blob.save(link)
    assert not link.is_symlink()
    assert WeightBlob.load(link).weights == plain_blob.weights
    assert (other.read_bytes() == b"somebody's") if leads_to == "a file" else not other.exists()


def test_a_folder_that_is_not_there_is_an_os_error(plain_blob: WeightBlob, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plain_blob.save(tmp_path / "none" / "model.rvne")


@pytest.mark.parametrize("path", [None, 3.5, ["model.rvne"]])
def test_a_path_is_a_path(plain_blob: WeightBlob, path: Any) -> None:
    with pytest.raises(InputTypeError, match="path: expected a path, found"):
        WeightBlob.load(path)
    with pytest.raises(InputTypeError, match="path: expected a path, found"):
        plain_blob.save(path)


@pytest.mark.parametrize("wrong", [{"provenance": 3}, {"class_names": [1, 2, 3]}])
def test_text_is_text(rng: np.random.Generator, wrong: dict[str, Any]) -> None:
    layers, classifier = core_arrays(rng, TINY, 2)
    with pytest.raises(InputTypeError, match="expected text, found int"):
        WeightBlob.from_arrays(TINY, layers, classifier, ModelSettings(**wrong))
