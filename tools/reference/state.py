"""docs/spec/state.md: the bytes of a saved cache and of a saved stream."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from . import numeric as nm
from . import pyramid
from .attention import Cache, Head, Row, block_mean
from .integers import IntegerStream
from .model import Stream
from .numeric import Vector, crc32
from .rvne import Blob

CACHE_MAGIC, STREAM_MAGIC = 0x564B4541, 0x54534541


def _power_below(x: int) -> int:
    return 1 << (x.bit_length() - 1) if x else 0


def _part(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _floats(values: Sequence[Vector]) -> bytes:
    return b"".join(struct.pack("<I", nm.to_bits(x)) for vector in values for x in vector)


def _rows(rows: Sequence[Row], half: bool) -> bytes:
    flat = [x for row in rows for vector in row for x in vector]
    if half:
        return b"".join(struct.pack("<H", nm.half_from_float(x)) for x in flat)
    return _floats([flat])


def cache_payload(cache: Cache, head: Head) -> bytes:
    """The payload; `head` as configured, the cache's own has the effective history."""
    if cache.head.pattern.pyramid:
        return _pyramid_payload(cache)
    p, size = cache.head.pattern, head.pattern.block_size
    history, length = p.history, len(cache.k)
    zero: Row = [[nm.ZERO] * head.head_dim for _ in range(head.kv_heads)]
    n_rows = 1 + max(min(p.window, history - 1), _power_below(history - 1) if p.log_stride else 0)
    n_blocks = 0
    if p.landmarks and history >= size:
        d = history // size - 1
        n_blocks = 1 + (_power_below(d) if p.log_stride else min(d, 1))
    parts, sums = [], []
    for tensor in (cache.k, cache.v):
        pending = tensor[length - length % size :] if n_blocks else []
        sums.append([_sums([row[g] for row in pending], head.head_dim) for g in range(head.kv_heads)])
    parts.append(_rows(sums, False))
    for tensor in (cache.k, cache.v):
        means = [zero] * n_blocks
        for b in range(max(0, length // size - n_blocks), length // size if n_blocks else 0):
            block = tensor[b * size : (b + 1) * size]
            means[b % n_blocks] = [block_mean([row[g] for row in block]) for g in range(head.kv_heads)]
        if n_blocks and (length + 1) % size == 0:
            means[length // size % n_blocks] = zero
        parts.append(_rows(means, False))
    for tensor in (cache.stored_k, cache.stored_v):
        rows = [zero] * n_rows
        for t in range(max(0, length - n_rows), length):
            rows[t % n_rows] = tensor[t]
        rows[length % n_rows] = zero
        parts.append(_rows(rows, cache.half))
    for tensor in (cache.stored_k, cache.stored_v):
        parts.append(_rows([tensor[g] if g < length else zero for g in head.pattern.globals_], cache.half))
    return b"".join(_part(part) for part in parts)


def _pyramid_payload(cache: Cache) -> bytes:
    """Means of keys, level by level; of values; then the rows of keys and of values. Token t stands in row t mod n,
    run b in row b mod n of its level; what no later query has a use for is zero."""
    p, length = cache.head.pattern, len(cache.k)
    zero: Row = [[nm.ZERO] * cache.head.head_dim for _ in range(cache.head.kv_heads)]
    made = pyramid.formed_blocks(p, length)
    parts = []
    for which in range(2):
        rings = [[zero] * pyramid.ring_rows(p, level) for level in range(pyramid.levels(p))]
        for begin, z in pyramid.kept_runs(p, length):
            ring = rings[z.bit_length() - 1]
            if cache.means is not None:
                means = cache.means[which]
                ring[begin // z % len(ring)] = [means.of(g, begin, z) for g in range(cache.head.kv_heads)]
        parts.append(_rows([row for ring in rings for row in ring], False))
    for tensor in (cache.stored_k, cache.stored_v):
        n = p.window + p.block_size + 1
        rows = [zero] * n
        for t in range(made * p.block_size, length):
            rows[t % n] = tensor[t]
        parts.append(_rows(rows, cache.half))
    return b"".join(_part(part) for part in parts)


def _sums(rows: Row, dim: int) -> Vector:
    sums: Vector = []
    for d in range(dim):
        s = nm.ZERO
        for row in rows:
            s = s + row[d]
        sums.append(s)
    return sums


def save_cache(cache: Cache, head: Head) -> bytes:
    """A whole saved cache."""
    p = head.pattern
    payload = cache_payload(cache, head)
    flags = (
        int(cache.half) | int(cache.ring) << 1 | int(p.log_stride) << 2 | int(p.landmarks) << 3 | int(p.pyramid) << 4
    )
    data = struct.pack(
        "<IHH4I6Q",
        CACHE_MAGIC,
        1,
        flags,
        head.q_heads,
        head.kv_heads,
        head.head_dim,
        len(p.globals_),
        p.window,
        p.block_size,
        p.history,
        cache.capacity,
        len(cache.k),
        len(payload),
    )
    data += struct.pack(f"<{len(p.globals_)}I", *p.globals_) + payload
    return data + struct.pack("<I", crc32(data))


def save_stream(stream: Stream, blob: bytes, context: int, length: int, output: tuple[Vector, Vector | None]) -> bytes:
    """A whole saved stream after `length` frames, the last of which gave `output`."""
    b = stream.blob
    payload = b"".join(cache_payload(c, c.head) for c in stream.caches)

    def ring(newest_first: Sequence[Vector], n: int) -> bytes:
        rows = [[nm.ZERO] * b.width for _ in range(n)]
        for age, row in enumerate(newest_first[: n - 1]):  # the oldest is what the next frame overwrites
            rows[(length - 1 - age) % n] = row
        return _floats(rows)

    values = b.values
    if "stem.taps" in values:
        payload += _part(ring(stream.stem_rows, values["stem.taps"]))
    if "convolution.taps" in values:
        payload += _part(b"".join(ring(rows, values["convolution.taps"]) for rows in stream.conv_rows))
    if values.get("pooling.kind") == 1:
        payload += _part(ring(stream.pooled[::-1], values["pooling.n"]))
    payload += _part(_floats([output[0]]))
    if output[1] is not None:
        payload += _part(_floats([output[1]]))
    return _sealed(b, int(stream.caches[0].half), blob, context, length, payload)


def _sealed(b: Blob, flags: int, blob: bytes, context: int, length: int, payload: bytes) -> bytes:
    """Header, payload, CRC of a stream."""
    data = struct.pack(
        "<IHHIIQQQ",
        STREAM_MAGIC,
        1,
        flags,
        int.from_bytes(blob[-4:], "little"),
        b.header.n_layers,
        context,
        length,
        len(payload),
    )
    data += payload
    return data + struct.pack("<I", crc32(data))


def save_integer_stream(stream: IntegerStream, blob: bytes, context: int) -> bytes:
    """A whole saved stream of a model in integers (docs/spec/integers.md)."""
    b, length = stream.blob, len(stream.keys[0])
    width, values = b.width, b.values

    def packed(rows: Sequence[Sequence[int]], size: str) -> bytes:
        return b"".join(struct.pack(f"<{len(row)}{size}", *row) for row in rows)

    def ring(newest_first: Sequence[Sequence[int]], n: int) -> bytes:
        rows: list[Sequence[int]] = [[0] * width] * n
        for age, row in enumerate(newest_first[: n - 1]):
            rows[(length - 1 - age) % n] = row
        return packed(rows, "h")

    payload = b"".join(
        _part(packed(rows, "b")) for keys, values in zip(stream.keys, stream.values, strict=True)
        for rows in _integer_rows(stream, keys, values)
    )  # fmt: skip
    if "stem.taps" in values:
        payload += _part(ring(stream.stem_rows, values["stem.taps"]))
    if "convolution.taps" in values:
        payload += _part(b"".join(ring(rows, values["convolution.taps"]) for rows in stream.conv_rows))
    if values.get("pooling.kind") == 1:
        payload += _part(ring(stream.pooled[::-1], values["pooling.n"]))
    payload += _part(packed([stream.scores], "i")) + _part(packed([stream.embedding], "i"))
    return _sealed(b, 2, blob, context, length, payload)


def _integer_rows(stream: IntegerStream, keys: list[list[int]], values: list[list[int]]) -> list[list[list[int]]]:
    """Means of keys, means of values, keys and values, as `_pyramid_payload` has them."""
    p, length = stream.pattern, len(keys)
    zero = [0] * len(keys[0])
    made = pyramid.formed_blocks(p, length)
    means, tokens = [], []
    for tensor in (keys, values):
        rings = [[zero] * pyramid.ring_rows(p, level) for level in range(pyramid.levels(p))]
        for begin, z in pyramid.kept_runs(p, length):
            ring = rings[z.bit_length() - 1]
            ring[begin // z % len(ring)] = stream.mean_of(tensor, begin, z)
        means.append([row for ring in rings for row in ring])
        n = p.window + p.block_size + 1
        rows = [zero] * n
        for t in range(made * p.block_size, length):
            rows[t % n] = tensor[t]
        tokens.append(rows)
    return means + tokens
