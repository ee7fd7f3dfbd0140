"""What queries see, and attention in every way it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from reference import Rejected, attention, pattern, pyramid
from reference.attention import Head, Tensor
from reference.golden_file import Case, Input, Kernel, explicit, ramp, uniform, wild
from reference.numeric import to_bits
from reference.pattern import Pattern

from .common import (
    APPEND,
    FORWARD,
    HUGE,
    NONE,
    PREFILL,
    RESET,
    SPLIT,
    STEP,
    STREAMING,
    UNLIMITED,
    config_words,
    seed_of,
    tensor,
    values,
)


def pattern_case(name: str, p: Pattern, length: int, queries: Sequence[int], edges_length: int = 0) -> Case:
    out: list[int] = []
    for i in queries:
        seen = pyramid.tokens(p, i, length) if p.pyramid else pattern.tokens(p, i, length)
        out += [len(seen), *seen]
        if p.pyramid:
            runs = pyramid.runs(p, i, length)
            out += [len(runs), *(n for run in runs for n in run)]
        else:
            landmarks = pattern.blocks(p, i, length)
            out += [len(landmarks), *landmarks]
    edges = pyramid.edges(p, edges_length) if p.pyramid else pattern.edges(p, edges_length)
    out += [edges & NONE, edges >> 32]
    params = [*config_words(Head(1, 1, 1, p)), length, edges_length, len(queries), *queries, *p.globals_]
    return Case(Kernel.PATTERN, name, params, []).expect(out)


def pattern_cases() -> list[Case]:
    base = Pattern()
    both = replace(base, causal=False)
    return [
        pattern_case("pattern/default", base, 200, (0, 1, 15, 16, 31, 32, 33, 34, 100, 199), 120),
        pattern_case("pattern/noncausal", both, 200, (0, 15, 16, 100, 199), 90),
        pattern_case("pattern/long", base, 20001, (20000, 16383), 5),
        pattern_case("pattern/long-noncausal", both, 20001, (0, 10000), 1),
        pattern_case(
            "pattern/history", replace(base, history=40, globals_=(0, 3, 60, 5000)), 150, (39, 40, 41, 70, 149), 100
        ),
        pattern_case("pattern/history-1", replace(base, history=1), 50, (0, 1, 15, 31, 49), 50),
        pattern_case("pattern/history-noncausal", replace(both, history=20), 90, (0, 30, 47, 89), 60),
        pattern_case("pattern/window-0", replace(base, window=0, block_size=5), 64, (0, 4, 5, 9, 63), 64),
        pattern_case("pattern/window-2^40", replace(base, window=HUGE, block_size=32), 70, (0, 31, 69), 70),
        pattern_case("pattern/window-unlimited", replace(both, window=UNLIMITED), 40, (0, 20, 39), 40),
        pattern_case(
            "pattern/window-only", replace(base, log_stride=False, landmarks=False, globals_=()), 90, (0, 32, 89), 90
        ),
        pattern_case("pattern/block-1", replace(base, window=2, block_size=1), 60, (0, 1, 2, 59), 60),
        pattern_case("pattern/block-2^40", replace(base, window=2, block_size=HUGE), 60, (0, 59), 60),
        pattern_case("pattern/dense", replace(base, dense=True), 40, (0, 39), 40),
        pattern_case("pattern/dense-history", replace(both, dense=True, history=9), 40, (0, 8, 9, 39), 40),
    ]


def attention_case(
    name: str,
    head: Head,
    tokens: int,
    *,
    q: Callable[[int, int], Input] | None = None,
    k: Callable[[int, int], Input] | None = None,
    v: Callable[[int, int], Input] | None = None,
    half: bool = False,
    capacity: int = 0,
    ring: bool = False,
    modes: int = 0,
    poison_at: int = NONE,
    save_at: int = NONE,
    stride: int = 1,
) -> Case:
    """One attention case. q, k, v make an input from (count, seed); default: uniform, scores of a few units.

    `capacity` without `ring` is one a stream must not exceed; the case then ends with what step says.
    """
    name = "attention/" + name
    dim, p = head.head_dim, head.pattern
    spread = 1 if dim > 8 else 2
    default = (
        lambda n, s: uniform(n, s, spread),
        lambda n, s: uniform(n, s, 0),
        lambda n, s: uniform(n, s, 0),
    )
    counts = (tokens * head.q_heads * dim, tokens * head.kv_heads * dim, tokens * head.kv_heads * dim)
    makers = [given or made for given, made in zip((q, k, v), default, strict=True)]
    inputs = [make(n, seed_of(name, i)) for i, (make, n) in enumerate(zip(makers, counts, strict=True))]
    tq = tensor(values(inputs[0]), tokens, head.q_heads, dim)
    tk, tv = (tensor(values(i), tokens, head.kv_heads, dim) for i in inputs[1:])
    streams = p.causal and not p.dense
    if not modes:
        modes = FORWARD | SPLIT | (STREAMING if streams else 0)
    status, rows = "OK", []
    try:
        if streams:
            cache = attention.Cache(head, capacity or tokens, half=half, ring=ring)
            for t in range(tokens):
                rows.append(cache.step(tq[t], tk[t], tv[t]))
        else:
            rows = attention.forward(head, tq, tk, tv, half=half)
    except Rejected as rejected:
        status = rejected.status
        modes &= ~(APPEND | RESET)  # these take some tokens in another way first
    if modes & FORWARD and status == "OK":
        seen = p.with_capacity(capacity) if capacity else p
        again = attention.forward(replace(head, pattern=seen), tq, tk, tv, half=half)
        if _flat(again) != _flat(rows):
            raise AssertionError(f"{name}: the reference's forward and step differ")
    params = [*config_words(head), tokens, int(half), capacity, int(ring), modes, poison_at, save_at, *p.globals_]
    return Case(Kernel.ATTENTION, name, params, inputs, status).expect(_flat(rows), stride)


def _flat(rows: Tensor) -> list[int]:
    return [to_bits(x) for row in rows for vector in row for x in vector]


def length_cases() -> list[Case]:
    out = []
    for tokens in (1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 34, 47, 48, 49, 63, 64, 65, 66, 97):
        for causal in (True, False):
            head = Head(2, 1, 3, Pattern(causal=causal))
            out.append(attention_case(f"length-{tokens}{'' if causal else '-noncausal'}", head, tokens, stride=5))
    out.append(attention_case("length-0", Head(2, 1, 3), 0, modes=FORWARD | SPLIT | STEP | PREFILL))
    out.append(attention_case("length-300", Head(1, 1, 2, Pattern(window=9, block_size=4)), 300, stride=5))
    for causal in (True, False):
        p = Pattern(window=20, causal=causal, globals_=(0, 3, 9, 17, 40, 41, 64, 70, 99, 128), history=100)
        name = f"length-150{'' if causal else '-noncausal'}"
        out.append(attention_case(name, Head(4, 2, 8, p), 150, stride=29))
    noncausal = Pattern(window=9, block_size=4, causal=False)
    out.append(attention_case("length-210-noncausal", Head(1, 1, 2, noncausal), 210, stride=5))
    return out


def switch_cases() -> list[Case]:
    changes: dict[str, dict[str, object]] = {
        "default": {},
        "no-stride": {"log_stride": False},
        "no-landmarks": {"landmarks": False},
        "window-only": {"log_stride": False, "landmarks": False},
        "globals-none": {"globals_": ()},
        "globals-several": {"globals_": (0, 7, 20, 33)},
        "globals-middle": {"globals_": (21,), "window": 3},
        "globals-beyond": {"globals_": (2, 5000, 4000000000)},
        "window-0": {"window": 0},
        "window-0-alone": {"window": 0, "log_stride": False, "landmarks": False, "globals_": ()},
        "window-1": {"window": 1},
        "window-7": {"window": 7},
        "window-15": {"window": 15},
        "window-16": {"window": 16},
        "window-2^40": {"window": HUGE},
        "window-unlimited": {"window": UNLIMITED},
        "window-all-no-landmarks": {"window": UNLIMITED, "landmarks": False},
        "block-1": {"block_size": 1, "window": 4},
        "block-5": {"block_size": 5, "window": 4},
        "block-16": {"block_size": 16, "window": 4},
        "block-32": {"block_size": 32, "window": 4},
        "block-2^40": {"block_size": HUGE, "window": 4},
        "history-1": {"history": 1},
        "history-2": {"history": 2, "block_size": 1, "window": 4},
        "history-16": {"history": 16},
        "history-17": {"history": 17},
        "history-33": {"history": 33, "globals_": (0, 3, 11)},
        "history-40": {"history": 40, "block_size": 5, "window": 6},
        "history-2^40": {"history": HUGE},
    }
    out = []
    for name, change in changes.items():
        for causal in (True, False):
            p = replace(Pattern(causal=causal), **change)  # type: ignore[arg-type]
            out.append(attention_case(f"{name}{'' if causal else '-noncausal'}", Head(2, 1, 4, p), 57, stride=5))
    return out


def shape_cases() -> list[Case]:
    out = []
    small = Pattern(window=6, block_size=4)
    for dim in (1, 3, 8, 17, 32, 64):
        tokens = 25 if dim < 32 else 18  # a chip has to hold all of it
        for q_heads, kv_heads in ((1, 1), (2, 2) if dim == 64 else (4, 4), (4, 2), (4, 1)):
            head = Head(q_heads, kv_heads, dim, small)
            out.append(attention_case(f"heads-{q_heads}-{kv_heads}-dim-{dim}", head, tokens, stride=11))
        head = Head(3, 1, dim, replace(small, causal=False))
        out.append(attention_case(f"heads-3-1-dim-{dim}-noncausal", head, tokens, stride=11))
    for q_heads, kv_heads in ((6, 3), (5, 1), (8, 2), (3, 3), (9, 1)):
        out.append(attention_case(f"heads-{q_heads}-{kv_heads}-dim-5", Head(q_heads, kv_heads, 5, small), 21, stride=7))
    out.append(attention_case("reference-shape", Head(), 49, stride=13))
    out.append(attention_case("reference-shape-f16", Head(), 34, half=True, stride=13))
    return out


def dense_cases() -> list[Case]:
    out = []
    for tokens in (1, 16, 33, 50):
        for causal in (True, False):
            p = Pattern(dense=True, causal=causal)
            out.append(
                attention_case(f"dense-{tokens}{'' if causal else '-noncausal'}", Head(4, 2, 5, p), tokens, stride=5)
            )
    out.append(attention_case("dense-200", Head(2, 1, 2, Pattern(dense=True)), 200, stride=7))
    for causal in (True, False):
        p = Pattern(dense=True, causal=causal, history=11, globals_=())
        out.append(attention_case(f"dense-history{'' if causal else '-noncausal'}", Head(2, 2, 3, p), 40, stride=3))
    return out


def value_cases() -> list[Case]:
    small = Pattern(window=5, block_size=4)
    head, out = Head(2, 1, 4, small), []

    def scaled(exponent: int) -> Callable[[int, int], Input]:
        return lambda n, s: uniform(n, s, exponent)

    def wilder(low: int, high: int) -> Callable[[int, int], Input]:
        return lambda n, s: wild(n, s, low, high)

    for name, q, k, v in (
        ("v-subnormal", scaled(1), scaled(0), scaled(-126)),
        ("v-tiny", scaled(1), scaled(0), wilder(0, 30)),
        ("v-large", scaled(1), scaled(0), scaled(120)),
        ("v-wild", scaled(1), scaled(0), wilder(0, 246)),
        ("scores-subnormal", scaled(-70), scaled(-70), scaled(0)),
        ("scores-underflow", scaled(-80), scaled(-80), scaled(0)),
        ("scores-steep", scaled(5), scaled(3), scaled(0)),
        ("scores-at-c0", scaled(4), scaled(4), scaled(0)),
        ("scores-huge", scaled(60), scaled(60), scaled(0)),
        ("scores-wild", wilder(60, 190), wilder(60, 190), scaled(0)),
        ("all-subnormal", scaled(-126), scaled(-126), scaled(-126)),
        ("zeros", scaled(0), lambda n, s: ramp(n, 0, 0), lambda n, s: ramp(n, 0x80000000, 0)),
        ("equal-keys", scaled(1), lambda n, s: ramp(n, 0x3F800000, 0), scaled(0)),
    ):
        for causal in (True, False):
            h = replace(head, pattern=replace(small, causal=causal))
            out.append(attention_case(f"{name}{'' if causal else '-noncausal'}", h, 22, q=q, k=k, v=v, stride=3))

    def patched(exponent: int, changes: dict[int, int]) -> Callable[[int, int], Input]:
        def make(n: int, s: int) -> Input:
            words = uniform(n, s, exponent).words().copy()
            for index, word in changes.items():
                words[index] = word
            return explicit(words)

        return make

    plain = Head(1, 1, 2, Pattern(window=3, block_size=4, landmarks=False))
    marks = Head(1, 1, 2, Pattern(window=3, block_size=4))
    big, inf, nan = 0x7F000000, 0x7F800000, 0x7FC00000
    # A score of minus infinity has weight +0; token 1's key is far away for every query.
    out.append(
        attention_case(
            "score-minus-infinity",
            plain,
            9,
            q=lambda n, s: ramp(n, 0x7F000000, 0),
            k=patched(-125, {2: 0xFF000000, 3: 0xFF000000}),
            stride=1,
        )
    )
    out.append(
        attention_case("score-plus-infinity", plain, 9, q=lambda n, s: ramp(n, big, 0), k=patched(-125, {10: big}))
    )
    out.append(
        attention_case(
            "score-not-a-number",
            plain,
            9,
            q=lambda n, s: ramp(n, big, 0),
            k=patched(-125, {10: big, 11: big | 0x80000000}),
        )
    )
    out.append(attention_case("sum-of-block", marks, 9, v=patched(0, {5: 0x7F7FFFFF, 7: 0x7F7FFFFF})))
    out.append(attention_case("k-infinite", plain, 9, k=patched(0, {8: inf})))
    out.append(attention_case("v-nan", plain, 9, v=patched(0, {9: nan})))
    out.append(attention_case("q-nan", plain, 9, q=patched(0, {17: nan | 0x80000000})))
    out.append(attention_case("f16-range", marks, 9, half=True, v=patched(0, {11: 0x477FF000})))
    out.append(
        attention_case(
            "f16-largest", marks, 9, half=True, v=patched(0, {11: 0x477FEFFF}), k=patched(0, {3: 0x33000001})
        )
    )
    out.append(attention_case("f16-subnormal", head, 20, half=True, v=lambda n, s: wild(n, s, 100, 114), stride=3))
    return out


def stream_cases() -> list[Case]:
    out = []
    small = Pattern(window=5, block_size=4)
    for capacity in (1, 2, 3, 7, 16, 33):
        for half in (False, True):
            name = f"ring-{capacity}{'-f16' if half else ''}"
            case = attention_case(
                name, Head(2, 1, 3, small), 110, half=half, capacity=capacity, ring=True, save_at=61, stride=7
            )
            out.append(case)
    reference = Head(2, 1, 4, Pattern())
    for half in (False, True):
        tail = "-f16" if half else ""
        out.append(
            attention_case(f"ring-reference{tail}", reference, 230, half=half, capacity=48, ring=True, stride=17)
        )
        p = replace(small, globals_=(0, 2, 9), history=12)
        out.append(
            attention_case(
                f"ring-history{tail}", Head(2, 2, 2, p), 70, half=half, capacity=20, ring=True, save_at=40, stride=5
            )
        )
        p = replace(small, block_size=1, window=2)
        out.append(
            attention_case(f"ring-block-1{tail}", Head(1, 1, 2, p), 90, half=half, capacity=11, ring=True, stride=3)
        )
        out.append(
            attention_case(f"fits{tail}", Head(2, 1, 3, small), 40, half=half, capacity=40, save_at=17, stride=3)
        )
    p = replace(small, window=UNLIMITED)
    out.append(attention_case("ring-window-unlimited", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    p = replace(small, landmarks=False, globals_=())
    out.append(attention_case("ring-tokens-only", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    p = replace(small, log_stride=False)
    out.append(attention_case("ring-no-stride", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    streaming = STEP | PREFILL
    out.append(attention_case("full", Head(2, 1, 3, small), 12, capacity=11, modes=streaming, stride=1))
    out.append(attention_case("poisoned", Head(2, 1, 3, small), 30, poison_at=13, modes=STEP, stride=2))
    out.append(
        attention_case(
            "poisoned-ring", Head(2, 1, 3, small), 50, capacity=9, ring=True, poison_at=37, modes=STEP, stride=3
        )
    )
    return out
