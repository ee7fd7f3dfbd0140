"""The extension of a blob (`docs/spec/rvne.md`): `ModelSettings` to bytes and back, by what the settings declare.

The core checks whatever is read; this module only writes, and takes apart what the core has accepted.
"""

from __future__ import annotations

import dataclasses
import itertools
import struct
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from ._internal.fields import Array, Field, Flag, Reader, Section, Sizes, count_of, elements, read_run, run_bytes, whole
from .errors import InvalidConfigError
from .header import Shape, WeightBlobHeader
from .settings import ModelSettings

FOOTER = struct.Struct("<IHHI")
FOOTER_MAGIC = 0x31545845
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Declared:
    """A section: the class of its value and the class's fields; or, for a value of its own, the one field, named ""."""

    name: str
    section: Section
    cls: type | None
    fields: dict[str, Field | Array]

    @property
    def scalars(self) -> dict[str, Field]:
        """The fields that are no arrays."""
        return {name: field for name, field in self.fields.items() if not isinstance(field, Array)}

    def runs(self, there: set[str]) -> Iterator[dict[str, Array]]:
        """Arrays that stand together, in a model with these sections."""
        arrays = [
            (name, field)
            for name, field in self.fields.items()
            if isinstance(field, Array) and (field.within is None or field.within in there)
        ]
        for _, run in itertools.groupby(arrays, lambda item: (item[1].each_layer, item[1].matrix)):
            yield dict(run)


@cache
def sections() -> dict[int, Declared]:
    """The sections that `ModelSettings` declares, by their number."""
    found = {}
    for name, hint in typing.get_type_hints(ModelSettings, include_extras=True).items():
        section, *own = getattr(hint, "__metadata__", (None,))
        if isinstance(section, Section):
            cls = None if own else typing.get_args(typing.get_args(hint)[0])[0]
            hints = {"": hint} if cls is None else typing.get_type_hints(cls, include_extras=True)
            fields = {key: value.__metadata__[-1] for key, value in hints.items()}
            found[section.number] = Declared(name, section, cls, fields)
    return dict(sorted(found.items()))


def padding(length: int) -> bytes:
    """Zero bytes up to the next multiple of 4."""
    return bytes(-length % 4)


def _pack(declared: Declared, value: Any, dtype: str, sizes: Sizes, there: set[str]) -> bytes:
    """The payload of a section; its own sizes join the others."""

    def named(name: str) -> str:
        return f"{declared.name}.{name}" if name else declared.name

    def of(name: str) -> Any:
        return getattr(value, name) if name else value

    parts = []
    for size, bounds in declared.section.sizes.items():
        name, array = next((n, f) for n, f in declared.fields.items() if isinstance(f, Array) and size in f.shape)
        sizes[size] = count_of(size, bounds, of(name), array, named(name))
        parts.append(struct.pack("<I", sizes[size]))
    for name, field in declared.scalars.items():
        packed = field.pack(of(name), named(name), sizes)
        if isinstance(field, Flag) and field.bit > 0:
            packed = bytes(a | b for a, b in zip(parts.pop(), packed, strict=True))
        parts.append(packed)
    for run in declared.runs(there):
        arrays = [elements(of(n), f.sizes(sizes), f.element(dtype), named(n)) for n, f in run.items()]
        parts.append(run_bytes(arrays, next(iter(run.values())).each_layer))
    return b"".join(parts)


def _unpack(declared: Declared, reader: Reader, there: set[str]) -> Any:
    """The value of a section; its own sizes join the others."""
    reader.sizes.update({size: reader.u32() for size in declared.section.sizes})
    found: dict[str, Any] = {name: field.read(reader) for name, field in declared.scalars.items()}
    for run in declared.runs(there):
        found |= zip(run, read_run(reader, list(run.values())), strict=True)
    return found[""] if declared.cls is None else declared.cls(**found)


def width_for(settings: ModelSettings | None, header: WeightBlobHeader) -> int:
    """Model width that settings ask for. InvalidConfigError."""
    width = None if settings is None else settings.width
    return header.input_dim if width is None else whole(width, 1, 0xFFFF, "width")


def encode(settings: ModelSettings, header: WeightBlobHeader) -> bytes:
    """What follows the core arrays inside `weights`: padding, sections, footer."""
    width = width_for(settings, header)
    if settings.projection is None and width != header.input_dim:
        raise InvalidConfigError.of("projection", f"a projection (width {width}, input_dim {header.input_dim})", None)
    shape = Shape.of(header, width)
    sizes = shape.sizes
    there = {declared.name for declared in sections().values() if getattr(settings, declared.name) is not None}
    out = [padding(shape.core_bytes)]
    for number, declared in sections().items():
        value = getattr(settings, declared.name)
        if value is not None:
            payload = _pack(declared, value, header.dtype, sizes, there)
            if hasattr(value, "check"):
                value.check(settings)
            out += [struct.pack("<HHI", number, 0, len(payload)), payload, padding(len(payload))]
    body = b"".join(out)
    return body + FOOTER.pack(len(body) + FOOTER.size, width, VERSION, FOOTER_MAGIC)


def width_of(weights: bytes) -> int:
    """Model width of weights that end in an extension."""
    return int(FOOTER.unpack_from(weights, len(weights) - FOOTER.size)[1])


def decode(weights: bytes, header: WeightBlobHeader) -> ModelSettings:
    """Settings of weights that end in an extension and that the core has accepted."""
    shape = Shape.of(header, width_of(weights))
    at = shape.core_bytes + len(padding(shape.core_bytes))
    found: dict[str, Any] = {"width": shape.width}
    sizes = shape.sizes
    while at < len(weights) - FOOTER.size:
        number, _, size = struct.unpack_from("<HHI", weights, at)
        at += 8
        declared = sections()[number]
        reader = Reader(weights[at : at + size], header.dtype, sizes)
        found[declared.name] = _unpack(declared, reader, set(found))
        at += size + len(padding(size))
    return ModelSettings(**found)


def describe(settings: ModelSettings) -> dict[str, Any]:
    """Sections without the values of arrays, for JSON: None for one that is absent, the value of one that is a value,
    else its sizes and the fields that are no arrays."""
    found: dict[str, Any] = {}
    for declared in sections().values():
        value = getattr(settings, declared.name)
        if value is None or declared.cls is None:
            found[declared.name] = list(value) if isinstance(value, tuple) else value
            continue
        shown: dict[str, Any] = {}
        for name, field in declared.fields.items():
            if isinstance(field, Array) and getattr(value, name) is not None:
                shape = zip(field.shape, np.shape(getattr(value, name)), strict=True)
                shown |= {size: n for size, n in shape if size in declared.section.sizes}
            elif not isinstance(field, Array):
                shown[name] = np.asarray(getattr(value, name)).tolist()
        found[declared.name] = shown
    return found
