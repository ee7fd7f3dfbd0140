"""Models in integers, as the package shows them: what is exact, what a blob must hold, and what is rejected."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from golden_cases import integers as cases
from reference import integers, pyramid, rvne

import aether_temporal as at
from aether_temporal import errors
from aether_temporal.blob_tools import describe_model, integer_cost, quantise

FULL = rvne.Header(7, 4, 2, 5, 2, 3, flags=cases.FLAGS)
EVERY = cases.blob_of("every-section", FULL, 6, cases.EVERY, pyramid.make(6, 4))
PLAIN = cases.blob_of("plain", rvne.Header(5, 3, 1, 3, 1, 3, flags=cases.FLAGS), 0, (), pyramid.make(2, 1))


def frames(n: int, width: int, largest: float = 4.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(3).uniform(-largest, largest, (n, width)).astype(np.float32)


# -- the operations -------------------------------------------------------------------------------------------


def test_a_narrowed_number_is_the_nearest_integer() -> None:
    rng = np.random.default_rng(1)
    for a, m in zip(rng.integers(1 - 2**27, 2**27, 2000), rng.integers(1, 2**31, 2000), strict=True):
        exact = Fraction(int(a) * int(m), 2**29)
        assert abs(integers.narrow(int(a), int(m)) - exact) <= Fraction(1, 2)


def test_a_mean_rounds_a_half_to_the_even_integer() -> None:
    assert [integers.mean(s, 1) for s in (-3, -1, 1, 3, 5)] == [-2, 0, 0, 2, 2]
    assert [integers.mean(s, 2) for s in (-6, -2, 2, 3, 6, 10)] == [-2, 0, 0, 1, 2, 2]
    assert [integers.mean(s, 0) for s in (-3, 4)] == [-3, 4]


def test_powers_are_rounded_to_the_nearest_integer() -> None:
    assert list(integers.powers()) == [round(2**15 * 2 ** (-f / 256)) for f in range(256)]


def test_weights_halve_with_every_256_below_and_end() -> None:
    assert [integers.weight(256 * n) for n in range(17)] == [2 ** (15 - n) for n in range(16)] + [0]
    for below in range(16 * 256):
        assert abs(integers.weight(below) - 2 ** (15 - below / 256)) <= 1
    falling = [integers.weight(below) for below in range(5000)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("largest", [1, 90, 32767])
def test_unit_vectors_have_length_one(size: int, largest: int) -> None:
    x = [int(v) for v in np.random.default_rng(size).integers(-largest, largest + 1, size)]
    x[0] = largest
    length = math.sqrt(sum(v * v for v in x))
    for v, u in zip(x, integers.unit(x, 0), strict=True):
        assert abs(u / integers.ONE - v / length) < 2**-14


def test_a_vector_of_zeros_has_no_direction() -> None:
    assert integers.unit([0, 0, 0], 0) == [0, 0, 0]


# -- models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [3, 33, 2**32 - 1])
def test_forward_stream_and_pool_give_the_same_bits(context: int) -> None:
    model = at.TemporalModel.from_blob(EVERY)
    x = frames(70, 7)
    logits, embeddings = model.forward(x, context, return_embeddings=True)
    stream, pool = model.stream(context), model.pool(2, context)
    for t, frame in enumerate(x):
        assert np.array_equal(stream.push(frame), logits[t])
        assert stream.embedding is not None
        assert np.array_equal(stream.embedding, embeddings[t])
        out = pool.push(["a", "b"], np.stack([frame, x[-1 - t]]), embeddings=True)
        assert np.array_equal(out.logits[0], logits[t])
        assert out.embeddings is not None
        assert np.array_equal(out.embeddings[0], embeddings[t])
    assert np.array_equal(
        pool.push(["b"], x[:1]).logits[0], model.forward(np.concatenate([x[::-1], x[:1]]), context)[-1]
    )


def test_embeddings_have_length_one_and_logits_are_multiples_of_the_unit() -> None:
    model = at.TemporalModel.from_blob(EVERY)
    logits, embeddings = model.forward(frames(40, 7), return_embeddings=True)
    assert np.abs(np.linalg.norm(embeddings.astype(float), axis=1) - 1).max() < 2**-12
    assert np.array_equal(logits * 4096, np.rint(logits * 4096))
    assert len(np.unique(logits)) > 60


def test_dtype_says_nothing() -> None:
    model = at.TemporalModel.from_blob(PLAIN)
    x = frames(30, 5)
    assert np.array_equal(model.forward(x, dtype="float16"), model.forward(x))
    assert model.stream(dtype="float16").dtype == model.stream().dtype == model.pool(3).dtype == "int8"
    assert model.memory(50, "float16") == model.memory(50)


@pytest.mark.parametrize("blob", [PLAIN, EVERY], ids=["plain", "every-section"])
@pytest.mark.parametrize("length", [0, 1, 9, 41])
def test_a_restored_stream_goes_on_as_if_nothing_had_happened(blob: bytes, length: int) -> None:
    model = at.TemporalModel.from_blob(blob)
    x = frames(length + 20, model.input_dim)
    stream = model.stream(33)
    for frame in x[:length]:
        stream.push(frame)
    again = pickle.loads(pickle.dumps(stream))
    assert again.to_bytes() == stream.to_bytes()
    if again.logits is not None:
        assert stream.logits is not None
        assert np.array_equal(again.logits, stream.logits)
    for frame in x[length:]:
        assert np.array_equal(again.push(frame), stream.push(frame))
    pool = model.pool(2, 33)
    pool.restore("one", stream.to_bytes())
    copied = at.StreamPool.from_bytes(model, pool.to_bytes())
    assert copied.dtype == "int8"
    assert np.array_equal(copied.push(["one"], x[:1]).logits[0], stream.push(x[0]))


@pytest.mark.parametrize(
    ("at_byte", "value"), [(40, 0x80), (-5, 0x7F)], ids=["a-key-of-minus-128", "an-embedding-of-two"]
)
def test_a_state_with_a_number_out_of_range_is_rejected(at_byte: int, value: int) -> None:
    stream = at.TemporalModel.from_blob(EVERY).stream(33)
    for frame in frames(20, 7):
        stream.push(frame)
    before = stream.to_bytes()
    damaged = bytearray(before)
    damaged[at_byte if at_byte > 0 else len(damaged) + at_byte - 4] = value
    damaged[-4:] = at.crc32(bytes(damaged[:-4])).to_bytes(4, "little")
    with pytest.raises(errors.SavedStateError, match="payload: expected numbers in their ranges"):
        stream.restore(bytes(damaged))
    assert stream.to_bytes() == before


def test_a_frame_beyond_the_input_changes_nothing() -> None:
    model = at.TemporalModel.from_blob(PLAIN)
    stream = model.stream()
    x = frames(4, 5)
    stream.push(x[0])
    before = stream.to_bytes()
    for beyond in (32.0, -40.0, 3e38):
        bad = x[1].copy()
        bad[3] = beyond
        with pytest.raises(errors.ResultOverflowError, match=r"frame: expected magnitudes below 31\.999"):
            stream.push(bad)
        with pytest.raises(errors.ResultOverflowError, match=r"frames: expected magnitudes below 31\.999.*\(1, 3\)"):
            model.forward(np.stack([x[0], bad]))
    pool = model.pool(2)
    pool.push([1], x[:1])
    out = pool.push([1, 1], np.stack([bad, x[1]]))
    assert out.failed == (0,)
    assert np.isnan(out.logits[0]).all()
    assert stream.to_bytes() == before
    assert np.array_equal(out.logits[1], stream.push(x[1]))


def test_memory_counts_bytes() -> None:
    model = at.TemporalModel.from_blob(EVERY)
    assert model.memory(33).ram == model.stream(33).nbytes
    wide = at.TemporalModel.from_blob(
        cases.blob_of("reference-shape", rvne.Header(16, 4, 1, 32, 2, 4, flags=cases.FLAGS), 0, (), pyramid.make(8, 4))
    )
    assert wide.memory(256, pointer_bytes=4).ram <= 8192


# -- blobs ----------------------------------------------------------------------------------------------------


def test_a_blob_is_taken_apart_and_put_together_again() -> None:
    blob = at.WeightBlob.parse(EVERY)
    assert blob.header.dtype == "int8"
    arrays = blob.arrays()
    assert arrays["layers.1.attention.wo"].dtype == np.int8
    assert arrays["layers.1.integers.w2"].dtype == np.int32
    layers = [{n: arrays[f"layers.{i}.attention.{n}"] for n in ("wq", "wk", "wv", "wo")} for i in range(2)]
    again = at.WeightBlob.from_arrays(blob.header, layers, arrays["classifier.weight"], blob.settings)
    assert again.serialize() == EVERY
    parsed = rvne.parse(EVERY)
    assert {name: array.ravel().tolist() for name, array in arrays.items()} == parsed.integers


def test_arrays_of_sections_that_are_not_there_are_not_listed() -> None:
    names = {array.name for array in at.TemporalModel.from_blob(PLAIN).array_table() if "integers" in array.name}
    assert names == {f"integers.{name}" for name in ("q", "k", "v", "o", "score", "classifier")}


def test_inspection_names_the_types() -> None:
    found = describe_model(EVERY)
    assert found["header"]["dtype"] == found["memory"]["dtype"] == "int8"
    assert found["settings"]["integers"] == {"input_unit": 2**-10, "logit_unit": 2**-12}


def test_weights_that_are_no_integers_are_rejected() -> None:
    blob = at.WeightBlob.parse(PLAIN)
    arrays, settings = blob.arrays(), blob.settings
    layers = [{n: arrays[f"layers.0.attention.{n}"] for n in ("wq", "wk", "wv", "wo")}]
    for wrong, found in ((np.full((5, 3), 0.5), "float64"), (np.full((5, 3), 200), "200 to 200")):
        with pytest.raises(errors.InvalidConfigError, match=f"classifier: expected integers from -128 to 127.*{found}"):
            at.WeightBlob.from_arrays(blob.header, layers, wrong, settings)


def test_no_other_type_is_made_of_it() -> None:
    with pytest.raises(errors.InvalidConfigError, match="dtype: expected int8"):
        at.WeightBlob.parse(PLAIN).to_dtype("float32")
    with pytest.raises(errors.InvalidConfigError, match="trace: expected a model in floating point"):
        at.TemporalModel.from_blob(PLAIN).trace(frames(3, 5))


def rejection(blob: bytes) -> str:
    with pytest.raises(errors.BlobHeaderError) as caught:
        at.TemporalModel.from_blob(blob)
    return str(caught.value)


def changed(number: int, payload: bytes | None, header: rvne.Header | None = None) -> bytes:
    """PLAIN with another section in place of one; None: without it."""
    h = header or rvne.Header(5, 3, 1, 3, 1, 3, flags=cases.FLAGS)
    found: dict[int, bytes] = dict(cases.sections_of("plain", h, 5, (), pyramid.make(2, 1)))
    found.pop(number, None)
    core = at.WeightBlob.parse(PLAIN).weights[: sum(r * c for r, c in h.core_shapes(5))]
    return rvne.build(h, core, 5, found if payload is None else {**found, number: payload})


def test_the_rejection_names_the_field() -> None:
    pattern = rvne.pattern_payload
    reference = replace(pyramid.make(2, 1), pyramid=False)
    normal = cases.Whole("x")
    assert "integers: expected a section 19" in rejection(changed(rvne.INTEGERS, None))
    assert "normalisation: expected a section 4" in rejection(changed(rvne.NORMALISATION, None))
    assert "pattern.switches: expected the pyramid" in rejection(changed(rvne.PATTERN, pattern(reference)))
    assert "pattern.window: expected at most 256 with block_size" in rejection(
        changed(rvne.PATTERN, pattern(pyramid.make(256, 1)))
    )
    scale = normal.words(5, 9) + rvne.words([1, 1, 0, 1, 1])
    assert "normalisation.scale: expected 1 to 2147483647, found 0" in rejection(changed(rvne.NORMALISATION, scale))
    heavy = rvne.words([2**31 - 1, *[0] * (9 + 3 + 3 + 5 + 3 - 1)])
    assert "attention.wq: expected |bias| and the largest input times" in rejection(changed(rvne.BIAS, heavy))
    payload = cases.sections_of("plain", rvne.Header(5, 3, 1, 3, 1, 3, flags=cases.FLAGS), 5, (), pyramid.make(2, 1))
    units = bytearray(payload[rvne.INTEGERS])
    units[0:4] = rvne.words([0x3F000001])
    assert "integers.input_unit: expected a power of two" in rejection(changed(rvne.INTEGERS, bytes(units)))


def test_a_flag_of_integers_alone_is_rejected() -> None:
    for flags in (4, 5, 7):
        data = bytearray(PLAIN)
        data[6] = flags
        data[-4:] = at.crc32(bytes(data[:-4])).to_bytes(4, "little")
        with pytest.raises(errors.BlobFlagsError, match="flags"):
            at.TemporalModel.from_blob(bytes(data))


# -- conversion -----------------------------------------------------------------------------------------------


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Weights of the size that training leaves."""
    return (rng.normal(size=shape) / math.sqrt(shape[-2] if len(shape) > 1 else 4)).astype(np.float32)


