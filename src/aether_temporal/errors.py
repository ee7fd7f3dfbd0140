"""Every error of the package: one class for each status code of the core, under `TemporalError`.

Each class also derives from the built-in that fits, so `except ValueError` works. A message names the field or
argument, what was expected and what was found; the same stands in the attributes `field`, `expected`, `found` and
`offset` (bytes into a blob or saved state) where they apply. An error leaves every object as it was.
"""

from __future__ import annotations

__all__ = [
    "AlignmentError",
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
    "DeviceError",
    "DeviceReportError",
    "DeviceSilentError",
    "FlashToolError",
    "GoldenFileError",
    "InputTypeError",
    "InvalidArgumentError",
    "InvalidConfigError",
    "KernelsError",
    "MissingExtraError",
    "NonFiniteError",
    "OutOfMemoryError",
    "PartitionError",
    "PortError",
    "RecordingError",
    "RecordingFormatError",
    "RecordingSelectionError",
    "RecordingShapeError",
    "ResultOverflowError",
    "SavedStateError",
    "ShapeError",
    "SlotError",
    "TemporalError",
    "TooLargeError",
    "WorkspaceError",
]


class TemporalError(Exception):
    """Base of all errors of this package."""

    def __init__(
        self,
        message: str = "",
        *,
        field: str | None = None,
        expected: str | None = None,
        found: object = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.expected = expected
        self.found = found
        self.offset = offset

    @classmethod
    def of(cls, field: str, expected: str, found: object, offset: int | None = None) -> TemporalError:
        """An error of this class whose message is made of its parts."""
        where = "" if offset is None else f" at byte {offset}"
        message = f"{field}: expected {expected}, found {_shown(field, expected, found)}{where}"
        return cls(message, field=field, expected=expected, found=found, offset=offset)


def _shown(field: str, expected: str, found: object) -> object:
    """`found` as a message shows it: bit patterns in hexadecimal, as they are written elsewhere."""
    if not isinstance(found, int):
        return found
    if field in ("magic", "extension magic", "crc32", "blob CRC"):
        return f"0x{found:08X}"
    if expected == "finite numbers":  # the bits of a binary32 or binary16 that is not
        return f"0x{found:04X}"
    return found


class InvalidArgumentError(TemporalError, ValueError):
    """An argument has a value the function does not know."""


class InputTypeError(TemporalError, TypeError):
    """An argument is of another type: no array of real numbers in this machine's memory, no bytes, not the object
    asked for."""


class InvalidConfigError(TemporalError, ValueError):
    """A setting of a head or model is out of range."""


class ShapeError(TemporalError, ValueError):
    """Sizes do not fit each other."""


class NonFiniteError(TemporalError, ValueError):
    """An input holds NaN or infinity."""


class ResultOverflowError(TemporalError, OverflowError):
    """A result left the range of its type (binary32, or binary16 in a half-precision cache or blob)."""


class CacheFullError(TemporalError, RuntimeError):
    """The cache holds `capacity` tokens and was made with `on_full="error"`."""


class CacheMismatchError(TemporalError, ValueError):
    """The cache was made for a head of another shape or pattern."""


class CacheBusyError(TemporalError, RuntimeError):
    """Another thread is working on this cache or stream."""


class BackendDoesNotSupportStreamingError(TemporalError, RuntimeError):
    """A dense or non-causal head has no step and no cache; use `forward`."""


class TooLargeError(TemporalError, MemoryError):
    """The memory needed cannot be addressed on this machine."""


class WorkspaceError(TemporalError, MemoryError):
    """The memory handed to the core is smaller than the core asked for."""


class OutOfMemoryError(TemporalError, MemoryError):
    """The operating system does not give the memory needed."""


class AlignmentError(TemporalError, ValueError):
    """Memory is not aligned as the core needs it."""


class SavedStateError(TemporalError, ValueError):
    """A saved state is damaged, of another version, or of something else."""


class KernelsError(TemporalError, RuntimeError):
    """No kernel variant of that name, or not on this processor."""


class GoldenFileError(TemporalError, ValueError):
    """A golden file is damaged or of another version."""


class BlobError(TemporalError, ValueError):
    """Base of all errors about the bytes of a weight blob."""


class BlobTooShortError(BlobError):
    """Fewer bytes than header and CRC."""


class BlobMagicError(BlobError):
    """The bytes do not begin like a weight blob."""


class BlobVersionError(BlobError):
    """A version this reader does not know."""


class BlobLengthError(BlobError):
    """Declared and actual length differ."""


class BlobCrcError(BlobError):
    """The CRC does not match: bytes are damaged."""


class BlobFlagsError(BlobError):
    """A flag bit this reader does not know."""


class BlobHeaderError(BlobError):
    """A value in the header, a section or the weights is out of range."""


class DeviceError(TemporalError, RuntimeError):
    """Base of all errors about a chip at the other end of a line."""


class PortError(DeviceError):
    """A serial port cannot be opened, vanished, or takes no bytes."""


class DeviceSilentError(DeviceError):
    """The chip says nothing, or not what the parity application would."""


class DeviceReportError(DeviceError):
    """A report did not come through whole, however often it was asked for."""


class PartitionError(DeviceError):
    """The chip's partition table is damaged, or has no room for a blob."""


class SlotError(DeviceError):
    """The bytes of a blob slot are no image, or not the ones that were written."""


class FlashToolError(DeviceError):
    """The program that reads and writes flash is missing, or failed."""


class RecordingError(TemporalError, ValueError):
    """A recording cannot be used; the message names the file and what was expected and found."""


class RecordingFormatError(RecordingError):
    """The file has no known format, or is damaged where nothing can be dropped."""


class RecordingSelectionError(RecordingError):
    """A file holds several recordings and none was chosen, or one that it does not hold."""


class RecordingShapeError(RecordingError):
    """A recording's frames have another width than the one asked for."""


class MissingExtraError(TemporalError, RuntimeError):
    """An optional dependency is not installed; the message says which one."""


# One class a code, one code a class. Keys are the names the core gives its codes.
BY_STATUS_NAME: dict[str, type[TemporalError]] = {
    "ARGUMENT": InvalidArgumentError,
    "CONFIG": InvalidConfigError,
    "SHAPE": ShapeError,
    "NOT_FINITE": NonFiniteError,
    "OVERFLOW": ResultOverflowError,
    "CACHE_FULL": CacheFullError,
    "CACHE_MISMATCH": CacheMismatchError,
    "NO_STREAMING": BackendDoesNotSupportStreamingError,
    "TOO_LARGE": TooLargeError,
    "MEMORY": WorkspaceError,
    "ALIGNMENT": AlignmentError,
    "STATE": SavedStateError,
    "KERNELS": KernelsError,
    "BLOB_SHORT": BlobTooShortError,
    "BLOB_MAGIC": BlobMagicError,
    "BLOB_VERSION": BlobVersionError,
    "BLOB_LENGTH": BlobLengthError,
    "BLOB_CRC": BlobCrcError,
    "BLOB_FLAGS": BlobFlagsError,
    "BLOB_HEADER": BlobHeaderError,
    "GOLDEN": GoldenFileError,
}
