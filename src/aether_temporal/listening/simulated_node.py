"""Simulated nodes: send a recording over UDP as nodes would, to try `aether listen` and `serve` without a board."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.interruption import stop_asked
from aether_temporal.errors import InvalidArgumentError, ShapeError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingShapeError
from aether_temporal.recordings.node_packets import MAX_SUBCARRIERS, RawHeader, subcarriers_of
from aether_temporal.running.inputs import model_frames
from aether_temporal.running.stream import Predictor, real_time
from aether_temporal.subcarriers import find_subcarriers

from .packets import Classification, RawFrame

_FREQUENCY, _RSSI, _NOISE = 2437, -45, -92  # made up
_LLTF_OF_ESP32 = 1  # the layout of a header: an ESP32, a packet without HT, no secondary channel
_EVERY = 1.0  # seconds between classifications


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


def send_recording(
    recording: Recording,
    model: TemporalModel,
    target: str,
    *,
    nodes: Sequence[int] = (1,),
    pace: Callable[[int], None] | None = None,
) -> int:
    """Sends the frames as raw CSI packets in the recording's own time, and once a second the model's prediction as a
    classification packet, for each of the nodes. Returns the number of packets sent; a KeyboardInterrupt ends it early.

    pace: called before frame t, instead of waiting until its time. RecordingShapeError, InvalidArgumentError, OSError.
    """
    if recording.iq is None or not 1 <= recording.width <= MAX_SUBCARRIERS:
        raise RecordingShapeError(
            f"{recording.title}: expected 1 … {MAX_SUBCARRIERS} I/Q pairs a frame, found {recording.width} "
            f"{'pairs' if recording.is_raw else 'features'}"
        )
    family, where = resolve(target)
    pairs, layout = _as_sent(recording)
    predictor, frames = Predictor(model), model_frames(model, recording)
    wait = real_time(recording) if pace is None else pace
    period = max(1, round(_EVERY * (recording.frame_rate or 50)))
    begin, sent = time.monotonic(), 0
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        try:
            for t, frame in enumerate(frames):
                wait(t)
                if stop_asked():
                    break
                values, prediction = pairs[t].tobytes(), predictor.push(frame)
                for node in nodes:
                    header = RawHeader(node, 1, pairs.shape[1], _FREQUENCY, t, _RSSI, _NOISE, layout)
                    out.sendto(RawFrame(header, values).to_bytes(), where)
                sent += len(nodes)
                if (t + 1) % period:
                    continue
                for node in nodes:
                    said = Classification(
                        node_id=node,
                        n_classes=len(prediction.scores),
                        ts_us=round((time.monotonic() - begin) * 1e6),
                        sequence=t // period,
                        argmax=prediction.best,
                        top_logit=float(prediction.scores[prediction.best]),
                        margin=prediction.margin,
                    )
                    out.sendto(said.to_bytes(), where)
                sent += len(nodes)
        except OSError as error:
            error.filename = target
            raise
        except KeyboardInterrupt:
            pass
    return sent
