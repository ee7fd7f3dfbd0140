"""The bytes of saved caches and streams."""

from __future__ import annotations

from dataclasses import replace

from reference import attention, model, rvne, state
from reference.attention import Head
from reference.golden_file import Case, Kernel, explicit, uniform
from reference.pattern import Pattern

from .common import (
    NONE,
    byte_words,
    config_words,
    seed_of,
    tensor,
    values,
)
from .models import blob_of


def cache_state_cases() -> list[Case]:
    out = []
    small = Pattern(window=5, block_size=4)
    for name, head, tokens, capacity, half, ring in (
        ("empty", Head(2, 1, 3, small), 0, 20, False, False),
        ("some", Head(2, 1, 3, small), 10, 20, False, False),
        ("full-f16", Head(2, 2, 3, small), 21, 21, True, False),
        ("ring", Head(2, 1, 3, replace(small, globals_=(0, 2, 50))), 47, 20, False, True),
        ("ring-f16", Head(2, 1, 5, replace(small, history=12, log_stride=False)), 38, 20, True, True),
        ("before-block-end", Head(1, 1, 2, small), 39, 16, False, True),
        ("after-block-end", Head(1, 1, 2, small), 40, 16, False, True),
        ("no-landmarks", Head(1, 1, 3, replace(small, landmarks=False)), 9, 6, False, True),
        ("reference", Head(4, 1, 4, Pattern()), 70, 48, False, True),
    ):
        name = "state/" + name
        cache = attention.Cache(head, capacity, half=half, ring=ring)
        kv_row, q_row = head.kv_heads * head.head_dim, head.q_heads * head.head_dim
        inputs = [uniform(tokens * n, seed_of(name, i), 0) for i, n in enumerate((q_row, kv_row, kv_row))]
        tq, tk, tv = (
            tensor(values(source), tokens, heads, head.head_dim)
            for source, heads in zip(inputs, (head.q_heads, head.kv_heads, head.kv_heads), strict=True)
        )
        for t in range(tokens):
            cache.step(tq[t], tk[t], tv[t])
        params = [*config_words(head), tokens, int(half), capacity, int(ring), 0, NONE, NONE, *head.pattern.globals_]
        words = byte_words(state.save_cache(cache, head))
        out.append(Case(Kernel.CACHE_STATE, name, params, inputs).expect(words))
    return out


def stream_state_cases() -> list[Case]:
    """One run, and the bytes of the stream after the last frame."""
    out = []
    plain = rvne.Header(5, 3, 1, 3, 1, 3)
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    p = Pattern(window=4, block_size=3, history=9, globals_=(0, 3))
    for name, blob, frames, context, half in (
        ("plain", blob_of("plain", plain), 19, 12, False),
        ("every-section", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 25, 30, True),
        ("first-frame", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 1, 30, False),
    ):
        parsed = rvne.parse(blob)
        n = parsed.header.input_dim
        source = uniform(n * frames, seed_of("stream-state/" + name), 1)
        flat, stream = values(source), model.Stream(parsed, context, half=half)
        for t in range(frames):
            answer = stream.push(flat[t * n : (t + 1) * n])
        embed = len(parsed.vectors.get("embedding.bias", []))
        params = [len(blob), frames, n, parsed.header.n_classes, embed, 1, context, int(half)]
        words = byte_words(state.save_stream(stream, blob, context, frames, answer))
        case = Case(Kernel.STREAM_STATE, "stream-state/" + name, params, [explicit(byte_words(blob)), source])
        out.append(case.expect(words))
    return out
