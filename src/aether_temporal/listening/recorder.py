"""Writes beside those who listen, so that a slow disk costs no packets."""

from __future__ import annotations

import errno
import threading
import time

from aether_temporal._os_errors import describe

from .append_file import AppendFile

_QUEUE = 16 << 20  # bytes
_SYNC = 5.0  # seconds


class Recorder:
    """Appends pieces to a file, in a thread of its own.

    Whatever ends the process, the file holds the pieces written so far, the last one possibly cut. The first error
    (a full disk) ends the recording: `error` says so, and what was written stays as it is.
    """

    def __init__(self, file: AppendFile) -> None:
        self._file = file
        self.written = 0  # pieces
        self.lost = 0  # pieces that came while the queue was full
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
        """Never waits. Counted as lost where the disk is 16 MiB behind; ignored after an error."""
        with self._changed:
            if not self._open or self.error is not None:
                return
            if self._queued + len(piece) > _QUEUE:
                self.lost += 1
                return
            self._queue.append(piece)
            self._queued += len(piece)
            self._changed.notify()

    def close(self) -> None:
        """Writes what is queued and forces it to disk."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        synced = time.monotonic()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or not self._open)
                    pieces, self._queue, self._queued = self._queue, [], 0
                    ends = not self._open
                self._file.write(b"".join(pieces))
                self.written += len(pieces)
                if ends or time.monotonic() - synced >= _SYNC:
                    self._sync()
                    synced = time.monotonic()
                if ends:
                    break
        except OSError as error:
            self.error = f"{self.path}: recording ended: {describe(error)} ({self.written} packets are in it)"
        finally:
            self._file.close()

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe or device, which has nothing to force
                raise
