"""A small task that a kernel can fail: identities by their profile, each frame of which is mostly noise. Two frames
tell next to nothing, many tell the identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from aether_temporal.gate.contrastive import ContrastConfig, Views
from aether_temporal.gate.gate_config import GateConfig, NetworkSettings
from aether_temporal.settings import PatternSettings
from aether_temporal.train.distillation import DistillConfig

IDENTITIES, FRAMES, WIDTH = 24, 144, 16

BROKEN = PatternSettings(window=1, use_log_stride=False, use_landmarks=False, global_tokens=())
NEAR = PatternSettings(window=1, use_landmarks=False)
"""Broken, but for the log-strides and the first frame."""

EVERY = PatternSettings(window=None, use_log_stride=False, use_landmarks=False, global_tokens=())
REACHING = PatternSettings(window=48, use_log_stride=False, use_landmarks=False, global_tokens=())
"""Sparse, and over windows of 48 frames the same as dense: the kernel that all gates let pass."""

SMALL = GateConfig(
    window=48,
    held_out=12,
    batch=12,
    held_out_batches=4,
    neighbours=12,
    deployed=2048,
    lengths=(64,),
    rounds=9,
    network=NetworkSettings(width=16, q_heads=2, head_dim=8, embedding=8),
    contrast=ContrastConfig(steps=60, learning_rate=1e-2, head_learning_rate=1e-2, projection=16),
    views=Views(share=0.0),
    distillation=DistillConfig(steps=20),
)


def with_pattern(pattern: PatternSettings, config: GateConfig = SMALL) -> GateConfig:
    return dataclasses.replace(config, pattern=pattern)


def save_task(folder: Path, *, identities: int = IDENTITIES, sessions: int = 2) -> Path:
    """Recordings of `identities` in `sessions` captures, gains that jump and all."""
    rng = np.random.default_rng(5)
    profiles = np.exp(0.4 * rng.standard_normal((identities, 1, 1, WIDTH)))
    frames = profiles * np.exp(0.6 * rng.standard_normal((identities, sessions, FRAMES, WIDTH)))
    frames *= 20 * np.exp(0.3 * rng.standard_normal((identities, sessions, FRAMES, 1)))
    count = identities * sessions
    path = folder / "task.npz"
    np.savez(
        path,
        amp=frames.reshape(-1, WIDTH).astype(np.float32),
        rec_name=np.array([f"p{i // sessions}-{i % sessions}" for i in range(count)]),
        rec_subject=np.repeat(np.arange(identities), sessions),
        rec_session=np.tile(np.arange(sessions), identities),
        rec_offset=np.arange(count + 1) * FRAMES,
        rate_hz=50.0,
    )
    return path
