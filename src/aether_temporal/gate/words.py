"""The verdict in words and rows of tables, the same on a terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANINGS = {
    "pass": "All four gates pass: sparse may be the default.",
    "fail": "A gate fails: dense stays the default.",
    "undecided": "No gate fails, but at least one is left open: dense stays the default until it is decided.",
}

CAPTIONS = {
    "loss": "The contrastive loss of both, a thin line a seed, the mean over seeds thick; dotted: on persons that "
    "training has not met, at the end.",
    "neighbours": "Where the sparse kernel puts the gallery windows that the dense kernel finds nearest, under the "
    "same weights (200 probes, each point shifted a little); right: how well one probe's order agrees.",
    "latency": "One thread, the C core, medians of alternating turns. A step is compared with computing the whole "
    "window anew, since dense attention has no streaming.",
    "attention": "What the queries of one held-out window look at in the first layer, under the same weights.",
}

LATENCY_HEADS = ("frames", "job", "dense", "sparse", "dense / sparse (95 % interval)", "at least 5 times?")

UNITS = {1: "", 2: " points", 3: "", 4: " times"}


def gate_row(gate: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """gate, measured with interval, limit, margin, verdict."""
    show = _points if gate["number"] == 2 else _figure
    interval = "" if gate["low"] is None else f" ({show(gate['low'])} to {show(gate['high'])})"
    word = "≤" if gate["at_most"] else "≥"
    unit = UNITS[gate["number"]]
    verdict = gate["outcome"] + (f": {gate['advice']}" if gate["advice"] else "")
    return (
        f"{gate['number']} {gate['name']}",
        "–" if gate["value"] is None else f"{show(gate['value'])}{interval}{unit}",
        f"{word} {show(gate['limit'])}{unit}",
        "–" if gate["margin"] is None else f"{show(gate['margin'], sign=True)}{unit}",
        verdict,
    )


def beside_text(gate: Mapping[str, Any]) -> str:
    """Figures that decide nothing."""
    return "; ".join(f"{name}: {_figure(value)}" for name, value in gate["beside"].items())


def seed_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a seed."""
    return [
        (
            str(found["seed"]),
            *(f"{found['contrastive_loss'][backend]:.4f}" for backend in ("dense", "sparse")),
            *(f"{found['rank1'][backend]:.3f}" for backend in ("dense", "sparse")),
            f"{found['spearman']['dense']:.3f}",
            f"{found['spearman_worst_decile']['dense']:.3f}",
        )
        for found in document["seeds"]
    ]


def seeds_text(document: Mapping[str, Any]) -> str:
    """How many there are."""
    count = len(document["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def latency_note(document: Mapping[str, Any]) -> str:
    """Which of the rows decide."""
    return f"Gate 4 is decided at {document['configuration']['deployed']} frames."


def latency_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a job and length; LATENCY_HEADS."""
    return [
        (
            str(found["frames"]),
            found["job"],
            _seconds(found["dense"]),
            _seconds(found["sparse"]),
            f"{_figure(found['ratio'])} ({_figure(found['low'])} to {_figure(found['high'])})",
            "" if found["outcome"] is None else f"{found['outcome']}: {_figure(found['margin'], sign=True)}",
        )
        for found in document["latency"]
    ]


def _figure(value: float, *, sign: bool = False) -> str:
    digits = ".3f" if abs(value) < 10 else ".1f"
    return f"{value:{'+' if sign else ''}{digits}}"


def _points(value: float, *, sign: bool = False) -> str:
    return f"{100 * value:{'+' if sign else ''}.1f}"


def _seconds(value: float) -> str:
    return f"{value * 1e6:.3g} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms"