def floating(**changes: Any) -> at.WeightBlob:
    """A model with every section that computes, in floating point."""
    rng = np.random.default_rng(5)
    w, q, kv, hidden = 16, 16, 8, 24
    header = at.WeightBlobHeader("float32", 20, 4, 2, 4, 2, 5)
    layers = [
        {"wq": drawn(rng, w, q), "wk": drawn(rng, w, kv), "wv": drawn(rng, w, kv), "wo": drawn(rng, q, w)}
        for _ in range(2)
    ]
    found: dict[str, Any] = {
        "pattern": at.PatternSettings(pattern="pyramid", window=8, block_size=4),
        "agc": "mean",
        "normalisation": at.NormalisationSettings(mean=np.ones(20), scale=rng.uniform(2, 4, 20)),
        "projection": at.ProjectionSettings(bias=drawn(rng, w), weight=drawn(rng, 20, w)),
        "norm": at.NormSettings(weight=rng.uniform(0.5, 2, (2, w)), final=rng.uniform(0.5, 2, w)),
        "convolution": at.ConvolutionSettings(bias=drawn(rng, 2, w), weight=drawn(rng, 2, 3, w)),
        "bias": at.BiasSettings(
            bq=drawn(rng, 2, q),
            bk=drawn(rng, 2, kv),
            bv=drawn(rng, 2, kv),
            bo=drawn(rng, 2, w),
            classifier=drawn(rng, 5),
        ),
        "feed_forward": at.FeedForwardSettings(
            norm=rng.uniform(0.5, 2, (2, w)),
            b1=drawn(rng, 2, hidden),
            b2=drawn(rng, 2, w),
            w1=drawn(rng, 2, w, hidden),
            w2=drawn(rng, 2, hidden, w),
        ),
        "pooling": at.PoolingSettings("mean", 5),
        "embedding": at.EmbeddingSettings(bias=drawn(rng, 6), weight=drawn(rng, w, 6)),
        "stem": at.StemSettings(activation="relu", bias=drawn(rng, w), weight=drawn(rng, 4, w)),
    }
    return at.WeightBlob.from_arrays(
        header, layers, drawn(rng, w, 5), at.ModelSettings(width=w, **{**found, **changes})
    )


