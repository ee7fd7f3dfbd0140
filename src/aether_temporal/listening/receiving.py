"""Datagrams out of a socket, many at a time."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from typing import Any, NamedTuple, Protocol

from .sockets import sender_of

_DATAGRAM = 1 << 16  # bytes, the most that UDP carries and more


class Datagram(NamedTuple):
    data: bytes
    address: str
    port: int


class Receiver(Protocol):
    """Bounded memory, whatever comes."""

    def receive(self) -> list[Datagram]:
        """What is there, at most `most` datagrams, without waiting."""
        ...

    @property
    def most(self) -> int: ...


def receiver_of(found: socket.socket) -> Receiver:
    """The quickest way this system has."""
    receive_many = _receive_many()
    return _One(found) if receive_many is None else _Many(found, receive_many)


class _One:
    """One call a datagram: everywhere."""

    most = 256

    def __init__(self, found: socket.socket) -> None:
        self._socket = found
        self._buffer = bytearray(_DATAGRAM)

    def receive(self) -> list[Datagram]:
        datagrams: list[Datagram] = []
        view = memoryview(self._buffer)
        for _ in range(self.most):
            try:
                size, address = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                break
            except OSError:  # Windows: an earlier answer was refused, or a datagram does not fit; neither is ours
                continue
            datagrams.append(Datagram(bytes(view[:size]), *sender_of(address)))
        return datagrams


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Vector)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("len", ctypes.c_uint))


def _receive_many() -> Any:
    """Linux's recvmmsg, called without letting go of the interpreter: it does not wait, and a thread that lets go for
    each datagram loses its turn to the others each time."""
    if sys.platform != "linux":
        return None
    try:
        found = ctypes.PyDLL(None).recvmmsg
    except (OSError, AttributeError):
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    found.restype = ctypes.c_int
    return found


_FOUR = struct.pack("=H", socket.AF_INET)


class _Many:
    """One call for all that has arrived."""

    most = 64

    _NAME = 28  # bytes of the larger of both families' addresses
    _REMEMBERED = 1024

    def __init__(self, found: socket.socket, receive_many: Any) -> None:
        self._socket, self._receive_many = found, receive_many
        self._data = bytearray(self.most * _DATAGRAM)
        self._names = bytearray(self.most * self._NAME)
        self._vectors = (_Vector * self.most)()
        self._messages = (_Message * self.most)()
        self._known: dict[bytes, str] = {}
        self._pinned = [(ctypes.c_char * len(b)).from_buffer(b) for b in (self._data, self._names)]
        data, names = map(ctypes.addressof, self._pinned)
        for i, (vector, message) in enumerate(zip(self._vectors, self._messages, strict=True)):
            vector.base, vector.len = data + i * _DATAGRAM, _DATAGRAM
            message.header.name, message.header.namelen = names + i * self._NAME, self._NAME
            message.header.iov, message.header.iovlen = ctypes.pointer(vector), 1

    def receive(self) -> list[Datagram]:
        count = self._receive_many(self._socket.fileno(), self._messages, self.most, socket.MSG_DONTWAIT, None)
        data, names = memoryview(self._data), memoryview(self._names)
        datagrams: list[Datagram] = []
        for i in range(max(0, count)):
            message = self._messages[i]
            message.header.namelen = self._NAME  # the call has put the true length there
            start, place = i * _DATAGRAM, i * self._NAME
            name = bytes(names[place : place + self._NAME])
            port = int.from_bytes(name[2:4], "big")
            datagrams.append(Datagram(bytes(data[start : start + message.len]), self._address(name), port))
        return datagrams

    def _address(self, name: bytes) -> str:
        key = name[:8] if name[:2] == _FOUR else name  # behind a short address stands what was there before
        key = key[:2] + key[4:]
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            found = self._known[key] = _text(name)
        return found


def _text(name: bytes) -> str:
    (family,) = struct.unpack_from("=H", name)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, name[4:8])
    (scope,) = struct.unpack_from("=I", name, 24)
    return sender_of((socket.inet_ntop(socket.AF_INET6, name[8:24]), 0, 0, scope))[0]
