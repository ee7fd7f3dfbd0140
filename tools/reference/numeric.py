"""docs/spec/numerics.md: scalar binary32 operations, one at a time.

`F` is a numpy binary32 scalar. A vector is a plain Python list of them, so that no operation can be vectorised,
re-associated or widened behind our back.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from . import Rejected

F = np.float32
Vector = list[np.float32]
Matrix = list[Vector]

ZERO = F(0.0)
ONE = F(1.0)
MIN_NORMAL = F(2.0**-126)

# exp, point 7 of the contract.
_C0, _L, _M, _H, _J, _P4, _P3, _P2, _P1, _P0 = (
    np.array(bits, dtype=np.uint32).view(np.float32)[()]
    for bits in (
        0xC2AEAC4F,
        0x3FB8AA3B,
        0x4B400000,
        0x3F318000,
        0xB95E8083,
        0x3AB4A000,
        0x3C092F6E,
        0x3D2AADAD,
        0x3E2AAA28,
        0x3EFFFFFB,
    )
)


def to_bits(x: np.float32) -> int:
    """The 32 bits of a binary32 value, as an integer."""
    return int(np.asarray(x, dtype=np.float32).view(np.uint32))


def from_bits(bits: int) -> np.float32:
    """The binary32 value with these 32 bits."""
    return F(np.array(bits & 0xFFFFFFFF, dtype=np.uint32).view(np.float32)[()])


def is_finite(x: np.float32) -> bool:
    """Whether the exponent field is not all ones."""
    return to_bits(x) & 0x7F800000 != 0x7F800000


def require_finite(values: Sequence[np.float32], status: str, what: str) -> None:
    """Reject with `status` when a value is infinite or not a number."""
    for i, x in enumerate(values):
        if not is_finite(x):
            raise Rejected(status, f"{what}[{i}]")


def exp(x: np.float32) -> np.float32:
    """exp for x <= 0; +0 below c0."""
    if x < _C0:
        return ZERO
    z = F(F(x * _L) + _M)
    n = z - _M
    r = F(x - F(n * _H)) - F(n * _J)
    p = _P4
    p = F(p * r) + _P3
    p = F(p * r) + _P2
    p = F(p * r) + _P1
    p = F(p * r) + _P0
    t = p * F(r * r)
    t = t + r
    y = F(t + ONE)
    return from_bits(to_bits(y) + (to_bits(z) << 23))


def sqrt(x: np.float32) -> np.float32:
    """The correctly rounded square root."""
    return F(np.sqrt(x))


def scale_of(head_dim: int) -> np.float32:
    """1/sqrt(D)."""
    return ONE / sqrt(F(head_dim))


def dot(q: Vector, k: Vector) -> np.float32:
    """The naive sum of products, in ascending index."""
    s = ZERO
    for a, b in zip(q, k, strict=True):
        s = s + a * b
    return s


def linear(x: Vector, weight: Matrix, bias: Vector | None = None) -> Vector:
    """y[o] = b[o] + x[0]*W[0][o] + x[1]*W[1][o] + …; `weight` is [inputs][outputs]."""
    outputs = len(weight[0])
    y: Vector = []
    for o in range(outputs):
        s = ZERO if bias is None else bias[o]
        for i in range(len(x)):
            s = s + x[i] * weight[i][o]
        y.append(s)
    require_finite(y, "OVERFLOW", "linear")
    return y


def half_from_float(x: np.float32) -> int:
    """binary32 to binary16 bits by integer operations, to nearest even."""
    bits = to_bits(x)
    sign = (bits >> 16) & 0x8000
    exponent = (bits >> 23) & 0xFF
    fraction = bits & 0x7FFFFF
    if exponent == 0xFF:
        raise Rejected("OVERFLOW", "half")
    if exponent < 102:  # below half of the smallest subnormal, 2^-25
        return sign
    significand = fraction | 0x800000
    if exponent >= 113:  # normal in binary16: drop 13 bits
        value = ((exponent - 112) << 10) + (significand >> 13) - 0x400
        dropped, unit = significand & 0x1FFF, 0x2000
    else:  # subnormal: units of 2^-24
        shift = 126 - exponent
        value = significand >> shift
        dropped, unit = significand & ((1 << shift) - 1), 1 << shift
    if 2 * dropped > unit or (2 * dropped == unit and value & 1):
        value += 1
    if value >= 0x7C00:
        raise Rejected("OVERFLOW", "half")
    return sign | value


def float_from_half(half: int) -> np.float32:
    """Finite binary16 bits to binary32, exactly."""
    sign = (half & 0x8000) << 16
    exponent = (half >> 10) & 0x1F
    fraction = half & 0x3FF
    if exponent == 0:
        if fraction == 0:
            return from_bits(sign)
        top = fraction.bit_length() - 1
        return from_bits(sign | (top + 103) << 23 | (fraction << (23 - top)) & 0x7FFFFF)
    if exponent == 31:
        raise Rejected("NOT_FINITE", "half")
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13)


def through_half(values: Vector) -> Vector:
    """What a binary16 cache gives back for these values."""
    return [float_from_half(half_from_float(x)) for x in values]


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def amplitude(first: int, second: int) -> np.float32:
    """The amplitude of one pair of signed bytes of raw CSI."""
    return sqrt(F(first * first + second * second))


def floats(data: bytes) -> Vector:
    """Little-endian binary32 bytes to values."""
    return [from_bits(b) for (b,) in struct.iter_unpack("<I", data)]
