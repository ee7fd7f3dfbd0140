"""Recordings that are started, labelled and stopped while nodes are heard."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening.engine import Observer
from aether_temporal.listening.packet_receiver import Arrival
from aether_temporal.listening.packets import RawFrame
from aether_temporal.listening.recorder import FILE_HEADER, NewRecording, packet_record
from aether_temporal.recordings.manifest import add_to_manifest

MANIFEST = "recordings.csv"
TOLD = ("label", "subject", "session")
_LONGEST = 200  # characters


class RecordingDesk(Observer):
    """One recording at a time, of all nodes, in a folder that is made when the first one starts. What is told of a
    recording becomes a row of the manifest beside it."""

    def __init__(self, folder: Path, where: tuple[str, int], clock: Callable[[], float] = time.time) -> None:
        self._folder, self._where, self._clock = folder, where, clock
        self._lock = threading.Lock()
        self._recording: NewRecording | None = None
        self._began = 0.0
        self._told: dict[str, str] = {}
        self._last = ""  # what became of the one before
        self.written: list[str] = []  # names of the recordings that were kept

    def arrived(self, arrival: Arrival) -> None:
        recording = self._recording
        if recording is None:
            return
        source = (arrival.node.key.address, arrival.port)
        recording.add(packet_record(arrival.data, source, self._where, arrival.time))
        if isinstance(arrival.packet, RawFrame):
            recording.frames += 1

    def start(self, told: dict[str, str]) -> None:
        """InvalidArgumentError: one is running, or a word cannot stand in a manifest. OSError."""
        words = _words(told)
        with self._lock:
            if self._recording is not None:
                raise InvalidArgumentError.of("recording", "none that runs", f"{self._recording.path.name}; stop it")
            self._folder.mkdir(parents=True, exist_ok=True)
            now = self._clock()
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}Z"
            self._recording = NewRecording(self._folder / f"recording-{stamp}.pcap", FILE_HEADER)
            self._began, self._told, self._last = now, words, ""

    def label(self, told: dict[str, str]) -> None:
        """Replaces what is told of the recording that runs. InvalidArgumentError."""
        words = _words(told)
        with self._lock:
            if self._recording is None:
                raise InvalidArgumentError.of("recording", "one that runs", "none; start it")
            self._told = words

    def stop(self) -> None:
        """InvalidArgumentError: none is running. OSError, RecordingError: of the manifest; the recording is kept."""
        with self._lock:
            recording, self._recording = self._recording, None
            if recording is None:
                raise InvalidArgumentError.of("recording", "one that runs", "none; start it")
            recording.close()
            if recording.error is not None:
                self._last = recording.error
            elif not recording.frames:
                self._last = f"{recording.path.name}: no raw frame came; nothing is kept"
                return
            else:
                lost = f", {recording.lost} lost" if recording.lost else ""
                self._last = f"{recording.path.name}: {recording.frames} frames{lost}"
            if recording.frames:
                self.written.append(recording.path.name)
            if self._told and recording.frames:
                add_to_manifest(self._folder / MANIFEST, {"file": recording.path.name, **self._told})

    def close(self) -> None:
        """Stops the recording that runs, if one does."""
        if self._recording is not None:
            self.stop()

    def document(self) -> dict[str, object]:
        """What the page shows."""
        with self._lock:
            recording = self._recording
            return {
                "folder": os.fspath(self._folder),
                "running": recording is not None,
                "file": None if recording is None else recording.path.name,
                "frames": 0 if recording is None else recording.frames,
                "lost": 0 if recording is None else recording.lost,
                "seconds": 0.0 if recording is None else round(max(0.0, self._clock() - self._began), 1),
                "error": None if recording is None else recording.error,
                "last": self._last,
                **{name: self._told.get(name, "") for name in TOLD},
            }


def _words(told: dict[str, str]) -> dict[str, str]:
    """What is told, without empty words. InvalidArgumentError."""
    for name, word in told.items():
        if name not in TOLD or len(word) > _LONGEST or not word.isprintable():
            raise InvalidArgumentError.of(name, f"a name of at most {_LONGEST} characters in one line", repr(word))
    return {name: word.strip() for name, word in told.items() if word.strip()}
