"""Parsing of datagrams: valid packets field by field, everything else rejected with its reason; packets of the node's
C code byte by byte."""

from __future__ import annotations

import math
import random
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hang import HANG
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import classification, features, raw, sealed

from aether_temporal.listening import Classification, RawFrame, Rejected, Rejection, parse
from aether_temporal.listening.packets import Receipt, claimed_node
from aether_temporal.recordings.node_packets import FeatureState, Order, Sequence

ROOT = Path(__file__).resolve().parents[2]
NODE, CORE = ROOT / "firmware" / "node", ROOT / "csrc"


def changed(data: bytes, offset: int, new: bytes, *, crc: bool = True) -> bytes:
    """`data` with `new` at `offset`, and a matching CRC."""
    found = data[:offset] + new + data[offset + len(new) :]
    return sealed(found) if crc else found


def test_parses_a_classification() -> None:
    data = classification(7, 2**32 - 1, argmax=3, classes=5, logit=-2.5, margin=0.125, ts_us=2**63 + 5)
    found = parse(data)
    assert found == Classification(7, 5, 2**63 + 5, 2**32 - 1, 3, -2.5, 0.125)
    assert found.to_bytes() == data


def test_parses_a_feature_state() -> None:
    values = (0.5, 1.0, 15.5, 0.75, 64.0, -0.0, 1e-40, 3e38, 1.0)
    data = features(9, 65535, values, ts_us=12345, mode=2)
    found = parse(data)
    assert isinstance(found, FeatureState)
    assert (found.node_id, found.mode, found.sequence, found.ts_us) == (9, 2, 65535, 12345)
    assert struct.pack("<9f", *found.features) == struct.pack("<9f", *values)
    assert found.to_bytes() == data


def test_parses_a_raw_frame() -> None:
    data = raw(3, 77, bytes(range(24)), antennas=2)
    found = parse(data)
    assert isinstance(found, RawFrame)
    assert (found.node_id, found.sequence, found.values) == (3, 77, bytes(range(24)))
    assert (found.header.n_antennas, found.header.n_subcarriers, found.header.rssi) == (2, 6, -40)
    assert found.to_bytes() == data


