"""The contrastive loss against its definition, and the closed form against what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.train.contrastive import (  # noqa: E402
    ContrastConfig,
    ProjectionHead,
    contrastive_loss,
    covariance_loss,
    nt_xent,
    variance_loss,
)
from aether_temporal.train.reid_protocol import fit_discriminant  # noqa: E402


def unit(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    z = rng.standard_normal((rows, columns))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def by_definition(z: np.ndarray, identities: list[int], temperature: float) -> float:
    losses = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        total = sum(math.exp(float(z[i] @ z[j]) / temperature) for j in others)
        alike = [j for j in others if identities[j] == identities[i]]
        losses.append(np.mean([-math.log(math.exp(float(z[i] @ z[j]) / temperature) / total) for j in alike]))
    return float(np.mean(losses))


@pytest.mark.parametrize("identities", [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [5, 5, 2, 2, 9, 9]])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_is_its_definition(identities: list[int], temperature: float, rng: np.random.Generator) -> None:
    z = unit(rng, len(identities), 5)
    found = nt_xent(torch.from_numpy(z), torch.tensor(identities), temperature)
    assert found.item() == pytest.approx(by_definition(z, identities, temperature), rel=1e-9)


def test_nt_xent_falls_where_views_of_a_person_meet(rng: np.random.Generator) -> None:
    z = torch.from_numpy(unit(rng, 8, 6)).requires_grad_()
    identities = torch.arange(8) // 2
    before = nt_xent(torch.nn.functional.normalize(z, dim=1), identities, 0.07)
    (gradient,) = torch.autograd.grad(before, z)
    assert torch.isfinite(gradient).all()
    after = nt_xent(torch.nn.functional.normalize(z - 0.01 * gradient, dim=1), identities, 0.07)
    assert after < before
    together = torch.nn.functional.one_hot(identities, 8).double()
    assert nt_xent(together, identities, 0.07).item() < 1e-5


def test_vicreg_terms_are_their_definitions(rng: np.random.Generator) -> None:
    z = rng.standard_normal((40, 7)) @ rng.standard_normal((7, 7)) * 0.5
    spread = np.sqrt(z.var(axis=0, ddof=1) + 1e-4)
    assert variance_loss(torch.from_numpy(z)).item() == pytest.approx(np.maximum(1 - spread, 0).mean(), rel=1e-9)
    covariance = np.cov(z.T)
    off = covariance - np.diag(np.diag(covariance))
    assert covariance_loss(torch.from_numpy(z)).item() == pytest.approx((off**2).sum() / 7, rel=1e-9)


def test_vicreg_terms_punish_collapse_and_repetition_alone() -> None:
    prints = torch.tensor([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)]).double()
    assert variance_loss(prints).item() == 0.0
    assert covariance_loss(prints).item() == pytest.approx(0.0, abs=1e-12)
    assert variance_loss(torch.ones(8, 3)).item() == pytest.approx(1.0, abs=0.02)
    assert covariance_loss(prints[:, [0, 0, 1]]).item() > 0.5


def test_the_loss_is_the_weighted_sum_of_its_parts_on_a_projection_of_128(rng: np.random.Generator) -> None:
    config = ContrastConfig()
    assert (config.temperature, config.variance, config.covariance, config.projection) == (0.07, 25.0, 1.0, 128)
    torch.manual_seed(0)
    head = ProjectionHead(16, config.projection)
    assert [type(part).__name__ for part in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    projected = head(torch.from_numpy(rng.standard_normal((12, 16)).astype(np.float32)))
    assert projected.shape == (12, 128)
    loss, parts = contrastive_loss(projected, torch.arange(12) // 2, config)
    expected = parts["contrast"] + 25.0 * parts["variance"] + 1.0 * parts["covariance"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    again, _ = contrastive_loss(projected * 7.0, torch.arange(12) // 2, config)  # on the sphere: length says nothing
    assert again.item() == pytest.approx(loss.item(), rel=1e-4)


# -- the closed form ---------------------------------------------------------------------------------------------------


def some_persons(rng: np.random.Generator, identities: int = 9, rows: int = 30, width: int = 12) -> tuple:
    mixing = rng.standard_normal((width, width))
    centres = rng.standard_normal((identities, width)) * 2
    x = np.concatenate([c + rng.standard_normal((rows, width)) @ mixing for c in centres]) * rng.uniform(0.1, 9, width)
    return x, np.repeat(np.arange(identities), rows)


def test_within_a_person_the_spread_is_one_in_every_direction(rng: np.random.Generator) -> None:
    x, of = some_persons(rng)
    y = fit_discriminant(x, of, dim=12, shrinkage=0.0)(x)
    inside = np.concatenate([y[of == p] - y[of == p].mean(axis=0) for p in range(9)])
    np.testing.assert_allclose(inside.T @ inside / len(inside), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(np.mean([y[of == p].mean(axis=0) for p in range(9)], axis=0), 0, atol=1e-9)


def test_directions_are_in_order_of_how_much_persons_differ(rng: np.random.Generator) -> None:
    x, of = some_persons(rng)
    y = fit_discriminant(x, of, dim=12, shrinkage=0.0)(x)
    between = np.stack([y[of == p].mean(axis=0) for p in range(9)]).var(axis=0)
    assert (np.diff(between) <= 1e-9).all()
    np.testing.assert_allclose(between[8:], 0, atol=1e-9)  # nine identities differ in eight directions
    assert fit_discriminant(x, of).matrix.shape == (12, 8)


def test_the_first_direction_is_the_best_there_is(rng: np.random.Generator) -> None:
    x, of = some_persons(rng, identities=4, width=5)
    found = fit_discriminant(x, of, shrinkage=0.0)

    def ratio(direction: np.ndarray) -> float:
        y = x @ direction
        return float(np.var([y[of == p].mean() for p in range(4)]) / np.mean([y[of == p].var() for p in range(4)]))

    best = ratio(found.matrix[:, 0])
    assert all(ratio(rng.standard_normal(5)) < best for _ in range(500))
    step = 1e-3 * np.abs(found.matrix[:, 0])
    assert all(ratio(found.matrix[:, 0] + step * rng.standard_normal(5)) <= best + 1e-9 for _ in range(100))


def test_a_person_with_more_windows_does_not_count_more(rng: np.random.Generator) -> None:
    x, of = some_persons(rng)
    one, more = fit_discriminant(x, of), fit_discriminant(x, of)
    np.testing.assert_array_equal(one.matrix, more.matrix)  # the same twice, signs too
    doubled = np.concatenate([x, x[of == 0]]), np.concatenate([of, of[of == 0]])
    y, z = one(x), fit_discriminant(*doubled, shrinkage=0.02)(x)
    near = np.linalg.norm(y[:, None] - y[None], axis=2), np.linalg.norm(z[:, None] - z[None], axis=2)
    np.testing.assert_allclose(near[0], near[1], rtol=0.02, atol=0.05)


def test_a_feature_that_never_changes_does_no_harm(rng: np.random.Generator) -> None:
    x, of = some_persons(rng)
    x[:, 3] = 5.0
    assert np.isfinite(fit_discriminant(x, of)(x)).all()


def test_one_person_cannot_be_told_apart(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="expected at least two to tell apart, found 1"):
        fit_discriminant(rng.standard_normal((5, 3)), np.zeros(5, np.int64))
