"""docs/spec/golden.md: the file of golden cases, written and read."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from .numeric import crc32

MAGIC = 0x31564741  # "AGV1" on disk
VERSION = 1
NAME_BYTES = 48

Words = npt.NDArray[np.uint32]


class Kernel(IntEnum):
    """What a case runs."""

    EXP = 1
    SQRT = 2
    NARROW = 3
    WIDEN = 4
    CRC32 = 5
    LINEAR = 6
    SCALE = 7
    PATTERN = 8
    BLOCK_MEAN = 9
    ATTEND_QUERY = 10
    ATTENTION = 11
    MODEL = 12
    BLOB_OPEN = 13
    BLOB_WRITE = 14
    AMPLITUDE = 15
    CACHE_STATE = 16
    STREAM_STATE = 17
    RESAMPLE = 18


class Rule(IntEnum):
    """How the words of an input come about."""

    EXPLICIT = 0
    UNIFORM = 1
    WILD = 2
    RAMP = 3


# Order and values of the core's status codes; the numbers are part of the format.
STATUS = (
    "OK",
    "ARGUMENT",
    "CONFIG",
    "SHAPE",
    "NOT_FINITE",
    "OVERFLOW",
    "CACHE_FULL",
    "CACHE_MISMATCH",
    "NO_STREAMING",
    "TOO_LARGE",
    "MEMORY",
    "ALIGNMENT",
    "STATE",
    "KERNELS",
    "BLOB_SHORT",
    "BLOB_MAGIC",
    "BLOB_VERSION",
    "BLOB_LENGTH",
    "BLOB_CRC",
    "BLOB_FLAGS",
    "BLOB_HEADER",
    "GOLDEN",
)


@dataclass(frozen=True)
class Input:
    """`count` words by a rule; `seed`, `a`, `b` are the rule's numbers, `explicit` the words of rule 0."""

    rule: Rule
    count: int
    seed: int = 0
    a: int = 0
    b: int = 0
    explicit: tuple[int, ...] = ()

    def words(self) -> Words:
        """The words as an array of u32."""
        if self.rule == Rule.EXPLICIT:
            return np.array(self.explicit, dtype=np.uint32)
        index = np.arange(self.count, dtype=np.int64)
        if self.rule == Rule.RAMP:
            return ((self.seed + index * self.a) & 0xFFFFFFFF).astype(np.uint32)
        h = _mix((self.seed + index * 0x9E3779B9) & 0xFFFFFFFF)
        if self.rule == Rule.UNIFORM:
            return np.ldexp(((h >> 8) - 0x800000).astype(np.float64), self.a - 23).astype(np.float32).view(np.uint32)
        exponent = self.a + _mix(h ^ 0x5BD1E995) % (self.b - self.a + 1)
        return ((h & 0x807FFFFF) | exponent << 23).astype(np.uint32)


