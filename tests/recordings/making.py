"""Recordings made for tests: the bytes a device or recorder would have written."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Sequence

CLASSIC_HEADER = (
    "type,id,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,len,first_word,data"
)
C6_HEADER = (
    "type,id,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word,data"
)
TOOL_HEADER = (
    "type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,real_time_set,real_timestamp,len,CSI_DATA"
)
MAC = "1a:00:00:00:00:00"


def values_of(seed: int, count: int) -> list[int]:
    """`count` numbers from -128 to 127, different for every seed."""
    return [((seed * 37 + i * 11 + i * i) % 256) - 128 for i in range(count)]


def classic(
    i: int, values: Sequence[int], *, us: int = 0, mac: str = MAC, length: int | None = None, first: int = 0
) -> str:
    """A line of ESP32, S2, S3, C3: 25 columns."""
    n = len(values) if length is None else length
    data = ",".join(map(str, values))
    return f'CSI_DATA,{i},{mac},-30,11,1,6,1,0,1,0,1,0,0,-93,0,13,2,{us},0,67,0,{n},{first},"[{data}]"'


def c6(i: int, values: Sequence[int], *, us: int = 0, mac: str = MAC, first: int = 0) -> str:
    """A line of C5, C6: 15 columns."""
    data = ",".join(map(str, values))
    return f'CSI_DATA,{i},{mac},-30,11,-93,4,12,11,{us},67,0,{len(values)},{first},"[{data}]"'


def tool(values: Sequence[int], *, us: int, seconds: float) -> str:
    """A line of a third-party tool: 26 columns, values parted by blanks, no quotes."""
    data = " ".join(map(str, values)) + " "
    return f"CSI_DATA,AP,{MAC},-73,11,1,0,1,1,1,0,0,0,0,-93,0,1,1,{us},0,101,0,0,{seconds:.6f},{len(values)},[{data}]"


def raw_frame(
    sequence: int,
    values: bytes,
    *,
    node: int = 1,
    antennas: int = 1,
    subcarriers: int | None = None,
    magic: int = 0xC5110001,
) -> bytes:
    """A raw CSI frame: 20 header bytes, then the pairs."""
    n = len(values) // 2 // antennas if subcarriers is None else subcarriers
    return struct.pack("<IBBHIIbbH", magic, node, antennas, n, 2437, sequence % 2**32, -40, -92, 0) + values


def _udp(payload: bytes, port: int) -> bytes:
    return struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload


def ipv4_packet(payload: bytes, *, port: int = 5005, more_fragments: bool = False) -> bytes:
    body = _udp(payload, port)
    flags = 0x2000 if more_fragments else 0
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, flags, 64, 17, 0, b"\n\0\0\1", b"\n\0\0\2") + body


def ipv6_packet(payload: bytes, *, port: int = 5005) -> bytes:
    body = _udp(payload, port)
    return struct.pack(">IHBB16s16s", 6 << 28, len(body), 17, 64, bytes(15) + b"\1", bytes(15) + b"\2") + body


def ethernet(packet: bytes) -> bytes:
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return bytes(6) + bytes(5) + b"\1" + struct.pack(">H", kind) + packet


def cooked(packet: bytes) -> bytes:
    """Linux "any" interface."""
    return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + packet


def pcap(packets: Sequence[tuple[float, bytes]], *, link: int = 1, nano: bool = False, big: bool = False) -> bytes:
    order = ">" if big else "<"
    unit = 1e9 if nano else 1e6
    out = [struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)]
    for seconds, packet in packets:
        whole, part = divmod(round(seconds * unit), int(unit))
        out.append(struct.pack(f"{order}IIII", whole, part, len(packet), len(packet)) + packet)
    return b"".join(out)


def pcapng(packets: Sequence[tuple[float, bytes]], *, link: int = 1) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)), block(1, struct.pack("<HHI", link, 0, 65535))]
    for seconds, packet in packets:
        stamp = round(seconds * 1e6)
        head = struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        out.append(block(6, head + packet))
    return b"".join(out)


RADAR_HEADER = (
    "type,sequence,timestamp,taget_seq,taget,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,"
    "stbc,fec_coding,sgi,noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,agc_gain,"
    "fft_gain,len,first_word,data"
)


def csi_tool(i: int, values: Sequence[int], length: int, *, mode: int = 1, stbc: int = 1) -> str:
    """A line of ESP32-CSI-Tool, 26 columns, whose `len` may be that of a longer buffer."""
    body = " ".join(map(str, values))
    return (
        f"CSI_DATA,AP,{MAC},-73,11,{mode},0,0,1,1,0,{stbc},0,0,-93,0,1,0,{i * 10_000},0,101,0,0,{i / 100:.6f},{length},"
        f"[{body} ]"
    )


def radar(i: int, data: str, length: int, label: str = "move") -> str:
    """A line of the console of esp-radar, 30 columns."""
    packet = f"{MAC},-40,11,1,0,0,1,1,0,0,0,0,-95,0,11,0,{i * 10_000},0,44,0,10,20,{length},0"
    return f"CSI_DATA,{i},{i * 10},1,{label},{packet},{data}"


def in_base64(values: Sequence[int]) -> str:
    """Signed bytes, as the console of esp-radar prints them."""
    return base64.b64encode(struct.pack(f"{len(values)}b", *values)).decode()


def words_in_text(i: int) -> str:
    """A line of an ESP32-C5 with the values of its 12-bit words."""
    return c6(i, [16 * value for value in values_of(i, 52)], us=10_000 * i)


RECORDERS: dict[str, Callable[[int], str]] = {
    "esp-csi, ESP32, S2, S3, C3 (25 columns)": lambda i: classic(i, values_of(i, 128), us=10_000 * i),
    "esp-csi, C5, C6, C61 (15 columns)": lambda i: c6(i, values_of(i, 114), us=10_000 * i),
    "esp-csi, C5, 12-bit values": words_in_text,
    "ESP32-CSI-Tool, all values": lambda i: csi_tool(i, values_of(i, 384), 384),
    "ESP32-CSI-Tool, L-LTF alone, `len` 384": lambda i: csi_tool(i, values_of(i, 128), 384),
    "ESP32-CSI-Tool, L-LTF alone, frames of two kinds": lambda i: csi_tool(
        i, values_of(i, 128), 384 if i % 7 else 128, mode=int(i % 7 > 0)
    ),
    "esp-radar, decimal": lambda i: radar(i, f'"[{",".join(map(str, values_of(i, 104)))}]"', 104),
    "esp-radar, base64": lambda i: radar(i, in_base64(values_of(i, 104)), 104),
    "esp-radar, base64 in quotes": lambda i: radar(i, f'"{in_base64(values_of(i, 104))}"', 104),
}
"""What each recorder of text writes for frame i; the values of all but 12-bit ones are `values_of(i, …)`."""
