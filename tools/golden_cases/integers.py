"""Models in integers: blobs good and bad, whole models, the bytes of saved streams."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from reference import Rejected, integers, pyramid, rvne, state
from reference.golden_file import Case, Input, Kernel, explicit, uniform
from reference.pattern import Pattern

from .common import bits, byte_words, seed_of, values
from .models import AGES, open_case

FLAGS = rvne.EXTENSION | rvne.INT8
UNITS = rvne.words([0x3A800000, 0x39800000])  # 2^-10, 2^-12
EVERY = tuple(range(1, 17))


class Whole:
    """Integers by rule, each array from a seed of its own."""

    def __init__(self, name: str) -> None:
        self.name, self.drawn = name, 0

    def _draw(self, count: int) -> list[int]:
        self.drawn += 1
        return [int(value) for value in values(uniform(count, seed_of(self.name, 2000 + self.drawn), 23))]

    def bytes_(self, count: int) -> bytes:
        """Signed bytes, all of them from -128 to 127."""
        return struct.pack(f"<{count}b", *[v >> 16 for v in self._draw(count)])

    def words(self, count: int, most: int) -> bytes:
        """From -most to most."""
        return struct.pack(f"<{count}i", *[v * most >> 23 for v in self._draw(count)])

    def near(self, count: int, middle: int) -> bytes:
        """From half to one and a half times `middle`, at least 1."""
        return struct.pack(f"<{count}i", *[max(1, middle + (v * middle >> 24)) for v in self._draw(count)])


def multiplier(inputs: int, target: float, wide: int = 700, weight: int = 74) -> int:
    """What brings sums over so many inputs, `wide` and `weight` across, to `target`."""
    return int(2**29 * target / (inputs**0.5 * wide * weight))


SIZES = (9, 3, 5, 5)
"""Hidden values, taps of convolutions, taps of the stem, values of an embedding."""


def sections_of(
    name: str, h: rvne.Header, w: int, wanted: Sequence[int], p: Pattern, sizes: tuple[int, int, int, int] = SIZES
) -> dict[int, bytes]:
    """Payloads of the wanted sections, and of the three that each of these blobs has."""
    u32, draw = rvne.words, Whole(name)
    q, kv, layers = h.n_q_heads * h.head_dim, h.n_kv_heads * h.head_dim, range(h.n_layers)
    hidden, taps, stem_taps, embed = sizes
    one = 2**29 // 2**13  # a norm's weight: unit to activation
    made: dict[int, Callable[[], bytes]] = {
        rvne.PATTERN: lambda: rvne.pattern_payload(p),
        rvne.SUBCARRIERS: lambda: u32([64]) + struct.pack(f"<{h.input_dim}H", *range(3, 3 + h.input_dim)),
        rvne.AGC: lambda: u32([1]),
        rvne.NORMALISATION: lambda: draw.words(h.input_dim, 300) + draw.near(h.input_dim, 2**30),
        rvne.PROJECTION: lambda: draw.words(w, 9000) + draw.bytes_(h.input_dim * w),
        rvne.NORM: lambda: u32([0x42280000]) + draw.words(w * (h.n_layers + 1), 2 * one),
        rvne.CONVOLUTION: lambda: (
            u32([taps]) + b"".join(draw.words(w, 9000) + draw.words(taps * w, 100) for _ in layers)
        ),
        rvne.BIAS: lambda: b"".join(draw.words(q + 2 * kv + w, 9000) for _ in layers) + draw.words(h.n_classes, 9000),
        rvne.FEED_FORWARD: lambda: (
            u32([hidden])
            + b"".join(draw.words(w, 2 * one) + draw.words(hidden + w, 9000) for _ in layers)
            + b"".join(draw.bytes_(w * hidden) + draw.bytes_(hidden * w) for _ in layers)
        ),
        rvne.POOLING: lambda: u32([1, 4]),
        rvne.EMBEDDING: lambda: u32([embed]) + draw.words(embed, 9000) + draw.bytes_(w * embed),
        rvne.CLASS_NAMES: lambda: b"".join(f"class {c}\0".encode() for c in range(h.n_classes)),
        rvne.FRAME_RATE: lambda: u32([0x42C80000]),
        rvne.PROVENANCE: lambda: b"golden, in integers",
        rvne.STEM: lambda: u32([stem_taps, 1]) + draw.words(w, 9000) + draw.words(stem_taps * w, 700),
        rvne.TIMING: lambda: u32([25, 10_000, 500_000]),
    }

    def multipliers() -> bytes:
        each = [
            (q, multiplier(w, 1200)), (kv, multiplier(w, 90)), (kv, multiplier(w, 90)), (w, multiplier(q, 6000)),
            (h.n_q_heads, int(2**29 * 2500 / (h.head_dim**0.5 * 1200 * 90))),
            (w * (rvne.CONVOLUTION in wanted), multiplier(taps, 700, 700, 58)),
            (hidden * (rvne.FEED_FORWARD in wanted), multiplier(w, 900)),
            (w * (rvne.FEED_FORWARD in wanted), multiplier(hidden, 3000)),
        ]  # fmt: skip
        once = [
            (h.n_classes, multiplier(w, 9000)),
            (w * (rvne.PROJECTION in wanted), multiplier(h.input_dim, 9000)),
            (w * (rvne.STEM in wanted), multiplier(stem_taps, 9000, 9000, 400)),
            (embed * (rvne.EMBEDDING in wanted), multiplier(w, 9000)),
        ]
        return (
            UNITS + b"".join(draw.near(n, m) for _ in layers for n, m in each) + b"".join(draw.near(*x) for x in once)
        )

    return {number: made[number]() for number in sorted({rvne.PATTERN, rvne.NORMALISATION, *wanted})} | {
        rvne.INTEGERS: multipliers()
    }


def blob_of(name: str, h: rvne.Header, width: int, sections: Sequence[int], p: Pattern) -> bytes:
    """A blob in integers."""
    w, draw = width or h.input_dim, Whole(name + "/core")
    core = b"".join(draw.bytes_(r * c) for r, c in h.core_shapes(w))
    return rvne.build(h, core, w, sections_of(name, h, w, sections, p))


def model_case(name: str, blob: bytes, frames: Input, contexts: Sequence[int], stride: int = 1) -> Case:
    """Frames through a model, once for every context. The cache's dtype, which says nothing, alternates."""
    name = "integers-" + name
    parsed = rvne.parse(blob)
    flat, n = values(frames), parsed.header.input_dim
    words: list[int] = []
    status = "OK"
    for context in contexts:
        stream = integers.IntegerStream(parsed, context)
        try:
            for t in range(len(flat) // n):
                logits, embedding = stream.push(flat[t * n : (t + 1) * n])
                words += bits(logits) + bits(embedding or [])
        except Rejected as rejected:
            status = rejected.status
    embed = parsed.values.get("embedding.dim", 0)
    params = [len(blob), len(flat) // n, n, parsed.header.n_classes, embed, len(contexts)]
    params += [word for i, context in enumerate(contexts) for word in (context, i % 2)]
    case = Case(Kernel.MODEL, "model/" + name, params, [explicit(byte_words(blob)), frames], status)
    return case.expect(words, stride)


def model_cases() -> list[Case]:
    tiny = rvne.Header(5, 3, 1, 3, 1, 3, flags=FLAGS)
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=FLAGS)
    wide = rvne.Header(16, 4, 1, 32, 2, 4, flags=FLAGS)
    out = []
    for name, h, width, sections, p, tokens, contexts, stride in (
        ("plain", tiny, 0, (), pyramid.make(2, 1), 75, (AGES, 9), 5),
        ("no-runs", tiny, 0, (), pyramid.make(9, 4), 30, (1, 12), 3),
        ("history", tiny, 0, (), pyramid.make(4, 2, history=23), 90, (AGES, 11), 5),
        ("gain", tiny, 0, (rvne.AGC,), pyramid.make(0, 2), 24, (64,), 3),
        ("projection", tiny, 7, (rvne.PROJECTION,), pyramid.make(0, 2), 24, (64,), 3),
        ("norm", tiny, 0, (rvne.NORM,), pyramid.make(0, 2), 24, (64,), 3),
        ("convolution", tiny, 0, (rvne.CONVOLUTION,), pyramid.make(0, 2), 24, (64,), 3),
        ("bias", tiny, 0, (rvne.BIAS,), pyramid.make(0, 2), 24, (64,), 3),
        ("stem", tiny, 0, (rvne.STEM,), pyramid.make(0, 2), 24, (64,), 3),
        ("feed-forward", tiny, 0, (rvne.NORM, rvne.FEED_FORWARD), pyramid.make(0, 2), 24, (64,), 3),
        ("pooling", tiny, 0, (rvne.POOLING,), pyramid.make(0, 2), 24, (64,), 3),
        ("embedding", tiny, 0, (rvne.EMBEDDING,), pyramid.make(0, 2), 24, (64,), 3),
        ("five-heads", rvne.Header(5, 5, 1, 6, 1, 3, flags=FLAGS), 0, (), pyramid.make(3, 2), 30, (AGES,), 3),
        ("odd-heads", rvne.Header(5, 4, 1, 3, 1, 3, flags=FLAGS), 0, (), pyramid.make(3, 2), 30, (AGES,), 3),
        ("every-section", full, 6, EVERY, pyramid.make(6, 4), 60, (AGES, 33), 7),
        ("reference-shape", wide, 0, (), pyramid.make(8, 4), 60, (256,), 7),
    ):
        frames = uniform(h.input_dim * tokens, seed_of("frames/integers-" + name), 3)
        out.append(model_case(name, blob_of(name, h, width, sections, p), frames, contexts, stride))
    plain = blob_of("plain", tiny, 0, (), pyramid.make(2, 1))
    agc = blob_of("gain", tiny, 0, (rvne.AGC,), pyramid.make(0, 2))
    # A half between two integers, on both sides of zero; subnormals; the largest input; under agc, nothing and less.
    odd = [0x3A000000, 0xBA000000, 0x3AC00000, 0xBAC00000, 0x00000001]
    edges = [*odd, 0x80000000, 0x807FFFFF, 0x41FFFE00, 0xC1FFFE00, 0x41FFFEFF, *[0] * 5, *[0xBF800000] * 5]
    out.append(model_case("edges", plain, explicit(edges), (64,)))
    out.append(model_case("gain-edges", agc, explicit(edges), (64,)))
    for name, word, at in (
        ("overflow", 0x41FFFF00, 3),
        ("overflow-negative", 0xC2000000, 9),
        ("infinite", 0x7F800000, 7),
    ):
        some = uniform(60, seed_of("frames/integers-" + name), 1).words().copy()
        some[5 * at + 2] = word
        out.append(model_case(name, plain, explicit(some), (64,)))
    return out


def blob_cases() -> list[Case]:
    """The status of opening blobs that are in integers, or nearly."""
    h = rvne.Header(3, 2, 1, 2, 1, 2, flags=FLAGS)
    p = pyramid.make(8, 4)
    every = (*range(3, 12), rvne.STEM)
    core = Whole("open/core").bytes_(sum(r * c for r, c in h.core_shapes(4)))
    found = sections_of("open", h, 4, every, p, (2, 1, 1, 2))
    u32 = rvne.words

    def changed(header: rvne.Header = h, keep: Callable[[int], bool] = lambda _: True, **payloads: bytes) -> bytes:
        own = {number: payload for number, payload in found.items() if keep(number)}
        own |= {getattr(rvne, name): payload for name, payload in payloads.items()}
        return rvne.build(header, core, 4, own)

    def patched(number: int, word: int, value: int) -> bytes:
        payload = bytearray(found[number])
        payload[4 * word : 4 * word + 4] = struct.pack("<I", value & 0xFFFFFFFF)
        return rvne.build(h, core, 4, found | {number: bytes(payload)})

    scales = len(found[rvne.INTEGERS]) // 4
    heavy = b"\x80" * len(core)
    binary32 = rvne.Header(3, 2, 1, 2, 1, 2, flags=rvne.EXTENSION)
    cases = {
        "good": changed(),
        "good-heaviest-bias": patched(rvne.BIAS, 0, 2**27 - 1 - 2047 * sum(abs(b) for b in _column(core, 4, 4))),
        "heavy-bias": patched(rvne.BIAS, 0, 2**27 - 2047 * sum(abs(b) for b in _column(core, 4, 4))),
        "heaviest-negative-bias": patched(rvne.BIAS, 0, -(2**27)),
        "heavy-stem": patched(rvne.STEM, 6, 4097),
        "heavy-convolution": patched(rvne.CONVOLUTION, 5, 65569),
        "flags-without-extension": rvne.seal(replace(h, flags=rvne.INT8), core),
        "flags-with-binary16": changed(replace(h, flags=FLAGS | rvne.BINARY16)),
        "no-integers": changed(keep=lambda number: number != rvne.INTEGERS),
        "no-normalisation": changed(keep=lambda number: number != rvne.NORMALISATION),
        "no-pattern": changed(keep=lambda number: number != rvne.PATTERN),
        "reference-pattern": changed(PATTERN=u32([32, 16, 0, 3, 0])),
        "good-window": changed(PATTERN=u32([252, 4, 0, 8, 0])),
        "window": changed(PATTERN=u32([253, 4, 0, 8, 0])),
        "input-unit-not-a-power": patched(rvne.INTEGERS, 0, 0x3F800001),
        "input-unit-small": patched(rvne.INTEGERS, 0, 0x33000000),
        "good-input-unit-least": patched(rvne.INTEGERS, 0, 0x33800000),
        "good-logit-unit-most": patched(rvne.INTEGERS, 1, 0x4B800000),
        "logit-unit-large": patched(rvne.INTEGERS, 1, 0x4C000000),
        "logit-unit-negative": patched(rvne.INTEGERS, 1, 0xBF800000),
        "multiplier-0": patched(rvne.INTEGERS, 2, 0),
        "multiplier-negative": patched(rvne.INTEGERS, scales - 1, -5),
        "good-multiplier-most": patched(rvne.INTEGERS, 2, 0x7FFFFFFF),
        "scale-0": patched(rvne.NORMALISATION, 3, 0),
        "good-mean-least": patched(rvne.NORMALISATION, 0, -32767),
        "mean-beyond": patched(rvne.NORMALISATION, 2, 32768),
        "norm-least": patched(rvne.NORM, 1, -(2**31)),
        "good-norm": patched(rvne.NORM, 1, 1 - 2**31),
        "eps-half": patched(rvne.NORM, 0, 0x3F000000),
        "eps-not-whole": patched(rvne.NORM, 0, 0x40200000),
        "good-eps-most": patched(rvne.NORM, 0, 0x4B800000),
        "eps-large": patched(rvne.NORM, 0, 0x4B800001),
        "cut": changed(INTEGERS=found[rvne.INTEGERS][:-4]),
        "long": changed(INTEGERS=found[rvne.INTEGERS] + bytes(4)),
        "in-binary32": rvne.build(
            binary32,
            bytes(4 * sum(r * c for r, c in binary32.core_shapes(3))),
            3,
            {rvne.INTEGERS: UNITS + u32([1] * (4 + 2 + 2 + 3 + 2 + 2))},
        ),
        "good-weights-extreme": rvne.build(h, heavy, 4, found),
    }
    return [open_case(f"good-{name}" if ok else f"integers-{name}", data) for name, data, ok in _named(cases)]


def _named(cases: dict[str, bytes]) -> list[tuple[str, bytes, bool]]:
    """Name, blob, and whether it opens."""
    good = {name: name.startswith("good") for name in cases}
    return [(name.removeprefix("good").strip("-") or "every", data, good[name]) for name, data in cases.items()]


def _column(core: bytes, rows: int, columns: int) -> list[int]:
    """The first column of the first matrix."""
    return [int.from_bytes(core[at : at + 1], "little", signed=True) for at in range(0, rows * columns, columns)]


def stream_state_cases() -> list[Case]:
    """The bytes of streams, around the ends of blocks and of longer runs."""
    tiny = rvne.Header(5, 3, 1, 3, 1, 3, flags=FLAGS)
    small = blob_of("plain", tiny, 0, (), pyramid.make(3, 2))
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=FLAGS)
    every = blob_of("every-section", full, 6, EVERY, pyramid.make(4, 4))
    return [
        stream_state_case(name, blob, frames, context)
        for name, blob, frames, context in (
            ("first-frame", small, 1, AGES),
            ("before-a-block", small, 35, 30),
            ("after-a-block", small, 36, 30),
            ("every-section", every, 41, 64),
            ("pooling", every, 3, 64),
        )
    ]


def stream_state_case(name: str, blob: bytes, frames: int, context: int) -> Case:
    """The bytes of a stream after so many frames."""
    name = "stream-state/integers-" + name
    parsed = rvne.parse(blob)
    n = parsed.header.input_dim
    source = uniform(n * frames, seed_of(name), 3)
    flat, stream = values(source), integers.IntegerStream(parsed, context)
    for t in range(frames):
        stream.push(flat[t * n : (t + 1) * n])
    embed = parsed.values.get("embedding.dim", 0)
    params = [len(blob), frames, n, parsed.header.n_classes, embed, 1, context, 0]
    words = byte_words(state.save_integer_stream(stream, blob, context))
    return Case(Kernel.STREAM_STATE, name, params, [explicit(byte_words(blob)), source]).expect(words)
