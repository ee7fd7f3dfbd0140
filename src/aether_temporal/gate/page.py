"""The verdict in words and rows of tables, and as one HTML page without external files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from aether_temporal._internal.figures import NO_PLOTS

from .study import DENSE_NAME, SPARSE

MEANINGS = {
    "pass": "All four gates pass: sparse may be the default.",
    "fail": "A gate fails: dense stays the default.",
    "undecided": "No gate fails, but at least one is left open: dense stays the default until it is decided.",
}

CAPTIONS = {
    "loss": "The contrastive loss of dense and sparse trained from the start, a thin line a seed, the mean thick; "
    "dotted: on identities that training has not met, at the end.",
    "neighbours": "Where a sparse network puts the gallery windows that the dense one finds nearest (200 probes, each "
    "point shifted a little); right: how well one probe's order agrees.",
    "latency": "One thread, the C core, medians of alternating turns. A step is compared with computing the whole "
    "window again, since dense attention has no streaming.",
    "attention": "What the queries of one held-out window look at in the first layer, under the same weights.",
}

LATENCY_HEADS = ("frames", "job", "dense", "sparse", "dense / sparse (95 % interval)", "at least 5 times?")

NETWORKS_NOTE = (
    "Means over the seeds. The gates compare the first two. The others decide nothing, but a broken kernel must not "
    "pass."
)

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


SEED_HEADS = ("seed", "loss dense", "loss sparse", "rank-1 dense", "rank-1 sparse", "Spearman", "worst decile")


def seed_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a seed; SEED_HEADS."""
    rows = []
    for found in document["seeds"]:
        dense, sparse = (found["networks"][name] for name in (DENSE_NAME, SPARSE))
        rows.append(
            (
                str(found["seed"]),
                *(f"{one['contrastive_loss']:.4f}" for one in (dense, sparse)),
                *(f"{one['rank1']:.3f}" for one in (dense, sparse)),
                f"{sparse['spearman']:.3f}",
                f"{sparse['spearman_worst_decile']:.3f}",
            )
        )
    return rows


NETWORK_HEADS = ("network", "loss / dense", "rank-1 lost", "Spearman")


def network_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row a network, means over the seeds; NETWORK_HEADS."""
    return [
        (
            one["network"],
            "–" if one["loss_ratio"] is None else _figure(one["loss_ratio"]),
            f"{_points(one['rank1_lost'], sign=True)} points",
            _figure(one["spearman"]),
        )
        for one in document["networks"]
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


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;color:#1f2937;background:#fff}
h1{font-size:1.6rem;margin-bottom:.3rem} h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;margin:.6rem 0} th,td{text-align:left;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid #e5e7eb;vertical-align:top;font-variant-numeric:tabular-nums} th{font-weight:600}
.pass{color:#047857;font-weight:600}.fail{color:#b91c1c;font-weight:600}.undecided{color:#a16207;font-weight:600}
.note{color:#4b5563;font-size:.9rem} figure{margin:1rem 0} img{max-width:100%} pre{background:#f3f4f6;padding:.8rem;
overflow:auto;font-size:.85rem}
"""


def page(document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """document: the result as JSON has it. pictures: SVG by name."""
    outcome = document["verdict"]
    parts = [
        f"<h1>Gates: <span class='{outcome}'>{escape(outcome)}</span></h1>",
        f"<p>{escape(MEANINGS[outcome])}</p>",
        f"<p class='note'>{escape(document['data'])}; {seeds_text(document)}; "
        f"{document['configuration']['contrast']['steps']} steps a training, "
        f"{document['configuration']['distillation']['steps']} a distillation; windows of "
        f"{document['configuration']['window']} frames; "
        f"{document['configuration']['held_out']} identities held out.</p>",
        "<h2>The four gates</h2>",
        _table(("gate", "measured (95 % interval)", "limit", "margin", "verdict"), map(gate_row, document["gates"])),
        *(
            f"<p class='note'>Gate {gate['number']}, beside it: {escape(beside_text(gate))}.</p>"
            for gate in document["gates"]
            if gate["beside"]
        ),
    ]
    parts += [
        f"<figure><img alt='{name}' src='data:image/svg+xml;base64,{base64.b64encode(picture).decode()}'>"
        f"<figcaption class='note'>{escape(CAPTIONS[name])}</figcaption></figure>"
        for name, picture in pictures.items()
    ]
    if not pictures:
        parts.append(f"<p class='note'>{escape(NO_PLOTS)}</p>")
    parts += [
        "<h2>Networks</h2>",
        f"<p class='note'>{escape(NETWORKS_NOTE)}</p>",
        _table(NETWORK_HEADS, network_rows(document)),
        "<h2>Seeds</h2>",
        _table(SEED_HEADS, seed_rows(document)),
        "<h2>Latency</h2>",
        f"<p class='note'>{escape(latency_note(document))}</p>",
        _table(LATENCY_HEADS, latency_rows(document)),
        "<h2>Configuration</h2>",
        f"<pre>{escape(document['text'])}</pre>",
    ]
    body = "\n".join(parts)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Gates: "
        f"{escape(outcome)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(text: str) -> str:
    word = text.split(":")[0]
    return f"<td class='{word}'>{escape(text)}</td>" if word in MEANINGS else f"<td>{escape(text)}</td>"
