"""The page, its stream of events, and the metrics, over HTTP.

Security: the page is for this computer unless another address is asked for, and then it needs a token. A request must
name the host that it reached (no other site can read through a name that it points here), and one that changes
something must come from the page itself. The content policy allows this server's own files alone, and the page writes
names as text only.

Memory: there is no queue. A client is given what is newest when it has taken what was before; one that takes nothing
for a while is dropped. There are at most 32 clients, and 128 connections.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from aiohttp import web

from aether_temporal._internal.os_errors import describe
from aether_temporal.errors import InvalidArgumentError, TemporalError
from aether_temporal.listening.engine import Observer
from aether_temporal.listening.nodes import NodeKey
from aether_temporal.listening.udp_listener import sender_of

from .exports import metrics_text
from .recording_desk import TOLD, RecordingDesk
from .state import BIN_SECONDS, BINS, LiveState, View

MOST_CLIENTS = 32
PATIENCE = 20.0
"""Seconds that a client may take for what it was sent."""

_MOST_CONNECTIONS = 128
_IDLE = 10.0  # seconds after which a connection that has asked for nothing is ended
_SEND_BUFFER = 256 << 10  # bytes that the system keeps for a client
_LARGEST_REQUEST = 16 << 10
_COOKIE = "aether_token"
_YEAR = 365 * 86400
_FILES = {
    "/": ("index.html", "text/html"),
    "/live.css": ("live.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
}
_OPEN = {"/live.css", "/login", "/favicon.ico"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>aether</title><link rel="stylesheet" href="live.css"><main><form method="post" action="login" class="panel">
<h1>aether</h1><label>Token <input name="token" type="password" autofocus autocomplete="current-password"></label>
<button>Open</button></form></main></html>"""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer(Observer):
    """Serves in a thread of its own. address None: all of this computer. token: what others than this computer must
    know; with one, this computer too.

    InvalidArgumentError: an address beyond this computer without a token. OSError: address or port is not available.
    """

    def __init__(
        self,
        state: LiveState,
        desk: RecordingDesk,
        address: str | None,
        port: int,
        *,
        token: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._state, self._desk, self._token, self._patience = state, desk, token, patience
        self._socket = _bound(address, port, token)
        self.where = sender_of(self._socket.getsockname())
        self._files = {path: (_file(name), kind) for path, (name, kind) in _FILES.items()}
        self.clients = self.dropped_clients = 0
        self._view: View | None = None
        self._text = (0, b"")  # the state as an event, and of which view
        self._loop = asyncio.new_event_loop()
        self._fresh = asyncio.Event()
        self._scheduled = threading.Lock()
        self._started = threading.Event()
        self._closed = False
        self._trouble: str | None = None
        self._asked: weakref.WeakSet[Any] = weakref.WeakSet()  # connections that have asked for something
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def url(self) -> str:
        host = f"[{self.where[0]}]" if ":" in self.where[0] else self.where[0]
        return f"http://{host}:{self.where[1]}/"

    @property
    def error(self) -> str | None:
        """An error of the page itself."""
        return self._trouble

    def show(self, view: View) -> None:
        """Never blocks. A view that the page had no time for is replaced by the next."""
        self._view = view
        if not self._closed and self._thread.is_alive() and self._scheduled.acquire(blocking=False):
            self._loop.call_soon_threadsafe(self._publish)

    def close(self) -> None:
        """Ends all connections. May be repeated."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._publish)
            self._thread.join()

    # -- in the thread of the loop --

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_REQUEST)
        for path in _FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/favicon.ico", self._no_icon)
        app.router.add_get("/events", self._events)
        app.router.add_get("/state", self._newest)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/login", self._login)
        app.router.add_post("/recording", self._record)
        try:
            self._loop.run_until_complete(self._serve(app))
        except BaseException as error:
            self._trouble = f"the page ended: {type(error).__name__}: {error}; report this error"
        finally:
            self._started.set()
            self._socket.close()
            self._loop.close()

    async def _serve(self, app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, logger=_quiet(), shutdown_timeout=0)
        await runner.setup()
        assert runner.server is not None
        self._server = runner.server
        listening = await self._loop.create_server(self._connection, sock=self._socket, backlog=64)
        self._started.set()
        while not self._closed:
            await self._fresh.wait()
        listening.close()
        await runner.cleanup()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _connection(self) -> asyncio.Protocol:
        """What talks to a new connection: nothing beyond 128 of them. One that asks for nothing is ended."""
        if len(self._server.connections) >= _MOST_CONNECTIONS:
            return _Ended()
        made = self._server()
        self._loop.call_later(min(_IDLE, self._patience), self._end_idle, made)
        return made

    def _end_idle(self, connection: web.RequestHandler) -> None:
        transport = connection.transport
        if transport is not None and transport not in self._asked:
            transport.abort()

    def _publish(self) -> None:
        if self._scheduled.locked():
            self._scheduled.release()
        self._fresh.set()
        self._fresh = asyncio.Event()

    def _document(self, view: View) -> dict[str, Any]:
        snapshot, model = view.status.snapshot, view.status.model
        warnings = [*view.notes, *view.status.warnings]
        if snapshot.system_drops:
            warnings.append(f"{snapshot.system_drops} datagrams dropped by the system: its buffer was full")
        if model is not None and model.dropped:
            warnings.append(f"{model.dropped} frames not classified: the model did not keep up")
        if model is not None and model.unsuitable:
            warnings.append(f"{model.unsuitable} frames do not suit {view.status.model_name}: {model.why}")
        if model is not None and model.failed:
            warnings.append(f"{model.failed} streams dropped because of errors; the last: {model.trouble}")
        if view.dropped_changes:
            warnings.append(f"{view.dropped_changes} changes not reported: there were too many at once")
        return {
            "model": view.status.model_name,
            "classes": list(self._state.names),
            "moving_above": self._state.moving_above,
            "received": snapshot.received,
            "rejected": dict(snapshot.rejected),
            "last_rejected": snapshot.last_rejected,
            "warnings": warnings,
            "nodes": [node.document() for node in view.nodes],
            "recording": self._desk.document(),
        }

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.transport is not None:
            self._asked.add(request.transport)
        try:
            response = await self._checked(request, handler)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.status}: {error.reason}")
        except (OSError, asyncio.CancelledError):  # the connection has ended
            raise
        except Exception as error:
            self._trouble = f"{request.path}: {type(error).__name__}: {error}; report this error"
            response = web.Response(status=500, text="500: an error of the page; the terminal says which")
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def _checked(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self._token is None and not _is_loopback(request.host):
            return web.Response(status=403, text="403: open the page as localhost")
        if self._token is not None and request.path not in _OPEN and not self._knows_token(request):
            if request.path == "/":
                return web.Response(status=401, text=_LOGIN, content_type="text/html")
            return web.Response(status=401, text="401: expected the token, as a cookie of the page or as Bearer")
        if request.method == "POST" and not _same_origin(request):
            return web.Response(status=403, text="403: expected a request of the page itself")
        return await handler(request)

    def _knows_token(self, request: web.Request) -> bool:
        assert self._token is not None
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = request.cookies.get(_COOKIE, "")
        return _equal(given, self._token) or _equal(cookie, _cookie_of(self._token))

    async def _login(self, request: web.Request) -> web.StreamResponse:
        given = (await request.post()).get("token", "")
        if self._token is None or not isinstance(given, str) or not _equal(given.strip(), self._token):
            return web.Response(status=401, text=_LOGIN, content_type="text/html")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            _COOKIE, _cookie_of(self._token), httponly=True, samesite="Strict", path="/", max_age=31536000
        )
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _no_icon(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        body, kind = metrics_text(self._view)
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _newest(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(None if self._view is None else self._document(self._view))

    async def _record(self, request: web.Request) -> web.StreamResponse:
        """{"do": "start", "label" or "stop"; label, subject, session}"""
        try:
            asked = await request.json()
            told = {name: asked[name] for name in TOLD if name in asked}
            do = {"start": self._desk.start, "label": self._desk.label}.get(asked["do"])
            if not all(isinstance(word, str) for word in told.values()) or (do is None and asked["do"] != "stop"):
                raise ValueError
        except (ValueError, TypeError, KeyError):
            return web.json_response({"error": "expected a request of the page"}, status=400)
        try:
            await (asyncio.to_thread(self._desk.stop) if do is None else asyncio.to_thread(do, told))
        except (TemporalError, OSError) as error:
            said = f"{error.filename}: {describe(error)}" if isinstance(error, OSError) else str(error)
            return web.json_response({**self._desk.document(), "error": said}, status=409)
        return web.json_response(self._desk.document())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """What is new, as server-sent events: the state, the parts of the hour, the rows of one node's waterfall."""
        if self.clients >= MOST_CLIENTS:
            return web.Response(status=503, text=f"503: at most {MOST_CLIENTS} pages at once; close one")
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        transport = request.transport
        if transport is not None:
            found = transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.clients += 1
        try:
            await response.prepare(request)
            client = _Client(_key(request.query.get("node", "")))
            while not self._closed:
                fresh = self._fresh
                text = self._news(client)
                if text:
                    async with asyncio.timeout(self._patience):
                        await response.write(text)
                await fresh.wait()
        except TimeoutError:
            self.dropped_clients += 1
            if transport is not None:
                transport.abort()
        except ConnectionError:
            pass
        finally:
            self.clients -= 1
        return response

    def _news(self, client: _Client) -> bytes:
        """What a client has not been given yet."""
        view = self._view
        if view is None or view.number == client.view:
            return b""
        client.view = view.number
        if self._text[0] != view.number:
            self._text = (view.number, _event("state", self._document(view)))
        parts = [self._text[1]]
        if view.hour != client.hour:
            count = BINS if client.hour is None else min(BINS, view.hour - client.hour + 1)
            client.hour = view.hour
            parts.append(self._hours(count))
        if client.key is not None:
            newest, rows = self._state.rows(client.key, client.row)
            if rows:
                client.row = newest
                drawn = [base64.b64encode(row).decode() for row in rows]
                parts.append(_event("rows", {"node": client.key.node_id, "address": client.key.address, "rows": drawn}))
        return b"".join(parts)

    def _hours(self, count: int) -> bytes:
        lines = [
            {
                "node": key.node_id,
                "address": key.address,
                "classes": base64.b64encode(classes).decode(),
                "moved": base64.b64encode(moved).decode(),
            }
            for key, (classes, moved) in self._state.hours(count).items()
        ]
        return _event("hour", {"seconds": BIN_SECONDS, "parts": BINS, "newest": count, "nodes": lines})


class _Ended(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _quiet() -> logging.Logger:
    """Takes what aiohttp reports of requests that are none: foreign bytes do not go to the terminal."""
    found = logging.Logger("aether page")
    found.addHandler(logging.NullHandler())
    return found


class _Client:
    """What a client has been given."""

    def __init__(self, key: NodeKey | None) -> None:
        self.key, self.view, self.row = key, 0, 0
        self.hour: int | None = None


def _bound(address: str | None, port: int, token: str | None) -> socket.socket:
    if address is None:
        if socket.has_dualstack_ipv6() and token is not None:
            with contextlib.suppress(OSError):  # IPv6 is compiled in but disabled
                return _bound("::", port, token)
        address = "0.0.0.0"
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise InvalidArgumentError.of("http", "an address of this computer", repr(address)) from None
    family, _, _, _, where = found[0]
    host = str(where[0])
    if token is None and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        raise InvalidArgumentError.of("http", "an address of this computer alone (127.0.0.1), or --token", address)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        made.bind(where)
    except OSError as error:
        made.close()
        error.filename = f"TCP {host} port {port}"
        raise
    return made


def _file(name: str) -> bytes:
    return resources.files("aether_temporal.live").joinpath("page", name).read_bytes()


def _event(kind: str, document: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(document, allow_nan=False)}\n\n".encode()


def _key(text: str) -> NodeKey | None:
    """ "3@192.168.1.21" as a node."""
    number, _, address = text.partition("@")
    return NodeKey(address, int(number)) if number.isdecimal() and len(number) < 4 and address else None


def _is_loopback(host: str) -> bool:
    name = host[: host.rindex("]") + 1].strip("[]") if "]" in host else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _same_origin(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _cookie_of(token: str) -> str:
    """What the browser keeps: not the token itself."""
    return hashlib.sha256(b"aether page " + token.encode()).hexdigest()
