"""The cost of binary16, asked of a network."""

from __future__ import annotations

import numpy as np
import pytest

from aether_temporal import WeightBlob, blob_tools
from aether_temporal.bundled import bundled_models

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import load  # noqa: E402
from aether_temporal.torch.exchange import float16_error  # noqa: E402


def test_it_is_the_cost_of_the_network_s_blob() -> None:
    path = bundled_models()["demo"]
    frames = np.random.default_rng(2).uniform(0.5, 1.5, (40, 52)).astype(np.float32)
    expected = blob_tools.float16_error(WeightBlob.load(path), frames)
    assert float16_error(load(path), torch.from_numpy(frames)) == float16_error(load(path), frames) == expected
