"""Files that grow while nodes are heard: packet captures (classic pcap of raw IP packets, which Wireshark and
`aether run` open) and JSON lines, written by a thread so that a slow disk costs no packets. `NewRecording` records a
serial console or nodes into a new file: the lines as text, the packets as a capture, every byte kept. The manifest
beside the file states who did what, since neither format has a place for it."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
import stat
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aether_temporal._internal.atomic_files import lock
from aether_temporal._internal.os_errors import describe
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import CsiParser
from aether_temporal.recordings.csi_lines import MAX_LINE

from .packet_receiver import Arrival, PacketReceiver
from .packets import RawFrame
from .recent_frames import RecentFrames
from .udp_listener import UdpListener

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


class Readable(Protocol):
    """A serial port."""

    def read(self, seconds: float) -> bytes:
        """The bytes received, as soon as there are any; b"" when none arrive within `seconds`."""


class NewRecording:
    """A file that is being recorded. It replaces an existing one when it is closed, and only if a frame came."""

    def __init__(self, path: Path, head: bytes, *, force: bool = False) -> None:
        """InvalidArgumentError: the file exists and `force` is not given. OSError."""
        self.path = path
        self._work = path
        if force and os.path.lexists(path):
            self._work = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            self._recorder = Recorder(AppendFile.create(self._work, head))
        except FileExistsError:
            raise InvalidArgumentError.of(
                str(path), "a new file", "an existing one; choose another name, or replace it with --force"
            ) from None
        self.frames = 0
        self.recent = RecentFrames()

    @property
    def error(self) -> str | None:
        """Why the recording ended early, if it did: a full disk."""
        return self._recorder.error

    @property
    def lost(self) -> int:
        """Pieces that a slow disk had no time for."""
        return self._recorder.lost

    def add(self, piece: bytes) -> None:
        """Bytes for the file. Never blocks."""
        self._recorder.add(piece)

    def close(self) -> None:
        """Writes what is left; without a frame no file is left behind. OSError."""
        self._recorder.close()
        if not self.frames:
            with contextlib.suppress(OSError):
                self._work.unlink()
        elif self._work != self.path:
            os.replace(self._work, self.path)


class TextSource:
    """CSI text of a serial port. A line is stored when it is whole."""

    head = b""

    def __init__(self, port: Readable, clock: Callable[[], float]) -> None:
        self._port, self._clock = port, clock
        self._parser = CsiParser()
        self._rest = b""

    @property
    def dropped(self) -> Counter[str]:
        """Lines that hold no frame, by reason."""
        return self._parser.dropped

    def poll(self, recording: NewRecording, seconds: float) -> None:
        """Takes what comes within so many seconds. PortError: the port has disappeared."""
        data = self._rest + self._port.read(seconds)
        lines, newline, self._rest = data.rpartition(b"\n")
        if len(self._rest) > MAX_LINE:  # no console writes that: it is no text, and no line to wait for
            lines, newline, self._rest = lines + newline + self._rest, b"\n", b""
        if not newline:
            return
        recording.add(lines + newline)
        for line in lines.split(b"\n"):
            for record in self._parser.feed(line.rstrip(b"\r") if len(line) <= MAX_LINE else None):
                recording.frames += 1
                recording.recent.add(record.mac, record.values, self._clock(), words=record.may_be_12_bit)


class PacketSource:
    """What nodes send over UDP: raw CSI frames, and with them classifications and feature states."""

    head = FILE_HEADER

    def __init__(self, bind: str | None, port: int) -> None:
        """InvalidArgumentError, OSError: nobody can listen there."""
        self._receiver = PacketReceiver(on_arrival=self._arrived)
        self._listener = UdpListener(self._receiver, bind, port)
        self._recording: NewRecording | None = None

    @property
    def where(self) -> tuple[str, int]:
        """Address and port."""
        return self._listener.address

    @property
    def dropped(self) -> Counter[str]:
        """Packets that were rejected, by reason."""
        return self._receiver.rejected

    def poll(self, recording: NewRecording, seconds: float) -> None:
        """Takes what comes within so many seconds."""
        self._recording = recording
        try:
            self._listener.poll(seconds)
        finally:
            self._recording = None  # what comes when the listener closes is no longer recorded

    def close(self) -> None:
        """Ends listening."""
        self._listener.close()

    def _arrived(self, arrival: Arrival) -> None:
        if self._recording is None:
            return
        node = arrival.node.key
        self._recording.add(packet_record(arrival.data, (node.address, arrival.port), self.where, arrival.time))
        if isinstance(arrival.packet, RawFrame):
            self._recording.frames += 1
            values = arrival.packet.header.values(arrival.packet.values)
            if arrival.order.in_order:
                subcarriers = arrival.packet.header.subcarriers
                self._recording.recent.add(f"node{node.node_id}", values, arrival.time, subcarriers=subcarriers)
