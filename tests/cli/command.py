"""Models, recordings and ways to call the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from aether_temporal import (
    EmbeddingSettings,
    ModelSettings,
    PatternSettings,
    SubcarrierSettings,
    WeightBlob,
    WeightBlobHeader,
)
from aether_temporal.cli import aether

NAMES = ("SIT", "WALK", "TURN")


def call(*arguments: object, code: int = 0, stdin: bytes | None = None) -> Result:
    """The command in this process; `code`: the exit status expected. What the command does not translate is raised."""
    result = CliRunner().invoke(aether, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def call_json(*arguments: object, code: int = 0) -> Any:
    """What the command prints with --json, parsed; a NaN or infinity in it is an error."""

    def reject(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(call(*arguments, "--json", code=code).stdout, parse_constant=reject)


def make_blob(
    input_dim: int = 6,
    n_pairs: int | None = None,
    embed: int = 5,
    seed: int = 1,
    class_names: Sequence[str] = ("sit", "walk", "turn"),
    history: int = 64,
) -> WeightBlob:
    """A small model with class names, frame rate and embedding; of raw frames it takes every other pair."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32) * 0.3

    header = WeightBlobHeader(
        dtype="float32", input_dim=input_dim, n_q_heads=2, n_kv_heads=1, head_dim=4, n_layers=1, n_classes=3
    )
    layer = {"wq": draw(input_dim, 8), "wk": draw(input_dim, 4), "wv": draw(input_dim, 4), "wo": draw(8, input_dim)}
    settings = ModelSettings(
        pattern=PatternSettings(window=8, block_size=4, history=history),
        agc="mean",
        subcarriers=None if n_pairs is None else SubcarrierSettings(n_pairs, np.arange(input_dim) * 2),
        embedding=EmbeddingSettings(weight=draw(input_dim, embed), bias=draw(embed)),
        class_names=class_names,
        frame_rate=50.0,
        provenance="made for a test",
    )
    return WeightBlob.from_arrays(header, [layer], draw(input_dim, 3), settings)


def save_model(folder: Path, **options: Any) -> Path:
    path = folder / "model.rvne"
    make_blob(**options).save(path)
    return path


def save_recordings(folder: Path) -> Path:
    """Three labelled recordings of 70, 50 and 60 frames in two sessions; labels TURN_A and OTHER in the last."""
    rng = np.random.default_rng(2)
    path = folder / "set.npz"
    labels = rng.integers(-1, 3, 180)
    labels[120:150], labels[150:] = 3, 4
    np.savez(
        path,
        amp=rng.uniform(1, 40, (180, 6)).astype(np.float32),
        frame_activity=labels.astype(np.int8),
        activity_names=np.array([*NAMES, "TURN_A", "OTHER"]),
        rec_name=np.array(["a", "b", "c"]),
        rec_session=[0, 0, 1],
        rec_subject=[4, 5, 4],
        rec_offset=[0, 70, 120, 180],
        rate_hz=50.0,
    )
    return path
