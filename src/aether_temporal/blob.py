"""The RVNE weight blob (`docs/spec/rvne.md`): header, weights, CRC; read, built, written.

Export of a trained model, losslessly:

    header = WeightBlobHeader(dtype="float32", input_dim=56, n_q_heads=4, n_kv_heads=1, head_dim=16, n_layers=2,
                              n_classes=5)
    layers = [{"wq": ..., "wk": ..., "wv": ..., "wo": ...}, ...]   # [w, Hq*D], [w, Hkv*D], [w, Hkv*D], [Hq*D, w]
    blob = WeightBlob.from_arrays(header, layers, classifier, settings=ModelSettings(width=32, ...))
    blob.save("model.rvne")
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, _extension
from ._internal.atomic_files import write_atomic
from ._internal.convert import as_bytes, expect_choice, expect_type
from ._internal.fields import element_type, elements
from ._internal.summary import html_table, in_two_lines
from .errors import BlobHeaderError, InvalidConfigError, ShapeError, TemporalError
from .header import DTYPES, Shape, WeightBlobHeader
from .settings import ModelSettings

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["WeightBlob", "WeightBlobHeader"]

CORE_NAMES = ("wq", "wk", "wv", "wo")


class WeightBlob:
    """A header and the weights that belong to it; immutable.

    `weights`: the bytes between header and CRC. Without `settings` they are all of them (for a header with
    `extension`, the extension included); with `settings` they are the core arrays, and the extension is made and
    appended. BlobHeaderError when their length is not what the header asks for, InputTypeError.
    """

    __slots__ = ("_header", "_weights")

    def __init__(self, header: WeightBlobHeader, weights: Buffer, settings: ModelSettings | None = None) -> None:
        _expect_types(header, settings)
        data = as_bytes(weights, "weights")
        if settings is not None:
            header = header.replace(extension=True)
            _expect_length(len(data), header.core_bytes(_extension.width_for(settings, header)))
            data += _extension.encode(settings, header)
        elif not header.extension:
            _expect_length(len(data), header.core_bytes())
        elif len(data) < _extension.FOOTER.size:
            raise BlobHeaderError.of("weights_len", f"at least {_extension.FOOTER.size} bytes of extension", len(data))
        if len(data) > 0xFFFFFFFF:
            raise BlobHeaderError.of("weights_len", "a length that fits 32 bits", len(data))
        self._header = header
        self._weights = data

    @classmethod
    def from_arrays(
        cls,
        header: WeightBlobHeader,
        layers: Sequence[Mapping[str, ArrayLike]],
        classifier: ArrayLike,
        settings: ModelSettings | None = None,
    ) -> WeightBlob:
        """From arrays of real numbers: each layer's wq [w, Hq*D], wk and wv [w, Hkv*D], wo [Hq*D, w]; classifier
        [w, n_classes]; `w` is `settings.width` or input_dim. Converted to the header's dtype; those of a model in
        integers, and the arrays of its settings, are integers already.
        ShapeError, InputTypeError, InvalidConfigError (not finite), ResultOverflowError (beyond binary16).
        """
        _expect_types(header, settings)
        width = _extension.width_for(settings, header)
        shape = Shape.of(header, width)
        if len(layers) != shape.layers:
            raise ShapeError.of("layers", f"{shape.layers} layers", len(layers))
        shapes = dict(
            zip(CORE_NAMES, ((width, shape.q), (width, shape.kv), (width, shape.kv), (shape.q, width)), strict=True)
        )
        element = element_type(header.dtype)
        parts = [
            elements(layer[name], shapes[name], element, f"layers[{index}].{name}").tobytes()
            for index, layer in enumerate(layers)
            for name in CORE_NAMES
        ]
        parts.append(elements(classifier, (width, shape.classes), element, "classifier").tobytes())
        return cls(header, b"".join(parts), settings)

    @classmethod
    def parse(cls, raw: Buffer) -> WeightBlob:
        """From the bytes of a blob (any object with the buffer protocol; copied). Checked in the order of the
        specification, each failure with its own BlobError. Whether the weights are finite is looked at when a model is
        made of them, or by `check`. InputTypeError.
        """
        data = as_bytes(raw, "blob")
        flags, input_dim, q, kv, dim, layers, classes, length = _core.parse_blob(data)
        header = WeightBlobHeader(
            WeightBlobHeader.dtype_of(flags), input_dim, q, kv, dim, layers, classes, bool(flags & 2)
        )
        blob = cls(header, data[_core.HEADER_BYTES : _core.HEADER_BYTES + length])
        if header.extension:
            blob.check()
        return blob

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeightBlob:
        """From a file. OSError, BlobError, InputTypeError."""
        expect_type(path, (str, os.PathLike), "path", "a path")
        with open(path, "rb") as file:
            return cls.parse(file.read())

    @property
    def header(self) -> WeightBlobHeader:
        """What the blob says of its shape and types."""
        return self._header

    @property
    def weights(self) -> bytes:
        """Everything between header and CRC."""
        return self._weights

    @property
    def width(self) -> int:
        """Model width: input_dim, or what the extension says."""
        return _extension.width_of(self._weights) if self._header.extension else self._header.input_dim

    @property
    def settings(self) -> ModelSettings | None:
        """The extension's settings; None for a plain version 1 blob. BlobHeaderError when it is damaged."""
        if not self._header.extension:
            return None
        self.check()
        return _extension.decode(self._weights, self._header)

    def check(self) -> None:
        """Everything a model is checked for, sections and finite weights included. BlobHeaderError."""
        _core.Model(self.serialize())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name ("layers.0.attention.wq", …, "classifier.weight", then those of the extension; all names
        stand in docs/spec/model.md), read-only views in the blob's own types."""
        raw = self.serialize()
        found = {}
        for name, layer, dtype, offset, shape in _core.Model(raw).array_rows():
            key = name if layer is None else f"layers.{layer}.{name}"
            found[key] = np.frombuffer(raw, dtype, math.prod(shape), offset).reshape(shape)
        return found

    def serialize(self) -> bytes:
        """The blob: header, weights, CRC."""
        return _core.write_blob(*self._header._values(len(self._weights)), weights=self._weights)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the blob to a file that is, whatever interrupts it, the old one or the new one, whole. OSError,
        InputTypeError."""
        expect_type(path, (str, os.PathLike), "path", "a path")
        write_atomic(path, self.serialize())

    def to_dtype(self, dtype: Literal["float32", "float16"]) -> WeightBlob:
        """The same model with matrices of another type (to float16: rounded to nearest even; ResultOverflowError).
        InvalidConfigError (to or from int8: that takes recordings)."""
        expect_choice(dtype, DTYPES, "dtype")
        if dtype == self._header.dtype:
            return self
        if "int8" in (self._header.dtype, dtype):
            raise InvalidConfigError.of("dtype", f"{self._header.dtype}, which the model is in", dtype)
        return self._made_again(self._header.replace(dtype=dtype), self.settings)

    def with_settings(self, settings: ModelSettings) -> WeightBlob:
        """The same matrices of attention and classifier with other sections. InvalidConfigError, ShapeError."""
        return self._made_again(self._header, settings)

    def _made_again(self, header: WeightBlobHeader, settings: ModelSettings | None) -> WeightBlob:
        arrays = self.arrays()
        layers = [{name: arrays[f"layers.{i}.attention.{name}"] for name in CORE_NAMES} for i in range(header.n_layers)]
        return WeightBlob.from_arrays(header, layers, arrays["classifier.weight"], settings)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightBlob):
            return NotImplemented
        return self._header == other._header and self._weights == other._weights

    def __hash__(self) -> int:
        return hash((self._header, self._weights))

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightBlob, (self._header, self._weights)

    def __repr__(self) -> str:
        return in_two_lines("WeightBlob", self._facts())

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html_table("WeightBlob", self._facts())

    def _facts(self) -> dict[str, str]:
        """What describes the blob in a few words. A blob that no model can be made of says why."""
        size = {"size": f"{len(self._weights) + _core.OVERHEAD} bytes"}
        try:
            return size | facts_of(self._header, _core.Model(self.serialize()))
        except TemporalError as error:
            h = self._header
            return size | {"input": f"{h.input_dim} features", "classes": str(h.n_classes), "unusable": str(error)}


def facts_of(header: WeightBlobHeader, model: _core.Model) -> dict[str, str]:
    """What describes a model in a few words."""
    names, rate, layers = model.class_names, model.frame_rate, header.n_layers
    found = {
        "classes": str(header.n_classes) if names is None else ", ".join(name or "(unnamed)" for name in names),
        "embedding": f"{model.embed_dim} values" if model.embed_dim else None,
        "input": f"{header.input_dim} features" + (f" at {rate:.4g} Hz" if rate else ""),
        "shape": f"{layers} layer{'s' * (layers > 1)} of width {model.width}, {header.n_q_heads} query and "
        f"{header.n_kv_heads} key/value heads of {header.head_dim}",
        "weights": header.dtype,
        "provenance": model.provenance,
    }
    return {name: value for name, value in found.items() if value}


def _expect_types(header: WeightBlobHeader, settings: ModelSettings | None) -> None:
    expect_type(header, WeightBlobHeader, "header", "a WeightBlobHeader")
    if settings is not None:
        expect_type(settings, ModelSettings, "settings", "ModelSettings or None")


def _expect_length(found: int, needed: int) -> None:
    if found != needed:
        raise BlobHeaderError.of("weights_len", f"{needed} bytes, what the header's arrays need", found)
