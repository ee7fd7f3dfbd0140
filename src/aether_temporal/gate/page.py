"""The verdict as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .words import (
    CAPTIONS,
    LATENCY_HEADS,
    MEANINGS,
    beside_text,
    gate_row,
    latency_note,
    latency_rows,
    seed_rows,
    seeds_text,
)

NO_PICTURES = "plots: none; they need matplotlib: pip install 'aether-temporal[plot]'"

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
        f"{document['configuration']['contrast']['steps']} steps a training; windows of "
        f"{document['configuration']['window']} frames; {document['configuration']['held_out']} persons held out.</p>",
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
        parts.append(f"<p class='note'>{escape(NO_PICTURES)}</p>")
    heads = ("seed", "loss dense", "loss sparse", "rank-1 dense", "rank-1 sparse", "Spearman", "worst decile")
    parts += [
        "<h2>Seeds</h2>",
        _table(heads, seed_rows(document)),
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
