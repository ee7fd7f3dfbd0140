"""The AETHER temporal head for Wi-Fi sensing: sparse attention whose bits are the same here and on a chip.

model = TemporalModel.from_blob("model.rvne")
stream = model.stream(capacity=256)
for frame in frames:
    logits = stream.push(frame)
"""

from ._core import VERSION as __version__
from ._core import crc32
from ._kernels import kernels
from .blob import WeightBlob, WeightBlobHeader
from .config import TemporalHeadConfig, estimate_sparse_edges
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
from .model import ArrayInfo, ModelMemory, TemporalModel, TemporalStream, csi_amplitude
from .settings import (
    BiasSettings,
    CarrierSettings,
    ConvolutionSettings,
    EmbeddingSettings,
    FeedForwardSettings,
    ModelSettings,
    NormalisationSettings,
    NormSettings,
    PatternSettings,
    PoolingSettings,
    ProjectionSettings,
    StemSettings,
)

__all__ = [
    "AetherTemporalHead",
    "AlignmentError",
    "ArrayInfo",
    "BackendDoesNotSupportStreamingError",
    "BiasSettings",
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
    "CarrierSettings",
    "ConvolutionSettings",
    "EmbeddingSettings",
    "FeedForwardSettings",
    "GoldenFileError",
    "InputTypeError",
    "InvalidArgumentError",
    "InvalidConfigError",
    "KernelsError",
    "KvCache",
    "ModelMemory",
    "ModelSettings",
    "NonFiniteError",
    "NormSettings",
    "NormalisationSettings",
    "OutOfMemoryError",
    "PatternSettings",
    "PoolingSettings",
    "ProjectionSettings",
    "ResultOverflowError",
    "SavedStateError",
    "ShapeError",
    "StemSettings",
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
