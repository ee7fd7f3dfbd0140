"""Addresses from which the system itself drops what comes, by a socket filter (Linux only).

A flood that is read only to be refused still takes the buffer that all nodes share. A filter runs before the buffer:
a few instructions of the classic packet filter language, attached to the socket.
"""

from __future__ import annotations

import ctypes
import ipaddress
import platform
import socket
import struct
import sys
from collections.abc import Iterable

_ATTACH = 26  # SO_ATTACH_FILTER
_NET = (-0x100000) & 0xFFFFFFFF  # SKF_NET_OFF: from the IP header on
_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _IF_EQUAL, _JUMP, _RETURN = 0x20, 0x30, 0x74, 0x15, 0x05, 0x06
_DROP, _KEEP = (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)
_OTHER_NUMBERS = ("alpha", "hppa", "parisc", "sparc")  # machines on which Linux numbers socket options otherwise

Instruction = tuple[int, int, int, int]  # code, skip if true, skip if false, operand


def program(addresses: Iterable[str]) -> list[Instruction]:
    """Drops packets from these addresses, keeps all others."""
    parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    four: list[Instruction] = [(_LOAD_WORD, 0, 0, _NET + 12)]
    six: list[Instruction] = []
    for address in parsed:
        words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
        if address.version == 4:
            four += [(_IF_EQUAL, 0, 1, words[0]), _DROP]
        else:
            for place, word in enumerate(words):
                left = 2 * (3 - place) + 1  # instructions to the end of this address
                six += [(_LOAD_WORD, 0, 0, _NET + 8 + 4 * place), (_IF_EQUAL, 0, left, word)]
            six.append(_DROP)
    four.append(_KEEP)
    six.append(_KEEP)
    version: list[Instruction] = [(_LOAD_BYTE, 0, 0, _NET), (_SHIFT_RIGHT, 0, 0, 4), (_IF_EQUAL, 0, 1, 4)]
    return [*version, (_JUMP, 0, 0, 1), (_JUMP, 0, 0, len(four)), *four, *six]


def hold_back(found: socket.socket, addresses: Iterable[str]) -> bool:
    """From now on the system drops what comes from these addresses, and from no others. False where it cannot."""
    if sys.platform != "linux" or platform.machine().startswith(_OTHER_NUMBERS):
        return False
    instructions = program(addresses)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *found) for found in instructions))
    try:
        option = struct.pack("@HP", len(instructions), ctypes.addressof(code))
        found.setsockopt(socket.SOL_SOCKET, _ATTACH, option)
    except OSError:
        return False
    return True
