"""What may be handed in: used where it lies when it can be, converted when it must be, rejected when it is no real
array."""

from __future__ import annotations

import array
import ctypes
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Inputs, assert_same_bits

from aether_temporal import (
    AetherTemporalHead,
    InputTypeError,
    InvalidArgumentError,
    NonFiniteError,
    TemporalError,
    TemporalHeadConfig,
    TemporalModel,
    WeightBlob,
    _core,
    crc32,
    csi_amplitude,
)

CONFIG = TemporalHeadConfig(q_heads=2, kv_heads=1, head_dim=4, window=3, block_size=4)

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


@pytest.fixture
def inputs(qkv: Callable[..., Inputs]) -> Inputs:
    return qkv(CONFIG, 20)


@pytest.fixture
def head() -> AetherTemporalHead:
    return AetherTemporalHead(CONFIG)


def strided(x: np.ndarray) -> np.ndarray:
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:]
    return raw.view(x.dtype).reshape(x.shape)


def read_only(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y.flags.writeable = False
    return y


class DLPack:
    """Offers its values through DLPack and nothing else."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x.copy()

    def __dlpack__(self, **how: Any) -> Any:
        return self.x.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()


EQUAL: dict[str, Callable[[np.ndarray], Any]] = {
    "read-only": read_only,
    "strided": strided,
    "fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1].copy()[::-1],
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(">f4"),
    "float64": lambda x: x.astype(np.float64),
    "longdouble": lambda x: x.astype(np.longdouble),
    "list": lambda x: x.tolist(),
    "memoryview": memoryview,
    "array.array": lambda x: memoryview(array.array("f", x.ravel().tolist())).cast("B").cast("f", x.shape),
    "ctypes": lambda x: np.ctypeslib.as_ctypes(x.copy()),
    "dlpack": DLPack,
    "subclass": lambda x: x.view(np.recarray),
}


@pytest.mark.parametrize("convert", EQUAL.values(), ids=EQUAL.keys())
def test_every_layout_and_holder_gives_the_same_bits(
    convert: Callable[[np.ndarray], Any], inputs: Inputs, head: AetherTemporalHead
) -> None:
    expected = head.forward(*inputs)
    q, k, v = (convert(x) for x in inputs)
    assert_same_bits(head.forward(q, k, v), expected)
    cache = head.make_cache(20)
    assert_same_bits(head.prefill(q, k, v, cache), expected)
    other = head.make_cache(20)
    rows = [head.step(*(convert(x[t : t + 1]) for x in inputs), other) for t in range(20)]
    assert_same_bits(np.concatenate(rows), expected)
    assert cache.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_])
def test_other_real_types_are_converted(dtype: Any, inputs: Inputs, head: AetherTemporalHead) -> None:
    whole = [np.abs(x * 50).astype(dtype) for x in inputs]
    assert_same_bits(head.forward(*whole), head.forward(*(x.astype(np.float32) for x in whole)))


def test_plain_float32_is_not_copied(head: AetherTemporalHead) -> None:
    """Neither by forward nor by step: nothing as large as the inputs is allocated beside the result."""
    q = np.zeros((20_000, 2, 4), np.float32)
    kv = np.zeros((20_000, 1, 4), np.float32)
    tracemalloc.start()
    head.forward(q, kv, kv, threads=1)
    assert tracemalloc.get_traced_memory()[1] < q.nbytes + 4096  # the result
    tracemalloc.reset_peak()
    head.forward(q, kv.astype(np.float64), kv, threads=1)
    assert tracemalloc.get_traced_memory()[1] > q.nbytes + kv.nbytes  # and that this would have shown
    tracemalloc.stop()


def test_inputs_are_not_held_on_to(inputs: Inputs, head: AetherTemporalHead) -> None:
    before = [sys.getrefcount(x) for x in inputs]
    data = bytearray(inputs[0].tobytes())
    view = memoryview(data).cast("f", inputs[0].shape)
    head.forward(view, *inputs[1:])
    bad = inputs[0].copy()
    bad[3] = np.nan
    for _ in range(5):
        with pytest.raises(NonFiniteError):
            head.forward(bad, *inputs[1:])
        with pytest.raises(TemporalError):
            head.step(*inputs, head.make_cache(3))
    assert [sys.getrefcount(x) for x in inputs] == before
    view.release()
    data.clear()  # BufferError if a view were still held


@pytest.mark.parametrize(
    "bad",
    [None, "text", b"bytes", {"a": 1}, np.zeros((20, 2, 4), np.complex64), np.full((20, 2, 4), "x"), object()],
    ids=lambda bad: type(bad).__name__,
)
def test_non_real_arrays_raise_a_type_error(bad: Any, inputs: Inputs, head: AetherTemporalHead) -> None:
    with pytest.raises(InputTypeError, match="^q: "):
        head.forward(bad, *inputs[1:])
    with pytest.raises(TypeError):
        head.step(inputs[0][:1], bad, inputs[2][:1], head.make_cache(3))


def test_values_beyond_binary32_are_rejected_by_value(inputs: Inputs, head: AetherTemporalHead) -> None:
    wide = inputs[1].astype(np.float64)
    wide[7, 0, 2] = 1e39
    with pytest.raises(NonFiniteError, match=r"k: expected finite binary32 numbers, found 1e\+39 at \(7, 0, 2\)"):
        head.forward(inputs[0], wide, inputs[2])


# torch, when it is there


@needs_torch
def test_torch_tensors_are_used_where_they_lie(inputs: Inputs, head: AetherTemporalHead) -> None:
    tensors = [torch.from_numpy(x) for x in inputs]
    assert_same_bits(head.forward(*tensors), head.forward(*inputs))
    cache = head.make_cache(20)
    rows = [head.step(*(x[t : t + 1] for x in tensors), cache) for t in range(20)]
    assert_same_bits(np.concatenate(rows), head.forward(*inputs))
    from aether_temporal._internal.convert import as_float32

    for tensor in tensors:
        assert as_float32(tensor, "q").ctypes.data == tensor.data_ptr()


@needs_torch
def test_torch_tensors_of_other_kinds(inputs: Inputs, head: AetherTemporalHead) -> None:
    expected = head.forward(*inputs)
    tensors = [torch.from_numpy(x) for x in inputs]
    assert_same_bits(head.forward(*(x.double() for x in tensors)), expected)
    assert_same_bits(head.forward(*(x.transpose(0, 1).contiguous().transpose(0, 1) for x in tensors)), expected)
    half = [x.bfloat16() for x in tensors]
    assert_same_bits(head.forward(*half), head.forward(*(x.float().numpy() for x in half)))
    with pytest.raises(InputTypeError, match="^q: .*grad"):
        head.forward(tensors[0].clone().requires_grad_(), *tensors[1:])
    with pytest.raises(InputTypeError, match="^q: "):
        head.forward(tensors[0].to("meta"), *tensors[1:])


@needs_torch
def test_out_may_be_a_torch_tensor(inputs: Inputs, head: AetherTemporalHead) -> None:
    out = torch.zeros(20, 2, 4)
    assert head.forward(*inputs, out=out) is out
    assert_same_bits(out.numpy(), head.forward(*inputs))


# Bytes


def test_crc_of_any_buffer() -> None:
    crcmod = pytest.importorskip("crcmod")
    oracle = crcmod.predefined.mkCrcFun("crc-32") if hasattr(crcmod, "predefined") else None
    if oracle is None:
        from crcmod.predefined import mkCrcFun

        oracle = mkCrcFun("crc-32")
    rng = np.random.default_rng(3)
    data = rng.bytes(70_000)
    for length in [*range(80), 255, 256, 4095, 4096, 65_537]:
        for start in range(9):  # every alignment
            piece = data[start : start + length]
            assert crc32(piece) == oracle(piece)
            assert crc32(memoryview(data)[start : start + length]) == oracle(piece)
    whole = oracle(data)
    for cut in (0, 1, 7, 64, 69_999, 70_000):
        assert crc32(data[cut:], crc32(data[:cut])) == whole
    assert crc32(bytearray(data)) == crc32(np.frombuffer(data, np.uint16)) == whole
    assert crc32((ctypes.c_char * 9)(*b"123456789")) == 0xCBF43926
    matrix = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert crc32(matrix.T) == oracle(matrix.T.tobytes())
    assert crc32(b"") == 0
    assert crc32(b"", 123) == 123


def test_crc_rejects_non_buffers() -> None:
    with pytest.raises(InputTypeError, match="data"):
        crc32("text")
    for value in (-1, 2**32):
        with pytest.raises(InvalidArgumentError, match="value"):
            crc32(b"", value)
    for value in ("a", 1.5, None, True, np.array([1, 0])):
        with pytest.raises(InputTypeError, match="^value: "):
            crc32(b"x", value)  # type: ignore[arg-type]
    assert crc32(b"x", np.uint32(7)) == crc32(b"x", 7)
    gone = memoryview(b"x")
    gone.release()
    for bad in (gone, np.zeros(4, "datetime64[s]")[::2], [1], None):
        with pytest.raises(InputTypeError, match=f"^data: expected .* buffer protocol, found {type(bad).__name__}$"):
            crc32(bad)


# Raw CSI


def test_amplitudes_are_correctly_rounded_roots() -> None:
    i, q = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    pairs = np.stack([i.ravel(), q.ravel()], axis=1)
    expected = np.sqrt((pairs**2).sum(axis=1).astype(np.float64)).astype(np.float32)
    found = csi_amplitude(pairs.astype(np.int8))
    assert_same_bits(found, expected)
    assert_same_bits(csi_amplitude(pairs), expected)  # integers of any type, within int8
    assert_same_bits(csi_amplitude(pairs[:, ::-1]), expected)  # the order of I and Q does not matter
    assert_same_bits(csi_amplitude(pairs, [5, 5, 65_535]), expected[[5, 5, 65_535]])


def test_bad_raw_frames_are_named(plain_blob: WeightBlob) -> None:
    good = np.zeros((16, 2), np.int8)
    model = TemporalModel.from_blob(plain_blob)
    assert model.csi_frame(good).shape == (16,)
    for bad in (good[:15], np.zeros((17, 2), np.int8), np.zeros(32, np.int8), np.zeros((16, 3), np.int8)):
        with pytest.raises(ValueError, match="iq: expected"):
            model.csi_frame(bad)
    for bad in (np.full((16, 2), 128), np.full((16, 2), 0.5), np.full((16, 2), "a")):
        with pytest.raises(TypeError, match="iq: expected"):
            model.csi_frame(bad)
    for subcarriers in ([-1], [65_536], [0.5], [[0]]):
        with pytest.raises(InvalidArgumentError, match="subcarriers"):
            csi_amplitude(good, subcarriers)
    for subcarriers in ("abc", [[1], [2, 3]]):
        with pytest.raises(InputTypeError, match="subcarriers"):
            csi_amplitude(good, subcarriers)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="subcarriers: expected indices below 16, found 16"):
        csi_amplitude(good, [0, 16])


def test_extension_releases_its_view_after_a_failure(head: AetherTemporalHead) -> None:
    with pytest.raises(InputTypeError):
        _core.Attention(head, None, None, None, False)