def amplitudes(seed: int, n: int = 300, width: int = 20) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    drift = 1 + 0.3 * np.sin(np.arange(n)[:, None] / rng.uniform(5, 40, width))
    return (20 * drift * rng.uniform(0.8, 1.2, (n, width))).astype(np.float32)


SMALLER: dict[str, dict[str, Any]] = {
    "every-section": {},
    "no-stem": {"stem": None},
    "no-norm": {"norm": None, "feed_forward": None},
    "no-agc": {"agc": None, "normalisation": at.NormalisationSettings(mean=np.full(20, 20.0), scale=np.full(20, 0.2))},
    "no-convolution": {"convolution": None},
    "no-bias": {"bias": None},
    "newest": {"pooling": None},
    "no-embedding": {"embedding": None},
}


@pytest.mark.parametrize("changes", SMALLER.values(), ids=SMALLER)
def test_a_model_in_integers_predicts_as_the_one_it_was_made_of(changes: dict[str, Any]) -> None:
    blob = floating(**changes)
    made = quantise(blob, [amplitudes(seed) for seed in range(3)])
    assert made.header.dtype == "int8"
    cost = integer_cost(blob, made, [amplitudes(9)])
    assert cost.frames == 300
    assert cost.logits < 0.02
    assert cost.changed < 0.05
    assert (cost.embeddings is None) == ("embedding" in changes)
    assert cost.embeddings is None or cost.embeddings > 0.999


