"""The listener decodes the packets of the node's C code, byte by byte."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from listening.wire import features

from aether_temporal.listening import Classification, RawFrame, parse
from aether_temporal.recordings.node_packets import FeatureState

ROOT = Path(__file__).resolve().parents[2]
NODE, CORE = ROOT / "firmware" / "node", ROOT / "csrc"
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
    return subprocess.run([node], input="\n".join(lines).encode(), capture_output=True, check=True, timeout=60).stdout


def test_classifications(node: Path) -> None:
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


def test_raw_frames(node: Path) -> None:
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


def test_feature_states(node: Path) -> None:
    """The other way round: what is taken for a feature state here is one to a node, with the same numbers."""
    rng = random.Random(3)
    for _ in range(20):
        data = features(rng.randrange(256), rng.randrange(2**16), tuple(rng.gauss(0, 9) for _ in range(9)), ts_us=2**40)
        packet = parse(data)
        assert isinstance(packet, FeatureState)
        assert packet.to_bytes() == data
        assert sent(node, ["s " + data.hex()]) == struct.pack("<9fQ", *packet.features, packet.ts_us)
