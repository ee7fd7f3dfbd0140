"""A copy of a recording on the other side of a split is found out, also when it was cut, scaled or rounded; recordings
that only look alike are not taken for copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aether_temporal.train import splits
from aether_temporal.train.dataset import LabelledRecording
from aether_temporal.train.prepared import read_dataset
from aether_temporal.train.splits import LeakError, Split, fingerprint

Frames = NDArray[np.float32]


def labelled(name: str, frames: NDArray[np.floating]) -> LabelledRecording:
    values = np.ascontiguousarray(frames, dtype=np.float32)
    return LabelledRecording(
        name, "0", values, np.zeros(len(values), np.int64), name, "file", fingerprints=fingerprint(values)
    )


def recording(seed: int, count: int = 400, width: int = 30) -> Frames:
    """One profile for all, its subcarriers moving slowly, and noise: as recordings of one place are alike."""
    rng = np.random.default_rng(seed)
    profile = np.random.default_rng(0).uniform(5, 40, width)
    moving = 0.02 * rng.standard_normal((count, width)).cumsum(axis=0)
    return (profile * np.exp(moving + rng.normal(0, 0.03, (count, width)))).astype(np.float32)


CHANGES: dict[str, Callable[[Frames], NDArray[np.floating]]] = {
    "the same": lambda x: x,
    "scaled": lambda x: x * np.float32(3.7),
    "another gain for each frame": lambda x: x * np.random.default_rng(1).uniform(0.3, 3, (len(x), 1)),
    "its gain removed": lambda x: x / x.mean(axis=1, keepdims=True),
    "binary16": lambda x: (x / 8).astype(np.float16),
    "its ends cut off": lambda x: x[50:-30],
    "a part of it, binary16": lambda x: x[137:257].astype(np.float16),
    "within another": lambda x: np.concatenate([recording(7), x * 2, recording(8)]),
    "some frames lost": lambda x: x[np.random.default_rng(1).random(len(x)) > 0.05],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_out(change: str) -> None:
    recordings = [
        labelled("a", recording(1)),
        labelled("b", recording(2)),
        labelled("copy", CHANGES[change](recording(1))),
    ]
    splits.check(recordings, Split((0,), (1,)))
    with pytest.raises(LeakError, match=r"file:copy: .*its frames from \d+ on are those of file:a from \d+ on; remove"):
        splits.check(recordings, Split((1, 0), (2,)))
    with pytest.raises(LeakError, match=r"file:a: .* of file:copy from \d+ on; remove"):
        splits.check(recordings, Split((2,), (1, 0)))


def test_frames_of_zeros_are_no_obstacle() -> None:
    lost = recording(1) * (np.arange(400) % 5 > 0)[:, None]
    with pytest.raises(LeakError, match=r"of file:lost from \d+ on; remove"):
        splits.check([labelled("lost", lost), labelled("copy", 2 * lost[30:])], Split((0,), (1,)))


def test_it_is_said_where_the_frames_are() -> None:
    whole, part = labelled("whole", recording(1)), labelled("part", recording(1)[90:300])
    with pytest.raises(LeakError) as error:
        splits.check([whole, part], Split((0,), (1,)))
    start, there = (int(word) for word in str(error.value).split() if word.isdecimal())
    np.testing.assert_array_equal(part.frames[start : start + 8], whole.frames[there : there + 8])


def test_what_only_looks_alike_is_no_copy() -> None:
    still = np.tile(recording(1)[:1], (300, 1))
    pulse = np.where(np.arange(300)[:, None] % 20 < 10, still, still[:, ::-1])
    for one, other in (
        (recording(1), recording(2)),
        (recording(1)[:200], recording(1)[200:]),
        (still, 2 * still[:200]),  # nothing moves: there is nothing to tell a copy by
        (pulse, pulse[:200] * np.exp(np.random.default_rng(3).normal(0, 1e-2, (200, 30)))),
        (recording(1) * np.exp(np.random.default_rng(3).normal(0, 0.03, (400, 30))), recording(1)),
        (recording(1, width=1), recording(1, width=1)[5:]),
        (np.zeros((100, 30)), np.zeros((90, 30))),
        (recording(1)[:7], recording(1)),
    ):
        splits.check([labelled("one", one), labelled("other", other)], Split((0,), (1,)))


@pytest.mark.parametrize("name", ["wiper_persons_0_59.npz", "geotec_sessions_1_3.npz"])
def test_no_real_recording_is_taken_for_a_copy_and_every_real_copy_is_found(recordings_dir: Path, name: str) -> None:
    dataset = read_dataset(recordings_dir / name)
    for index in range(len(dataset)):
        splits.by_recording(dataset, [index])
    for index in range(0, len(dataset), 5):
        frames = (dataset[index].frames[100:220] / 4).astype(np.float16).astype(np.float32)
        copy = dataclasses.replace(
            dataset[index], name="copy", recording_name="", frames=frames, fingerprints=fingerprint(frames)
        )
        with pytest.raises(LeakError, match=rf"of .*:{dataset[index].name}; remove"):
            splits.check([*dataset, copy], Split(tuple(range(len(dataset))), (len(dataset),)))
