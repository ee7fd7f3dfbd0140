"""The attention operators: outputs with the core's bits, gradients against float64, what torch asks of an operator."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hang import HANG
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_temporal import (
    AetherTemporalHead,
    InputTypeError,
    NonFiniteError,
    ShapeError,
    TemporalHeadConfig,
    _core,
)
from aether_temporal._internal import threads as core_threads

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from masked_attention import masked_attention  # noqa: E402

from aether_temporal.torch import attention  # noqa: E402
from aether_temporal.torch.attention_operator import _array, _settings  # noqa: E402

SMALL = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=5, window=3, block_size=4, global_tokens=(0, 9))
PYRAMID = TemporalHeadConfig(pattern="pyramid", q_heads=4, kv_heads=2, head_dim=5, window=3, block_size=4)
CONFIGS = {
    "reference": TemporalHeadConfig(),
    "small": SMALL,
    "not causal": SMALL.replace(causal=False),
    "no landmarks": SMALL.replace(use_landmarks=False),
    "no log-stride": SMALL.replace(use_log_stride=False),
    "window alone": SMALL.replace(use_landmarks=False, use_log_stride=False, global_tokens=()),
    "landmarks alone, not causal": SMALL.replace(window=0, use_log_stride=False, global_tokens=(), causal=False),
    "own token alone": SMALL.replace(window=0, use_log_stride=False, global_tokens=(), use_landmarks=False),
    "history": SMALL.replace(history=7),
    "history of one": SMALL.replace(history=1, global_tokens=(2,)),
    "history, not causal": SMALL.replace(history=7, causal=False),
    "blocks of one": SMALL.replace(block_size=1),
    "blocks of one, not causal": SMALL.replace(block_size=1, causal=False),
    "block beyond the end": SMALL.replace(block_size=1000, causal=False),
    "far global": SMALL.replace(global_tokens=(3, 30, 2**31), causal=False),
    "everything": SMALL.replace(window=2**64 - 1),
    "multi-head": SMALL.replace(q_heads=3, kv_heads=3),
    "multi-query": SMALL.replace(q_heads=7, kv_heads=1),
    "one head": SMALL.replace(q_heads=1, kv_heads=1, head_dim=1),
    "groups of three": SMALL.replace(q_heads=6, kv_heads=2, head_dim=17),
    "pyramid": PYRAMID,
    "pyramid, not causal": PYRAMID.replace(causal=False),
    "pyramid, history": PYRAMID.replace(window=2, block_size=2, history=9),
    "pyramid, blocks of one": PYRAMID.replace(window=0, block_size=1),
    "dense": SMALL.replace(backend="dense"),
    "dense, not causal": SMALL.replace(backend="dense", causal=False),
    "dense, history": SMALL.replace(backend="dense", history=6),
}
LENGTHS = (0, 1, 2, 5, 18, 37)
Four = tuple[Any, Any, Any, Any]


def draw(config: TemporalHeadConfig, tokens: int, batch: int = 2, seed: int = 0, spread: float = 1.5) -> Four:
    """q, k, v and a gradient of the output."""
    generator = torch.Generator().manual_seed(seed)

    def one(heads: int) -> Any:
        return spread * torch.randn(batch, tokens, heads, config.head_dim, generator=generator)

    return one(config.q_heads), one(config.kv_heads), one(config.kv_heads), one(config.q_heads)


def gradients(function: Callable[..., Any], inputs: Four, config: TemporalHeadConfig) -> tuple[Any, ...]:
    """Output, and the gradients of q, k and v."""
    leaves = [x.clone().requires_grad_() for x in inputs[:3]]
    out = function(*leaves, config)
    return (out.detach(), *torch.autograd.grad(out, leaves, inputs[3]))


def assert_right(found: tuple[Any, ...], inputs: Four, config: TemporalHeadConfig, tolerance: float = 3e-6) -> None:
    """Found output and gradients against float64, relative to the largest of each."""
    expected = gradients(masked_attention, tuple(x.double() for x in inputs), config)  # type: ignore[arg-type]
    for name, ours, theirs in zip(("out", "q", "k", "v"), found, expected, strict=True):
        assert ours.shape == theirs.shape
        if theirs.numel():
            error = float((ours.double() - theirs).abs().max())
            assert error <= tolerance * max(1.0, float(theirs.abs().max())), (name, error)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_float64_reference(name: str, tokens: int) -> None:
    config = CONFIGS[name]
    inputs = draw(config, tokens)
    assert_right(gradients(attention, inputs, config), inputs, config)


def test_the_reference_itself_is_differentiated_right() -> None:
    config = SMALL.replace(causal=False)
    leaves = [x.double().requires_grad_() for x in draw(config, 6, 1)[:3]]
    assert torch.autograd.gradcheck(lambda *x: masked_attention(*x, config), leaves)


def test_gradients_are_what_small_changes_do() -> None:
    inputs, along = draw(SMALL, 21), draw(SMALL, 21, seed=1)
    step = 1e-2
    found = sum(float((g * d).sum()) for g, d in zip(gradients(attention, inputs, SMALL)[1:], along, strict=False))

    def at(place: float) -> float:
        moved = [x + place * d for x, d in zip(inputs[:3], along, strict=False)]
        return float((attention(*moved, SMALL).double() * inputs[3].double()).sum())

    assert found == pytest.approx((at(step) - at(-step)) / (2 * step), rel=2e-3)


@settings(max_examples=120, deadline=None)
@given(
    st.builds(
        TemporalHeadConfig,
        backend=st.sampled_from(["sparse_gqa", "sparse_gqa", "dense"]),
        q_heads=st.sampled_from([6, 12]),
        kv_heads=st.sampled_from([1, 2, 3, 6]),
        head_dim=st.integers(1, 20),
        window=st.integers(0, 12),
        block_size=st.integers(1, 9),
        causal=st.booleans(),
        global_tokens=st.lists(st.integers(0, 50), max_size=4).map(tuple),
        use_log_stride=st.booleans(),
        use_landmarks=st.booleans(),
        history=st.none() | st.integers(1, 45),
    ),
    st.integers(1, 45),
    st.integers(0, 2**31),
)
def test_any_configuration(config: TemporalHeadConfig, tokens: int, seed: int) -> None:
    inputs = draw(config, tokens, 1, seed)
    assert_right(gradients(attention, inputs, config), inputs, config)


@pytest.mark.parametrize("name", ["reference", "small", "groups of three", "multi-query", "not causal", "dense"])
def test_every_kernel_variant(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHER_KERNELS", variant)
    config = CONFIGS[name]
    inputs = draw(config, 90)
    assert_right(gradients(attention, inputs, config), inputs, config)


def test_scores_far_apart_lose_nothing() -> None:
    inputs = draw(CONFIGS["reference"], 60, spread=8.0)
    assert_right(gradients(attention, inputs, CONFIGS["reference"]), inputs, CONFIGS["reference"], 2e-5)


def test_a_long_sequence_is_cut_into_chunks_and_right() -> None:
    config = SMALL.replace(head_dim=8, causal=False, global_tokens=(0, 700), window=20)
    inputs = draw(config, 1100, 1)
    job = _core.AttentionGradient(AetherTemporalHead(config), *map(_array, inputs))
    assert (job.units, job.chunks) == (2, 4)
    assert_right(gradients(attention, inputs, config), inputs, config, 1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_have_the_bits_of_the_head(name: str) -> None:
    config = CONFIGS[name]
    q, k, v, _ = draw(config, 37)
    expected = AetherTemporalHead(config).forward(q, k, v)
    np.testing.assert_array_equal(attention(q, k, v, config).numpy().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1500), (3, 700), (16, 40)])
def test_bits_do_not_depend_on_threads(batch: int, tokens: int) -> None:
    inputs = [_array(x) for x in draw(SMALL, tokens, batch)]
    head = AetherTemporalHead(SMALL)
    found = []
    for count in (1, 1, 2, 3, 8):
        job = _core.AttentionGradient(head, *inputs)
        core_threads.run_gradient(job, count)
        found.append([x.tobytes() for x in job.result()])
    assert all(each == found[0] for each in found)


def test_torch_says_how_many_threads(threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    config = TemporalHeadConfig()
    inputs = draw(config, 2000, 8)
    used: list[int] = []
    for name in ("run", "run_gradient"):
        real = getattr(core_threads, name)
        monkeypatch.setattr(core_threads, name, lambda job, n, real=real: (used.append(n), real(job, n)))
    monkeypatch.setattr(core_threads, "_processors", lambda: 8)
    found = []
    for count in (1, 3):
        threads(count)
        found.append(gradients(attention, inputs, config))
    assert used == [1, 1, 3, 3]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    used.clear()
    gradients(attention, draw(config, 20), config)
    assert used == [1, 1]  # too small to be worth another thread


def test_layouts_and_dimensions() -> None:
    q, k, v, d_out = draw(SMALL, 19)
    expected = gradients(attention, (q, k, v, d_out), SMALL)

    def other(x: Any) -> Any:
        return x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)

    assert not other(q).is_contiguous()
    found = gradients(attention, (other(q), other(k), other(v), other(d_out)), SMALL)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    single = gradients(attention, (q[0], k[0], v[0], d_out[0]), SMALL)
    assert all(torch.equal(a, b[0]) for a, b in zip(single, expected, strict=True))
    leaf = q.clone().requires_grad_()
    attention(leaf, k, v, SMALL).sum().backward()  # its gradient has no memory of its own
    assert torch.equal(leaf.grad, gradients(attention, (q, k, v, torch.ones_like(q)), SMALL)[1])


def test_contiguous_tensors_are_not_copied() -> None:
    q, *_ = draw(SMALL, 30)
    assert _array(q).ctypes.data == q.data_ptr()
    assert _array(q[1:]).ctypes.data == q[1:].data_ptr()
    assert _array(q.mT.contiguous().mT).ctypes.data != q.data_ptr()


def test_only_the_inputs_are_kept_for_the_backward() -> None:
    kept: list[Any] = []
    q, k, v, _ = (x.requires_grad_() for x in draw(SMALL, 50))
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        attention(q, k, v, SMALL)
    assert {x.data_ptr() for x in kept} == {q.data_ptr(), k.data_ptr(), v.data_ptr()}
    assert len(kept) == 3


MEMORY = """
import resource, torch
from aether_temporal import TemporalHeadConfig
from aether_temporal.torch import attention
config = TemporalHeadConfig(q_heads=2, head_dim=8)
def step(tokens):
    q, k, v = (torch.randn(1, tokens, heads, 8, requires_grad=True) for heads in (2, 1, 1))
    attention(q, k, v, config).sum().backward()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(100)
