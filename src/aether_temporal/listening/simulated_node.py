"""Simulated nodes: send a recording over UDP as nodes would, to try `aether listen` and `serve` without a board."""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.interruption import stop_asked
from aether_temporal.errors import InvalidArgumentError, ShapeError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingShapeError
from aether_temporal.recordings.node_packets import MAX_SUBCARRIERS, RawHeader, subcarriers_of
from aether_temporal.running.inputs import model_frames
from aether_temporal.running.stream import real_time, time_of
from aether_temporal.subcarriers import find_subcarriers

from .packets import MAX_ENTRIES, Classification, RawFrame, Receipt
from .twin import Digest, Replica, bits, node_prediction

_FREQUENCY, _RSSI, _NOISE = 2437, -45, -92  # made up
_LLTF_OF_ESP32 = 1  # the layout of a header: an ESP32, a packet without HT, no secondary channel
_EVERY = 1.0  # seconds between classifications
_CONTEXT = 256  # frames


def resolve(target: str) -> tuple[int, tuple[object, ...]]:
    """Address family and address of HOST:PORT or [IPv6]:PORT. InvalidArgumentError."""
    host, colon, port = target.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InvalidArgumentError.of("send", "HOST:PORT", repr(target))
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise InvalidArgumentError.of("send", "a known host", f"{host!r} ({error})") from None
    family, _, _, _, where = found[0]
    return family, where


def _as_sent(recording: Recording) -> tuple[NDArray[np.int8] | NDArray[np.int16], int]:
    """The pairs of L-LTF in the order of an ESP32, empty ones among them, and how a header states that; others as they
    are, of which a header says nothing."""
    assert recording.iq is not None
    order = subcarriers_of(_LLTF_OF_ESP32, 64)
    assert order is not None
    try:
        columns = None if recording.subcarriers is None else find_subcarriers(order, recording.subcarriers)
    except ShapeError:
        columns = None
    if columns is None or recording.iq.dtype != np.int8:
        return recording.iq, 0
    sent = np.zeros((len(recording), len(order), 2), dtype=np.int8)
    sent[:, columns] = recording.iq
    return sent, _LLTF_OF_ESP32


class SimulatedNode:
    """What a node computes and says of its frames: after `every` of them a classification, and a receipt."""

    def __init__(self, model: TemporalModel, every: int) -> None:
        memory = model.memory(_CONTEXT)
        blob = bytes(model.blob)
        self._replica = Replica(model, _CONTEXT, "float32")
        self._digest = Digest(0)
        self._blob = (int.from_bytes(blob[-4:], "little"), memory.flash)
        self._entries: list[tuple[int, int]] = []
        self._begun: dict[str, Any] = {}
        self._every, self._frames = every, 0
        self._sent = 0

    def take(
        self, frame: NDArray[np.float32], number: int, at: int, values: bytes, now: int
    ) -> list[Classification | Receipt]:
        """What is to be sent after a frame that came `at` microseconds; values: its pairs; now: the node's clock."""
        if not self._entries:
            self._begun = {
                "base": at,
                "position": self._replica.position,
                "grid": self._replica.grid_time,
                "before": self._digest.value,
            }
        self._digest.words(number, at & 0xFFFFFFFF, at >> 32, zlib.crc32(values))
        steps = -1 + sum(1 for _ in self._replica.take(frame, at, self._digest))
        self._entries.append((number, at))
        self._frames += 1
        logits = self._replica.logits
        if logits is None or not (self._frames % self._every == 0 or len(self._entries) >= MAX_ENTRIES - 1):
            return []
        said: list[Classification | Receipt] = []
        best, logit, margin = node_prediction(logits)
        said.append(Classification(0, len(logits), now, self._sent, best, float(logit), float(margin)))
        self._digest.words(self._sent, best, bits(logit), bits(margin))
        self._entries.append((self._sent, -1 - max(steps, 0)))
        said.append(
            Receipt(
                node_id=0,
                sequence=self._sent,
                blob=self._blob,
                context=_CONTEXT,
                binary16=False,
                after=self._digest.value,
                entries=tuple(self._entries),
                **self._begun,
            )
        )
        self._entries, self._sent = [], self._sent + 1
        return said


def send_recording(
    recording: Recording,
    model: TemporalModel,
    target: str,
    *,
    nodes: Sequence[int] = (1,),
    pace: Callable[[int], None] | None = None,
) -> int:
    """Sends the frames as raw CSI packets in the recording's own time, and once a second the model's prediction as a
    classification packet and a receipt, for each of the nodes. Returns the number of packets sent; a KeyboardInterrupt
    ends it early.

    pace: called before frame t, instead of waiting until its time. RecordingShapeError, InvalidArgumentError, OSError.
    """
    if recording.iq is None or not 1 <= recording.width <= MAX_SUBCARRIERS:
        raise RecordingShapeError(
            f"{recording.title}: expected 1 … {MAX_SUBCARRIERS} I/Q pairs a frame, found {recording.width} "
            f"{'pairs' if recording.is_raw else 'features'}"
        )
    family, where = resolve(target)
    pairs, layout = _as_sent(recording)
    every = max(1, round(_EVERY * (recording.frame_rate or 50)))
    simulated, frames = SimulatedNode(model, every), model_frames(model, recording)
    wait = real_time(recording) if pace is None else pace
    begin, sent = time.monotonic(), 0
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        try:
            for t, frame in enumerate(frames):
                wait(t)
                if stop_asked():
                    break
                values = pairs[t].tobytes()
                seconds = time_of(recording, t)
                at = round(1e6 * (t / 50 if seconds is None else seconds))
                said = simulated.take(frame, t, at, values, round((time.monotonic() - begin) * 1e6))
                for node in nodes:
                    header = RawHeader(node, 1, pairs.shape[1], _FREQUENCY, t, _RSSI, _NOISE, layout)
                    out.sendto(RawFrame(header, values).to_bytes(), where)
                    for packet in said:
                        out.sendto(replace(packet, node_id=node).to_bytes(), where)
                sent += len(nodes) * (1 + len(said))
        except OSError as error:
            error.filename = target
            raise
        except KeyboardInterrupt:
            pass
    return sent
