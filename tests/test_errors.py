"""Status codes and exceptions: one to one, all of them."""

from __future__ import annotations

import builtins
import copy
import pickle

import pytest

from aether_temporal import _core, errors
from aether_temporal.errors import BY_STATUS_NAME, BlobError, TemporalError

TABLE = _core.status_table()
FAILURES = list(enumerate(TABLE))[1:]
NAMES = [name for _, (name, _, _) in FAILURES]


def test_success_is_no_error() -> None:
    assert TABLE[0][0] == "OK"
    assert TABLE[0][2] is None
    assert _core.raise_for_status(0) is None


def test_codes_and_classes_are_one_to_one() -> None:
    names = [name for name, _, _ in TABLE]
    classes = [cls for _, _, cls in TABLE[1:]]
    assert len(set(names)) == len(names)
    assert len(set(classes)) == len(classes)
    assert set(BY_STATUS_NAME) == set(names[1:])  # no code without a class, no class without a code
    assert all(BY_STATUS_NAME[name] is cls for name, _, cls in TABLE[1:])


@pytest.mark.parametrize(("code", "row"), FAILURES, ids=NAMES)
def test_every_code_raises_its_class(code: int, row: tuple[str, str, type[TemporalError]]) -> None:
    name, text, cls = row
    with pytest.raises(cls) as caught:
        _core.raise_for_status(code, "somewhere")
    assert type(caught.value) is cls
    assert text in str(caught.value)
    assert str(caught.value).startswith("somewhere: ")
    assert caught.value.field == "somewhere"
    assert text != "unknown status"
    assert isinstance(caught.value, BlobError) == name.startswith("BLOB_")


@pytest.mark.parametrize("code", [-1, len(TABLE), 1000])
def test_no_other_code_is_accepted(code: int) -> None:
    with pytest.raises(ValueError, match="code"):
        _core.raise_for_status(code)


def public_errors() -> list[type[TemporalError]]:
    return [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", public_errors(), ids=lambda cls: cls.__name__)
def test_every_error_is_also_a_builtin(cls: type[TemporalError]) -> None:
    assert issubclass(cls, TemporalError)
    assert cls.__doc__
    if cls is not TemporalError:
        fitting = (ValueError, TypeError, MemoryError, RuntimeError, OverflowError)
        assert any(getattr(builtins, base.__name__, None) in fitting for base in cls.__mro__)


@pytest.mark.parametrize("cls", public_errors(), ids=lambda cls: cls.__name__)
def test_errors_carry_their_parts_through_copy_and_pickle(cls: type[TemporalError]) -> None:
    error = cls.of("window", "at least 1", 0, 24)
    assert str(error) == "window: expected at least 1, found 0 at byte 24"
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is cls
        assert str(again) == str(error)
        assert (again.field, again.expected, again.found, again.offset) == ("window", "at least 1", 0, 24)


@pytest.mark.parametrize(
    ("field", "expected", "found", "shown"),
    [
        ("magic", "0x52564E45", 0x17B8D4ED, "0x17B8D4ED"),
        ("extension magic", "0x31545845", 7, "0x00000007"),
        ("crc32", "the CRC of the bytes before", 0xABC, "0x00000ABC"),
        ("blob CRC", "that of this model's blob", 0xFFFFFFFF, "0xFFFFFFFF"),
        ("weights", "finite numbers", 0x7F800000, "0x7F800000"),
        ("bias", "finite numbers", 0xFC00, "0xFC00"),
        ("matrix", "finite numbers", "inf at (0, 1)", "inf at (0, 1)"),
        ("weights_len", "64 bytes", 17, "17"),
    ],
)
def test_bits_are_shown_in_hexadecimal(field: str, expected: str, found: object, shown: str) -> None:
    error = TemporalError.of(field, expected, found)
    assert str(error) == f"{field}: expected {expected}, found {shown}"
    assert error.found == found


def test_the_names_of_the_interface() -> None:
    for name, base in {
        "InvalidConfigError": ValueError,
        "ShapeError": ValueError,
        "NonFiniteError": ValueError,
        "CacheFullError": RuntimeError,
        "CacheMismatchError": ValueError,
        "BackendDoesNotSupportStreamingError": RuntimeError,
        "TooLargeError": MemoryError,
        "OutOfMemoryError": MemoryError,
        "ResultOverflowError": OverflowError,
    }.items():
        assert issubclass(getattr(errors, name), base)
    for name in ("TooShort", "Magic", "Version", "Length", "Crc", "Flags", "Header"):
        cls = getattr(errors, f"Blob{name}Error")
        assert issubclass(cls, BlobError)
        assert issubclass(cls, ValueError)
