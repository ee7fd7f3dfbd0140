"""The configuration file of `aether serve`: TOML, every field with its range."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
from pathlib import Path
from typing import Annotated

from aether_temporal._internal.toml_settings import Within, check_ranges, load_settings
from aether_temporal.errors import InvalidConfigError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0])[:64] or "aether"


@dataclasses.dataclass(frozen=True)
class Server:
    """The top of the file. name: tells servers beside one broker apart. moving_above: the movement score from which on
    a node counts as moving. silent_after: seconds without a packet after which a node counts as silent."""

    name: str = dataclasses.field(default_factory=_host_name)
    moving_above: Annotated[float, Within(0.0, 1.0)] = 0.25
    silent_after: Annotated[float, Within(1.0, 3600.0)] = 5.0

    def __post_init__(self) -> None:
        check_ranges(self)
        _expect_name("name", self.name)


@dataclasses.dataclass(frozen=True)
class Recordings:
    """Where recordings go that are started on the page."""

    folder: str = "recordings"


@dataclasses.dataclass(frozen=True)
class Mqtt:
    """A broker; without a host there is none. every: seconds between two states of a node that has not changed."""

    host: str = ""
    port: Annotated[int, Within(0, 65535)] = 0
    tls: bool = False
    ca_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    topic: str = "aether"
    discovery: str = "homeassistant"
    every: Annotated[float, Within(1.0, 86400.0)] = 30.0

    def __post_init__(self) -> None:
        check_ranges(self)
        for field in ("topic", "discovery"):
            for level in getattr(self, field).split("/"):
                _expect_name(field, level)
        if self.password_file is not None and self.username is None:
            raise InvalidConfigError.of("username", "one beside password_file", "none")
        if self.ca_file is not None and not self.tls:
            raise InvalidConfigError.of("tls", "true beside ca_file", "false")

    @property
    def broker_port(self) -> int:
        """The port, or the one that is usual."""
        return self.port or (8883 if self.tls else 1883)

    def password(self) -> str | None:
        """What the password file says: its first line. InvalidConfigError, OSError."""
        if self.password_file is None:
            return None
        lines = Path(self.password_file).read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0]:
            raise InvalidConfigError.of(self.password_file, "a password in the first line", "nothing")
        return lines[0]


@dataclasses.dataclass(frozen=True)
class Log:
    """A file that gets a JSON line for each change of a node's class; none without a name. When it has max_bytes, or is
    max_hours old, it is renamed, and `keep` of the renamed ones are kept."""

    file: str | None = None
    max_bytes: Annotated[int, Within(1024, 1 << 40)] = 10_000_000
    max_hours: Annotated[float, Within(0.01, 1e5)] = 24.0
    keep: Annotated[int, Within(0, 1000)] = 7

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class History:
    """An SQLite file of changes and of minutes; none without a name."""

    file: str | None = None
    keep_days: Annotated[float, Within(0.01, 36500.0)] = 30.0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """All parts of the file."""

    server: Server = dataclasses.field(default_factory=Server)
    recordings: Recordings = dataclasses.field(default_factory=Recordings)
    mqtt: Mqtt = dataclasses.field(default_factory=Mqtt)
    log: Log = dataclasses.field(default_factory=Log)
    history: History = dataclasses.field(default_factory=History)


def serve_settings(path: str | os.PathLike[str] | None) -> ServeSettings:
    """Those of a file; without one, the defaults. InvalidConfigError, OSError."""
    start = ServeSettings()
    if path is None:
        return start
    tables = {part.name: getattr(start, part.name) for part in dataclasses.fields(start)[1:]}
    return ServeSettings(*load_settings(path, start.server, **tables))


def _expect_name(field: str, text: str) -> None:
    if not _NAME.fullmatch(text):
        raise InvalidConfigError.of(field, "letters, digits, - and _ (64 at most)", repr(text))