before = peak()
step(50_000)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="win32: no resource module")
def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=HANG)
    grown = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 200e6  # 4 KB a token; one mask of all pairs, a byte each, would be 2.5 GB


@pytest.mark.parametrize("tokens", [0, 1, 13])
@pytest.mark.parametrize("name", ["small", "not causal", "dense"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_opcheck(name: str, tokens: int, layout: str) -> None:
    config = CONFIGS[name]
    q, k, v, d_out = draw(config, tokens)
    if layout == "transposed":
        q, k, v, d_out = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v, d_out))
    operators = torch.ops.aether_temporal
    for wanted in ((True, True, True), (True, False, False), (False, True, False), (False, False, False)):
        leaves = [x.clone().requires_grad_(grad) for x, grad in zip((q, k, v), wanted, strict=True)]
        torch.library.opcheck(operators.attention.default, (*leaves, *_settings(config)))
    torch.library.opcheck(operators.attention_backward.default, (d_out, q, k, v, *_settings(config)))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["small", "everything"])
def test_compiled_whole_it_is_the_same(name: str, dynamic: bool) -> None:
    chosen = CONFIGS[name]
    torch.compiler.reset()  # all parameters of this test share a code object, and so a limit of recompilations

    def step(q: Any, k: Any, v: Any, config: TemporalHeadConfig) -> Any:
        return attention(q * 1.0, k, v, config) * 1.0

    compiled = torch.compile(step, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for tokens in (20, 33, 1):
        inputs = draw(chosen, tokens)
        expected = gradients(attention, inputs, chosen)
        assert all(torch.equal(a, b) for a, b in zip(gradients(compiled, inputs, chosen), expected, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
def test_compiled_by_inductor() -> None:
    if shutil.which("c++") is None:
        pytest.skip("c++: not found")
    compiled = torch.compile(lambda q, k, v, c: attention(q.sin(), k, v, c).cos(), fullgraph=True)
    inputs = draw(SMALL, 33)
    expected = gradients(lambda q, k, v, c: attention(q.sin(), k, v, c).cos(), inputs, SMALL)
    for ours, theirs in zip(gradients(compiled, inputs, SMALL), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_fake_tensors_have_the_real_ones_shapes() -> None:
    q, k, v, _ = (x.to("meta") for x in draw(SMALL, 7))
    out = attention(q, k, v, SMALL)
    assert out.shape == q.shape
    assert out.is_contiguous()


def test_there_is_no_second_derivative() -> None:
    q, k, v, _ = (x.requires_grad_() for x in draw(SMALL, 5))
    (d_q,) = torch.autograd.grad(attention(q, k, v, SMALL).sum(), q, create_graph=True)
    with pytest.raises(NotImplementedError, match="attention: .* there is no second derivative"):
        d_q.sum().backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("single", [False, True])
def test_there_is_no_forward_derivative(which: int, single: bool) -> None:
    """torch would take what it does not know for a tangent of zero, and say nothing."""
    inputs = [x[0] if single else x for x in draw(SMALL, 5)[:3]]

    def of_one(x: Any) -> Any:
        return attention(*(x if i == which else each for i, each in enumerate(inputs)), SMALL)

    with pytest.raises(NotImplementedError, match="forward-mode tangent"):
        torch.func.jvp(of_one, (inputs[which],), (inputs[which],))
    with torch.autograd.forward_ad.dual_level(), pytest.raises(NotImplementedError, match="forward-mode tangent"):
        of_one(torch.autograd.forward_ad.make_dual(inputs[which], inputs[which]))
    of_one(inputs[which])


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "float64": (lambda x: x.double(), InputTypeError, "a dense float32 tensor on the CPU, found torch.float64"),
    "float16": (lambda x: x.half(), InputTypeError, "found torch.float16"),
    "three dimensions": (lambda x: x[0], ShapeError, "shape|dimensions"),
    "two dimensions": (lambda x: x[0, 0], ShapeError, "shape|dimensions"),
    "fewer tokens": (lambda x: x[:, :-1], ShapeError, "shape"),
    "fewer heads": (lambda x: x[:, :, :-1], ShapeError, "shape"),
    "another dim": (lambda x: x[..., :-1], ShapeError, "shape"),
    "another batch": (lambda x: x[:1], ShapeError, "shape"),
    "NaN": (lambda x: x.index_fill(1, torch.tensor([3]), float("nan")), NonFiniteError, "nan at"),
    "infinity": (lambda x: x.index_fill(1, torch.tensor([3]), float("inf")), NonFiniteError, "inf at"),
}


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_rejected_by_name(name: str, which: int) -> None:
    spoil, error, message = BAD[name]
    inputs = list(draw(SMALL, 8)[:3])
    inputs[which] = spoil(inputs[which])
    with pytest.raises(error, match=message):
        attention(*inputs, SMALL)
    if inputs[0].dim() == inputs[1].dim() == 4 and name != "fewer heads":  # the heads are what the tensors say
        with pytest.raises(error):
            torch.ops.aether_temporal.attention(*inputs, *_settings(SMALL))


def test_a_gradient_that_is_not_finite_stays_so() -> None:
    inputs = draw(SMALL, 12)
    inputs[3][0, 5] = float("nan")
    _, d_q, d_k, _ = gradients(attention, inputs, SMALL)
    assert d_q[0, 5].isnan().all()
    assert d_q[0, :5].isfinite().all()  # causal: nothing of it came to earlier rows
    assert d_k[0, 5].isnan().all()
    assert d_k[1].isfinite().all()
