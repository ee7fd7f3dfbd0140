"""The kinds of fields a section of a blob has, each with its bytes. `settings.py` declares sections with them."""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aether_temporal.errors import InvalidConfigError, ResultOverflowError, ShapeError

from .convert import as_array, as_flag, expect_choice, expect_type

Sizes = dict[str, int]
"""Sizes by name: input_dim, width, q_width, kv_width, layers, n_classes, and those of the section that is at hand."""


@dataclasses.dataclass(frozen=True)
class Section:
    """Marks an attribute of `ModelSettings` as a section.

    sizes: sizes that a u32 at the start of the payload gives, (least, most) by name; writing takes each from the first
    array whose shape names it.
    """

    number: int
    sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


class Reader:
    """Takes a payload that the core has accepted apart, front to back."""

    def __init__(self, payload: bytes, dtype: str, sizes: Sizes) -> None:
        self.payload, self.dtype, self.sizes, self.at = payload, dtype, sizes, 0

    def u32(self) -> int:
        """The next u32."""
        value: int = struct.unpack_from("<I", self.payload, self.at)[0]
        self.at += 4
        return value

    def elements(self, kind: str, count: int) -> NDArray[Any]:
        """The next elements of a numpy type."""
        flat: NDArray[Any] = np.frombuffer(self.payload, kind, count, self.at)
        self.at += flat.nbytes
        return flat

    def rest(self) -> bytes:
        """What is left."""
        begin, self.at = self.at, len(self.payload)
        return self.payload[begin:]


class Field(Protocol):
    """A field of a payload that is no array."""

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        """Its bytes. InvalidConfigError, ShapeError, InputTypeError name it `name`."""

    def read(self, reader: Reader) -> Any:
        """Its value."""


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of binary32, or with `matrix` of the blob's dtype; in a model in integers, of int32 or int8. shape:
    names of sizes, or numbers; "layers" first: one a layer. within: the section with which it is there; None: always.
    Neighbours of one section that are one a layer and of one type stand together, layer by layer."""

    shape: tuple[str | int, ...]
    matrix: bool = False
    within: str | None = None

    @property
    def each_layer(self) -> bool:
        return self.shape[0] == "layers"

    def sizes(self, sizes: Sizes) -> tuple[int, ...]:
        return tuple(sizes[size] if isinstance(size, str) else size for size in self.shape)

    def element(self, dtype: str) -> str:
        return element_type(dtype) if self.matrix else "<i4" if dtype == "int8" else "<f4"


@dataclasses.dataclass(frozen=True)
class Integer:
    """A u32 from `least` to `most`; `none` stands for None."""

    least: int
    most: int
    none: int | None = None

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        if value is None and self.none is not None:
            return struct.pack("<I", self.none)
        return struct.pack("<I", whole(value, self.least, self.most, name))

    def read(self, reader: Reader) -> int | None:
        value = reader.u32()
        return None if value == self.none else value


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some words, as the u32 of its index."""

    words: tuple[str, ...]

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        if value not in self.words:
            raise InvalidConfigError.of(name, " or ".join(self.words), value)
        return struct.pack("<I", self.words.index(value))

    def read(self, reader: Reader) -> str:
        return self.words[reader.u32()]


@dataclasses.dataclass(frozen=True)
class Positive:
    """A binary32 above 0."""

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        expect_type(value, (int, float, np.integer, np.floating), name, "a number above 0")
        with np.errstate(over="ignore"):
            number = np.float32(value)
        if not (np.isfinite(number) and number > 0):
            raise InvalidConfigError.of(name, "a number above 0", value)
        return struct.pack("<f", number)

    def read(self, reader: Reader) -> float:
        return float(reader.elements("<f4", 1)[0])


