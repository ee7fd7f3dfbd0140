"""The header of a blob, and the sizes of what follows it (docs/spec/rvne.md)."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from . import _core
from ._internal.convert import as_flag, as_index, expect_choice
from .errors import BlobHeaderError

__all__ = ["Shape", "WeightBlobHeader"]

DTYPES = ("float32", "float16", "int8")
_FLAGS = {"float32": 0, "float16": 1, "int8": 4}


@dataclasses.dataclass(frozen=True)
class WeightBlobHeader:
    """The header's values, checked when made: BlobHeaderError, InvalidConfigError (dtype, extension).

    dtype: "float32" or "float16", the type of matrices, or "int8", a model in integers. input_dim: features a frame.
    extension: whether the weights end in the settings of `ModelSettings`; set by `WeightBlob` when it is given some.
    """

    dtype: Literal["float32", "float16", "int8"]
    input_dim: int
    n_q_heads: int
    n_kv_heads: int
    head_dim: int
    n_layers: int
    n_classes: int
    extension: bool = False

    def __post_init__(self) -> None:
        expect_choice(self.dtype, DTYPES, "dtype")
        object.__setattr__(self, "extension", as_flag(self.extension, "extension"))
        for field in dataclasses.fields(self)[1:7]:
            value = as_index(getattr(self, field.name))
            if value is None or not 0 <= value <= 0xFFFF:
                raise BlobHeaderError.of(field.name, "an integer that fits 16 bits", repr(getattr(self, field.name)))
            object.__setattr__(self, field.name, value)
        _core.check_header(*self._values(0))

    @property
    def flags(self) -> int:
        """The header's flag byte."""
        return _FLAGS[self.dtype] | int(self.extension) << 1

    @classmethod
    def dtype_of(cls, flags: int) -> Literal["float32", "float16", "int8"]:
        """What a flag byte that the core has accepted says of the matrices."""
        return "int8" if flags & 4 else "float16" if flags & 1 else "float32"

    def replace(self, **changes: Any) -> WeightBlobHeader:
        """A copy with some values changed, checked."""
        return dataclasses.replace(self, **changes)

    def core_bytes(self, width: int | None = None) -> int:
        """Bytes of the core arrays at this model width (default: input_dim)."""
        return Shape.of(self, self.input_dim if width is None else width).core_bytes

    def _values(self, weights_len: int) -> tuple[int, int, int, int, int, int, int, int]:
        return (
            self.flags,
            self.input_dim,
            self.n_q_heads,
            self.n_kv_heads,
            self.head_dim,
            self.n_layers,
            self.n_classes,
            weights_len,
        )


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes every section is written in."""

    dtype: str
    input_dim: int
    width: int
    q: int
    kv: int
    layers: int
    classes: int
    q_heads: int

    @classmethod
    def of(cls, header: WeightBlobHeader, width: int) -> Shape:
        return cls(
            header.dtype,
            header.input_dim,
            width,
            header.n_q_heads * header.head_dim,
            header.n_kv_heads * header.head_dim,
            header.n_layers,
            header.n_classes,
            header.n_q_heads,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that sections declare their arrays with."""
        return {
            "input_dim": self.input_dim,
            "width": self.width,
            "q_width": self.q,
            "kv_width": self.kv,
            "layers": self.layers,
            "n_classes": self.classes,
            "n_q_heads": self.q_heads,
        }

    @property
    def core(self) -> int:
        """Elements of the core arrays."""
        return self.layers * self.width * 2 * (self.q + self.kv) + self.width * self.classes

    @property
    def core_bytes(self) -> int:
        return self.core * {"int8": 1, "float16": 2, "float32": 4}[self.dtype]
