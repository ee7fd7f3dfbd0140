"""Records frames of a serial console or of nodes into a new file, as they come.

Every byte is kept: the lines of the console as text, the packets as a packet capture. Who did what is stated by a row
of the manifest beside the file, since neither format has a place for it.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import CsiParser
from aether_temporal.recordings.csi_lines import MAX_LINE

from .packet_receiver import Arrival, PacketReceiver
from .packets import RawFrame
from .recent_frames import RecentFrames
from .recorder import FILE_HEADER, AppendFile, Recorder, packet_record
from .udp_listener import UdpListener


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
            with suppress(OSError):
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
            self._recording.recent.add(f"node{node.node_id}", arrival.packet.values, arrival.time)
