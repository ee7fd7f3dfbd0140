"""The pyramid pattern: what queries see, attention in every way it is computed, saved caches."""

from __future__ import annotations

from dataclasses import replace

from reference.attention import Head
from reference.golden_file import Case, explicit
from reference.pyramid import make

from .attention import attention_case, pattern_case
from .common import FORWARD, PREFILL, RESET, SPLIT, STEP
from .models import cache_state_case

FLOAT_MAX = 0x7F7FFFFF


def seen_cases() -> list[Case]:
    shapes = ((8, 4, 300), (0, 1, 150), (5, 8, 200), (32, 16, 250), (20, 1, 120))
    cases = [
        pattern_case(f"pyramid/seen-{w}-{size}", make(w, size), 4200, (0, w, w + size, 99, 4199), edges)
        for w, size, edges in shapes
    ]
    for window, size in ((8, 4), (0, 1), (6, 8)):
        both = make(window, size, causal=False)
        cases.append(pattern_case(f"pyramid/seen-noncausal-{window}-{size}", both, 203, (0, 7, 100, 195, 202), 70))
    for history in (9, 12, 13, 47, 100, 1000):
        held = make(8, 4, history=history)
        cases.append(pattern_case(f"pyramid/seen-history-{history}", held, 1500, (11, 12, 13, 100, 1499), 200))
    return cases


def length_cases() -> list[Case]:
    """Lengths on both sides of every dyadic boundary up to 4096 tokens; up to 256 with blocks of one token."""
    lengths = sorted({2**e + d for e in range(1, 9) for d in (-1, 0, 1)})
    cases = [attention_case(f"pyramid-length-{n}", Head(1, 1, 2, make(2, 1)), n, stride=17) for n in lengths]
    for tokens in (1023, 1024, 1026, 2049, 4095, 4097):
        head = Head(1, 1, 1, make(3, 4))
        cases.append(attention_case(f"pyramid-length-{tokens}", head, tokens, modes=FORWARD | STEP, stride=97))
    for tokens in (1, 5, 12, 13, 33, 64, 97):
        head = Head(2, 1, 3, make(4, 4, causal=False))
        cases.append(attention_case(f"pyramid-length-{tokens}-noncausal", head, tokens, stride=5))
    cases.append(
        attention_case("pyramid-length-0", Head(2, 1, 3, make(4, 4)), 0, modes=FORWARD | SPLIT | STEP | PREFILL)
    )
    return cases


def shape_cases() -> list[Case]:
    cases = []
    for q_heads, kv_heads, dim in ((4, 1, 32), (4, 4, 8), (4, 2, 17), (6, 3, 5), (5, 1, 3), (8, 2, 16), (9, 1, 4)):
        for causal in (True, False):
            name = f"pyramid-heads-{q_heads}-{kv_heads}-dim-{dim}{'' if causal else '-noncausal'}"
            head = Head(q_heads, kv_heads, dim, make(8, 4, causal=causal))
            cases.append(attention_case(name, head, 41, stride=11))
    for window, size in ((0, 1), (0, 4), (1, 2), (7, 8), (16, 8), (32, 16), (32, 8), (64, 1)):
        cases.append(attention_case(f"pyramid-{window}-{size}", Head(2, 1, 4, make(window, size)), 85, stride=7))
        head = Head(2, 1, 4, make(window, size))
        cases.append(attention_case(f"pyramid-{window}-{size}-f16", head, 70, half=True, stride=7))
    both = make(8, 4, causal=False)
    cases.append(attention_case("pyramid-f16-noncausal", Head(3, 1, 5, both), 50, half=True, stride=7))
    return cases


def stream_cases() -> list[Case]:
    head = Head(2, 1, 3, make(8, 4))
    held = Head(2, 1, 3, make(8, 4, history=29))
    cases = [
        attention_case("pyramid-ring", head, 120, capacity=40, ring=True, stride=7),
        attention_case("pyramid-ring-least", head, 60, capacity=5, ring=True, stride=7),
        attention_case("pyramid-history", held, 90, capacity=200, stride=7),
        attention_case("pyramid-history-ring-f16", held, 90, capacity=64, ring=True, half=True, stride=7),
        attention_case("pyramid-full", head, 30, capacity=25, modes=STEP | RESET),
    ]
    for save_at in (0, 1, 11, 12, 13, 40, 63, 64, 65):
        cases.append(attention_case(f"pyramid-saved-{save_at}", head, 90, save_at=save_at, stride=7))
    for poison_at in (12, 31, 32):
        cases.append(attention_case(f"pyramid-poisoned-{poison_at}", head, 60, poison_at=poison_at, stride=7))
    high = [FLOAT_MAX] * 60
    overflow = Head(1, 1, 1, make(0, 2))
    cases.append(attention_case("pyramid-block-overflow", overflow, 60, k=lambda n, s: explicit(high[:n])))
    return cases


def state_cases() -> list[Case]:
    head = Head(2, 1, 3, make(8, 4))
    small = Head(1, 1, 2, make(1, 1))
    return [
        cache_state_case(f"pyramid-{name}", each, tokens, capacity, half, ring)
        for name, each, tokens, capacity, half, ring in (
            ("empty", head, 0, 64, False, False),
            ("window", head, 9, 64, False, False),
            ("leaving", head, 12, 64, False, False),
            ("left", head, 13, 64, False, False),
            ("levels", head, 333, 400, False, False),
            ("levels-f16", head, 256, 400, True, False),
            ("ring", replace(head, q_heads=4, kv_heads=2), 150, 60, False, True),
            ("blocks-of-one", small, 97, 128, False, False),
            ("wide-window", Head(1, 1, 1, make(20, 1)), 77, 128, False, True),
            ("half", Head(1, 1, 1, make(20, 1)), 78, 128, False, True),
            ("history-of-two-blocks", Head(1, 1, 1, make(16, 2, history=22)), 40, 41, False, False),
        )
    ]
