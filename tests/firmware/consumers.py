#!/usr/bin/env python3
"""Writes projects that use the packed core and nothing else of this repository (their program is consumer.c), and the
project of docs/guide/esp-idf.md, which uses the head.

As a program, `consumers.py FOLDER` writes the ESP-IDF project of the core. Standard library only.
"""

from __future__ import annotations

import re
import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BLOB = ROOT / "src" / "aether_temporal" / "blobs" / "demo.rvne"
GOLDEN = ROOT / "tests" / "golden" / "kernels.agv"

_MAIN = """\
int consume(void);

#ifdef CONSUMER_BARE
#include "platform.h"

int firmware_main(void) {
    return consume();
}
#else
int main(void) {
    return consume();
}
#endif
"""

_APP_MAIN = """\
int consume(void);
void app_main(void);

void app_main(void) {
    (void)consume();
}
"""

_IDF = """\
cmake_minimum_required(VERSION 3.16)
include($ENV{IDF_PATH}/tools/cmake/project.cmake)
project(consumer)
"""

_IDF_MAIN = """\
idf_component_register(SRCS "app_main.c" "consumer.c" INCLUDE_DIRS "." REQUIRES aether_temporal)
"""

_CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(consumer LANGUAGES C)
add_subdirectory(aether_temporal)
add_executable(consumer main.c consumer.c)
target_link_libraries(consumer PRIVATE aether::aether aether::golden)
"""

_PLATFORMIO = """\
[env]
lib_deps = file://{archive}

[env:native]
platform = native

[env:chip]
platform = symlink://{platform}
board = {board}
build_flags = -DCONSUMER_BARE
"""


def _words(name: str, data: bytes) -> str:
    body = ", ".join(f"{word}u" for (word,) in struct.iter_unpack("<I", data))
    return f"static const uint32_t {name}[] = {{{body}}};\n"


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def _write_program(folder: Path) -> None:
    """Writes consumer.c and its data."""
    _write(folder, {"data.h": _words("blob", BLOB.read_bytes()) + _words("golden", GOLDEN.read_bytes())})
    shutil.copy(HERE / "consumer.c", folder)


def write_idf(folder: Path) -> None:
    """Writes an ESP-IDF project. The caller adds components/aether_temporal."""
    _write(folder, {"CMakeLists.txt": _IDF, "main/CMakeLists.txt": _IDF_MAIN, "main/app_main.c": _APP_MAIN})
    _write_program(folder / "main")


def write_cmake(folder: Path) -> None:
    """Writes a CMake project. The caller adds the folder aether_temporal."""
    _write(folder, {"CMakeLists.txt": _CMAKE, "main.c": _MAIN})
    _write_program(folder)


def write_platformio(folder: Path, archive: Path, board: str) -> None:
    """Writes a PlatformIO project with two environments: `native`, and `chip` for an emulated `board`."""
    ini = _PLATFORMIO.format(archive=archive, platform=ROOT / "firmware" / "platform", board=board)
    _write(folder, {"platformio.ini": ini, "src/main.c": _MAIN})
    _write_program(folder / "src")


PAGE = ROOT / "docs" / "guide" / "esp-idf.md"


def write_page(folder: Path, main: str) -> Path:
    """Writes the files of the page, and a checkout beside them; main.c is the project's own. Returns its folder."""
    blocks = re.findall(r"^```(cmake|c|text)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = ["CMakeLists.txt", "main/CMakeLists.txt", "partitions.csv", "sdkconfig.defaults", "main/head.c"]
    kinds = ["cmake", "cmake", "text", "text", "c"]
    if [kind for kind, _ in blocks[: len(names)]] != kinds:
        raise ValueError(f"{PAGE}: expected the files {', '.join(names)} first, in this order")
    _write(
        folder / "mine", {name: text for name, (_, text) in zip(names, blocks, strict=False)} | {"main/main.c": main}
    )
    (folder / "aether-temporal").symlink_to(ROOT)
    return folder / "mine"


if __name__ == "__main__":
    write_idf(Path(sys.argv[1]))
