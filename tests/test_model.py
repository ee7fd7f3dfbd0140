"""Models: forward is the specification, a stream is forward, and a stream can stop and continue."""

from __future__ import annotations

import copy
import io
import os
import pickle
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blob_bytes import extended
from cli.command import make_blob, save_recordings
from conftest import assert_same_bits
from test_blob import TINY, all_settings, core_arrays

from aether_temporal import (
    AetherTemporalHead,
    BlobHeaderError,
    CacheFullError,
    CacheMismatchError,
    CalibrationSettings,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    KernelsError,
    ModelSettings,
    NonFiniteError,
    PatternSettings,
    ResultOverflowError,
    SavedStateError,
    ShapeError,
    TemporalModel,
    TemporalStream,
    WeightBlob,
)
from aether_temporal.recordings import RecordingError, open_recording
from aether_temporal.running import run
from tools.reference import model as reference
from tools.reference import rvne as reference_rvne

PYRAMID = PatternSettings(pattern="pyramid", window=3, block_size=2)
DTYPES = ["float32", "float16"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(params=["plain", "full-float32", "full-float16", "pyramid-float32", "pyramid-float16"])
def blob(request: pytest.FixtureRequest, rng: np.random.Generator, plain_blob: WeightBlob) -> WeightBlob:
    """Without an extension, and with every section of one, by either pattern."""
    if request.param == "plain":
        return plain_blob
    kind, dtype = request.param.split("-")
    header = TINY.replace(dtype=dtype)
    layers, classifier = core_arrays(rng, header, 5)
    settings = all_settings(rng, header, 5)
    if kind == "pyramid":
        settings = settings.replace(pattern=PYRAMID)
    return WeightBlob.from_arrays(header, layers, classifier, settings)


def frames_for(blob: WeightBlob, rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.random((count, blob.header.input_dim)) + 0.5).astype(np.float32)


@dtypes
@pytest.mark.parametrize("context", [None, 5])
def test_forward_is_the_scalar_definition(
    context: int | None, dtype: Any, rng: np.random.Generator, variant: str
) -> None:
    layers, classifier = core_arrays(rng, TINY, 5)
    blob = WeightBlob.from_arrays(TINY, layers, classifier, all_settings(rng, TINY, 5))
    frames = frames_for(blob, rng, 14)
    stream = reference.Stream(reference_rvne.parse(blob.serialize()), context or 0, half=dtype != "float32")
    results = [stream.push(list(frame)) for frame in frames]
    model = TemporalModel.from_blob(blob, kernels=variant)
    assert model.kernels == variant
    logits, embeddings = model.forward(frames, context, dtype, return_embeddings=True)
    assert_same_bits(logits, np.array([a for a, _ in results], np.float32))
    assert_same_bits(embeddings, np.array([b for _, b in results], np.float32))


@dtypes
@pytest.mark.parametrize("context", [1, 2, 7, 16, 33, 300])
def test_a_stream_is_forward(
    context: int, dtype: Any, blob: WeightBlob, rng: np.random.Generator, variant: str
) -> None:
    model = TemporalModel.from_blob(blob, kernels=variant)
    frames = frames_for(blob, rng, 75)
    logits = model.forward(frames, context, dtype)
    stream = model.stream(context, dtype)
    assert stream.logits is None
    assert stream.embedding is None
    for t, frame in enumerate(frames):
        pushed = stream.push(frame)
        assert_same_bits(pushed, logits[t])
        assert len(stream) == t + 1
    assert_same_bits(stream.logits, logits[-1])
    if model.embed_dim:
        assert_same_bits(stream.embedding, model.embeddings(frames, context, dtype)[-1])
        assert abs(float(np.square(stream.embedding).sum()) - 1) < 1e-5
    else:
        assert stream.embedding is None
    stream.reset()
    assert len(stream) == 0
    assert stream.logits is None
    assert_same_bits(stream.push(frames[0]), logits[0])


@dtypes
def test_no_context_is_all_of_the_past(dtype: Any, blob: WeightBlob, rng: np.random.Generator) -> None:
    model = TemporalModel.from_blob(blob)
    frames = frames_for(blob, rng, 60)
    assert_same_bits(model.forward(frames, dtype=dtype), model.forward(frames, 60, dtype))
    assert_same_bits(model.forward(frames[:31], dtype=dtype), model.forward(frames, dtype=dtype)[:31])
    assert model.forward(frames[:0]).shape == (0, blob.header.n_classes)


@dtypes
@pytest.mark.parametrize("context", [None, 5])
def test_trace_holds_what_the_attention_computes(
    context: int | None, dtype: Any, blob: WeightBlob, rng: np.random.Generator, variant: str
) -> None:
    model = TemporalModel.from_blob(blob, kernels=variant)
    frames = frames_for(blob, rng, 40)
    layers = model.trace(frames, context=context, dtype=dtype)
    h = blob.header
    assert len(layers) == h.n_layers
    history = model.config.history if context is None else min(model.config.history or context, context)
    head = AetherTemporalHead(model.config.replace(history=history), kernels=variant)
    for layer in layers:
        assert layer.q.shape == layer.out.shape == (40, h.n_q_heads, h.head_dim)
        assert layer.k.shape == layer.v.shape == (40, h.n_kv_heads, h.head_dim)
        assert_same_bits(layer.out, head.forward(layer.q, layer.k, layer.v, dtype=dtype))


def test_trace_begins_with_the_projected_frames(plain_blob: WeightBlob, rng: np.random.Generator) -> None:
    model = TemporalModel.from_blob(plain_blob)
    frames = frames_for(plain_blob, rng, 9)
    first = model.trace(frames)[0]
    for name, found in (("wq", first.q), ("wk", first.k), ("wv", first.v)):
        exact = frames.astype(np.float64) @ model.arrays()[f"layers.0.attention.{name}"].astype(np.float64)
        np.testing.assert_allclose(found.reshape(9, -1), exact, rtol=1e-4, atol=1e-5)


def test_trace_of_no_frames_is_empty(plain_blob: WeightBlob) -> None:
    layers = TemporalModel.from_blob(plain_blob).trace(np.empty((0, plain_blob.header.input_dim), np.float32))
    assert [len(layer.q) for layer in layers] == [0] * plain_blob.header.n_layers


def test_trace_names_what_is_wrong(plain_blob: WeightBlob, rng: np.random.Generator) -> None:
    model = TemporalModel.from_blob(plain_blob)
    with pytest.raises(ShapeError, match="frames"):
        model.trace(np.zeros((3, plain_blob.header.input_dim + 1)))
    with pytest.raises(NonFiniteError, match="frames"):
        model.trace(np.full((3, plain_blob.header.input_dim), np.nan))


def test_variants_agree(blob: WeightBlob, rng: np.random.Generator, variant: str) -> None:
    frames = frames_for(blob, rng, 80)
    expected = TemporalModel.from_blob(blob, kernels="portable").forward(frames, 20, "float16")
    assert_same_bits(TemporalModel.from_blob(blob, kernels=variant).forward(frames, 20, "float16"), expected)


@dtypes
@pytest.mark.parametrize("at", [0, 1, 2, 3, 6, 7, 8, 25])
def test_a_stream_continues_from_saved_state(at: int, dtype: Any, blob: WeightBlob, rng: np.random.Generator) -> None:
    model = TemporalModel.from_blob(blob)
    frames = frames_for(blob, rng, 40)
    stream = model.stream(7, dtype)
    for frame in frames[:at]:
        stream.push(frame)
    state = stream.to_bytes()
    rest = [stream.push(frame) for frame in frames[at:]]
    other = TemporalModel.from_blob(blob, kernels="portable").stream(7, dtype)
    other.push(frames[0])
    other.restore(state)
    assert len(other) == at
    assert other.to_bytes() == state
    for frame, expected in zip(frames[at:], rest, strict=True):
        assert_same_bits(other.push(frame), expected)
    for twin in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        assert twin.dtype == dtype
        assert twin.to_bytes() == other.to_bytes() == stream.to_bytes()


@dtypes
def test_errors_leave_a_stream_as_it_was(dtype: Any, blob: WeightBlob, rng: np.random.Generator) -> None:
    model = TemporalModel.from_blob(blob)
    frames = frames_for(blob, rng, 20)
    stream = model.stream(7, dtype)
    for frame in frames[:10]:
        stream.push(frame)
    before, logits = stream.to_bytes(), stream.logits
    bad = frames[10].copy()
    bad[1] = np.nan
    with pytest.raises(NonFiniteError, match=r"frame: expected finite binary32 numbers, found nan at \(1,\)"):
        stream.push(bad)
    with pytest.raises(NonFiniteError, match=r"frames: .*nan at \(0, 1\)"):
        model.forward(bad[None])
    for shape in ((), (blob.header.input_dim - 1,), (blob.header.input_dim + 1,), (1, blob.header.input_dim)):
        with pytest.raises(ShapeError, match=f"frame: expected shape .{blob.header.input_dim},"):
            stream.push(np.zeros(shape, np.float32))
    for junk in (b"", before[:-1], before[:-5] + b"\0" + before[-4:], b"\0" * len(before)):
        with pytest.raises(SavedStateError):
            stream.restore(junk)
    with pytest.raises((CacheMismatchError, SavedStateError)):
        stream.restore(model.stream(8, dtype).to_bytes())
    assert stream.to_bytes() == before
    assert_same_bits(stream.logits, logits)
    for t in range(10, 20):
        assert_same_bits(stream.push(frames[t]), model.forward(frames, 7, dtype)[t])


def test_overflow_is_an_error_and_changes_nothing(plain_blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(plain_blob)
    stream = model.stream(4)
    stream.push(np.ones(16))
    before = stream.to_bytes()
    with pytest.raises(ResultOverflowError, match="frame"):
        stream.push(np.full(16, 3e38))
    assert stream.to_bytes() == before
    with pytest.raises(ResultOverflowError, match="frames"):
        model.forward(np.full((3, 16), 3e38))
    half = model.stream(4, "float16")
    with pytest.raises(ResultOverflowError, match="binary16"):
        half.push(np.full(16, 1e6))


def test_state_belongs_to_a_blob(plain_blob: WeightBlob) -> None:
    state = TemporalModel.from_blob(plain_blob).stream(4).to_bytes()
    other = TemporalModel.from_blob(WeightBlob(plain_blob.header, bytes(41216))).stream(4)
    with pytest.raises(CacheMismatchError):
        other.restore(state)


def test_models_come_from_blobs_bytes_and_paths(
    plain_blob: WeightBlob, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.rvne"
    plain_blob.save(path)
    raw = plain_blob.serialize()
    frames = frames_for(plain_blob, rng, 9)
    expected = TemporalModel.from_blob(plain_blob).forward(frames)
    for source in (raw, bytearray(raw), memoryview(raw), path, str(path)):
        model = TemporalModel.from_blob(source)
        assert_same_bits(model.forward(frames), expected)
        assert model.blob == raw
    assert_same_bits(pickle.loads(pickle.dumps(model)).forward(frames.astype(np.float64)), expected)
    monkeypatch.setenv("AETHER_KERNELS", "abacus")
    with pytest.raises(KernelsError, match="AETHER_KERNELS"):
        TemporalModel.from_blob(plain_blob)
    assert TemporalModel.from_blob(plain_blob, kernels="portable").kernels == "portable"


def test_a_model_says_what_it_is() -> None:
    blob = WeightBlob.parse(extended().encode())
    model = TemporalModel.from_blob(blob)
    assert model.header == blob.header
    assert (model.input_dim, model.n_classes, model.width, model.embed_dim, model.n_pairs) == (2, 3, 3, 2, 5)
    assert model.class_names == ("still", "moving é", "")
    assert model.frame_rate == 50.0
    assert model.provenance == "made by a test, for tests"
    assert isinstance(model.settings, ModelSettings)
    table = model.array_table()
    assert table[0] == ("attention.wq", 0, "float32", 24, (3, 2))
    assert [a.offset for a in table[:5]] == sorted(a.offset for a in table[:5])
    arrays = model.arrays()
    assert len(arrays) == len(table)
    assert all(not array.flags.writeable for array in arrays.values())
    np.testing.assert_array_equal(model.csi_frame(np.arange(10).reshape(5, 2)), np.hypot([8, 2], [9, 3]).astype("f4"))


EXTENDED = (
    "ModelSettings(width=3, pattern(window=4, block_size=2, history=9, global_tokens=(0, 3)), subcarriers(n_pairs=5), "
    "agc='mean', normalisation, projection, norm, convolution, bias, feed_forward, pooling(kind='mean', frames=3), "
    "embedding, class_names=('still', 'moving é', ''), frame_rate=50, provenance='made by a test, for tests', "
    "stem(activation='relu'), timing(label_delay=25, period_us=20000, max_gap_us=1000000), "
    "subcarrier_numbers(band=('htltf', 'any')))"
)


def test_reprs_describe_in_a_few_words(plain_blob: WeightBlob) -> None:
    blob = WeightBlob.parse(extended().encode())
    model = TemporalModel.from_blob(blob, kernels="portable")
    first, second = repr(model).split("\n")
    assert first == (
        "<TemporalModel: classes still, moving é, (unnamed); embedding 2 values; input 2 features at 50 Hz; "
        f"shape 1 layer of width 3, {model.header.n_q_heads} query and "
        f"{model.header.n_kv_heads} key/value heads of {model.header.head_dim}; weights float32; kernels portable;"
    )
    assert second == " made by a test, for tests>"
    assert "<td style='text-align:left'>still, moving é, (unnamed)</td>" in model._repr_html_()
    facts = first.removeprefix("<TemporalModel: ").split("; kernels")[0]
    assert repr(blob).split("\n") == [f"<WeightBlob: size {len(blob.serialize())} bytes; {facts};", second]
    assert "made by a test" in blob._repr_html_()
    header = blob.header.replace(n_classes=4)
    damaged = WeightBlob(header, blob.weights)
    assert repr(damaged).startswith(
        f"<WeightBlob: size {len(blob.serialize())} bytes; input 2 features; classes 4; unusable "
    )
    layers = [{name: blob.arrays()[f"layers.0.attention.{name}"] for name in ("wq", "wk", "wv", "wo")}]
    assert blob.settings is not None
    named = blob.settings.replace(class_names=("a\nb", "c" * 300, ""))
    named_blob = WeightBlob.from_arrays(blob.header, layers, blob.arrays()["classifier.weight"], named)
    lines = repr(named_blob).split("\n")
    assert lines[0].startswith("<WeightBlob: size ")
    assert r"classes a\nb, ccc" in lines[0]
    assert len(lines) == 2
    assert len(lines[0]) < 400
    stream = model.stream(context=8)
    assert repr(stream) == (f"<TemporalStream: 0 frames, context 8, float32 cache, {stream.nbytes} bytes>")
    assert "classes 4; input 16 features; shape" in repr(TemporalModel.from_blob(plain_blob))
    assert repr(model.settings) == EXTENDED
    assert "provenance='long long" in (text := repr(ModelSettings(provenance="long " * 200)))
    assert len(text) < 100
    assert model.settings is not None
    assert repr(model.settings.stem) == "StemSettings(activation='relu', bias=[3], weight=[2, 3])"


def test_a_plain_model_says_what_it_is_not(plain_blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(plain_blob)
    assert (model.class_names, model.frame_rate, model.provenance, model.settings) == (None, None, None, None)
    assert (model.embed_dim, model.n_pairs, model.width) == (0, 0, 16)
    with pytest.raises(ShapeError, match="embeddings"):
        model.embeddings(np.zeros((3, 16)))
    with pytest.raises(ShapeError, match="embeddings"):
        model.forward(np.zeros((3, 16)), return_embeddings=True)


@dtypes
def test_memory_is_what_a_stream_takes(dtype: Any, blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(blob)
    for context in (1, 16, 256, 4096):
        memory = model.memory(context, dtype)
        assert memory.ram == memory.state + memory.scratch == model.stream(context, dtype).nbytes
        assert memory.flash == len(blob.serialize())
        assert memory.multiply_adds > 0
        assert memory.cache_rows >= 1
    assert model.memory(4096, "float16").state < model.memory(4096, "float32").state


def pyramid_blob(plain_blob: WeightBlob, **pattern: Any) -> WeightBlob:
    settings = ModelSettings(pattern=PatternSettings(pattern="pyramid", **pattern))
    return WeightBlob(plain_blob.header, plain_blob.weights, settings)


@dtypes
def test_a_stream_of_a_pyramid_has_memory_for_four_billion_frames(dtype: Any, plain_blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(pyramid_blob(plain_blob, window=8, block_size=4))
    assert model.default_context == 2**32 - 1
    whole, short = model.memory(dtype=dtype), model.memory(256, dtype)
    assert short.ram < whole.ram < 5 * short.ram
    assert (whole.cache_rows, short.cache_rows) == (13, 13)
    assert whole.ram == model.stream(dtype=dtype).nbytes
    assert TemporalModel.from_blob(pyramid_blob(plain_blob, history=100)).default_context == 100


@dtypes
@pytest.mark.parametrize("context", [None, 300])
def test_a_long_stream_of_a_pyramid_is_forward(context: int | None, dtype: Any, plain_blob: WeightBlob) -> None:
    """Every length of runs up to 512 blocks comes and goes, and of a history everything that leaves it."""
    model = TemporalModel.from_blob(pyramid_blob(plain_blob, window=2, block_size=1))
    frames = frames_for(plain_blob, np.random.default_rng(5), 1100)
    stream = model.stream(context, dtype)
    taken = stream.nbytes
    found = np.stack([stream.push(frame) for frame in frames])
    assert_same_bits(found, model.forward(frames, context, dtype))
    assert stream.nbytes == taken


@pytest.mark.parametrize("shape", [(8, 4, None), (0, 1, None), (16, 8, 100), (5, 16, 40)])
def test_multiply_adds_cover_what_a_query_of_a_pyramid_sees(
    shape: tuple[int, int, int | None], plain_blob: WeightBlob
) -> None:
    window, block, history = shape
    model = TemporalModel.from_blob(pyramid_blob(plain_blob, window=window, block_size=block, history=history))
    context, h = 500, model.header
    seen = model.config.within(context).mask(3000, 1000)
    most = int((seen.tokens.sum(1) + seen.blocks.sum(1)).max())
    weights = sum(array.size for array in model.arrays().values())
    counted = model.memory(context).multiply_adds - weights
    rows, left = divmod(counted, 2 * h.n_layers * h.n_q_heads * h.head_dim)
    assert left == 0
    assert most <= rows <= most + 4


def test_a_stream_of_the_other_pattern_is_not_restored(plain_blob: WeightBlob, rng: np.random.Generator) -> None:
    settings = ModelSettings(pattern=PatternSettings(window=8, block_size=4))
    other = TemporalModel.from_blob(WeightBlob(plain_blob.header, plain_blob.weights, settings)).stream(64)
    stream = TemporalModel.from_blob(pyramid_blob(plain_blob, window=8, block_size=4)).stream(64)
    for frame in frames_for(plain_blob, rng, 30):
        stream.push(frame)
    before = stream.to_bytes()
    with pytest.raises(CacheMismatchError, match="blob CRC"):
        stream.restore(other.to_bytes())
    assert stream.to_bytes() == before


def at_length(saved: bytes, offset: int, length: int) -> bytes:
    """A saved state with another length."""
    body = saved[:offset] + struct.pack("<Q", length) + saved[offset + 8 : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def test_a_stream_ends_with_its_counter(blob: WeightBlob, rng: np.random.Generator) -> None:
    stream = TemporalModel.from_blob(blob).stream(64)
    frame = frames_for(blob, rng, 1)[0]
    stream.push(frame)
    last = 2**62 - 1
    stream.restore(at_length(stream.to_bytes(), 24, last - 1))
    stream.push(frame)
    before = stream.to_bytes()
    assert struct.unpack_from("<Q", before, 24) == (last,)
    with pytest.raises(CacheFullError, match=f"stream: expected at most {last} frames in all, found one more"):
        stream.push(frame)
    assert stream.to_bytes() == before
    stream.restore(before)
    with pytest.raises(SavedStateError, match="length"):
        stream.restore(at_length(before, 24, last + 1))


def test_memory_of_another_machine(blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(blob)
    here, chip = model.memory(256, "float16"), model.memory(256, "float16", pointer_bytes=4)
    assert here in (chip, model.memory(256, "float16", pointer_bytes=8))
    assert chip.scratch < model.memory(256, "float16", pointer_bytes=8).scratch
    assert (chip.flash, chip.state, chip.multiply_adds) == (here.flash, here.state, here.multiply_adds)
    for pointer_bytes in (0, 2, 16, True, "4", np.array([4, 8])):
        with pytest.raises(InvalidConfigError, match="pointer_bytes"):
            model.memory(256, "float16", pointer_bytes=pointer_bytes)  # type: ignore[arg-type]


def test_bad_arguments_are_named(plain_blob: WeightBlob) -> None:
    model = TemporalModel.from_blob(plain_blob)
    frames = np.zeros((3, 16), np.float32)
    for context in (0, -1, 2**64, 1.5, True):
        for call in (model.stream, model.memory, lambda c: model.forward(frames, c)):
            with pytest.raises(InvalidConfigError, match="context"):
                call(context)
    for dtype in ("float64", None, np.array([1, 0])):
        for call in (model.stream, model.memory, lambda c, d: model.forward(frames, c, d)):
            with pytest.raises(InvalidConfigError, match="context"):
                call(np.array([1, 0]), "float32")
            with pytest.raises(InvalidConfigError, match="dtype"):
                call(4, dtype)
    for shape in ((16,), (3, 15), (3, 17), (1, 3, 16)):
        with pytest.raises(ShapeError, match="frames"):
            model.forward(np.zeros(shape, np.float32))
    with pytest.raises(InvalidArgumentError, match="model"):
        model.__init__(plain_blob.serialize())  # type: ignore[misc]
    stream = model.stream(4)
    with pytest.raises(InvalidArgumentError, match="stream"):
        stream.__init__(model, 8)  # type: ignore[misc]
    with pytest.raises(InvalidArgumentError, match="model"):
        TemporalModel.__new__(TemporalModel).stream(4)
    with pytest.raises(MemoryError):
        model.stream(2**62)


@pytest.mark.parametrize("bad", [None, 123, [1], np.zeros(4, "datetime64[s]")], ids=repr)
def test_what_is_no_blob_or_model_is_a_type_error(bad: Any) -> None:
    with pytest.raises(InputTypeError, match=f"^blob: expected a WeightBlob, .*, found {type(bad).__name__}$"):
        TemporalModel.from_blob(bad)
    with pytest.raises(InputTypeError, match=f"^blob: expected bytes .*, found {type(bad).__name__}$"):
        TemporalModel(bad)
    with pytest.raises(InputTypeError, match=f"^model: expected a TemporalModel, found {type(bad).__name__}$"):
        TemporalStream(bad)


def test_a_model_that_is_not_made_says_so() -> None:
    bare = TemporalModel.__new__(TemporalModel)
    for use in (lambda: bare.header, lambda: bare.blob, lambda: bare.kernels, lambda: repr(bare), bare.array_table):
        with pytest.raises(InvalidArgumentError, match="^model: expected an initialised model"):
            use()


def test_bytes_of_another_class_are_kept(plain_blob: WeightBlob, rng: np.random.Generator) -> None:
    class Named(bytes):
        pass

    frames = frames_for(plain_blob, rng, 5)
    model = TemporalModel.from_blob(Named(plain_blob.serialize()))
    assert type(model.blob) is bytes
    assert_same_bits(model.forward(frames), TemporalModel.from_blob(plain_blob).forward(frames))


def test_weights_that_are_not_finite_make_no_model(plain_blob: WeightBlob) -> None:
    weights = np.frombuffer(plain_blob.weights, "<f4").copy()
    weights[-1] = np.inf
    with pytest.raises(BlobHeaderError, match="weights"):
        TemporalModel.from_blob(WeightBlob(plain_blob.header, weights.tobytes()))


def test_a_model_outlives_the_objects_it_came_from(plain_blob: WeightBlob, rng: np.random.Generator) -> None:
    frames = frames_for(plain_blob, rng, 30)
    expected = TemporalModel.from_blob(plain_blob).forward(frames, 8)
    raw = bytearray(plain_blob.serialize())
    stream = TemporalModel.from_blob(raw).stream(8)
    raw[:] = bytes(len(raw))
    for t, frame in enumerate(frames):
        assert_same_bits(stream.push(frame), expected[t])


# -- TemporalModel.classify: the predictions of `aether run`, from whatever holds frames ---------------------------


def classifier(calibrated: bool = False) -> TemporalModel:
    blob = make_blob()
    if calibrated:
        assert blob.settings is not None
        settings = blob.settings.replace(calibration=CalibrationSettings(2.0))
        blob = WeightBlob(blob.header.replace(extension=False), blob.weights[: blob.header.core_bytes()], settings)
    return TemporalModel.from_blob(blob)


def csi_text(frames: int = 30, pairs: int = 6) -> bytes:
    rng = np.random.default_rng(3)
    head = "CSI_DATA,{i},aa:bb:cc:dd:ee:ff,-50,11,1,0,0,0,0,0,0,0,0,-90,0,1,0,{us},0,100,0,{n},0"
    lines = []
    for i in range(frames):
        values = ",".join(map(str, rng.integers(-60, 60, 2 * pairs)))
        lines.append(head.format(i=i, us=20000 * i, n=2 * pairs) + f',"[{values}]"')
    return "\n".join(lines).encode() + b"\n"


def test_a_file_gives_the_predictions_of_a_run(tmp_path: Path) -> None:
    path = save_recordings(tmp_path)
    expected = run(classifier(), open_recording(path, recording="b"))
    found = list(classifier().classify(path, recording="b"))
    assert [p.best for p in found] == expected.predictions.tolist()
    assert [p.label for p in found] == [expected.names[i] for i in expected.predictions]
    assert [p.time for p in found] == pytest.approx([t / 50 for t in range(50)])
    assert {p.probability for p in found} == {None}
    assert [p.best for p in classifier().classify(open_recording(path, recording="b"))] == [p.best for p in found]
    frames = open_recording(path, recording="b").features()
    assert [p.best for p in classifier().classify(frames)] == [p.best for p in found]
    assert {p.time for p in classifier().classify(frames)} == {None}


def test_a_calibrated_model_gives_probabilities(tmp_path: Path) -> None:
    for prediction in classifier(calibrated=True).classify(save_recordings(tmp_path), recording=0):
        weights = np.exp(prediction.scores.astype(np.float64) - prediction.scores.max())
        assert prediction.probability == pytest.approx(weights.max() / weights.sum())


def test_text_gives_the_same_from_a_file_an_open_file_and_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "monday.csv"
    path.write_bytes(csi_text())
    expected = [(p.time, p.label, p.scores.tolist()) for p in classifier().classify(path)]
    assert len(expected) == 30
    assert [(p.time, p.label, p.scores.tolist()) for p in classifier().classify(io.BytesIO(csi_text()))] == expected
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(csi_text(),))
    writer.start()
    assert [(p.time, p.label, p.scores.tolist()) for p in classifier().classify(pipe)] == expected
    writer.join()


def test_bad_sources_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="source: expected a path"):
        classifier().classify(7)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="frames"):
        classifier().classify(np.zeros(6))
    with pytest.raises((RecordingError, OSError), match=r"missing\.csv"):
        classifier().classify(tmp_path / "missing.csv")
    with pytest.raises(RecordingError, match="frame width"):
        classifier().classify(np.zeros((4, 5), np.float32))
