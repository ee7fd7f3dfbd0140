"""A node's twin: computes from the raw frames what a node must have computed, and compares with its receipts, bit for
bit (docs/spec/receipts.md)."""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aether_temporal import Resampler
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import ResultOverflowError, TemporalError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings.csi_buffers import pairs_of
from aether_temporal.recordings.recording_file import NOTHING, Hints
from aether_temporal.running.inputs import FrameMapper, timing_of

from .packets import Classification, RawFrame, Receipt

T = TypeVar("T")

_FRAMES = 1024  # of a node that are kept until a receipt names them
_CLASSIFICATIONS = 256
_PATIENCE = 2  # receipts that may come before a missing frame
_FILLERS = 1 << 20  # frames that stand in for the past, at most
_OK, _OVERFLOW = 0, 5  # aether/status.h
_LARGEST = float(np.finfo(np.float32).max)
MAX_STREAM_BYTES = 64 << 20
"""Most memory of the stream of one node."""


class Verdict(StrEnum):
    """What a host can say of a receipt. The values are stable: they are in the JSON output."""

    VERIFIED = "verified"
    BEHIND = "behind"
    DIFFERENT = "different"
    ANOTHER_MODEL = "another_model"


@dataclass(frozen=True, slots=True)
class Difference:
    """A classification packet of which bits differ. field: "class", "logit" or "margin"; node, host: the bits."""

    sequence: int
    field: str
    node: int
    host: int


@dataclass(frozen=True, slots=True)
class Check:
    """What became of one receipt. first, last: times of its first and last frame, in microseconds of the node's clock.
    behind: frames until the node can be checked again; None: not before its stream restarts."""

    sequence: int
    verdict: Verdict
    frames: int
    first: int
    last: int
    why: str = ""
    behind: int | None = 0
    differences: tuple[Difference, ...] = ()

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "sequence": self.sequence,
            "verdict": str(self.verdict),
            "why": self.why or None,
            "frames": self.frames,
            "first_us": self.first,
            "last_us": self.last,
            "frames_behind": self.behind,
            "differences": [
                {"classification": each.sequence, "field": each.field, "host": each.host, "node": each.node}
                for each in self.differences
            ],
        }


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a model looks back: `frames` after which it has forgotten what came before (None: never), and the
    `period` of what its pattern depends on."""

    frames: int | None
    period: int


def _reach(model: TemporalModel, context: int) -> _Reach:
    config, settings = model.config, model.settings
    history = min(config.history or context, context)
    if config.pattern == "pyramid":
        history = max(history, config.window + 1)
    period = config.block_size
    while config.pattern == "pyramid" and period < history + config.block_size + config.window:
        period *= 2
    if len(config.global_tokens):
        return _Reach(None, period)
    frames = model.header.n_layers * (history + config.block_size) + 1
    if settings is not None:
        if settings.stem is not None:
            frames += np.shape(settings.stem.weight)[0]
        if settings.convolution is not None:
            frames += model.header.n_layers * np.shape(settings.convolution.weight)[1]
        if settings.pooling is not None:
            frames += settings.pooling.frames
    return _Reach(frames, period)


def node_prediction(logits: NDArray[np.float32]) -> tuple[int, np.float32, np.float32]:
    """Class, logit and margin as a node's packet has them (firmware/node/packets.h)."""
    best = int(logits.argmax())
    if len(logits) == 1:
        return best, logits[best], np.float32(0)
    second = np.delete(logits, best).max()
    with np.errstate(over="ignore"):
        margin = logits[best] - second
    return best, logits[best], np.float32(min(margin, _LARGEST))


def bits(value: float | np.float32) -> int:
    """Of the value as binary32."""
    return int(np.float32(value).view(np.uint32))


class Digest:
    """The digest as a node computes it."""

    def __init__(self, value: int) -> None:
        self.value = value

    def words(self, *words: int) -> None:
        self.value = zlib.crc32(struct.pack(f"<{len(words)}I", *words), self.value)

    def logits(self, logits: NDArray[np.float32]) -> None:
        self.value = zlib.crc32(logits.astype("<f4", copy=False).tobytes(), self.value)


