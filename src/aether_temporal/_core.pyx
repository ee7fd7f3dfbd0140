# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True, auto_pickle=False, autotestdict=False
"""The C core as Python sees it. Translates, and nothing else: buffers in, statuses out as exceptions, the GIL released
around work. The package's classes derive from the ones here."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_WRITABLE
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.stdint cimport int8_t, int16_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from aether cimport *

from numpy import empty as numpy_empty
from numpy import float32 as numpy_float32
from numpy import uint16 as numpy_uint16

from ._internal.convert import as_bytes, as_float32, as_index, expect_choice, expect_type
from ._internal.explain import raise_cache_error, raise_forward_error, raise_many_error, raise_model_error, raise_push_error, raise_size_error
from .cache_types import CACHE_DTYPES as _CACHE_DTYPES
from .errors import (
    BY_STATUS_NAME as _BY_STATUS_NAME,
    BlobCrcError,
    BlobLengthError,
    CacheBusyError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    KernelsError,
    OutOfMemoryError,
    ShapeError,
)

VERSION = AETHER_VERSION.decode()

include "_core_parts/common.pxi"
include "_core_parts/head.pxi"
include "_core_parts/gradient.pxi"
include "_core_parts/cache.pxi"
include "_core_parts/blob.pxi"
include "_core_parts/model.pxi"
include "_core_parts/csi.pxi"
include "_core_parts/golden.pxi"
