"""Components of ESP-IDF as their CMakeLists.txt describe them, which CMake reads as scripts, as ESP-IDF does first."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

LISTS = ("SRCS", "INCLUDE_DIRS", "PRIV_INCLUDE_DIRS", "REQUIRES", "PRIV_REQUIRES")
SCRIPT = """\
cmake_policy(VERSION 3.16)
set(ESP_PLATFORM 1)
set(CMAKE_BUILD_EARLY_EXPANSION 1)
set(IDF_TARGET "@CHIP@")
set(IDF_TARGET_ARCH "@ARCH@")
set(IDF_PATH "@IDF@")
set(ENV{IDF_PATH} "@IDF@")
set(ENV{IDF_TARGET} "@CHIP@")
include("@IDF@/tools/cmake/utilities.cmake" OPTIONAL)
include("@IDF@/tools/cmake/version.cmake" OPTIONAL)
function(idf_build_get_property result name)
  set(${result} "${${name}}" PARENT_SCOPE)
endfunction()
function(idf_component_get_property result component name)
  set(${result} "" PARENT_SCOPE)
endfunction()
macro(require_idf_targets)
endmacro()
macro(idf_component_register)
  set(_several @LISTS@ SRC_DIRS EXCLUDE_SRCS LDFRAGMENTS REQUIRED_IDF_TARGETS EMBED_FILES EMBED_TXTFILES)
  cmake_parse_arguments(_ "WHOLE_ARCHIVE" "KCONFIG;KCONFIG_PROJBUILD" "${_several}" ${ARGN})
  foreach(_list @LISTS@)
    foreach(_each ${__${_list}})
      message("found|${COMPONENT_DIR}|${_list}|${_each}")
    endforeach()
  endforeach()
  return()
endmacro()
function(read_component COMPONENT_DIR)
  get_filename_component(COMPONENT_NAME "${COMPONENT_DIR}" NAME)
  set(COMPONENT_PATH "${COMPONENT_DIR}")
  set(CMAKE_CURRENT_SOURCE_DIR "${COMPONENT_DIR}")
  include("${COMPONENT_DIR}/CMakeLists.txt")
endfunction()
"""


@dataclass(frozen=True)
class Component:
    """What it compiles, the folders that it shows to others and to itself alone, and the components that it names."""

    sources: tuple[Path, ...]
    public: tuple[Path, ...]
    private: tuple[Path, ...]
    requires: tuple[str, ...]
    private_requires: tuple[str, ...]


ROOT = Path(__file__).resolve().parents[2]
_COMPONENTS = ROOT / "firmware" / "components"
OWN = (ROOT / "firmware" / "main", _COMPONENTS / "ruv_temporal", _COMPONENTS / "aether_temporal")
NOTHING = Component((), (), (), (), ())


def read(
    cmake: str,
    folders: Iterable[Path],
    options: Mapping[str, str],
    idf: Path | None = None,
    chip: str = "",
    arch: str = "",
) -> dict[str, Component]:
    """Components by name, with these options of Kconfig. RuntimeError: CMake cannot read one."""
    given = {"@LISTS@": " ".join(LISTS), "@CHIP@": chip, "@ARCH@": arch, "@IDF@": str(idf or "")}
    script = SCRIPT
    for name, value in given.items():
        script = script.replace(name, value)
    script += "".join(f'set(CONFIG_{name} "{value}")\n' for name, value in options.items() if value not in ("n", ""))
    folders = list(folders)
    script += "".join(f'read_component("{folder}")\n' for folder in folders)
    with tempfile.TemporaryDirectory(prefix="components-") as work:
        path = Path(work) / "read.cmake"
        path.write_text(script, encoding="utf-8")
        done = subprocess.run([cmake, "-P", path], cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("\n".join(line for line in done.stderr.splitlines() if not line.startswith("found|")))
    found: dict[str, dict[str, list[str]]] = {folder.name: {name: [] for name in LISTS} for folder in folders}
    for line in done.stderr.splitlines():
        if line.startswith("found|"):
            _, folder, name, value = line.split("|")
            found[Path(folder).name][name].append(value)
    return {folder.name: _component(folder, found[folder.name]) for folder in folders}


def _component(folder: Path, lists: Mapping[str, list[str]]) -> Component:
    sources, public, private = (tuple((folder / each).resolve() for each in lists[name]) for name in LISTS[:3])
    return Component(sources, public, private, tuple(lists["REQUIRES"]), tuple(lists["PRIV_REQUIRES"]))


_OPTION = re.compile(r"\bCONFIG_(\w+)")


@cache
def mentioned(source: Path) -> list[str]:
    """The options that a source, or a header of this project, names: with the same values it compiles the same."""
    headers = [path for path in (ROOT / "firmware").rglob("*.h") if path.parent.name != "test"]
    texts = [path.read_text(encoding="utf-8") for path in (source, *headers)]
    code = [re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL) for text in texts]
    return sorted({name for text in code for name in _OPTION.findall(text)})


_read: dict[tuple[object, ...], dict[str, Component]] = {}


def own(cmake: str, options: Mapping[str, str]) -> dict[str, Component]:
    """The components of this project with these options."""
    files = [*(folder / "CMakeLists.txt" for folder in OWN), ROOT / "csrc" / "CMakeLists.txt"]
    asked = sorted({name for path in files for name in _OPTION.findall(path.read_text(encoding="utf-8"))})
    key = tuple(options.get(name) for name in asked)
    if key not in _read:
        _read[key] = read(cmake, OWN, options)
    return _read[key]


@dataclass(frozen=True)
class Build:
    """ESP-IDF for one chip and configuration, and `extra` components: finds the folders that a component sees."""

    cmake: str
    idf: Path
    chip: str
    arch: str
    options: Mapping[str, str]
    extra: tuple[Path, ...] = ()
    _known: dict[str, Component] = field(default_factory=dict)

    def _folder(self, name: str) -> Path:
        return next((folder for folder in self.extra if folder.name == name), self.idf / "components" / name)

    def common(self) -> list[str]:
        """What ESP-IDF adds to the requirements of every component."""
        text = (self.idf / "tools" / "cmake" / "build.cmake").read_text(encoding="utf-8")
        (found,) = (names for names in re.findall(r"set\(requires_common ([^)]*)\)", text) if "linux" not in names)
        return [*found.split(), self.arch]

    def folders(self, own: Component) -> list[Path]:
        """The public folders of what `own` requires, of what that requires publicly, and so on."""
        seen: dict[str, None] = {}
        names = [*own.requires, *own.private_requires, *self.common()]
        while names:
            self._read([name for name in names if name not in self._known])
            seen |= dict.fromkeys(names)
            required = [each for name in names for each in self._known[name].requires]
            names = [name for name in dict.fromkeys(required) if name not in seen]
        return [folder for name in seen for folder in self._known[name].public]

    def _read(self, names: list[str]) -> None:
        there = [folder for folder in map(self._folder, names) if (folder / "CMakeLists.txt").exists()]
        found = read(self.cmake, there, self.options, self.idf, self.chip, self.arch)
        self._known.update((name, found.get(name, NOTHING)) for name in names)
