"""The AETHER temporal head for Wi-Fi sensing: sparse attention whose bits are the same here and on a chip.

model = TemporalModel.from_blob("model.rvne")
stream = model.stream(context=256)
for frame in frames:
    logits = stream.push(frame)
"""

from ._core import VERSION as __version__
from ._core import Clock, Resampler, crc32
from ._internal.kernels import kernels
from .blob import WeightBlob, WeightBlobHeader
from .config import PatternMask, TemporalHeadConfig, estimate_sparse_edges
from .errors import (
    AlignmentError,
    BackendDoesNotSupportStreamingError,
    BlobCrcError,
    BlobError,
    BlobFlagsError,
    BlobHeaderError,
    BlobLengthError,
    BlobMagicError,
    BlobTooShortError,
    BlobVersionError,
    CacheBusyError,
    CacheFullError,
    CacheMismatchError,
    GoldenFileError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    KernelsError,
    NonFiniteError,
    OutOfMemoryError,
    ResultOverflowError,
    SavedStateError,
    ShapeError,
    TemporalError,
    TooLargeError,
    WorkspaceError,
)
from .head import AetherTemporalHead, KvCache
from .model import ArrayInfo, LayerTrace, ModelMemory, TemporalModel, TemporalStream, csi_amplitude
from .pool import PoolOutput, StreamPool
from .settings import *  # noqa: F403 (its __all__)
from .settings import __all__ as _settings

__all__ = list(_settings)
__all__ += [
    "AetherTemporalHead",
    "AlignmentError",
    "ArrayInfo",
    "BackendDoesNotSupportStreamingError",
    "BlobCrcError",
    "BlobError",
    "BlobFlagsError",
    "BlobHeaderError",
    "BlobLengthError",
    "BlobMagicError",
    "BlobTooShortError",
    "BlobVersionError",
    "CacheBusyError",
    "CacheFullError",
    "CacheMismatchError",
    "Clock",
    "GoldenFileError",
    "InputTypeError",
    "InvalidArgumentError",
    "InvalidConfigError",
    "KernelsError",
    "KvCache",
    "LayerTrace",
    "ModelMemory",
    "NonFiniteError",
    "OutOfMemoryError",
    "PatternMask",
    "PoolOutput",
    "Resampler",
    "ResultOverflowError",
    "SavedStateError",
    "ShapeError",
    "StreamPool",
    "TemporalError",
    "TemporalHeadConfig",
    "TemporalModel",
    "TemporalStream",
    "TooLargeError",
    "WeightBlob",
    "WeightBlobHeader",
    "WorkspaceError",
    "__version__",
    "crc32",
    "csi_amplitude",
    "estimate_sparse_edges",
    "kernels",
]
