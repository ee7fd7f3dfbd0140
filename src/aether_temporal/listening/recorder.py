"""Files that grow while nodes are heard: packet captures (classic pcap of raw IP packets, which Wireshark and
`aether run` open) and JSON lines, written by a thread so that a slow disk costs no packets."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import stat
import struct
import threading
import time
from pathlib import Path

from aether_temporal._internal.atomic_files import lock
from aether_temporal._internal.os_errors import describe
from aether_temporal.errors import InvalidArgumentError

_QUEUE = 16 << 20  # bytes
_SYNC = 5.0  # seconds
_LINK_RAW = 101
_SNAP = 1 << 18
_UDP = 17

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP, _LINK_RAW)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AppendFile:
    """A file that only grows, and that one program writes at a time. A write that fails is taken back, so that the file
    holds whole pieces."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """InvalidArgumentError: another program writes the file (where the system has locks)."""
        self.path = path
        self._descriptor: int | None = descriptor
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and not lock(descriptor):
            self.close()
            raise InvalidArgumentError.of(
                str(path), "a file that nothing else writes", "one that another program is writing; name another file"
            )
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, path: Path, head: bytes) -> AppendFile:
        """A new file that starts with `head`. FileExistsError; OSError; InvalidArgumentError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        found = cls(path, os.open(path, flags, 0o666))
        try:
            found.write(head)
        except OSError:
            found.close()
            raise
        return found

    @classmethod
    def continue_lines(cls, path: Path) -> AppendFile:
        """A file of JSON lines, existing or new. A truncated last line is ended, so that later lines stay valid.

        OSError. InvalidArgumentError: a file of another kind, or one that another program writes; it is left unchanged.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        found = cls(path, os.open(path, flags, 0o666))
        try:
            if found._size:
                first = os.read(found._fd, 1)
                if first != b"{":
                    raise InvalidArgumentError.of(
                        str(path), "a new file or JSON lines", f"a file that starts with {first!r}"
                    )
                os.lseek(found._fd, -1, os.SEEK_END)
                if os.read(found._fd, 1) != b"\n":
                    found.write(b"\n")
        except (OSError, InvalidArgumentError):
            found.close()
            raise
        return found

    @property
    def _fd(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path}: expected an open file, found a closed one")
        return self._descriptor

    def write(self, data: bytes) -> None:
        """Writes all of `data` or nothing. OSError with the file's name."""
        view, done = memoryview(data), 0
        try:
            while done < len(data):
                done += os.write(self._fd, view[done:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
            error.filename = os.fspath(self.path)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """Forces what was written to disk. OSError with the file's name."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            error.filename = os.fspath(self.path)
            raise

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Recorder:
    """Appends pieces to a file in a thread.

    However the process ends, the file holds the pieces written so far; the last one may be truncated. The first error
    (a full disk) ends the recording: `error` says so, and the file keeps what was written.
    """

    def __init__(self, file: AppendFile) -> None:
        self._file = file
        self.written = 0  # pieces
        self.lost = 0  # pieces that came while the queue was full, or after an error
        self.error: str | None = None
        self._queue: list[bytes] = []
        self._queued = 0
        self._open = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        return str(self._file.path)

    def add(self, piece: bytes) -> None:
        """Never blocks. A piece is counted as lost when 16 MiB wait for the disk, and after an error."""
        with self._changed:
            if not self._open:
                return
            if self.error is not None or self._queued + len(piece) > _QUEUE:
                self.lost += 1
                return
            self._queue.append(piece)
            self._queued += len(piece)
            self._changed.notify()

    def close(self) -> None:
        """Writes the queue, forces it to disk and ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        synced = time.monotonic()
        pieces: list[bytes] = []
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or not self._open)
                    pieces, self._queue, self._queued = self._queue, [], 0
                    ends = not self._open
                self._file.write(b"".join(pieces))
                self.written += len(pieces)
                pieces = []
                if ends or time.monotonic() - synced >= _SYNC:
                    self._sync()
                    synced = time.monotonic()
                if ends:
                    break
        except OSError as error:
            self._end(describe(error), len(pieces))
        except Exception as error:
            self._end(f"{type(error).__name__}: {error}", len(pieces))
        finally:
            self._file.close()

    def _end(self, why: str, unwritten: int) -> None:
        with self._changed:
            self.error = f"{self.path}: recording ended: {why} ({self.written} packets are in it)"
            self.lost += unwritten + len(self._queue)
            self._queue, self._queued = [], 0

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe or device cannot be synced
                raise


def packet_record(payload: bytes, source: tuple[str, int], destination: tuple[str, int], seconds: float) -> bytes:
    """One packet of a capture: the datagram with IP and UDP headers built from its addresses and ports.

    seconds: since 1970. A destination of the other address family is written as the unspecified address.
    """
    sender, receiver = _address(source[0]), _address(destination[0])
    if receiver.version != sender.version:
        receiver = _address("0.0.0.0" if sender.version == 4 else "::")
    length = 8 + len(payload)
    udp = struct.pack(">HHHH", source[1], destination[1], length, 0)
    pseudo = sender.packed + receiver.packed + struct.pack(">II", length, _UDP)
    check = _checksum(pseudo + udp + payload) or 0xFFFF
    body = udp[:6] + check.to_bytes(2, "big") + payload
    if sender.version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, _UDP, 0) + sender.packed + receiver.packed
        head = head[:10] + _checksum(head).to_bytes(2, "big") + head[12:]
    else:
        head = struct.pack(">IHBB", 6 << 28, length, _UDP, 64) + sender.packed + receiver.packed
    whole, part = divmod(max(0, round(seconds * 1e6)), 1_000_000)
    size = len(head) + len(body)
    return struct.pack("<IIII", whole & 0xFFFFFFFF, part, size, size) + head + body


def _address(text: str) -> _Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _checksum(data: bytes) -> int:
    """The checksum of IP and UDP: the sum of 16-bit words modulo 65535, inverted."""
    words = int.from_bytes(data + bytes(len(data) % 2), "big")
    rest = words % 0xFFFF
    return 0xFFFF ^ (0xFFFF if rest == 0 and words else rest)