@dataclasses.dataclass(frozen=True)
class Flag:
    """Bit `bit` of a u32 that neighbouring flags share. words: of the bit clear and set; without, True or False."""

    bit: int
    words: tuple[str, ...] | None = None

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        if self.words is None:
            return struct.pack("<I", as_flag(value, name) << self.bit)
        expect_choice(value, self.words, name)
        return struct.pack("<I", self.words.index(value) << self.bit)

    def read(self, reader: Reader) -> bool | str:
        reader.at -= 4 * (self.bit > 0)
        is_set = bool(reader.u32() >> self.bit & 1)
        return is_set if self.words is None else self.words[is_set]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A u32 count, then so many u32, ascending, each once."""

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        tokens = sorted({whole(token, 0, 0xFFFFFFFF, name) for token in value})
        return struct.pack(f"<{1 + len(tokens)}I", len(tokens), *tokens)

    def read(self, reader: Reader) -> tuple[int, ...]:
        return tuple(reader.u32() for _ in range(reader.u32()))


@dataclasses.dataclass(frozen=True)
class Indices:
    """u16 indices, as many as the size `count`."""

    count: str

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        index, shape = as_array(value, name), (sizes[self.count],)
        if index.shape != shape:
            raise ShapeError.of(name, f"shape {shape}", index.shape)
        return struct.pack(f"<{len(index)}H", *(whole(i, 0, 0xFFFF, name) for i in index.tolist()))

    def read(self, reader: Reader) -> NDArray[np.uint16]:
        return reader.elements("<u2", reader.sizes[self.count]).astype(np.uint16)


@dataclasses.dataclass(frozen=True)
class Numbers:
    """i16 numbers from -most to most, as many as the size `count`."""

    count: str
    most: int

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        number, shape = as_array(value, name), (sizes[self.count],)
        if number.shape != shape:
            raise ShapeError.of(name, f"shape {shape}", number.shape)
        return struct.pack(f"<{len(number)}h", *(whole(n, -self.most, self.most, name) for n in number.tolist()))

    def read(self, reader: Reader) -> NDArray[np.int16]:
        return reader.elements("<i2", reader.sizes[self.count]).astype(np.int16)


@dataclasses.dataclass(frozen=True)
class Words:
    """Some of `words`, as many as the size `count`, each as the u8 of its index."""

    count: str
    words: tuple[str, ...]

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        given = list(value)
        if len(given) != sizes[self.count]:
            raise ShapeError.of(name, f"{sizes[self.count]} words", len(given))
        for word in given:
            if word not in self.words:
                raise InvalidConfigError.of(name, " or ".join(self.words), word)
        return bytes(self.words.index(word) for word in given)

    def read(self, reader: Reader) -> tuple[str, ...]:
        return tuple(self.words[code] for code in reader.elements("u1", reader.sizes[self.count]).tolist())


@dataclasses.dataclass(frozen=True)
class Text:
    """UTF-8 to the end of the payload."""

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        expect_type(value, str, name, "text")
        try:
            return bytes(value.encode())
        except UnicodeEncodeError:
            raise InvalidConfigError.of(name, "text that UTF-8 can hold", repr(value)) from None

    def read(self, reader: Reader) -> str:
        return reader.rest().decode()


@dataclasses.dataclass(frozen=True)
class Texts:
    """UTF-8 strings, as many as the size `count`, each ended by a zero byte."""

    count: str

    def pack(self, value: Any, name: str, sizes: Sizes) -> bytes:
        texts = list(value)
        if len(texts) != sizes[self.count]:
            raise ShapeError.of(name, f"{sizes[self.count]} names", len(texts))
        parts = [Text().pack(text, name, sizes) + b"\0" for text in texts]
        for text in texts:
            if "\0" in text:
                raise InvalidConfigError.of(name, "text without a zero character", repr(text))
        return b"".join(parts)

    def read(self, reader: Reader) -> tuple[str, ...]:
        return tuple(text.decode() for text in reader.rest().split(b"\0")[: reader.sizes[self.count]])


def whole(value: Any, least: int, most: int, field: str) -> int:
    """An integer in a range. InvalidConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InvalidConfigError.of(field, f"an integer from {least} to {most}", value)
    return int(value)