def test_a_model_without_projection_is_converted() -> None:
    rng = np.random.default_rng(2)
    header = at.WeightBlobHeader("float32", 6, 2, 1, 4, 1, 3)
    layers = [{"wq": drawn(rng, 6, 8), "wk": drawn(rng, 6, 4), "wv": drawn(rng, 6, 4), "wo": drawn(rng, 8, 6)}]
    pattern = at.PatternSettings(pattern="pyramid", window=8, block_size=4)
    blob = at.WeightBlob.from_arrays(header, layers, drawn(rng, 6, 3), at.ModelSettings(pattern=pattern))
    x = rng.normal(size=(200, 6)).astype(np.float32)
    assert integer_cost(blob, quantise(blob, [x]), [x]).logits < 0.01
    turned = blob.with_settings(
        at.ModelSettings(
            pattern=pattern, normalisation=at.NormalisationSettings(mean=np.zeros(6), scale=np.full(6, -1.0))
        )
    )
    with pytest.raises(errors.InvalidConfigError, match="normalisation.scale: expected positive numbers"):
        quantise(turned, [x])


def test_what_cannot_be_converted_is_rejected_by_name() -> None:
    blob = floating()
    with pytest.raises(errors.InvalidConfigError, match="pattern: expected the pyramid"):
        quantise(floating(pattern=None), [amplitudes(1)])
    with pytest.raises(errors.InvalidConfigError, match="blob: expected a model in floating point, found int8"):
        quantise(at.WeightBlob.parse(PLAIN), [frames(9, 5)])
    with pytest.raises(errors.ShapeError, match="at least one frame"):
        quantise(blob, [])
    with pytest.raises(errors.ShapeError, match=r"shape \(T, 20\)"):
        quantise(blob, [amplitudes(1)[:, :19]])