def _mix(h: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A bijection of 32-bit values that leaves no pattern (products taken in two halves: 63 bits do not hold them)."""
    h = h ^ h >> 16
    h = _product(h, 0x85EBCA6B)
    h = h ^ h >> 13
    h = _product(h, 0xC2B2AE35)
    return h ^ h >> 16


def _product(h: npt.NDArray[np.int64], factor: int) -> npt.NDArray[np.int64]:
    return ((h & 0xFFFF) * factor + (((h >> 16) * factor & 0xFFFF) << 16)) & 0xFFFFFFFF


def explicit(words: list[int] | Words) -> Input:
    """An input given word by word."""
    values = tuple(int(w) for w in words)
    return Input(Rule.EXPLICIT, len(values), explicit=values)


def uniform(count: int, seed: int, exponent: int) -> Input:
    """Multiples of 2^(exponent-23) in [-2^exponent, 2^exponent)."""
    return Input(Rule.UNIFORM, count, seed, exponent)


def wild(count: int, seed: int, low: int, high: int) -> Input:
    """Any sign and fraction, biased exponents low … high."""
    return Input(Rule.WILD, count, seed, low, high)


def ramp(count: int, start: int, step: int) -> Input:
    """start, start + step, … as bit patterns."""
    return Input(Rule.RAMP, count, start, step)


@dataclass
class Case:
    """One case. `stored` is every `stride`-th of `n_out` expected words; `crc` is over all of them."""

    kernel: Kernel
    name: str
    params: list[int]
    inputs: list[Input]
    status: str = "OK"
    n_out: int = 0
    stride: int = 1
    crc: int = 0
    stored: list[int] = field(default_factory=list)

    def expect(self, words: list[int], stride: int = 1) -> Case:
        """Set the expected words."""
        self.n_out, self.stride = len(words), stride
        self.stored = words[::stride]
        self.crc = crc32(struct.pack(f"<{len(words)}I", *words))
        return self

    def differences(self, words: Words) -> list[str]:
        """What is wrong with these results; empty when every bit is correct."""
        if len(words) != self.n_out:
            return [f"{self.name}: {len(words)} words, expected {self.n_out}"]
        selected = words[:: self.stride]
        wrong = np.flatnonzero(selected != np.array(self.stored, dtype=np.uint32))
        found = [
            f"{self.name}[{i * self.stride}]: {int(selected[i]):08X}, expected {self.stored[i]:08X}" for i in wrong[:3]
        ]
        crc = crc32(np.ascontiguousarray(words, dtype="<u4").tobytes())
        if not found and crc != self.crc:
            found = [f"{self.name}: CRC {crc:08X}, expected {self.crc:08X}"]
        return found


def encode(cases: list[Case]) -> bytes:
    """A whole golden file."""
    body = b"".join(_encode_case(case) for case in cases)
    head = struct.pack("<4I", MAGIC, VERSION, 16 + len(body) + 4, len(cases))
    return head + body + struct.pack("<I", crc32(head + body))


def _encode_case(case: Case) -> bytes:
    name = case.name.encode("ascii")
    if len(name) >= NAME_BYTES:
        raise ValueError(f"name {case.name!r}: at most {NAME_BYTES - 1} bytes")
    counts = [len(case.params), len(case.inputs), case.n_out, case.stride, case.crc]
    body = struct.pack("<7I", case.kernel, STATUS.index(case.status), *counts) + name.ljust(NAME_BYTES, b"\0")
    body += struct.pack(f"<{len(case.params)}I", *case.params)
    for i in case.inputs:
        body += struct.pack("<3Iii", i.rule, i.count, i.seed, i.a, i.b)
        body += struct.pack(f"<{len(i.explicit)}I", *i.explicit)
    body += struct.pack(f"<{len(case.stored)}I", *case.stored)
    return struct.pack("<I", len(body) + 4) + body


def decode(data: bytes) -> list[Case]:
    """The cases of a golden file; ValueError when it is damaged."""
    magic, version, length, count = struct.unpack_from("<4I", data)
    if (magic, version, length) != (MAGIC, VERSION, len(data)):
        raise ValueError("not a golden file of this version")
    if crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError("golden file is damaged (CRC)")
    cases, at = [], 16
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        cases.append(_decode_case(data[at + 4 : at + size]))
        at += size
    return cases


def _decode_case(body: bytes) -> Case:
    kernel, status, n_params, n_inputs, n_out, stride, crc = struct.unpack_from("<7I", body)
    name = body[28 : 28 + NAME_BYTES].rstrip(b"\0").decode("ascii")
    at = 28 + NAME_BYTES
    params = list(struct.unpack_from(f"<{n_params}I", body, at))
    at += 4 * n_params
    inputs = []
    for _ in range(n_inputs):
        rule, n, seed, a, b = struct.unpack_from("<3Iii", body, at)
        at += 20
        words: tuple[int, ...] = ()
        if rule == Rule.EXPLICIT:
            words = struct.unpack_from(f"<{n}I", body, at)
            at += 4 * n
        inputs.append(Input(Rule(rule), n, seed, a, b, words))
    stored = list(struct.unpack_from(f"<{len(body) // 4 - at // 4}I", body, at))
    return Case(Kernel(kernel), name, params, inputs, STATUS[status], n_out, stride, crc, stored)
