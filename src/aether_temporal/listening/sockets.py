"""UDP sockets to listen with."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys

from aether_temporal.errors import InvalidArgumentError

BUFFER = 8 << 20  # bytes asked of the system for what has arrived and is not read yet
_FORCE = getattr(socket, "SO_RCVBUFFORCE", 33 if sys.platform == "linux" else None)
_MEMINFO = 55 if sys.platform == "linux" else None  # SO_MEMINFO: nine numbers, the last one counts drops
_MAPPED = "::ffff:"


def listening_socket(bind: str | None, port: int) -> socket.socket:
    """A UDP socket that does not block. bind: an address; None: every address, of IPv4 and, where it is there, IPv6.

    InvalidArgumentError for what is no address; OSError where it cannot be had (the port is taken, not ours).
    """
    if bind is None:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # IPv6 compiled in, but switched off
                return _bound(socket.AF_INET6, ("::", port), dual=True)
        return _bound(socket.AF_INET, ("0.0.0.0", port))
    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        raise InvalidArgumentError.of("bind", "an IPv4 or IPv6 address of this computer", repr(bind)) from None
    family, _, _, _, where = found[0]
    return _bound(family, where)


def _bound(family: int, where: tuple[object, ...], dual: bool = False) -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        _enlarge(found)
        found.setblocking(False)
        found.bind(where)
    except OSError as error:
        found.close()
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            error.filename = f"UDP {where[0]} port {where[1]}"
        raise
    return found


def _enlarge(found: socket.socket) -> None:
    """As much buffer as the system gives; with the privilege for it, beyond its limit."""
    for option in (socket.SO_RCVBUF, _FORCE):
        if option is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, option, BUFFER)


def buffer_size(found: socket.socket) -> int:
    """Bytes the system gave. (Linux counts its own bookkeeping in, which is why it doubles what is asked for.)"""
    return found.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def system_drops(found: socket.socket) -> int | None:
    """Datagrams that the system dropped because the buffer was full; None where it does not tell."""
    if _MEMINFO is None:
        return None
    try:
        info = found.getsockopt(socket.SOL_SOCKET, _MEMINFO, 36)
    except OSError:
        return None
    return int.from_bytes(info[32:36], sys.byteorder) if len(info) >= 36 else None


def sender_of(address: tuple[object, ...]) -> tuple[str, int]:
    """Address and port out of what a socket says: IPv4 as itself, a link-local address with its interface."""
    host, port = str(address[0]), address[1]
    assert isinstance(port, int)
    if host.startswith(_MAPPED) and "." in host:
        return host[len(_MAPPED) :], port
    if len(address) == 4 and address[3] and "%" not in host:
        return f"{host}%{address[3]}", port
    return host, port
