"""Heads and configurations as users write them; status codes and exceptions, one to one."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Inputs, assert_same_bits
from numpy.lib.stride_tricks import as_strided

import aether_temporal
from aether_temporal import (
    AetherTemporalHead,
    BackendDoesNotSupportStreamingError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    KernelsError,
    KvCache,
    NonFiniteError,
    ResultOverflowError,
    ShapeError,
    TemporalHeadConfig,
    _core,
    crc32,
    errors,
    estimate_sparse_edges,
    kernels,
)
from aether_temporal.errors import BY_STATUS_NAME, BlobError, TemporalError
from tools.reference import attention as reference
from tools.reference.pattern import Pattern

SMALL = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=5, window=3, block_size=4)

PATTERNS = {
    "default": {},
    "mha": {"kv_heads": 4},
    "mqa": {"kv_heads": 1},
    "no-stride": {"use_log_stride": False},
    "no-landmarks": {"use_landmarks": False},
    "plain-window": {"use_log_stride": False, "use_landmarks": False, "global_tokens": ()},
    "globals": {"global_tokens": (3, 0, 3, 17, 2**40)},
    "history": {"history": 9},
    "non-causal": {"causal": False},
    "dense": {"backend": "dense"},
    "dense-non-causal": {"backend": "dense", "causal": False},
    "dense-history": {"backend": "dense", "history": 6},
    "window-0": {"window": 0},
    "one-dim": {"head_dim": 1},
    "odd-dim": {"head_dim": 17},
}
patterns = pytest.mark.parametrize("changes", PATTERNS.values(), ids=PATTERNS.keys())


_outputs: dict[tuple[TemporalHeadConfig, bool], tuple[Inputs, np.ndarray]] = {}


def reference_forward(config: TemporalHeadConfig, inputs: Inputs, half: bool = False) -> np.ndarray:
    """The outputs of the scalar implementation in tools/reference (slow: made once for all kernel variants)."""
    known, out = _outputs.get((config, half), (None, None))
    if known is None or out is None or any((a != b).any() for a, b in zip(known, inputs, strict=True)):
        out = _compute_reference(config, inputs, half)
        _outputs[config, half] = inputs, out
    return out


def _compute_reference(config: TemporalHeadConfig, inputs: Inputs, half: bool) -> np.ndarray:
    pattern = Pattern(
        window=config.window,
        block_size=config.block_size,
        causal=config.causal,
        globals_=config.global_tokens,
        log_stride=config.use_log_stride,
        landmarks=config.use_landmarks,
        history=config.history or 0,
        dense=config.backend == "dense",
    )
    head = reference.Head(config.q_heads, config.kv_heads, config.head_dim, pattern)
    tensors = [[[list(vector) for vector in row] for row in array] for array in inputs]
    return np.array(reference.forward(head, *tensors, half=half), dtype=np.float32)


@patterns
def test_forward_is_the_scalar_definition(changes: dict[str, Any], variant: str, qkv: Callable[..., Inputs]) -> None:
    config = SMALL.replace(**changes)
    inputs = qkv(config, 23)
    head = AetherTemporalHead(config, kernels=variant)
    assert head.kernels == variant
    assert_same_bits(head.forward(*inputs), reference_forward(config, inputs))


def test_forward_with_a_half_precision_cache_is_the_scalar_definition(qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(SMALL, 19)
    found = AetherTemporalHead(SMALL).forward(*inputs, dtype="float16")
    assert_same_bits(found, reference_forward(SMALL, inputs, half=True))
    assert (found != AetherTemporalHead(SMALL).forward(*inputs)).any()


def test_example_of_the_interface(qkv: Callable[..., Inputs]) -> None:
    cfg = TemporalHeadConfig(
        backend="sparse_gqa",
        q_heads=4,
        kv_heads=1,
        head_dim=32,
        window=32,
        block_size=16,
        causal=True,
        global_tokens=(0,),
        use_log_stride=True,
        use_landmarks=True,
        history=None,
    )
    assert cfg == TemporalHeadConfig.default_aether() == TemporalHeadConfig()
    head = AetherTemporalHead(cfg)
    q, k, v = qkv(cfg, 70)
    out = head.forward(q, k, v, out=None, threads=None)
    assert out.shape == (70, 4, 32)
    cache = head.make_cache(capacity=1024, dtype="float32", on_full="error")
    y = head.step(q[:1], k[:1], v[:1], cache)
    assert y.shape == (1, 4, 32)
    assert_same_bits(y, out[:1])
    rest = head.prefill(q[1:], k[1:], v[1:], cache)
    assert_same_bits(rest, out[1:])
    assert len(cache) == 70
    assert cache.capacity == 1024
    assert cache.nbytes > 0
    again = KvCache.from_bytes(cache.to_bytes())
    assert len(again) == 70
    cache.reset()
    assert len(cache) == 0


def test_batches_are_sequences_one_by_one(qkv: Callable[..., Inputs]) -> None:
    q, k, v = qkv(SMALL, 21, 3)
    head = AetherTemporalHead(SMALL)
    out = head.forward(q, k, v)
    assert out.shape == (3, 21, 4, 5)
    for n in range(3):
        assert_same_bits(out[n], head.forward(q[n], k[n], v[n]))


@pytest.mark.parametrize("shape", [(0,), (0, 7), (3, 0), (0, 0)])
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_nothing_in_nothing_out(shape: tuple[int, ...], threads: int | None) -> None:
    q = np.zeros((*shape, 4, 5), np.float32)
    kv = np.zeros((*shape, 2, 5), np.float32)
    assert AetherTemporalHead(SMALL).forward(q, kv, kv, threads=threads).shape == q.shape


def test_one_head_serves_every_length(qkv: Callable[..., Inputs]) -> None:
    head = AetherTemporalHead(SMALL)
    q, k, v = qkv(SMALL, 40)
    whole = head.forward(q, k, v)
    for tokens in range(1, 40):
        assert_same_bits(head.forward(q[:tokens], k[:tokens], v[:tokens]), whole[:tokens])


# Shapes


@pytest.mark.parametrize(
    ("field", "shapes"),
    {
        "q": ((4, 5), (2, 5), (2, 5)),
        "q-heads": ((7, 3, 5), (7, 2, 5), (7, 2, 5)),
        "q-dim": ((7, 4, 6), (7, 2, 5), (7, 2, 5)),
        "k": ((7, 4, 5), (6, 2, 5), (7, 2, 5)),
        "k-heads": ((7, 4, 5), (7, 4, 5), (7, 2, 5)),
        "k-dim": ((7, 4, 5), (7, 2, 4), (7, 2, 5)),
        "k-batch": ((7, 4, 5), (1, 7, 2, 5), (7, 2, 5)),
        "v": ((7, 4, 5), (7, 2, 5), (8, 2, 5)),
        "v-batch": ((2, 7, 4, 5), (2, 7, 2, 5), (3, 7, 2, 5)),
    }.items(),
)
def test_shapes_that_do_not_fit_are_named(field: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    q, k, v = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ShapeError) as caught:
        AetherTemporalHead(SMALL).forward(q, k, v)
    assert caught.value.field == field[0]
    assert str(caught.value.found) == str(shapes["qkv".index(field[0])])


# `out`


def test_out_is_filled_and_returned(qkv: Callable[..., Inputs]) -> None:
    q, k, v = qkv(SMALL, 30)
    head = AetherTemporalHead(SMALL)
    expected = head.forward(q, k, v)
    out = np.full_like(q, 7)
    assert head.forward(q, k, v, out=out) is out
    assert_same_bits(out, expected)
    strided = np.full((30, 8, 5), 7, np.float32)[:, ::2]
    assert head.forward(q, k, v, out=strided) is strided
    assert_same_bits(strided, expected)
    assert head.forward(q, k, v, out=q) is q  # out may be an input
    assert_same_bits(q, expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_out_is_untouched_by_an_error(threads: int, qkv: Callable[..., Inputs]) -> None:
    q, k, v = qkv(SMALL, 200)
    out = np.full_like(q, 7)
    head = AetherTemporalHead(SMALL)
    q[199, 3, 4] = np.nan
    with pytest.raises(NonFiniteError, match=r"q: .*found nan at \(199, 3, 4\)"):
        head.forward(q, k, v, out=out, threads=threads)
    q[199, 3, 4] = 0
    v[150:] = 3e38  # block sums leave binary32 long after the first rows are done
    with pytest.raises(ResultOverflowError):
        head.forward(q, k, v, out=out, threads=threads)
    assert (out == 7).all()


def test_out_must_be_writable_float32_of_the_shape(qkv: Callable[..., Inputs]) -> None:
    q, k, v = qkv(SMALL, 6)
    head = AetherTemporalHead(SMALL)
    with pytest.raises(ShapeError, match="out"):
        head.forward(q, k, v, out=np.zeros((5, 4, 5), np.float32))
    frozen = np.zeros_like(q)
    frozen.flags.writeable = False
    for out in (np.zeros(q.shape), frozen, q.tolist()):
        with pytest.raises(InvalidArgumentError, match="out"):
            head.forward(q, k, v, out=out)


def test_out_in_any_layout_that_keeps_its_elements_apart() -> None:
    config = TemporalHeadConfig(q_heads=3, kv_heads=1, head_dim=2)
    rng = np.random.default_rng(5)
    q, k, v = (rng.standard_normal((4, heads, 2), np.float32) for heads in (3, 1, 1))
    head = AetherTemporalHead(config)
    expected = head.forward(q, k, v)
    for strides in ((24, 8, 4), (24, 4, 12), (8, 32, 4), (-24, 8, 4), (64, 8, 12), (100, 4, 16)):  # 8 and 12 interleave
        memory = np.full(200, 7, np.float32)
        base = memory[80:]
        out = as_strided(base, q.shape, strides)
        assert head.forward(q, k, v, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), expected)
        assert (memory != 7).sum() == q.size
    for strides in ((0, 8, 4), (24, 0, 4), (24, 8, 0), (0, 0, 0), (8, 8, 4), (24, 4, 4), (-8, 8, 4), (24, 8, 3)):
        memory = np.full(200, 7, np.float32)
        with pytest.raises(ShapeError, match="^out: expected elements that do not overlap, found strides"):
            head.forward(q, k, v, out=as_strided(memory[80:], q.shape, strides))
        assert (memory == 7).all()
    one = as_strided(np.zeros(6, np.float32), (1, 3, 2), (0, 8, 4))  # a stride that leads nowhere
    assert_same_bits(head.forward(q[:1], k[:1], v[:1], out=one), expected[:1])


# Configuration


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backend", "sparse"),
        ("backend", None),
        ("q_heads", 0),
        ("q_heads", 2**32),
        ("q_heads", 4.0),
        ("kv_heads", 0),
        ("kv_heads", 3),
        ("kv_heads", True),
        ("head_dim", 0),
        ("head_dim", -1),
        ("window", -1),
        ("window", 2**64),
        ("window", None),
        ("block_size", 0),
        ("block_size", 2**64),
        ("causal", 2),
        ("use_log_stride", "yes"),
        ("use_landmarks", None),
        ("global_tokens", 0),
        ("global_tokens", (-1,)),
        ("global_tokens", ("a",)),
        ("history", 0),
        ("history", -5),
        ("history", 2**64),
    ],
)
def test_settings_out_of_range_are_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        TemporalHeadConfig(**{field: value})
    assert caught.value.field == field
    assert str(value).strip("(),") in str(caught.value)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TemporalHeadConfig)])
def test_settings_are_no_arrays(field: str) -> None:
    with pytest.raises(InvalidConfigError, match=rf"^{field}: expected .*, found array\(\[") as caught:
        TemporalHeadConfig(**{field: np.array([[1, 0], [0, 1]])})
    assert caught.value.field == field


def test_configuration_is_frozen_hashable_and_replaceable() -> None:
    config = TemporalHeadConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.window = 3  # type: ignore[misc]
    assert {config: 1}[TemporalHeadConfig()] == 1
    assert config.replace(window=5).window == 5
    with pytest.raises(InvalidConfigError):
        config.replace(q_heads=3, kv_heads=2)


def test_global_tokens_are_sorted_listed_once_and_within_reach() -> None:
    assert TemporalHeadConfig(global_tokens=[9, 0, 9, 2**32, 2**32 - 1]).global_tokens == (0, 9, 2**32 - 1)
    assert TemporalHeadConfig(global_tokens=np.array([5, 1])).global_tokens == (1, 5)
    assert TemporalHeadConfig(q_heads=np.int64(2)).q_heads == 2


def test_a_head_wants_a_configuration() -> None:
    assert AetherTemporalHead().config == TemporalHeadConfig()
    for bad in ({"q_heads": 4}, "x", 5):
        with pytest.raises(InputTypeError, match="^config: expected a TemporalHeadConfig, found "):
            AetherTemporalHead(bad)  # type: ignore[arg-type]
        with pytest.raises(InputTypeError, match="^config: expected a TemporalHeadConfig, found "):
            estimate_sparse_edges(5, bad)  # type: ignore[arg-type]


def test_heads_and_configurations_pickle() -> None:
    head = pickle.loads(pickle.dumps(AetherTemporalHead(SMALL)))
    assert head.config == SMALL


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"backend": "dense"}, "backend"), ({"causal": False}, "causal")],
    ids=["dense", "non-causal"],
)
def test_only_causal_sparse_heads_stream(changes: dict[str, Any], field: str, qkv: Callable[..., Inputs]) -> None:
    head = AetherTemporalHead(SMALL.replace(**changes))
    with pytest.raises(BackendDoesNotSupportStreamingError) as caught:
        head.make_cache()
    assert caught.value.field == field
    with pytest.raises(BackendDoesNotSupportStreamingError):
        KvCache(head)


# Kernel variants


def test_the_environment_chooses_the_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels()[0] == "portable"
    monkeypatch.delenv("AETHER_KERNELS", raising=False)
    assert AetherTemporalHead(SMALL).kernels == kernels()[-1]
    monkeypatch.setenv("AETHER_KERNELS", "portable")
    assert AetherTemporalHead(SMALL).kernels == "portable"
    assert AetherTemporalHead(SMALL, kernels=kernels()[-1]).kernels == kernels()[-1]
    monkeypatch.setenv("AETHER_KERNELS", "mmx")
    with pytest.raises(KernelsError, match=r"AETHER_KERNELS: expected one of portable.*'mmx'"):
        AetherTemporalHead(SMALL)
    with pytest.raises(KernelsError, match=r"kernels: .*'vax'"):
        AetherTemporalHead(SMALL, kernels="vax")


# Edges


@patterns
@pytest.mark.parametrize("tokens", [0, 1, 5, 33])
def test_edges_are_counted_by_the_pattern(changes: dict[str, Any], tokens: int) -> None:
    """Against a brute-force reading of docs/spec/pattern.md."""
    config = SMALL.replace(**changes)
    assert estimate_sparse_edges(tokens, config) == sum(len(seen(config, tokens, i)) for i in range(tokens))


def seen(config: TemporalHeadConfig, n: int, i: int) -> set[tuple[str, int]]:
    w, b, h = config.window, config.block_size, config.history
    dense, causal = config.backend == "dense", config.causal
    strides = [2**p for p in range(n.bit_length())] if config.use_log_stride else []
    tokens = set()
    for t in range(i + 1 if causal else n):
        near = abs(i - t) <= w
        if (dense or near or abs(i - t) in strides) and not (h and i - t >= h):
            tokens.add(("token", t))
        if t in config.global_tokens:
            tokens.add(("token", t))
    if dense or not config.use_landmarks:
        return tokens
    blocks = (i + 1) // b if causal else -(-n // b)
    pivot = blocks - 1 if causal else i // b
    if blocks == 0:
        return tokens
    local = {pivot - 1, pivot} if causal else {pivot - 1, pivot + 1}
    far = {pivot - s for s in strides} | (set() if causal else {pivot + s for s in strides})
    wanted = {x for x in local | far if 0 <= x < blocks}
    return tokens | {("block", x) for x in wanted if not (h and x * b < i - (h - 1))}


def test_edges_of_long_sequences_and_bad_arguments() -> None:
    assert 10**5 * 40 < estimate_sparse_edges(10**5) < 10**5 * 80
    dense = TemporalHeadConfig(backend="dense")
    assert estimate_sparse_edges(10**5, dense) == 10**5 * (10**5 + 1) // 2
    assert estimate_sparse_edges(10**5, dense.replace(causal=False)) == 10**10
    for tokens in (-1, 2**64, 1.5, True, None, "5", np.array([1, 0])):
        with pytest.raises(InvalidArgumentError, match="tokens"):
            estimate_sparse_edges(tokens)  # type: ignore[arg-type]


# Package


def test_every_public_name_is_there_and_documented() -> None:
    for name in aether_temporal.__all__:
        assert getattr(aether_temporal, name) is not None
        if name != "__version__":
            assert getattr(aether_temporal, name).__doc__, name
    assert crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("name", [n for n in aether_temporal.__all__ if isinstance(getattr(aether_temporal, n), type)])
def test_every_public_method_and_property_is_documented(name: str) -> None:
    cls = getattr(aether_temporal, name)
    for member, value in vars(cls).items():
        if not member.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
            assert getattr(cls, member).__doc__, f"{name}.{member}"


def test_importing_the_package_imports_neither_torch_nor_the_command_line() -> None:
    code = "import sys, aether_temporal; print(sorted({'torch', 'click', 'rich', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TABLE = _core.status_table()
FAILURES = list(enumerate(TABLE))[1:]
NAMES = [name for _, (name, _, _) in FAILURES]


def test_success_is_no_error() -> None:
    assert TABLE[0][0] == "OK"
    assert TABLE[0][2] is None
    assert _core.raise_for_status(0) is None


def test_codes_and_classes_are_one_to_one() -> None:
    names = [name for name, _, _ in TABLE]
    classes = [cls for _, _, cls in TABLE[1:]]
    assert len(set(names)) == len(names)
    assert len(set(classes)) == len(classes)
    assert set(BY_STATUS_NAME) == set(names[1:])  # no code without a class, no class without a code
    assert all(BY_STATUS_NAME[name] is cls for name, _, cls in TABLE[1:])


@pytest.mark.parametrize(("code", "row"), FAILURES, ids=NAMES)
def test_every_code_raises_its_class(code: int, row: tuple[str, str, type[TemporalError]]) -> None:
    name, text, cls = row
    with pytest.raises(cls) as caught:
        _core.raise_for_status(code, "somewhere")
    assert type(caught.value) is cls
    assert text in str(caught.value)
    assert str(caught.value).startswith("somewhere: ")
    assert caught.value.field == "somewhere"
    assert text != "unknown status"
    assert isinstance(caught.value, BlobError) == name.startswith("BLOB_")


@pytest.mark.parametrize("code", [-1, len(TABLE), 1000])
def test_no_other_code_is_accepted(code: int) -> None:
    with pytest.raises(ValueError, match="code"):
        _core.raise_for_status(code)


def public_errors() -> list[type[TemporalError]]:
    return [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", public_errors(), ids=lambda cls: cls.__name__)
def test_every_error_is_also_a_builtin(cls: type[TemporalError]) -> None:
    assert issubclass(cls, TemporalError)
    assert cls.__doc__
    if cls is not TemporalError:
        fitting = (ValueError, TypeError, MemoryError, RuntimeError, OverflowError)
        assert any(getattr(builtins, base.__name__, None) in fitting for base in cls.__mro__)


@pytest.mark.parametrize("cls", public_errors(), ids=lambda cls: cls.__name__)
def test_errors_carry_their_parts_through_copy_and_pickle(cls: type[TemporalError]) -> None:
    error = cls.of("window", "at least 1", 0, 24)
    assert str(error) == "window: expected at least 1, found 0 at byte 24"
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is cls
        assert str(again) == str(error)
        assert (again.field, again.expected, again.found, again.offset) == ("window", "at least 1", 0, 24)


@pytest.mark.parametrize(
    ("field", "expected", "found", "shown"),
    [
        ("magic", "0x52564E45", 0x17B8D4ED, "0x17B8D4ED"),
        ("extension magic", "0x31545845", 7, "0x00000007"),
        ("crc32", "the CRC of the bytes before", 0xABC, "0x00000ABC"),
        ("blob CRC", "that of this model's blob", 0xFFFFFFFF, "0xFFFFFFFF"),
        ("weights", "finite numbers", 0x7F800000, "0x7F800000"),
        ("bias", "finite numbers", 0xFC00, "0xFC00"),
        ("matrix", "finite numbers", "inf at (0, 1)", "inf at (0, 1)"),
        ("weights_len", "64 bytes", 17, "17"),
    ],
)
def test_bits_are_shown_in_hexadecimal(field: str, expected: str, found: object, shown: str) -> None:
    error = TemporalError.of(field, expected, found)
    assert str(error) == f"{field}: expected {expected}, found {shown}"
    assert error.found == found


def test_the_names_of_the_interface() -> None:
    for name, base in {
        "InvalidConfigError": ValueError,
        "ShapeError": ValueError,
        "NonFiniteError": ValueError,
        "CacheFullError": RuntimeError,
        "CacheMismatchError": ValueError,
        "BackendDoesNotSupportStreamingError": RuntimeError,
        "TooLargeError": MemoryError,
        "OutOfMemoryError": MemoryError,
        "ResultOverflowError": OverflowError,
    }.items():
        assert issubclass(getattr(errors, name), base)
    for name in ("TooShort", "Magic", "Version", "Length", "Crc", "Flags", "Header"):
        cls = getattr(errors, f"Blob{name}Error")
        assert issubclass(cls, BlobError)
        assert issubclass(cls, ValueError)