NAN, INFINITY = struct.pack("<f", math.nan), struct.pack("<f", math.inf)
REJECTED = {
    "empty": (b"", Rejection.SHORT),
    "three bytes": (classification()[:3], Rejection.SHORT),
    "text": (b"GET / HTTP/1.1", Rejection.MAGIC),
    "magic of a blob": (b"\x45\x4e\x56\x52" + bytes(36), Rejection.MAGIC),
    "magic in the other byte order": (classification()[3::-1] + classification()[4:], Rejection.MAGIC),
    "truncated classification": (classification()[:-1], Rejection.LENGTH),
    "extended classification": (classification() + b"\0", Rejection.LENGTH),
    "magic only": (classification()[:4], Rejection.LENGTH),
    "version 0": (classification(version=0), Rejection.VERSION),
    "version 2": (classification(version=2), Rejection.VERSION),
    "flipped bit": (changed(classification(), 0x1C, b"\xff", crc=False), Rejection.CRC),
    "reserved at 0x09": (changed(classification(), 0x09, b"\1"), Rejection.RESERVED),
    "reserved at 0x0b": (changed(classification(), 0x0B, b"\x80"), Rejection.RESERVED),
    "reserved at 0x19": (changed(classification(), 0x19, b"\1"), Rejection.RESERVED),
    "reserved at 0x1b": (changed(classification(), 0x1B, b"\1"), Rejection.RESERVED),
    "one class": (classification(classes=1), Rejection.CLASSES),
    "no class": (classification(classes=0), Rejection.CLASSES),
    "class out of range": (classification(argmax=4, classes=4), Rejection.ARGMAX),
    "NaN logit": (classification(logit=math.nan), Rejection.NOT_FINITE),
    "infinite margin": (classification(margin=math.inf), Rejection.NOT_FINITE),
    "negative margin": (classification(margin=-0.5), Rejection.MARGIN),
    "truncated feature state": (features()[:-1], Rejection.LENGTH),
    "extended feature state": (features() + b"\0", Rejection.LENGTH),
    "flipped bit in a feature state": (changed(features(), 20, b"\xff", crc=False), Rejection.CRC),
    "infinite feature": (features(values=(0, 0, 0, 0, 0, 0, 0, 0, -math.inf)), Rejection.NOT_FINITE),
    "truncated raw header": (raw()[:19], Rejection.LENGTH),
    "truncated raw frame": (raw()[:-1], Rejection.LENGTH),
    "extended raw frame": (raw() + b"\0", Rejection.LENGTH),
    "raw frame without subcarriers": (raw(values=b"", subcarriers=0), Rejection.HEADER),
    "raw frame without antennas": (changed(raw(), 5, b"\0", crc=False), Rejection.HEADER),
    "raw frame with too many antennas": (raw(values=b"", antennas=255, subcarriers=65535), Rejection.HEADER),
    "largest header without its values": (raw(values=b"", antennas=16, subcarriers=4096), Rejection.LENGTH),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejects_with_a_reason(name: str) -> None:
    data, reason = REJECTED[name]
    found = parse(data)
    assert isinstance(found, Rejected)
    assert found.reason is reason
    assert str(found).startswith(f"{reason}: expected ")
    assert ", found " in str(found)


@pytest.mark.parametrize("feature", range(9))
def test_rejects_each_feature_that_is_not_finite(feature: int) -> None:
    for bad in (math.nan, math.inf, -math.inf):
        values = [1.0] * 9
        values[feature] = bad
        found = parse(features(values=tuple(values)))
        assert isinstance(found, Rejected)
        assert found.reason is Rejection.NOT_FINITE


@pytest.mark.parametrize("data", [classification(), features()], ids=["classification", "features"])
def test_rejects_every_flipped_bit_and_every_truncation(data: bytes) -> None:
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(parse(bytes(damaged)), Rejected), bit
    for length in range(len(data)):
        assert isinstance(parse(data[:length]), Rejected), length


def test_claimed_node_of_rejected_packets() -> None:
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
def test_any_datagram_is_parsed_or_rejected(data: bytes) -> None:
    """Never an exception. A parsed packet is in range and encodes to the same bytes."""
    found = parse(data)
    claimed_node(data)
    if isinstance(found, Rejected):
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


NEW, LATE, DUPLICATE, RESTART = Order.NEW, Order.LATE, Order.DUPLICATE, Order.RESTART


def taken(numbers: list[int], bits: int = 32) -> tuple[list[Order], Sequence]:
    sequence = Sequence(bits)
    return [sequence.take(number) for number in numbers], sequence


@pytest.mark.parametrize("bits", [16, 32])
def test_wraps(bits: int) -> None:
    top = 1 << bits
    orders, sequence = taken([top - 2, top - 1, 0, 1, 5], bits)
    assert orders == [NEW] * 5
    assert (sequence.missing, sequence.restarts) == (3, 0)


def test_a_late_number_is_not_missing() -> None:
    orders, sequence = taken([10, 13, 11, 11, 13, 12])
    assert orders == [NEW, NEW, LATE, DUPLICATE, DUPLICATE, LATE]
    assert (sequence.missing, sequence.late, sequence.duplicates, sequence.restarts) == (0, 2, 2, 0)


def test_a_number_before_the_first_is_late_but_not_missing() -> None:
    orders, sequence = taken([10, 8, 11])
    assert orders == [NEW, LATE, NEW]
    assert sequence.missing == 0


def test_restarts_far_back_or_far_ahead() -> None:
    orders, sequence = taken([5000, 5001, 0, 1, 3_000_000, 3_000_001])
    assert orders == [NEW, NEW, RESTART, NEW, RESTART, NEW]
    assert (sequence.missing, sequence.restarts) == (0, 2)
    orders, sequence = taken([0, 40_000, 40_001], 16)
    assert orders == [NEW, RESTART, NEW]
    assert sequence.missing == 0


def test_detects_an_early_restart_at_the_fourth_number() -> None:
    for joined in (0, 30):  # whether the first numbers were seen
        orders, sequence = taken([*range(joined, 60), 0, 1, 2, 3, 4, 5])
        assert orders[-3:] == [RESTART, NEW, NEW]
        assert all(not order.in_order for order in orders[-6:-3])
        assert sequence.restarts == 1


def test_every_packet_twice_is_no_restart() -> None:
    orders, sequence = taken([n for n in range(50) for _ in (0, 1)])
    assert orders == [NEW, DUPLICATE] * 50
    assert (sequence.duplicates, sequence.restarts, sequence.missing) == (50, 0, 0)


@pytest.mark.parametrize("bits", [16, 32])
def test_shuffled_numbers_are_all_accounted_for(bits: int) -> None:
    """Compared with a plain count of what a sender without restarts sent."""
    random.seed(3)
    top = 1 << bits
    first = top - 700
    numbers = [first + i for i in range(2000) if random.random() > 0.1]
    arriving = sorted(numbers, key=lambda n: n + random.choice((0, 0, 0, 0, 3.5, 9.5)))
    arriving = [n for n in arriving for _ in range(2 if random.random() < 0.05 else 1)]
    orders, sequence = taken([n % top for n in arriving], bits)
    assert sequence.restarts == 0
    seen: set[int] = set()
    newest = -1
    for number, order in zip(arriving, orders, strict=True):
        expected = DUPLICATE if number in seen else NEW if number > newest else LATE
        assert order is expected, number
        seen.add(number)
        newest = max(newest, number)
    assert sequence.missing == newest - arriving[0] + 1 - len({n for n in seen if n >= arriving[0]})


@pytest.mark.parametrize("magic", [0xC5110002, 0xC5110003, 0xC5110004, 0xC5110005, 0xC5118100, 0xC511A110])
def test_names_the_packets_of_ruview(magic: int) -> None:
    found = parse(magic.to_bytes(4, "little") + bytes(44))
    assert isinstance(found, Rejected)
    assert found.reason is Rejection.RUVIEW
    assert re.fullmatch(
        rf"ruview: expected magic 0xC51100xx \(01, 06, 07 or 17\), found 0x{magic:08X}, [\w ]+ of a RuView node",
        str(found),
    )


@pytest.mark.parametrize("events", [0, 1, 3, 16])
def test_distinguishes_a_classification_from_the_packet_of_ruview_with_its_magic(events: int) -> None:
    """RuView's 0xC5110007: magic, node, module, count, and five bytes an event."""
    found = parse(struct.pack("<IBBH", 0xC5110007, 1, 0, events) + bytes(5 * events))
    assert isinstance(found, Rejected)
    assert str(found) == (
        "ruview: expected magic 0xC51100xx (01, 06, 07 or 17), found 0xC5110007, output of a WASM module of a "
        "RuView node"
    )
    assert isinstance(parse(classification()), Classification)


@pytest.mark.parametrize("order", ["little", "big"])
def test_names_the_packets_of_espectre(order: Literal["little", "big"]) -> None:
    found = parse((0x4353).to_bytes(2, order) + bytes(132))
    assert isinstance(found, Rejected)
    assert found.reason is Rejection.ESPECTRE
    assert str(found).endswith("found 0x4353, a packet of ESPectre")


OPTIONS = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
PROGRAM = r"""
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "packets.h"

static int class_line(void) {
    unsigned classes, node, argmax;
    uint64_t time;
    uint32_t sequence, top, margin;
    unsigned char out[NODE_CLASS_BYTES];
    node_class_packet packet;
    if (scanf("%u %u %" SCNu64 " %" SCNu32 " %u %" SCNx32 " %" SCNx32, &classes, &node, &time, &sequence, &argmax, &top,
              &margin) != 7) {
        return 0;
    }
    packet.n_classes = (uint16_t)classes;
    packet.node_id = (uint8_t)node;
    packet.time = time;
    packet.sequence = sequence;
    packet.prediction.argmax = argmax;
    memcpy(&packet.prediction.top, &top, 4);
    memcpy(&packet.prediction.margin, &margin, 4);
    node_class_write(&packet, out);
    return fwrite(out, sizeof out, 1, stdout) == 1;
}

static int raw_line(void) {
    unsigned node, antennas, subcarriers, mhz;
    uint32_t sequence;
    int rssi, noise;
    unsigned char out[NODE_RAW_HEADER_BYTES];
    node_raw_header header;
    if (scanf("%u %u %u %u %" SCNu32 " %d %d", &node, &antennas, &subcarriers, &mhz, &sequence, &rssi, &noise) != 7) {
        return 0;
    }
    header.node_id = (uint8_t)node;
    header.n_antennas = (uint8_t)antennas;
    header.n_subcarriers = (uint16_t)subcarriers;
    header.frequency_mhz = mhz;
    header.sequence = sequence;
    header.rssi = (int8_t)rssi;
    header.noise_floor = (int8_t)noise;
    node_raw_write(&header, out);
    return fwrite(out, sizeof out, 1, stdout) == 1;
}

static int state_line(void) {
    unsigned char in[NODE_STATE_BYTES];
    float values[NODE_STATE_FEATURES];
    uint64_t time;
    size_t i;
    unsigned byte;
    for (i = 0; i < sizeof in; i++) {
        if (scanf("%2x", &byte) != 1) {
            return 0;
        }
        in[i] = (unsigned char)byte;
    }
    return node_state_read(in, sizeof in, values, &time) && fwrite(values, sizeof values, 1, stdout) == 1 &&
           fwrite(&time, sizeof time, 1, stdout) == 1;
}

int main(void) {
    char kind;
    while (scanf(" %c", &kind) == 1) {
        if (!(kind == 'c' ? class_line() : kind == 'r' ? raw_line() : state_line())) {
            return 1;
        }
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program around the node's packets: lines in, packets out."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    folder = tmp_path_factory.mktemp("node")
    (folder / "main.c").write_text(PROGRAM, encoding="utf-8")
    sources = [folder / "main.c", NODE / "packets.c", CORE / "src" / "crc32.c"]
    includes = [f"-I{NODE}", f"-I{CORE / 'include'}", f"-I{CORE / 'src'}"]
    subprocess.run(["gcc", *OPTIONS, *includes, *map(str, sources), "-o", str(folder / "node")], check=True)
    return folder / "node"


def sent(node: Path, lines: list[str]) -> bytes:
    return subprocess.run([node], input="\n".join(lines).encode(), capture_output=True, check=True, timeout=HANG).stdout


def test_parses_the_classifications_of_a_node(node: Path) -> None:
    rng = random.Random(1)
    lines, expected = [], []
    for _ in range(500):
        classes = rng.choice((2, 5, 256))
        top, margin = (struct.unpack("<f", struct.pack("<f", rng.gauss(0, 50)))[0] for _ in "ab")
        packet = Classification(
            rng.randrange(256),
            classes,
            rng.randrange(2**64),
            rng.randrange(2**32),
            rng.randrange(classes),
            top,
            abs(margin),
        )
        bits = [struct.unpack("<I", struct.pack("<f", value))[0] for value in (packet.top_logit, packet.margin)]
        lines.append(
            f"c {classes} {packet.node_id} {packet.ts_us} {packet.sequence} {packet.argmax} {bits[0]:x} {bits[1]:x}"
        )
        expected.append(packet)
    found = sent(node, lines)
    assert [parse(found[i : i + 40]) for i in range(0, len(found), 40)] == expected


def test_parses_the_raw_frames_of_a_node(node: Path) -> None:
    rng = random.Random(2)
    for _ in range(20):
        antennas, subcarriers = rng.randrange(1, 5), rng.choice((52, 56, 64, 114))
        fields = (rng.randrange(256), antennas, subcarriers, 2437, rng.randrange(2**32), -rng.randrange(129), -92)
        values = rng.randbytes(2 * antennas * subcarriers)
        packet = parse(sent(node, ["r " + " ".join(map(str, fields))]) + values)
        assert isinstance(packet, RawFrame)
        header = packet.header
        assert fields == (
            header.node_id,
            header.n_antennas,
            header.n_subcarriers,
            header.frequency_mhz,
            header.sequence,
            header.rssi,
            header.noise_floor,
        )
        assert packet.values == values


def test_a_node_reads_the_feature_states_that_are_parsed_here(node: Path) -> None:
    rng = random.Random(3)
    for _ in range(20):
        data = features(rng.randrange(256), rng.randrange(2**16), tuple(rng.gauss(0, 9) for _ in range(9)), ts_us=2**40)
        packet = parse(data)
        assert isinstance(packet, FeatureState)
        assert packet.to_bytes() == data
        assert sent(node, ["s " + data.hex()]) == struct.pack("<9fQ", *packet.features, packet.ts_us)


# -- receipts -----------------------------------------------------------------------------------------------------


def receipt() -> Receipt:
    return Receipt(
        3, 8, (0x12345678, 900), 64, True, 1 << 40, 77, 1 << 41, 5, 6, ((4, 1 << 40), (9, -3), (5, (1 << 40) + 9))
    )


@pytest.mark.parametrize("grid", [None, 1 << 41])
def test_a_receipt_is_read_as_it_was_written(grid: int | None) -> None:
    sent = replace(receipt(), grid=grid)
    assert parse(sent.to_bytes()) == sent


def test_a_damaged_receipt_is_rejected() -> None:
    data = receipt().to_bytes()
    for at in range(4, len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        assert isinstance(parse(bytes(broken)), Rejected)
    for length in range(4, len(data)):
        found = parse(data[:length])
        assert isinstance(found, Rejected)
        assert found.reason in (Rejection.LENGTH, Rejection.CRC)


@pytest.mark.parametrize("entries", [0, 161])
def test_a_receipt_of_no_or_too_many_entries_is_rejected(entries: int) -> None:
    found = parse(replace(receipt(), entries=((1, 1 << 40),) * entries).to_bytes())
    assert isinstance(found, Rejected)
    assert found.reason is Rejection.ENTRIES
