"""The changes of a view, and the contrastive losses against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from aether_temporal.recordings.recording import amplitude

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.gate.contrastive import (  # noqa: E402
    ContrastConfig,
    ProjectionHead,
    Views,
    add_noise,
    contrastive_loss,
    covariance_loss,
    drop_frames,
    jittered_start,
    mask_features,
    nt_xent,
    scale,
    variance_loss,
)

Frames = NDArray[np.float32]


@pytest.fixture
def frames(rng: np.random.Generator) -> Frames:
    return rng.uniform(2.0, 40.0, (100, 52)).astype(np.float32)


@pytest.fixture
def profile(rng: np.random.Generator) -> Frames:
    values = rng.uniform(0.5, 1.5, 52)
    return (values / values.mean()).astype(np.float32)


def without_agc(frames: Frames) -> NDArray[np.float64]:
    wide = frames.astype(np.float64)
    return wide / wide.mean(axis=1, keepdims=True)


def test_jitter_moves_a_window_by_at_most_three_frames_and_never_out_of_the_recording(rng: np.random.Generator) -> None:
    moved = {jittered_start(50, 100, 400, 3, rng) - 50 for _ in range(300)}
    assert moved == set(range(-3, 4))
    assert {jittered_start(1, 100, 400, 3, rng) for _ in range(300)} == set(range(5))
    assert {jittered_start(299, 100, 400, 3, rng) for _ in range(300)} == set(range(296, 301))
    assert jittered_start(0, 100, 100, 3, rng) == 0


def test_masking_takes_a_twentieth_to_a_fifth_of_the_features_and_leaves_every_other_value(
    frames: Frames, profile: Frames, rng: np.random.Generator
) -> None:
    counts = set()
    for _ in range(200):
        found = mask_features(frames, profile, 0.05, 0.20, rng)
        masked = (found != frames).any(axis=0)
        counts.add(int(masked.sum()))
        np.testing.assert_array_equal(found[:, ~masked], frames[:, ~masked])
        expected = frames.mean(axis=1, keepdims=True) * profile[masked]
        np.testing.assert_allclose(found[:, masked], expected, rtol=1e-6)
    assert counts == set(range(3, 11))  # 5 and 20 % of 52, rounded


def test_masked_features_say_nothing_about_the_identity(profile: Frames, rng: np.random.Generator) -> None:
    """After gain removal a masked feature is what it usually is, up to what masking moved the frame's mean."""
    frames = (profile * rng.uniform(5, 30, (100, 1))).astype(np.float32)
    found = mask_features(frames, profile, 0.2, 0.2, rng)
    np.testing.assert_allclose(without_agc(found), np.broadcast_to(profile, found.shape), rtol=1e-5)


def test_noise_is_as_strong_as_asked_relative_to_the_mean_and_amplitudes_stay_amplitudes(
    frames: Frames, rng: np.random.Generator
) -> None:
    for gain in (0.1, 1.0, 50.0):
        loud = frames * np.float32(gain)
        for _ in range(20):
            spread = float((add_noise(loud, 0.01, 0.05, rng) - loud).std() / loud.mean())
            assert 0.009 < spread < 0.052
    assert add_noise(np.zeros((50, 8), np.float32) + np.float32(1e-3), 3.0, 3.0, rng).min() >= 0.0


def test_noise_averages_out_over_a_window(frames: Frames, rng: np.random.Generator) -> None:
    profile = without_agc(frames).mean(axis=0)
    moved = without_agc(add_noise(frames, 0.05, 0.05, rng)).mean(axis=0)
    assert np.abs(moved - profile).max() < 0.05 * 4.5 / np.sqrt(100)


def test_scaling_keeps_what_gain_removal_keeps(frames: Frames, rng: np.random.Generator) -> None:
    factors = []
    for _ in range(100):
        found = scale(frames, 0.8, 1.2, rng)
        factors.append(float(found.mean() / frames.mean()))
        np.testing.assert_allclose(without_agc(found), without_agc(frames), rtol=1e-5)
    assert 0.8 <= min(factors) < 0.85
    assert 1.15 < max(factors) <= 1.2001


def test_dropped_frames_are_redrawn_between_their_neighbours_and_all_others_stay(
    frames: Frames, rng: np.random.Generator
) -> None:
    counts = set()
    for _ in range(200):
        found = drop_frames(frames, 0.15, rng)
        lost = np.flatnonzero((found != frames).any(axis=1))
        counts.add(len(lost))
        assert not {0, 99} & set(lost.tolist())
        kept = np.setdiff1d(np.arange(100), lost)
        for column in (0, 31):
            expected = np.interp(np.arange(100), kept, frames[kept, column])
            np.testing.assert_allclose(found[:, column], expected, rtol=1e-5)
        assert (found.min(axis=0) >= frames.min(axis=0) - 1e-3).all()  # no value beyond its neighbours
        assert (found.max(axis=0) <= frames.max(axis=0) + 1e-3).all()
    assert counts == set(range(16))


def test_dropping_frames_of_a_straight_line_changes_nothing(rng: np.random.Generator) -> None:
    line = np.linspace(3, 9, 60, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    np.testing.assert_allclose(drop_frames(line, 0.15, rng), line, rtol=1e-6)


def test_a_window_of_two_frames_has_none_to_drop(rng: np.random.Generator) -> None:
    tiny = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(drop_frames(tiny, 0.9, rng), tiny)


def test_phase_rotation_is_no_change_here() -> None:
    """Quarter turns are exact in integers: the amplitudes are the same bits, so that there is nothing to augment."""
    iq = np.random.default_rng(3).integers(-127, 128, (40, 52, 2)).astype(np.int8)
    turned = np.stack([-iq[..., 1], iq[..., 0]], axis=-1)
    np.testing.assert_array_equal(amplitude(turned), amplitude(iq))


def test_views_are_copies_two_to_four_changes_each_and_repeatable(frames: Frames, profile: Frames) -> None:
    recording = np.concatenate([frames, frames[::-1]])
    kept = recording.copy()
    for seed in range(50):
        first, again = (
            Views(share=1.0).view(recording, 20, 100, profile, np.random.default_rng(seed)) for _ in range(2)
        )
        np.testing.assert_array_equal(first, again)
        assert first.shape == (100, 52)
        assert first.dtype == np.float32
        assert np.isfinite(first).all()
        assert (first >= 0).all()
        first[:] = 0
    np.testing.assert_array_equal(recording, kept)


def test_a_share_of_the_views_is_as_recorded(frames: Frames, profile: Frames) -> None:
    recording = np.concatenate([frames, frames])
    plain = Views(share=0.0).view(recording, 7, 100, profile, np.random.default_rng(0))
    np.testing.assert_array_equal(plain, recording[7:107])
    changed = sum(
        not np.array_equal(Views().view(recording, 7, 100, profile, np.random.default_rng(s)), recording[7:107])
        for s in range(200)
    )
    assert 70 < changed < 130


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


def test_nt_xent_falls_where_views_of_an_identity_meet(rng: np.random.Generator) -> None:
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