def element_type(dtype: str) -> str:
    """numpy's name of the matrix elements."""
    return {"float32": "<f4", "float16": "<f2", "int8": "<i1"}[dtype]


def real_array(value: ArrayLike, shape: tuple[int, ...], field: str) -> NDArray[np.float32]:
    """`value` as finite binary32 of exactly this shape. InputTypeError, ShapeError, InvalidConfigError."""
    given = as_array(value, field)
    array = np.ascontiguousarray(given, dtype="<f4").reshape(given.shape)
    if array.shape != shape:
        raise ShapeError.of(field, f"shape {shape}", array.shape)
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidConfigError.of(field, "finite numbers", f"{array[index]} at {index}")
    return array


def elements(value: ArrayLike, shape: tuple[int, ...], element: str, field: str) -> NDArray[Any]:
    """`value` as finite numbers of this shape and numpy type. As `real_array`; ResultOverflowError when a value is
    beyond binary16. Integers must be integers within the type: InvalidConfigError."""
    if element in ("<i1", "<i4"):
        return _integers(value, shape, np.dtype(element), field)
    array = real_array(value, shape, field)
    if element == "<f4":
        return array
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    if not np.isfinite(half).all():
        raise ResultOverflowError.of(field, "magnitudes up to 65504 (binary16)", float(np.abs(array).max()))
    return half


def _integers(value: ArrayLike, shape: tuple[int, ...], element: np.dtype[Any], field: str) -> NDArray[Any]:
    given, limits = as_array(value, field), np.iinfo(element)
    if given.shape != shape:
        raise ShapeError.of(field, f"shape {shape}", given.shape)
    if given.dtype.kind not in "iu" or (given.size and not limits.min <= given.min() <= given.max() <= limits.max):
        found = given.dtype if given.dtype.kind not in "iu" else f"{given.min()} to {given.max()}"
        raise InvalidConfigError.of(field, f"integers from {limits.min} to {limits.max}", found)
    return np.ascontiguousarray(given, dtype=element)


def count_of(name: str, bounds: tuple[int, int], value: ArrayLike, array: Array, field: str) -> int:
    """The size `name` that the shape of `value` gives. ShapeError."""
    shape, (least, most) = np.shape(value), bounds
    found = shape[array.shape.index(name)] if len(shape) == len(array.shape) else 0
    if not least <= found <= most:
        named = f"{least} to {most} {name}" if most < 0x7FFFFFFF else name
        wanted = ", ".join(named if part == name else str(part) for part in array.shape)
        raise ShapeError.of(field, f"shape ({wanted})", shape)
    return found


def run_bytes(arrays: list[NDArray[Any]], each_layer: bool) -> bytes:
    """Arrays that stand together: layer by layer, or one after the other."""
    if not each_layer:
        return b"".join(array.tobytes() for array in arrays)
    return b"".join(row.tobytes() for layer in zip(*arrays, strict=True) for row in layer)


def read_run(reader: Reader, arrays: list[Array]) -> list[NDArray[Any]]:
    """The next arrays, which stand together: float32, or the integers of a model in integers."""
    number = np.dtype(arrays[0].element(reader.dtype)) if reader.dtype == "int8" else np.dtype(np.float32)
    shapes, kind = [array.sizes(reader.sizes) for array in arrays], arrays[0].element(reader.dtype)
    if not arrays[0].each_layer:
        flat = reader.elements(kind, sum(map(math.prod, shapes))).astype(number)
        parts = np.split(flat, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    else:
        widths = [math.prod(shape[1:]) for shape in shapes]
        rows = reader.elements(kind, shapes[0][0] * sum(widths)).astype(number).reshape(shapes[0][0], -1)
        parts = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
