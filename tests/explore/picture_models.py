"""A small model with every section of a blob, and small recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aether_temporal import (
    BiasSettings,
    ConvolutionSettings,
    EmbeddingSettings,
    FeedForwardSettings,
    ModelSettings,
    NormalisationSettings,
    NormSettings,
    PatternSettings,
    PoolingSettings,
    ProjectionSettings,
    StemSettings,
    TimingSettings,
    WeightBlob,
    WeightBlobHeader,
)

F, W, HQ, HKV, D, LAYERS, CLASSES, EMBED = 6, 8, 4, 2, 4, 2, 3, 5
NAMES = ("sit", "walk", "turn")


def full_blob(
    pattern: PatternSettings, *, pool: int = 3, dtype: str = "float32", classifier: float = 0.4, seed: int = 3
) -> WeightBlob:
    """A blob with every section. classifier: scale of its weights; 0 as in a re-identification model."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 0.4) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    header = WeightBlobHeader(
        dtype=dtype, input_dim=F, n_q_heads=HQ, n_kv_heads=HKV, head_dim=D, n_layers=LAYERS, n_classes=CLASSES
    )  # type: ignore[arg-type]
    layers = [
        {"wq": draw(W, HQ * D), "wk": draw(W, HKV * D), "wv": draw(W, HKV * D), "wo": draw(HQ * D, W)}
        for _ in range(LAYERS)
    ]
    settings = ModelSettings(
        width=W,
        pattern=pattern,
        agc="mean",
        normalisation=NormalisationSettings(mean=draw(F) + 1, scale=draw(F) + 2),
        projection=ProjectionSettings(weight=draw(F, W), bias=draw(W)),
        stem=StemSettings(weight=draw(4, W), bias=draw(W), activation="relu"),
        norm=NormSettings(weight=draw(LAYERS, W) + 1, final=draw(W) + 1, eps=1e-5),
        convolution=ConvolutionSettings(weight=draw(LAYERS, 3, W), bias=draw(LAYERS, W)),
        bias=BiasSettings(
            bq=draw(LAYERS, HQ * D),
            bk=draw(LAYERS, HKV * D),
            bv=draw(LAYERS, HKV * D),
            bo=draw(LAYERS, W),
            classifier=draw(CLASSES) * classifier,
        ),
        feed_forward=FeedForwardSettings(
            norm=draw(LAYERS, W) + 1,
            w1=draw(LAYERS, W, 7),
            b1=draw(LAYERS, 7),
            w2=draw(LAYERS, 7, W),
            b2=draw(LAYERS, W),
        ),
        pooling=PoolingSettings("mean", pool) if pool > 1 else None,
        embedding=EmbeddingSettings(weight=draw(W, EMBED), bias=draw(EMBED)),
        class_names=list(NAMES),
        frame_rate=50.0,
        timing=TimingSettings(label_delay=2),
    )
    return WeightBlob.from_arrays(header, layers, draw(W, CLASSES) * classifier, settings)


def save_sessions(path: Path, *, frames: int = 60, **changes: object) -> Path:
    """Saves two identities in two sessions, each with every class. changes: arrays to replace; None leaves one out."""
    rng = np.random.default_rng(5)
    who = np.repeat([2.0, 5.0, 2.0, 5.0], frames)
    shape = rng.uniform(1, 3, (8, F))
    values = shape[who.astype(int)] * rng.uniform(0.8, 1.2, (4 * frames, F)) * rng.uniform(5, 20, (4 * frames, 1))
    arrays: dict[str, object] = {
        "amp": values.astype(np.float32),
        "rec_offset": np.arange(5) * frames,
        "rec_name": ["a", "b", "c", "d"],
        "rec_subject": ["ann", "ben", "ann", "ben"],
        "rec_session": ["mon", "mon", "tue", "tue"],
        "frame_activity": np.tile(np.repeat([0, 1, 2], frames // 3), 4).astype(np.int8),
        "activity_names": ["SIT", "WALK", "TURN_LEFT"],
        "rate_hz": 50.0,
        **changes,
    }
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items() if value is not None})
    return path
