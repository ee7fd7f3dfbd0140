"""Rank, precision, verification and their intervals, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aether_temporal.train.retrieval import FIGURES, Matches, compare, evaluate, figures, match, roc


def windows(rng: np.random.Generator, identities: int, each: int, noise: float) -> tuple[np.ndarray, list[str]]:
    centres = np.random.default_rng(11).standard_normal((identities, 6))
    x = np.repeat(centres, each, axis=0) + noise * rng.standard_normal((identities * each, 6))
    return x, [f"p{i}" for i in range(identities) for _ in range(each)]


def some_matches(rng: np.random.Generator, noise: float = 1.0, identities: int = 12) -> Matches:
    return match(*windows(rng, identities, 4, noise), *windows(rng, identities, 5, noise))


def test_ranks_precision_and_area_are_what_counting_gives(rng: np.random.Generator) -> None:
    gallery, gallery_of = windows(rng, 7, 3, 1.0)
    probes, probes_of = windows(rng, 7, 4, 1.0)
    found = match(gallery, gallery_of, probes, probes_of)
    ranks, precisions, genuine, impostor = [], [], [], []
    for probe, whose in zip(probes, probes_of, strict=True):
        cosine = [float(probe @ g / np.linalg.norm(probe) / np.linalg.norm(g)) for g in gallery]
        best = {name: max(c for c, n in zip(cosine, gallery_of, strict=True) if n == name) for name in set(gallery_of)}
        ranks.append(1 + sum(score > best[whose] for name, score in best.items() if name != whose))
        genuine.append(best[whose])
        impostor += [score for name, score in best.items() if name != whose]
        order = sorted(range(len(gallery)), key=lambda i: -cosine[i])
        hits, seen = [], 0
        for place, index in enumerate(order, start=1):
            if gallery_of[index] == whose:
                seen += 1
                hits.append(seen / place)
        precisions.append(np.mean(hits))
    assert max(ranks) > 1
    np.testing.assert_array_equal(found.ranks, ranks)
    np.testing.assert_allclose(found.precision, precisions, rtol=1e-12)
    area = np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor])
    values = evaluate([found], draws=10)
    assert values["auc"].value == pytest.approx(area, abs=1e-12)
    assert values["rank1"].value == np.mean(np.array(ranks) == 1)
    assert values["rank5"].value == np.mean(np.array(ranks) <= 5)
    assert values["map"].value == pytest.approx(np.mean(precisions))
    unseen, right = roc(found.near, found.labels)
    steps = np.diff(unseen, prepend=0.0)
    assert (steps * right).sum() == pytest.approx(area, abs=1e-3)


def test_enrolled_is_the_mean_of_an_identitys_directions() -> None:
    found = match(
        np.array([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.2]]),
        ["a", "a", "b"],
        np.array([[1.0, 1.0], [-1.0, 0.1]]),
        ["a", "b"],
    )
    assert found.enrolled[0, 0] == pytest.approx(1.0)
    assert found.near[0, 0] == pytest.approx(np.sqrt(0.5))
    np.testing.assert_array_equal(found.enrolled_ranks, [1, 1])


def test_a_constant_model_scores_no_better_than_chance() -> None:
    same = np.ones((12, 4))
    names = [f"p{i // 3}" for i in range(12)]
    values = evaluate([match(same, names, same, names)], draws=20)
    assert values["rank1"].value == 0.0
    assert values["enrolled_rank1"].value == 0.0
    assert values["auc"].value == 0.5


def test_a_perfect_model_is_certain() -> None:
    x = np.repeat(np.eye(5), 3, axis=0)
    names = [f"p{i // 3}" for i in range(15)]
    for interval in evaluate([match(x, names, x, names)], draws=50).values():
        assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_intervals_are_over_identities_not_windows(rng: np.random.Generator) -> None:
    found = some_matches(rng)
    repeated = Matches(
        found.identities,
        *(np.repeat(x, 6, axis=0) for x in (found.labels, found.near, found.enrolled, found.precision)),
    )
    once, often = (evaluate([m], draws=400)["rank1"] for m in (found, repeated))
    assert (once.value, once.low, once.high) == pytest.approx((often.value, often.low, often.high))
    shares = np.array([figures(found)["rank1"][found.labels == p].mean() for p in range(12)])
    error = shares.std(ddof=1) / np.sqrt(12)
    assert once.high - once.low == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert once.low < once.value < once.high


def test_seeds_with_the_same_identities_do_not_narrow_what_identities_leave_open(rng: np.random.Generator) -> None:
    found = some_matches(rng)
    one, five = (evaluate([found] * n, draws=300)["rank1"] for n in (1, 5))
    assert (one.value, one.low, one.high) == pytest.approx((five.value, five.low, five.high))


def test_seeds_with_other_identities_are_averaged_over_their_probes(rng: np.random.Generator) -> None:
    a, b = some_matches(rng, 0.6), some_matches(rng, 1.6)
    values = [evaluate([m], draws=5)["rank1"].value for m in (a, b)]
    assert evaluate([a, b], draws=5)["rank1"].value == pytest.approx(np.mean(values))


def test_a_comparison_is_paired(rng: np.random.Generator) -> None:
    x, y = some_matches(rng, 0.8), some_matches(rng, 0.8)
    gain = compare([x], [x], draws=100)
    assert all((gain[name].value, gain[name].low, gain[name].high) == (0.0, 0.0, 0.0) for name in FIGURES)
    found = compare([x], [y], draws=100)["rank1"]
    assert found.value == pytest.approx(evaluate([x], draws=2)["rank1"].value - evaluate([y], draws=2)["rank1"].value)
    with pytest.raises(ValueError, match="expected the same probes"):
        compare([x], [some_matches(rng, identities=11)])


def test_a_probe_of_nobody_enrolled_is_named() -> None:
    with pytest.raises(ValueError, match="expected identities of the gallery, found eve"):
        match(np.eye(2), ["a", "b"], np.eye(2), ["a", "eve"])