class Replica:
    """The model of a node, with its stream and its grid. `position`: frames that the stream has taken; `taken`: how
    many of them were the node's (None: enough that its memory is the node's)."""

    def __init__(self, model: TemporalModel, context: int, dtype: Dtype) -> None:
        timing, settings = timing_of(model), model.settings
        self._stream = model.stream(context, dtype)
        self._grid: Resampler | None = None
        self._period = timing.period_us or 0
        self._next: int | None = None
        if timing.period_us is not None and timing.max_gap_us is not None and settings is not None:
            self._grid = Resampler(model.input_dim, timing.period_us, timing.max_gap_us, settings.agc or "none")
        self._filler = np.ones(model.input_dim, dtype=np.float32)
        self.position = 0
        self.taken: int | None = None
        self.logits: NDArray[np.float32] | None = None

    @property
    def grid_time(self) -> int | None:
        """When the next frame of the grid is; None where there is none, or before the first frame."""
        return self._next

    def begin_within(self, receipt: Receipt, period: int) -> None:
        """Stand where the receipt begins, with any memory."""
        for _ in range(receipt.position % period):
            self._stream.push(self._filler)
        self.position, self.taken = receipt.position, 0
        if self._grid is not None and receipt.grid is not None:
            before = receipt.grid - self._period
            for time in (before, receipt.grid - 1):
                if before <= time < receipt.base:
                    self._grid.push(self._filler, time)

    def take(self, frame: NDArray[np.float32], time: int, digest: Digest) -> Iterator[None]:
        """Takes a frame that the digest has the facts of; then, at each step, one frame of the grid."""
        if self._grid is None:
            self._push(frame, digest)
            return
        try:
            restarted, due, first = self._grid.push(frame, time)
        except ResultOverflowError:
            digest.words(_OVERFLOW)
            return
        except TemporalError as error:  # a time that no node has
            raise _Unsuitable(str(error)) from None
        digest.words(_OK)
        if restarted:
            self._stream.reset()
            self.position, self.taken = 0, None
        self._next = first + len(due) * self._period
        yield
        for row in due:
            self._push(row, digest)
            yield

    def _push(self, frame: NDArray[np.float32], digest: Digest) -> None:
        try:
            self.logits = self._stream.push(frame)
        except ResultOverflowError:
            digest.words(_OVERFLOW)
            return
        self.position += 1
        if self.taken is not None:
            self.taken += 1
        digest.words(_OK)
        digest.logits(self.logits)


