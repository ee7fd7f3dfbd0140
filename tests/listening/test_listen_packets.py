"""Datagrams to packets: what is sound is taken apart, everything else refused with its reason."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import classification, features, raw, sealed

from aether_temporal.listening import Classification, RawFrame, Refusal, Refused, parse
from aether_temporal.listening.packets import claimed_node
from aether_temporal.recordings.feature_state import FeatureState


def changed(data: bytes, offset: int, new: bytes, *, crc: bool = True) -> bytes:
    """With other bytes there, and the CRC made right again."""
    found = data[:offset] + new + data[offset + len(new) :]
    return sealed(found) if crc else found


def test_a_classification_is_taken_apart() -> None:
    data = classification(7, 2**32 - 1, argmax=3, classes=5, logit=-2.5, margin=0.125, ts_us=2**63 + 5)
    found = parse(data)
    assert found == Classification(7, 5, 2**63 + 5, 2**32 - 1, 3, -2.5, 0.125)
    assert found.to_bytes() == data


def test_a_feature_state_is_taken_apart() -> None:
    values = (0.5, 1.0, 15.5, 0.75, 64.0, -0.0, 1e-40, 3e38, 1.0)
    data = features(9, 65535, values, ts_us=12345, mode=2)
    found = parse(data)
    assert isinstance(found, FeatureState)
    assert (found.node_id, found.mode, found.sequence, found.ts_us) == (9, 2, 65535, 12345)
    assert struct.pack("<9f", *found.features) == struct.pack("<9f", *values)
    assert found.to_bytes() == data


def test_a_raw_frame_is_taken_apart() -> None:
    data = raw(3, 77, bytes(range(24)), antennas=2)
    found = parse(data)
    assert isinstance(found, RawFrame)
    assert (found.node_id, found.sequence, found.values) == (3, 77, bytes(range(24)))
    assert (found.header.n_antennas, found.header.n_subcarriers, found.header.rssi) == (2, 6, -40)
    assert found.to_bytes() == data


NAN, INFINITY = struct.pack("<f", math.nan), struct.pack("<f", math.inf)
REFUSED = {
    "nothing": (b"", Refusal.SHORT),
    "three bytes": (classification()[:3], Refusal.SHORT),
    "text": (b"GET / HTTP/1.1", Refusal.MAGIC),
    "a blob's magic": (b"\x45\x4e\x56\x52" + bytes(36), Refusal.MAGIC),
    "the other byte order": (classification()[3::-1] + classification()[4:], Refusal.MAGIC),
    "a classification cut": (classification()[:-1], Refusal.LENGTH),
    "a classification and more": (classification() + b"\0", Refusal.LENGTH),
    "a magic alone": (classification()[:4], Refusal.LENGTH),
    "version 0": (classification(version=0), Refusal.VERSION),
    "version 2": (classification(version=2), Refusal.VERSION),
    "a flipped bit": (changed(classification(), 0x1C, b"\xff", crc=False), Refusal.CRC),
    "reserved at 0x09": (changed(classification(), 0x09, b"\1"), Refusal.RESERVED),
    "reserved at 0x0b": (changed(classification(), 0x0B, b"\x80"), Refusal.RESERVED),
    "reserved at 0x19": (changed(classification(), 0x19, b"\1"), Refusal.RESERVED),
    "reserved at 0x1b": (changed(classification(), 0x1B, b"\1"), Refusal.RESERVED),
    "one class": (classification(classes=1), Refusal.CLASSES),
    "no class": (classification(classes=0), Refusal.CLASSES),
    "a class there is not": (classification(argmax=4, classes=4), Refusal.ARGMAX),
    "NaN logit": (classification(logit=math.nan), Refusal.NOT_FINITE),
    "infinite margin": (classification(margin=math.inf), Refusal.NOT_FINITE),
    "a margin below 0": (classification(margin=-0.5), Refusal.MARGIN),
    "a feature state cut": (features()[:-1], Refusal.LENGTH),
    "a feature state and more": (features() + b"\0", Refusal.LENGTH),
    "a feature state's flipped bit": (changed(features(), 20, b"\xff", crc=False), Refusal.CRC),
    "an infinite feature": (features(values=(0, 0, 0, 0, 0, 0, 0, 0, -math.inf)), Refusal.NOT_FINITE),
    "a raw header cut": (raw()[:19], Refusal.LENGTH),
    "a raw frame cut": (raw()[:-1], Refusal.LENGTH),
    "a raw frame and more": (raw() + b"\0", Refusal.LENGTH),
    "a raw frame of nothing": (raw(values=b"", subcarriers=0), Refusal.HEADER),
    "a raw frame of no antenna": (changed(raw(), 5, b"\0", crc=False), Refusal.HEADER),
    "a raw frame of too much": (raw(values=b"", antennas=255, subcarriers=65535), Refusal.HEADER),
    "the largest that is declared, without it": (raw(values=b"", antennas=16, subcarriers=4096), Refusal.LENGTH),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_sound_is_refused_with_its_reason(name: str) -> None:
    data, reason = REFUSED[name]
    found = parse(data)
    assert isinstance(found, Refused)
    assert found.reason is reason
    assert str(found).startswith(f"{reason}: expected ")
    assert ", found " in str(found)


@pytest.mark.parametrize("feature", range(9))
def test_each_feature_must_be_finite(feature: int) -> None:
    for bad in (math.nan, math.inf, -math.inf):
        values = [1.0] * 9
        values[feature] = bad
        found = parse(features(values=tuple(values)))
        assert isinstance(found, Refused)
        assert found.reason is Refusal.NOT_FINITE


@pytest.mark.parametrize("data", [classification(), features()], ids=["classification", "features"])
def test_every_flipped_bit_and_every_truncation_is_refused(data: bytes) -> None:
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(parse(bytes(damaged)), Refused), bit
    for length in range(len(data)):
        assert isinstance(parse(data[:length]), Refused), length


def test_the_node_that_a_refused_packet_claims() -> None:
    assert claimed_node(classification(7)[:-1]) == 7
    assert claimed_node(features(8) + b"x") == 8
    assert claimed_node(raw(9)[:5]) == 9
    assert claimed_node(raw(9)[:4]) is None
    assert claimed_node(classification(7)[:8]) is None
    assert claimed_node(b"hello world") is None


MAGICS = st.sampled_from([b"\x01\x00\x11\xc5", b"\x06\x00\x11\xc5", b"\x07\x00\x11\xc5"])


def _resealed(data: bytes) -> bytes:
    return sealed(data) if len(data) >= 8 else data


@settings(max_examples=1500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda magic, rest: magic + rest, MAGICS, st.binary(max_size=100)),
        st.builds(lambda rest: _resealed(b"\x07\x00\x11\xc5\x01\x00" + rest), st.binary(min_size=34, max_size=34)),
        st.builds(lambda rest: _resealed(b"\x06\x00\x11\xc5" + rest), st.binary(min_size=56, max_size=56)),
    )
)
def test_any_datagram_is_a_packet_that_says_so_or_refused(data: bytes) -> None:
    """Never an exception; and what is accepted holds what it promises and is made of exactly those bytes."""
    found = parse(data)
    claimed_node(data)
    if isinstance(found, Refused):
        str(found)
        return
    assert claimed_node(data) == found.node_id
    if isinstance(found, Classification):
        assert found.argmax < found.n_classes
        assert math.isfinite(found.top_logit)
        assert found.margin >= 0
        assert found.to_bytes() == data
    elif isinstance(found, FeatureState):
        assert all(map(math.isfinite, found.features))
        assert found.to_bytes() == data
    else:
        assert len(found.values) == 2 * found.header.pairs
        assert found.to_bytes()[:18] == data[:18]
        assert found.to_bytes()[20:] == data[20:]
