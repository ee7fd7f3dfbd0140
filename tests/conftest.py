"""What several tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from left_out import *  # noqa: F403  # hooks
from numpy.typing import NDArray

from aether_temporal import TemporalHeadConfig, WeightBlob, WeightBlobHeader, kernels

ROOT = Path(__file__).resolve().parent.parent

# In the background of a shell SIGINT is ignored, also in the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Array = NDArray[np.float32]
Inputs = tuple[Array, Array, Array]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def qkv(rng: np.random.Generator) -> Callable[..., Inputs]:
    """Random q, k, v of `tokens` tokens (and a batch in front, if asked for) for a configuration."""

    def make(config: TemporalHeadConfig, tokens: int, *batch: int) -> Inputs:
        def draw(heads: int) -> Array:
            return rng.standard_normal((*batch, tokens, heads, config.head_dim), dtype=np.float32)

        return draw(config.q_heads), draw(config.kv_heads), draw(config.kv_heads)

    return make


@pytest.fixture(params=kernels())
def variant(request: pytest.FixtureRequest) -> str:
    """Each kernel variant this processor can run."""
    return str(request.param)


@pytest.fixture
def plain_blob(rng: np.random.Generator) -> WeightBlob:
    """The reference shape in the plain version 1 layout."""
    header = WeightBlobHeader(
        dtype="float32", input_dim=16, n_q_heads=4, n_kv_heads=1, head_dim=32, n_layers=2, n_classes=4
    )
    return WeightBlob(header, (rng.standard_normal(10304) / 8).astype("<f4").tobytes())


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """Folder of the real recordings: $AETHER_DATA, or shared/data beside the checkout. Without it a test is skipped."""
    beside = ROOT.parent / "shared"
    place = Path(os.environ.get("AETHER_DATA") or beside / "data")
    if not place.is_dir():
        if os.environ.get("AETHER_NO_SKIPS") == "1" and beside.is_dir():
            pytest.fail(f"recordings: expected them in {place}, found no such folder; set AETHER_DATA")
        pytest.skip(f"recordings: none at {place} (set AETHER_DATA)")
    return place


def bits(array: Array) -> NDArray[np.uint32]:
    """Bit patterns, so that comparisons see the sign of zero."""
    return np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)


def assert_same_bits(found: Array, expected: Array) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(bits(found), bits(expected))
