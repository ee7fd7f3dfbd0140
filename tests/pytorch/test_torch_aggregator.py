"""The aggregator module: shapes, streams, copies, compilation, export."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

from aether_temporal import (
    BackendDoesNotSupportStreamingError,
    CacheFullError,
    InputTypeError,
    InvalidConfigError,
    NonFiniteError,
    ShapeError,
    TemporalHeadConfig,
)

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from masked_attention import masked_attention  # noqa: E402

from aether_temporal.torch import AetherTemporalAggregator  # noqa: E402

CONFIG = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=8, window=5, block_size=4, global_tokens=(0, 3))
CONFIGS = {
    "sparse": CONFIG,
    "history": CONFIG.replace(history=20),
    "pyramid": TemporalHeadConfig(pattern="pyramid", q_heads=4, kv_heads=2, head_dim=8, window=5, block_size=4),
    "not causal": CONFIG.replace(causal=False),
    "dense": CONFIG.replace(backend="dense"),
}


def made(config: TemporalHeadConfig = CONFIG, **arguments: Any) -> AetherTemporalAggregator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return AetherTemporalAggregator(12, config, **arguments)


def frames(*shape: int) -> Any:
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_projections_around_the_kernel(name: str) -> None:
    module, x = made(CONFIGS[name], out_dim=7), frames(3, 41)
    found = module(x)
    assert found.shape == (3, 41, 7)
    double = copy.deepcopy(module).double()
    expected = double.out(masked_attention(*double.heads(x.double()), CONFIGS[name]).flatten(-2))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    target = torch.randn(3, 41, 7, generator=torch.Generator().manual_seed(5))
    (found * target).sum().backward()
    (expected * target).sum().backward()
    for (key, ours), theirs in zip(module.named_parameters(), double.parameters(), strict=True):
        size = max(1.0, float(theirs.grad.abs().max()))  # a key's bias has no effect, so its gradient is all rounding
        assert float((ours.grad - theirs.grad).abs().max()) <= 1e-5 * size, key


@pytest.mark.parametrize("tokens", [0, 1, 30])
def test_one_sequence_or_many(tokens: int) -> None:
    module, x = made(), frames(2, tokens)
    assert module(x).shape == (2, tokens, 12)
    torch.testing.assert_close(module(x[1]), module(x)[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["sparse", "history", "pyramid"])
def test_stream_rows_equal_forward(name: str) -> None:
    module, x = made(CONFIGS[name]), frames(60)
    expected = module(x).detach()
    stream = module.stream()
    for t, frame in enumerate(x):
        torch.testing.assert_close(stream.push(frame), expected[t], rtol=1e-5, atol=1e-6)
    assert len(stream) == 60
    stream.reset()
    assert len(stream) == 0
    torch.testing.assert_close(stream.extend(x[:37]), expected[:37], rtol=1e-5, atol=1e-6)
    assert stream.extend(x[:0]).shape == (0, 12)
    torch.testing.assert_close(stream.extend(x[37:38]), expected[37:38], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(copy.deepcopy(stream).push(x[38]), expected[38], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stream.extend(x[38:]), expected[38:], rtol=1e-5, atol=1e-6)


def test_a_ring_is_forward_with_a_history() -> None:
    module, x = made(), frames(60)
    expected = made(CONFIG.replace(history=9))(x).detach()
    stream = module.stream(context=9, on_full="ring")
    found = torch.stack([stream.push(frame) for frame in x])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_stream_has_the_module_s_newest_weights_and_no_gradients() -> None:
    module = made()
    stream = module.stream()
    with torch.no_grad():
        module.out.bias.add_(1.0)
    row = stream.push(frames(1)[0])
    torch.testing.assert_close(row, module(frames(1))[0].detach(), rtol=1e-5, atol=1e-6)
    assert not row.requires_grad


def test_a_stream_that_fails_is_as_before() -> None:
    module, x = made(), frames(5)
    stream = module.stream(context=3)
    stream.extend(x[:2])
    for bad, error in (
        (x[0].index_fill(0, torch.tensor([1]), float("nan")), NonFiniteError),
        (x[0][:5], ShapeError),
        (x, ShapeError),
    ):
        with pytest.raises(error):
            stream.push(bad)
    with pytest.raises(ShapeError):
        stream.extend(x[0])
    with pytest.raises(CacheFullError):
        stream.extend(x[2:])
    assert len(stream) == 2
    torch.testing.assert_close(stream.push(x[2]), module(x)[2].detach(), rtol=1e-5, atol=1e-6)
    with pytest.raises(CacheFullError):
        stream.push(x[3])
    with pytest.raises(InputTypeError):
        made().double().stream().push(x[0].double())


@pytest.mark.parametrize("name", ["dense", "not causal"])
def test_models_that_cannot_stream_raise_an_error(name: str) -> None:
    with pytest.raises(BackendDoesNotSupportStreamingError):
        made(CONFIGS[name]).stream()


def test_state_copies_and_modes() -> None:
    module, x = made(), frames(2, 21)
    expected = module(x)
    other = AetherTemporalAggregator(12, CONFIG)
    assert not torch.equal(other(x), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    assert not other.load_state_dict(torch.load(file, weights_only=True)).missing_keys
    for same in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), module.eval(), module.train()):
        assert torch.equal(same(x), expected)
    assert {key.split(".")[0] for key in module.state_dict()} == {"q", "k", "v", "out"}
    assert "window=5" in repr(module)
    assert made(bias=False).q.bias is None


def test_compiled_and_exported_it_is_the_same() -> None:
    module, x = made(), frames(2, 21)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    compiled(ours).square().sum().backward()
    grads = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    module(theirs).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for one, other in zip(grads, module.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)
    shapes = ({0: torch.export.Dim("sequences"), 1: torch.export.Dim("tokens", min=2)},)
    program = torch.export.export(module, (x,), dynamic_shapes=shapes)
    assert torch.equal(program.module()(frames(3, 50)), module(frames(3, 50)))


def test_autocast_meets_the_kernel_in_float32() -> None:
    module, x = made(), frames(2, 21)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    torch.testing.assert_close(found.float(), module(x), rtol=0.1, atol=0.05)


def test_it_learns_what_lies_behind() -> None:
    """The frame before. Sequences step differently, so a frame alone does not say which: keys and queries must."""
    module = made(CONFIG.replace(head_dim=16, use_landmarks=False, global_tokens=()))
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    x = torch.zeros(8, 16, 12)
    for n in range(8):
        for t in range(16):
            x[n, t, (t * (1 + n % 3) + n) % 12] = 1.0
    losses = []
    for _ in range(60):
        loss = (module(x)[:, 1:] - x[:, :-1]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("field", ["in_dim", "out_dim"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_sizes_are_checked(field: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=field):
        AetherTemporalAggregator(**{"in_dim": 4, field: value})


@pytest.mark.parametrize("shape", [(12,), (2, 12 + 1), (1, 2, 3, 12)])
def test_shapes_are_checked(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="frames"):
        made()(torch.zeros(shape))


def test_double_precision_is_rejected_by_name() -> None:
    with pytest.raises(InputTypeError, match="float64"):
        made().double()(frames(4).double())
