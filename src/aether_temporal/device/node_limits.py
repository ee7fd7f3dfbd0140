"""What a node can run: memory, classes and time, as far as a computer can tell."""

from __future__ import annotations

from dataclasses import dataclass

from aether_temporal.errors import SlotError
from aether_temporal.model import TemporalModel
from aether_temporal.settings import TimingSettings

__all__ = ["MAX_CLASSES", "MAX_MEMORY", "NodeNeeds", "check_node", "node_needs"]

MAX_CLASSES = 256
"""A packet names a class in one byte."""
MAX_MEMORY = 320 << 10
"""Bytes of memory that an ESP32-S3 without PSRAM has for its program's data."""
CONTEXT = 256
"""The context of a stream in a node, RUV_TEMPORAL_CONTEXT of Kconfig."""
STACK = 16384
QUEUE_FRAMES = 32
OWN = 2304
"""Bytes that a task's and a model's own fields take at most."""

PYRAMID = "the model has the pyramid pattern: a node compiled without AETHER_PYRAMID (Kconfig) rejects it"

# A multiply-add costs 4 to 10 instructions (docs/budgets.md), at 1 to 1.5 cycles and 240 MHz.
_LEAST_US, _LIKELY_US = 4 / 240, 10 * 1.5 / 240


@dataclass(frozen=True)
class NodeNeeds:
    """What a model takes of a node: bytes of memory, stack and queue included; microseconds for one frame, at least and
    probably; microseconds between two frames (None: the blob states no rate)."""

    memory: int
    least_us: float
    likely_us: float
    frame_us: float | None


def node_needs(model: TemporalModel, *, pointer_bytes: int = 4) -> NodeNeeds:
    """What a node with the default settings (context 256, float16 cache) needs to run the model."""
    found = model.memory(CONTEXT, "float16", pointer_bytes=pointer_bytes)
    settings = model.settings
    timing = (settings.timing if settings else None) or TimingSettings()
    frame = 4 * model.input_dim
    grid = 0 if timing.period_us is None else 2 * frame
    memory = found.state + found.scratch + grid + frame + QUEUE_FRAMES * (8 + frame) + OWN + STACK
    rate = settings.frame_rate if settings else None
    frame_us = float(timing.period_us) if timing.period_us else 1e6 / rate if rate else None
    return NodeNeeds(memory, found.multiply_adds * _LEAST_US, found.multiply_adds * _LIKELY_US, frame_us)


def check_node(model: TemporalModel) -> list[str]:
    """Warnings about what a node may lack, or be too slow for. SlotError: no node can run the model."""
    needs = node_needs(model)
    if model.n_classes > MAX_CLASSES:
        expected = f"at most {MAX_CLASSES}, as many as a packet of a node can name"
        raise SlotError.of("n_classes", expected, f"{model.n_classes}; pack a model with fewer classes")
    if needs.memory > MAX_MEMORY:
        expected = f"at most {MAX_MEMORY} bytes of memory on a node"
        raise SlotError.of("memory", expected, f"{needs.memory}; train with a shorter history or fewer layers")
    warnings = [PYRAMID] if model.config.pattern == "pyramid" else []
    if needs.frame_us is None:
        return warnings
    often = f"one every {needs.frame_us / 1e3:g} ms, as the blob asks for"
    if needs.least_us > needs.frame_us:
        found = f"at least {needs.least_us / 1e3:.3g} ms for each; train a smaller model, or with a longer period"
        raise SlotError.of("time for a frame", often, found)
    if needs.likely_us > needs.frame_us:
        how_long = f"a frame may take a node {needs.likely_us / 1e3:.3g} ms"
        found = f"{how_long}, more than the {needs.frame_us / 1e3:g} ms between two frames: it may not be confirmed"
        warnings.append(found)
    return warnings
