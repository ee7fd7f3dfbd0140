"""A PlatformIO development platform whose boards are the targets of firmware/targets/targets.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from platformio.platform.board import PlatformBoardConfig
from platformio.platform.exception import UnknownBoard
from platformio.public import PlatformBase

# In a folder of their own, because a module of the standard library has the name of this file.
MODULES = str(Path(__file__).resolve().parent / "modules")
if MODULES not in sys.path:
    sys.path.insert(0, MODULES)

from emulated_targets import targets  # noqa: E402

EMULATED_MEMORY = 4 << 20  # bytes; the most that a linker script uses


class TargetBoard(PlatformBoardConfig):  # type: ignore[misc]
    """A target as a PlatformIO board."""

    def __init__(self, target: targets.Target, platform: str) -> None:
        self._id = target.name
        self._manifest = {
            "name": f"{target.processor}; stands for {target.stands_for}",
            "vendor": target.emulator[0],
            "url": "https://www.qemu.org/docs/master/system/targets.html",
            "platform": platform,
            "build": {"mcu": target.name},
            "upload": {"maximum_ram_size": EMULATED_MEMORY, "maximum_size": EMULATED_MEMORY},
        }


class AetheremulatedPlatform(PlatformBase):  # type: ignore[misc]
    def is_embedded(self) -> bool:
        return False  # no uploader and no port: programs run as soon as they are built

    def get_boards(self, id_: str | None = None) -> Any:
        boards = {target.name: target for target in targets.all_targets() if not target.hosted}
        for name in boards if id_ is None else [id_]:
            if name not in boards:
                raise UnknownBoard(f"{name} (expected one of {', '.join(boards)})")
            if name not in self._BOARDS_CACHE:  # PlatformIO writes options of the environment into the board
                self._BOARDS_CACHE[name] = TargetBoard(boards[name], self.name)
        return self._BOARDS_CACHE if id_ is None else self._BOARDS_CACHE[id_]
