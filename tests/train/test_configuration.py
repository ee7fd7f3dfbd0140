"""Every configuration class of training and gates checks its own ranges, from Python as from a file."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

import numpy as np
import pytest

from aether_temporal import InvalidConfigError
from aether_temporal._internal.toml_settings import Pair, Within
from aether_temporal.train.reading import Reading, RunSettings

pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.gate.contrastive import ContrastConfig, Views
from aether_temporal.gate.gate_config import GateConfig, NetworkSettings
from aether_temporal.train import activity, demo_recipe, motion_recipe, reid
from aether_temporal.train.supervised import Augmentation, Crops, FitConfig, Mixture

CLASSES = (
    *(activity.Recipe, demo_recipe.Recipe, motion_recipe.Recipe, motion_recipe.Disturbance, reid.Recipe),
    *(Reading, RunSettings),
    *(FitConfig, Augmentation, ContrastConfig, Views, GateConfig, NetworkSettings),
)
CROPS = Crops(20, 4, 5, 9, Augmentation())


def limited() -> list[tuple[Any, str, Within]]:
    """All fields with a range: an object that has them, the field, its range."""
    found: list[tuple[Any, str, Within]] = []
    for kind in (*CLASSES, Crops):
        made = CROPS if kind is Crops else kind()
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            found += [(made, name, limit) for limit in getattr(hint, "__metadata__", ()) if isinstance(limit, Within)]
    return found


def test_every_number_has_a_range() -> None:
    names = {(type(made), name) for made, name, _ in limited()}
    for kind in CLASSES:
        for field in dataclasses.fields(kind):
            value = getattr(kind(), field.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert (kind, field.name) in names


@pytest.mark.parametrize(("made", "name", "limit"), limited())
def test_values_beyond_a_range_are_named(made: Any, name: str, limit: Within) -> None:
    below, above = limit.low - 1, limit.high * 2 + 1
    for wrong in (below, above, math.nan, "3", None, True):
        value = (wrong, wrong) if isinstance(limit, Pair) else wrong
        with pytest.raises(InvalidConfigError, match=f"^{name}: expected "):
            dataclasses.replace(made, **{name: value})


def test_messages_say_what_was_expected_and_found() -> None:
    for make, message in (
        (lambda: Views(noise=-5), "noise: expected two numbers from 0 to 10, the smaller first, found -5"),  # type: ignore[arg-type]
        (
            lambda: Views(noise=(0.5, 0.1)),
            "noise: expected two numbers from 0 to 10, the smaller first, found [0.5, 0.1]",
        ),
        (lambda: FitConfig(steps=0), "steps: expected an integer from 1 to 1000000000, found 0"),
        (lambda: FitConfig(steps=1.5), "steps: expected an integer from 1 to 1000000000, found 1.5"),  # type: ignore[arg-type]
        (lambda: GateConfig(lengths=(5, 0)), "lengths: expected integers from 1 to 65536, found [5, 0]"),
        (
            lambda: demo_recipe.Recipe(recordings=999_990, calibration_recordings=11),
            "calibration_recordings: expected at most 10, so that none is scored, found 11",
        ),
        (lambda: activity.Recipe(balance="x"), "balance: expected 'none' or 'weights' or 'sampling', found 'x'"),  # type: ignore[arg-type]
        (lambda: Reading(agc="x"), "agc: expected 'none' or 'mean', found 'x'"),  # type: ignore[arg-type]
        (lambda: Crops(20, 4, 10, 9, Augmentation()), "label_delay: expected at most warm_up (9), found 10"),
        (lambda: Mixture((CROPS,), (0.5, 0.5)), "shares: expected one for each of 1 kinds, found 2"),
        (lambda: NetworkSettings(q_heads=3, kv_heads=2), "kv_heads: expected a divisor of q_heads (3), found 2"),
        (lambda: Reading(period_us=0), "period_us: expected an integer from 1 to 16777216, found 0"),
    ):
        with pytest.raises(InvalidConfigError) as error:
            make()
        assert str(error.value) == message


def test_numpy_numbers_are_numbers() -> None:
    assert FitConfig(steps=np.int64(7), learning_rate=np.float32(0.5)).steps == 7
