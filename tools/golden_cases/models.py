"""Blobs, good and bad; whole models; the bytes of saved caches and streams."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from reference import Rejected, attention, model, numeric, pyramid, rvne, state
from reference.attention import Head
from reference.golden_file import Case, Input, Kernel, explicit, uniform
from reference.numeric import Vector
from reference.pattern import Pattern

from .common import (
    NONE,
    bits,
    byte_words,
    config_words,
    seed_of,
    tensor,
    values,
)


class Weights:
    """Numbers for a blob: element bytes for matrices, binary32 for the rest."""

    def __init__(self, name: str, half: bool) -> None:
        self.name, self.half, self.drawn = name, half, 0

    def _draw(self, count: int, exponent: int) -> Vector:
        self.drawn += 1
        return values(uniform(count, seed_of(self.name, 1000 + self.drawn), exponent))

    def vector(self, count: int, exponent: int = -1, offset: float = 0.0) -> bytes:
        return struct.pack(f"<{count}I", *bits([x + np.float32(offset) for x in self._draw(count, exponent)]))

    def matrix(self, count: int, exponent: int = -1) -> bytes:
        drawn = self._draw(count, exponent)
        if self.half:
            return struct.pack(f"<{count}H", *[numeric.half_from_float(x) for x in drawn])
        return struct.pack(f"<{count}I", *bits(drawn))


def sections_of(name: str, h: rvne.Header, w: int, wanted: Sequence[int], p: Pattern) -> dict[int, bytes]:
    """Payloads of the wanted sections."""
    u32, weights = rvne.words, Weights(name, bool(h.flags & rvne.BINARY16))
    q, kv, layers = h.n_q_heads * h.head_dim, h.n_kv_heads * h.head_dim, range(h.n_layers)
    hidden, taps, embed = 9, 3, 5
    names = b"".join(f"class {c}\0".encode() for c in range(h.n_classes))
    made: dict[int, Callable[[], bytes]] = {
        rvne.PATTERN: lambda: rvne.pattern_payload(p),
        rvne.SUBCARRIERS: lambda: u32([64]) + struct.pack(f"<{h.input_dim}H", *range(3, 3 + h.input_dim)),
        rvne.AGC: lambda: u32([1]),
        rvne.NORMALISATION: lambda: weights.vector(h.input_dim, -1, 1.0) + weights.vector(h.input_dim, 0, 1.5),
        rvne.PROJECTION: lambda: weights.vector(w) + weights.matrix(h.input_dim * w),
        rvne.NORM: lambda: u32([0x3727C5AC]) + weights.vector(w * (h.n_layers + 1), -2, 1.0),
        rvne.CONVOLUTION: lambda: (
            u32([taps]) + b"".join(weights.vector(w) + weights.vector(taps * w, 0) for _ in layers)
        ),
        rvne.BIAS: lambda: b"".join(weights.vector(q + 2 * kv + w) for _ in layers) + weights.vector(h.n_classes),
        rvne.FEED_FORWARD: lambda: (
            u32([hidden])
            + b"".join(weights.vector(w, -2, 1.0) + weights.vector(hidden) + weights.vector(w) for _ in layers)
            + b"".join(weights.matrix(w * hidden) + weights.matrix(hidden * w) for _ in layers)
        ),
        rvne.POOLING: lambda: u32([1, 4]),
        rvne.EMBEDDING: lambda: u32([embed]) + weights.vector(embed) + weights.matrix(w * embed),
        rvne.CLASS_NAMES: lambda: names,
        rvne.FRAME_RATE: lambda: u32([0x42C80000]),
        rvne.PROVENANCE: lambda: "golden – made by rule".encode(),
        rvne.STEM: lambda: u32([5, 1]) + weights.vector(w) + weights.vector(5 * w, 0),
        rvne.TIMING: lambda: u32([25, 10_000, 500_000]),
        rvne.CALIBRATION: lambda: u32([0x3FC00000]),
    }
    return {number: made[number]() for number in wanted}


def blob_of(name: str, h: rvne.Header, width: int = 0, sections: Sequence[int] = (), p: Pattern | None = None) -> bytes:
    """A blob with weights by rule. `sections` turns the extension on."""
    w = width or h.input_dim
    weights = Weights(name + "/core", bool(h.flags & rvne.BINARY16))
    core = b"".join(weights.matrix(r * c, 0 if r < 12 else -1) for r, c in h.core_shapes(w))
    return rvne.build(h, core, w, sections_of(name, h, w, sections, p or Pattern()))


def model_case(
    name: str,
    blob: bytes,
    frames: Input,
    runs: Sequence[tuple[int, bool]],
    stride: int = 1,
) -> Case:
    """Frames through a model, once for every (context, binary16 cache)."""
    parsed = rvne.parse(blob)
    flat, n = values(frames), parsed.header.input_dim
    words: list[int] = []
    statuses = []
    for context, half in runs:
        stream, status = model.Stream(parsed, context, half=half), "OK"
        try:
            for t in range(len(flat) // n):
                logits, embedding = stream.push(flat[t * n : (t + 1) * n])
                words += bits(logits) + bits(embedding or [])
        except Rejected as rejected:
            status = rejected.status
        statuses.append(status)
    if len(set(statuses)) != 1 or (statuses[0] != "OK" and len(runs) != 1):
        raise AssertionError(f"{name}: one status a case, one run when it is an error")
    embed = len(parsed.vectors.get("embedding.bias", []))
    params = [len(blob), len(flat) // n, n, parsed.header.n_classes, embed, len(runs)]
    params += [word for context, half in runs for word in (context, int(half))]
    case = Case(Kernel.MODEL, "model/" + name, params, [explicit(byte_words(blob)), frames], statuses[0])
    return case.expect(words, stride)


def model_cases() -> list[Case]:
    out = []
    both = ((7, False), (7, True), (100, False))
    reference = rvne.Header(16, 4, 1, 32, 2, 4)
    frames = uniform(16 * 40, seed_of("frames/reference"), 0)
    out.append(model_case("reference-shape", blob_of("reference", reference), frames, ((100, False), (20, True)), 3))

    tiny = rvne.Header(5, 3, 1, 3, 1, 3)
    tiny_frames = uniform(5 * 50, seed_of("frames/tiny"), 1)
    out.append(model_case("plain", blob_of("plain", tiny), tiny_frames, both, 5))
    half = replace(tiny, flags=rvne.BINARY16)
    out.append(model_case("plain-f16", blob_of("plain-f16", half), tiny_frames, both, 5))

    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION)
    every = tuple(range(1, 17))
    p = Pattern(window=6, block_size=4, history=20, globals_=(0, 3))
    full_frames = uniform(7 * 45, seed_of("frames/full"), 1)
    out.append(
        model_case(
            "every-section", blob_of("every", full, 6, every, p), full_frames, ((10, False), (10, True), (64, False)), 7
        )
    )
    full16 = replace(full, flags=rvne.EXTENSION | rvne.BINARY16)
    out.append(
        model_case(
            "every-section-f16", blob_of("every-f16", full16, 6, every, p), full_frames, ((10, False), (64, True)), 7
        )
    )

    alone = replace(tiny, flags=rvne.EXTENSION)
    for name, sections in (
        ("extension-empty", ()),
        ("pattern", (rvne.PATTERN,)),
        ("gain", (rvne.AGC,)),
        ("normalisation", (rvne.NORMALISATION,)),
        ("projection", (rvne.PROJECTION,)),
        ("norm", (rvne.NORM,)),
        ("convolution", (rvne.CONVOLUTION,)),
        ("bias", (rvne.BIAS,)),
        ("stem", (rvne.STEM,)),
        ("feed-forward", (rvne.NORM, rvne.FEED_FORWARD)),
        ("pooling", (rvne.POOLING,)),
        ("embedding", (rvne.EMBEDDING,)),
        ("calibration", (rvne.CALIBRATION,)),
    ):
        narrow = replace(p, window=2, log_stride=False)
        blob = blob_of(name, alone, 0, sections, narrow)
        out.append(model_case(name, blob, uniform(5 * 24, seed_of("frames/" + name), 1), ((64, False),), 3))
    # An odd number of halves before the extension: the padding.
    odd = rvne.Header(3, 1, 1, 1, 1, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    out.append(model_case("padding", blob_of("padding", odd, 0, (rvne.AGC,)), uniform(3 * 20, 77, 1), ((5, False),)))

    calm = {rvne.STEM: rvne.words([3, 0]) + Weights("calm", False).vector(5 * 4, 0)}
    calm_blob = rvne.build(alone, blob_of("plain", tiny)[24:-4], 5, calm)
    out.append(model_case("stem-without-activation", calm_blob, uniform(5 * 20, 76, 1), ((64, False),), 3))

    zeros = [0] * 5 + [0x00000001] * 5 + [0x80000000] * 5 + bits(values(uniform(10, 78, 0)))
    zeros += [0x00400000] * 5 + [0x007FFFFF] * 5 + [0x00800000] * 5  # means below and at the cut
    out.append(model_case("gain-of-nothing", blob_of("gain", alone, 0, (rvne.AGC,)), explicit(zeros), ((64, False),)))
    huge = explicit([*bits(values(uniform(10, 80, 0))), *[0x7F7FFFFF] * 5])
    out.append(model_case("gain-overflow", blob_of("gain", alone, 0, (rvne.AGC,)), huge, ((64, False),)))
    silent = blob_of("silent", alone, 0, (rvne.EMBEDDING,))
    out.append(model_case("frames-subnormal", silent, uniform(5 * 20, 79, -126), ((64, False),), 3))
    zero_embedding = _zero_embedding(alone)
    out.append(model_case("embedding-zero", zero_embedding, explicit([0] * 15), ((64, False),)))

    large = tiny_frames.words()[: 5 * 12].copy()
    large[5 * 9 + 2] = 0x7F7FFFFF
    out.append(model_case("overflow", blob_of("plain", tiny), explicit(large), ((64, False),)))
    large[5 * 9 + 2] = 0x7F800000
    out.append(model_case("frame-infinite", blob_of("plain", tiny), explicit(large), ((64, False),)))
    large[5 * 9 + 2] = 0x4A000000
    out.append(model_case("f16-range", blob_of("plain", tiny), explicit(large), ((64, True),)))
    return out


def _zero_embedding(h: rvne.Header) -> bytes:
    """An embedding of zeros keeps its zeros."""
    core = Weights("zero", False)
    arrays = b"".join(core.matrix(r * c) for r, c in h.core_shapes(h.input_dim))
    return rvne.build(h, arrays, h.input_dim, {rvne.EMBEDDING: rvne.words([2]) + bytes(4 * 2 + 4 * 2 * h.input_dim)})


def open_case(name: str, data: bytes) -> Case:
    """The status of opening a blob; those that open have a name that begins with "good"."""
    try:
        rvne.parse(data)
        status = "OK"
    except Rejected as rejected:
        status = rejected.status
    if (status == "OK") != name.startswith("good"):
        raise AssertionError(f"blob/{name}: {status}")
    return Case(Kernel.BLOB_OPEN, "blob/" + name, [len(data)], [explicit(byte_words(data))], status)


def blob_cases() -> list[Case]:
    """The status of opening a blob."""
    tiny = rvne.Header(3, 2, 1, 2, 1, 2)
    plain = blob_of("open", tiny)
    ext = replace(tiny, flags=rvne.EXTENSION)
    every = blob_of("open-every", ext, 4, tuple(range(1, 16)))
    core = plain[24:-4]

    def reseal(data: bytearray) -> bytes:
        return bytes(data[:-4]) + struct.pack("<I", numeric.crc32(bytes(data[:-4])))

    def patched(data: bytes, at: int, new: bytes, sealed: bool = True) -> bytes:
        changed = bytearray(data)
        changed[at : at + len(new)] = new
        return reseal(changed) if sealed else bytes(changed)

    def section(number: int, payload: bytes, width: int = 3) -> bytes:
        return rvne.build(ext, core, width, {number: payload})

    u32 = rvne.words
    nan, inf = struct.pack("<I", 0x7FC00000), struct.pack("<I", 0xFF800000)
    damaged: dict[str, bytes] = {
        "good": plain,
        "good-every": every,
        "short": plain[:27],
        "magic": patched(plain, 0, b"ENVS", False),
        "version": patched(plain, 4, b"\2\0", False),
        "length": plain[:-1],
        "crc": patched(plain, 30, bytes([plain[30] ^ 1]), False),
        "flags": patched(plain, 6, b"\4"),
        "reserved": patched(plain, 7, b"\1"),
        "input-dim-0": patched(plain, 8, b"\0\0"),
        "heads-not-divided": patched(plain, 12, b"\3\0"),
        "layers-0": patched(plain, 16, b"\0\0"),
        "classes-1": patched(plain, 18, b"\1\0"),
        "weights-len": rvne.seal(tiny, core + bytes(4)),
        "weight-nan": patched(plain, 24, nan),
        "weight-infinite": patched(plain, 28, inf),
        "footer-magic": patched(every, len(every) - 8, b"EXT2"),
        "footer-version": patched(every, len(every) - 10, b"\2\0"),
        "footer-length": patched(every, len(every) - 16, b"\0\0\0\x7f"),
        "section-unknown": section(0xFFFF, b""),
        "section-zero": section(0, b""),
        "pattern-block-0": section(rvne.PATTERN, u32([32, 0, 0, 3, 0])),
        "pattern-switches": section(rvne.PATTERN, u32([32, 16, 0, 4, 0])),
        "pattern-globals-descend": section(rvne.PATTERN, u32([32, 16, 0, 3, 2, 5, 5])),
        "pattern-globals-cut": section(rvne.PATTERN, u32([32, 16, 0, 3, 2, 5])),
        "pattern-globals-many": section(rvne.PATTERN, u32([32, 16, 0, 3, 0xFFFFFFFF])),
        "subcarrier-beyond": section(rvne.SUBCARRIERS, u32([2]) + struct.pack("<3H", 0, 1, 2)),
        "gain-kind": section(rvne.AGC, u32([2])),
        "norm-eps-0": section(rvne.NORM, bytes(4) + bytes(4 * 6)),
        "norm-long": section(rvne.NORM, u32([0x3727C5AC]) + bytes(4 * 7)),
        "taps-0": section(rvne.CONVOLUTION, u32([0]) + bytes(12)),
        "taps-65": section(rvne.CONVOLUTION, u32([65]) + bytes(4 * 3 * 66)),
        "stem-activation": section(rvne.STEM, u32([1, 2]) + bytes(24)),
        "stem-taps-0": section(rvne.STEM, u32([0, 0]) + bytes(12)),
        "feed-forward-without-norm": section(rvne.FEED_FORWARD, u32([1]) + bytes(4 * (3 + 1 + 3 + 3 + 3))),
        "pooling-newest-of-2": section(rvne.POOLING, u32([0, 2])),
        "pooling-of-0": section(rvne.POOLING, u32([1, 0])),
        "embedding-0": section(rvne.EMBEDDING, u32([0])),
        "names-one-missing": section(rvne.CLASS_NAMES, b"only\0"),
        "names-unended": section(rvne.CLASS_NAMES, b"one\0two"),
        "frame-rate-negative": section(rvne.FRAME_RATE, u32([0xC2C80000])),
        "temperature-0": section(rvne.CALIBRATION, bytes(4)),
        "mean-nan": section(rvne.NORMALISATION, nan + bytes(20)),
        "timing-delay": section(rvne.TIMING, u32([0x10000, 0, 0])),
        "timing-period": section(rvne.TIMING, u32([0, 0x1000001, 0x1000001])),
        "timing-gap-without-period": section(rvne.TIMING, u32([0, 0, 1])),
        "timing-gap-below-period": section(rvne.TIMING, u32([0, 100, 99])),
        "timing-cut": section(rvne.TIMING, u32([0, 100])),
        "timing-long": section(rvne.TIMING, u32([25, 100, 100, 0])),
        "text-not-utf8": section(rvne.PROVENANCE, b"\xff"),
        "width-without-projection": rvne.build(ext, bytes(len(core) + 4 * (4 + 2 + 2 + 4 + 2)), 4, {}),
    }
    out = [open_case(name, data) for name, data in damaged.items()]
    for name, header, weights in (
        ("plain", tiny, core),
        ("f16", replace(tiny, flags=rvne.BINARY16), struct.pack("<38H", *range(38))),
    ):
        blob = rvne.seal(header, weights)
        h = header
        params = [h.flags, h.input_dim, h.n_q_heads, h.n_kv_heads, h.head_dim, h.n_layers, h.n_classes, len(weights)]
        out.append(
            Case(Kernel.BLOB_WRITE, f"blob-write/{name}", params, [explicit(byte_words(weights))]).expect(
                byte_words(blob)
            )
        )
    return out


# -- the bytes of saved caches and streams --------------------------------------------------------------------


def cache_state_case(name: str, head: Head, tokens: int, capacity: int, half: bool, ring: bool) -> Case:
    """The bytes of a saved cache after some tokens."""
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
    return Case(Kernel.CACHE_STATE, name, params, inputs).expect(byte_words(state.save_cache(cache, head)))


def cache_state_cases() -> list[Case]:
    small = Pattern(window=5, block_size=4)
    return [
        cache_state_case(name, head, tokens, capacity, half, ring)
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
        )
    ]


def stream_state_cases() -> list[Case]:
    """One run, and the bytes of the stream after the last frame."""
    plain = rvne.Header(5, 3, 1, 3, 1, 3)
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    p = Pattern(window=4, block_size=3, history=9, globals_=(0, 3))
    return [
        stream_state_case("plain", blob_of("plain", plain), 19, 12, False),
        stream_state_case("every-section", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 25, 30, True),
        stream_state_case("first-frame", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 1, 30, False),
    ]


def stream_state_case(name: str, blob: bytes, frames: int, context: int, half: bool) -> Case:
    """The bytes of a stream after so many frames."""
    parsed = rvne.parse(blob)
    n = parsed.header.input_dim
    source = uniform(n * frames, seed_of("stream-state/" + name), 1)
    flat, stream = values(source), model.Stream(parsed, context, half=half)
    for t in range(frames):
        results = stream.push(flat[t * n : (t + 1) * n])
    embed = len(parsed.vectors.get("embedding.bias", []))
    params = [len(blob), frames, n, parsed.header.n_classes, embed, 1, context, int(half)]
    words = byte_words(state.save_stream(stream, blob, context, frames, results))
    case = Case(Kernel.STREAM_STATE, "stream-state/" + name, params, [explicit(byte_words(blob)), source])
    return case.expect(words)


# -- blobs with the pyramid -----------------------------------------------------------------------------------

AGES = 0xFFFFFFFF
"""A context that no case reaches the end of."""


def pyramid_blob_cases() -> list[Case]:
    """The status of opening blobs with the pyramid, within and beyond its limits."""
    ext = rvne.Header(3, 2, 1, 2, 1, 2, flags=rvne.EXTENSION)
    core = blob_of("open", replace(ext, flags=0))[24:-4]
    patterns = {
        "good-pyramid": [8, 4, 0, 8, 0],
        "good-pyramid-least": [0, 1, 1, 8, 0],
        "good-pyramid-most": [1 << 20, 1 << 16, 0, 8, 0],
        "good-pyramid-history": [8, 4, 9, 8, 0],
        "pyramid-window": [(1 << 20) + 1, 4, 0, 8, 0],
        "pyramid-window-unlimited": [rvne.UNLIMITED, 4, 0, 8, 0],
        "pyramid-block-0": [8, 0, 0, 8, 0],
        "pyramid-block-3": [8, 3, 0, 8, 0],
        "pyramid-block-large": [8, 1 << 17, 0, 8, 0],
        "pyramid-history-in-window": [8, 4, 8, 8, 0],
        "pyramid-log-stride": [8, 4, 0, 9, 0],
        "pyramid-landmarks": [8, 4, 0, 10, 0],
        "pyramid-global": [8, 4, 0, 8, 1, 0],
        "pyramid-and-bit-2": [8, 4, 0, 12, 0],
    }
    return [
        open_case(name, rvne.build(ext, core, 3, {rvne.PATTERN: rvne.words(fields)}))
        for name, fields in patterns.items()
    ]


def pyramid_model_cases() -> list[Case]:
    """Whole models with the pyramid."""
    tiny = rvne.Header(5, 3, 1, 3, 1, 3, flags=rvne.EXTENSION)
    half = replace(tiny, flags=rvne.EXTENSION | rvne.BINARY16)
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION)
    full16 = replace(full, flags=half.flags)
    wide = rvne.Header(4, 4, 1, 32, 1, 2, flags=rvne.EXTENSION)
    every = tuple(range(1, 17))
    out = []
    for name, h, width, sections, p, tokens, runs, stride in (
        ("small", tiny, 0, (rvne.PATTERN,), pyramid.make(2, 1), 75, ((AGES, False), (9, False), (9, True)), 5),
        ("small-f16", half, 0, (rvne.PATTERN,), pyramid.make(0, 2), 70, ((AGES, False), (AGES, True)), 5),
        ("no-runs", tiny, 0, (rvne.PATTERN,), pyramid.make(9, 4), 30, ((1, False), (12, True)), 3),
        ("history", tiny, 0, (rvne.PATTERN,), pyramid.make(4, 2, history=23), 90, ((AGES, False), (11, True)), 5),
        ("every-section", full, 6, every, pyramid.make(6, 4), 60, ((AGES, False), (AGES, True), (33, False)), 7),
        ("every-section-f16", full16, 6, every, pyramid.make(3, 4, history=40), 60, ((AGES, True), (20, False)), 7),
        ("wide", wide, 0, (rvne.PATTERN,), pyramid.make(8, 4), 32, ((500, False), (20, True)), 7),
    ):
        name = "pyramid-" + name
        frames = uniform(h.input_dim * tokens, seed_of("frames/" + name), 1)
        out.append(model_case(name, blob_of(name, h, width, sections, p), frames, runs, stride))
    small = blob_of("pyramid-small", tiny, 0, (rvne.PATTERN,), pyramid.make(2, 1))
    large = uniform(5 * 12, seed_of("frames/pyramid-overflow"), 1).words()[: 5 * 12].copy()
    large[5 * 9 + 2] = 0x7F7FFFFF
    out.append(model_case("pyramid-overflow", small, explicit(large), ((AGES, False),)))
    return out


def pyramid_stream_state_cases() -> list[Case]:
    """The bytes of streams with the pyramid, around the ends of blocks and of longer runs."""
    tiny = rvne.Header(5, 3, 1, 3, 1, 3, flags=rvne.EXTENSION)
    small = blob_of("pyramid-small", tiny, 0, (rvne.PATTERN,), pyramid.make(3, 2))
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    every = blob_of("pyramid-every", full, 6, tuple(range(1, 16)), pyramid.make(4, 4))
    return [
        stream_state_case(f"pyramid-{name}", blob, frames, context, half)
        for name, blob, frames, context, half in (
            ("first-frame", small, 1, AGES, False),
            ("before-a-block", small, 35, 30, False),
            ("after-a-block", small, 36, 30, True),
            ("every-section", every, 41, 64, True),
        )
    ]