class NodeTwin:
    """The twin of one node. Feed it what the node sends, in the order of arrival; `checks` gives what became of each
    receipt. Memory is bounded: 1024 frames that no receipt has named, and a stream of at most `max_bytes`."""

    def __init__(self, model: TemporalModel, *, hints: Hints = NOTHING, max_bytes: int = MAX_STREAM_BYTES) -> None:
        self._model, self._mapper, self._max_bytes = model, FrameMapper(model, hints=hints), max_bytes
        blob = bytes(model.blob)
        self._blob = (int.from_bytes(blob[-4:], "little"), len(blob))
        self._frames: OrderedDict[int, RawFrame] = OrderedDict()
        self._sent: OrderedDict[int, Classification] = OrderedDict()
        self._waiting: deque[Receipt] = deque()
        self._replica: Replica | None = None
        self._last: Receipt | None = None
        self._reach = _Reach(None, 1)
        self._about: tuple[int, bool] | None = None

    def take(self, packet: RawFrame | Classification | Receipt) -> None:
        """A packet of the node."""
        if isinstance(packet, Receipt):
            self._waiting.append(packet)
        elif isinstance(packet, RawFrame):
            _keep(self._frames, packet.sequence, packet, _FRAMES)
        else:
            _keep(self._sent, packet.sequence, packet, _CLASSIFICATIONS)

    def checks(self, *, final: bool = False) -> Iterator[Check]:
        """What became of the receipts that can be judged by now; final: of all, nothing else will come."""
        while self._waiting:
            receipt = self._waiting[0]
            missing = sum(number not in self._frames for number, place in receipt.entries if place >= 0)
            if missing and len(self._waiting) <= _PATIENCE and not final:
                return
            self._waiting.popleft()
            yield self._check(receipt, missing)

    def _check(self, receipt: Receipt, missing: int) -> Check:
        before, self._last = self._last, receipt
        if receipt.blob != self._blob:
            crc, size = receipt.blob
            why = f"expected the blob with CRC {self._blob[0]:08x}, found one of {size} bytes with CRC {crc:08x}"
            return self._give_up(receipt, Verdict.ANOTHER_MODEL, why)
        if self._about != (receipt.context, receipt.binary16):
            needed = self._memory(receipt)
            if needed is None or needed > self._max_bytes:
                why = f"context: expected a stream of at most {self._max_bytes} bytes, found {receipt.context} frames"
                return self._give_up(receipt, Verdict.ANOTHER_MODEL, why)
            self._about, self._replica = (receipt.context, receipt.binary16), None
            self._reach = _reach(self._model, receipt.context)
        follows = before is not None and receipt.sequence == (before.sequence + 1) & 0xFFFFFFFF
        if missing:
            why = f"{missing} of {_frames_of(receipt)} raw frames are missing"
            return self._give_up(receipt, Verdict.BEHIND, why, self._reach.frames)
        broken = before is not None and follows and before.after != receipt.before
        try:
            trusted = self._stand_at(receipt, follows)
            if trusted is None:
                return self._give_up(receipt, Verdict.BEHIND, "the model never forgets what was before", None)
            return self._compare(receipt, trusted, broken)
        except _Unsuitable as error:
            return self._give_up(receipt, Verdict.DIFFERENT, str(error), self._reach.frames)

    def _replica_of(self, receipt: Receipt) -> Replica:
        return Replica(self._model, receipt.context, _dtype(receipt))

    def _memory(self, receipt: Receipt) -> int | None:
        try:
            return self._model.memory(receipt.context, _dtype(receipt)).ram
        except TemporalError:
            return None

    def _stand_at(self, receipt: Receipt, follows: bool) -> bool | None:
        """Puts the replica where the receipt begins; whether its memory is then the node's. None: it cannot be."""
        replica = self._replica
        if receipt.position == 0 and receipt.grid is None:
            self._replica = self._replica_of(receipt)
            return True
        if replica is None or not follows or replica.position != receipt.position:
            offset = receipt.position % self._reach.period
            if self._reach.frames is None or offset > _FILLERS:
                return None
            replica = self._replica_of(receipt)
            try:
                replica.begin_within(receipt, self._reach.period)
            except TemporalError as error:  # a time that no node has
                raise _Unsuitable(str(error)) from None
            self._replica = replica
        return self._forgotten(replica)

    def _forgotten(self, replica: Replica) -> bool:
        """Whether the replica's memory is the node's."""
        if replica.taken is None:
            return True
        if self._reach.frames is not None and replica.taken >= self._reach.frames:
            replica.taken = None
            return True
        return False

    def _compare(self, receipt: Receipt, trusted: bool, broken: bool) -> Check:
        replica = self._replica
        assert replica is not None
        digest, differences = self._computed(receipt, replica)
        first, last = _times(receipt)
        verdict, why, behind = Verdict.VERIFIED, "", 0
        if differences and trusted:
            verdict, why = Verdict.DIFFERENT, "a classification packet has other bits than its frames give"
        elif broken:
            verdict, why = Verdict.DIFFERENT, "it does not begin with the digest that the one before ended with"
        elif digest != receipt.after:
            if trusted:
                verdict = Verdict.DIFFERENT
                why = f"expected the digest {digest:08x}, found {receipt.after:08x}"
            else:
                verdict = Verdict.BEHIND
                if replica.taken is not None and self._reach.frames is not None:
                    behind = max(0, self._reach.frames - replica.taken)
                why = "frames before it were missing"
        shown = differences if verdict is Verdict.DIFFERENT else ()
        return Check(receipt.sequence, verdict, _frames_of(receipt), first, last, why, behind, shown)

    def _computed(self, receipt: Receipt, replica: Replica) -> tuple[int, tuple[Difference, ...]]:
        """The digest that the receipt must end with, and the classification packets that differ."""
        digest = Digest(receipt.before)
        steps: Iterator[None] = iter(())
        done = 0
        differences: list[Difference] = []
        for number, place in receipt.entries:
            if place >= 0:
                for _ in steps:
                    pass
                steps, done = self._frame(number, place, replica, digest), 0
                next(steps, None)
                continue
            wanted = -1 - place
            while done < wanted and next(steps, _END) is not _END:
                done += 1
            if replica.logits is None:
                raise _Unsuitable(f"classification {number}: expected after a frame, found before any")
            best, logit, margin = node_prediction(replica.logits)
            digest.words(number, best, bits(logit), bits(margin))
            differences += self._sent_otherwise(number, best, logit, margin)
        for _ in steps:
            pass
        return digest.value, tuple(differences)

    def _frame(self, number: int, time: int, replica: Replica, digest: Digest) -> Iterator[None]:
        raw = self._frames.pop(number, None)
        if raw is None:
            raise _Unsuitable(f"raw frame {number}: expected once, found named twice")
        iq = pairs_of(np.frombuffer(raw.values, dtype=np.int8)[None], raw.header.words)[0]
        row = self._mapper.frame(iq, raw.header.subcarriers)
        if row is None:
            raise _Unsuitable(f"raw frame {number}: {self._mapper.why}")
        digest.words(number, time & 0xFFFFFFFF, time >> 32, zlib.crc32(raw.values))
        return replica.take(row, time, digest)

    def _sent_otherwise(self, number: int, best: int, logit: np.float32, margin: np.float32) -> Iterator[Difference]:
        sent = self._sent.pop(number, None)
        if sent is not None:
            for name, node, host in (
                ("class", sent.argmax, best),
                ("logit", bits(sent.top_logit), bits(logit)),
                ("margin", bits(sent.margin), bits(margin)),
            ):
                if node != host:
                    yield Difference(number, name, node, host)

    def _give_up(self, receipt: Receipt, verdict: Verdict, why: str, behind: int | None = 0) -> Check:
        """The stream cannot be followed through this receipt."""
        self._replica = None
        for number, _ in receipt.entries:
            self._frames.pop(number, None)
        first, last = _times(receipt)
        return Check(receipt.sequence, verdict, _frames_of(receipt), first, last, why, behind)


class _Unsuitable(Exception):
    """A receipt names what cannot be."""


_END = object()


def _keep(kept: OrderedDict[int, T], number: int, packet: T, most: int) -> None:
    kept.pop(number, None)
    kept[number] = packet
    if len(kept) > most:
        kept.popitem(last=False)


def _dtype(receipt: Receipt) -> Dtype:
    return "float16" if receipt.binary16 else "float32"


def _frames_of(receipt: Receipt) -> int:
    return sum(place >= 0 for _, place in receipt.entries)


def _times(receipt: Receipt) -> tuple[int, int]:
    return receipt.base, max((place for _, place in receipt.entries if place >= 0), default=receipt.base)
