"""The Kconfig files of this project, read by ESP-IDF's own parser (PyPI: esp-idf-kconfig)."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    ROOT / "firmware" / "components" / "ruv_temporal" / "Kconfig",
    ROOT / "firmware" / "main" / "Kconfig.projbuild",
    ROOT / "csrc" / "Kconfig",
)
# Options of ESP-IDF that these files name.
STUB = 'config FREERTOS_UNICORE\n    bool "One core"\n    default n\nconfig ESP_WIFI_CSI_ENABLED\n    bool\n'
Options = dict[str, str]
"""Options by name, without CONFIG_; as the parser has them: "y", "n", numbers, texts."""


def missing() -> str | None:
    """What to install, or None."""
    found = any(importlib.util.find_spec(name) for name in ("esp_kconfiglib", "kconfiglib"))
    return None if found else "esp-idf-kconfig: pip install esp-idf-kconfig"


def _library() -> Any:
    return importlib.import_module("esp_kconfiglib" if importlib.util.find_spec("esp_kconfiglib") else "kconfiglib")


def _sources(path: Path, files: Iterable[Path]) -> str:
    path.write_text("".join(f'source "{file}"\n' for file in files), encoding="utf-8")
    return str(path)


class Configuration:
    """The options of this project, with ESP-IDF's own for a chip, or without: then STUB stands for them."""

    def __init__(self, folder: Path, idf: Path | None = None, chip: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        top = folder / "Kconfig"
        if idf is None:
            top.write_text(f'mainmenu "check"\n{STUB}source "{folder}/own"\n', encoding="utf-8")
            _sources(folder / "own", FILES)
        else:
            top = idf / "Kconfig"
            version = ".".join(idf_version(idf))
            menus = {"PROJBUILD_": "Kconfig.projbuild", "": "Kconfig"}
            for part, name in menus.items():
                found = [
                    *sorted((idf / "components").glob(f"*/{name}")),
                    *(file for file in FILES if file.name == name),
                ]
                os.environ[f"COMPONENT_KCONFIGS_{part}SOURCE_FILE"] = _sources(folder / name, found)
            given = {"IDF_PATH": idf, "IDF_TARGET": chip, "IDF_VERSION": version, "IDF_INIT_VERSION": version}
            os.environ.update({name: str(value) for name, value in given.items()})
            os.environ.update(
                {"IDF_TOOLCHAIN": "gcc"} | dict.fromkeys(("IDF_CI_BUILD", "IDF_ENV_FPGA", "IDF_BUILD_V2"), "")
            )
        self._config = _library().Kconfig(str(top), warn=False)

    def _reset(self) -> None:
        for each in (*self._config.unique_defined_syms, *self._config.unique_choices):
            each.unset_value()

    def _values(self) -> Options:
        return {each.name: each.str_value for each in self._config.unique_defined_syms if each.config_string}

    def set(self, values: Mapping[str, str]) -> Options:
        """Sets these over the defaults; every option that is then set. ValueError: an option that does not exist, or
        one that does not take the value because its dependencies do not hold."""
        self._reset()
        for option, value in values.items():
            if option not in self._config.syms or not self._config.syms[option].nodes:
                raise ValueError(f"{option}: expected an option of the Kconfig files, found none of this name")
            self._config.syms[option].set_value(value)
        for option, value in values.items():
            if self._config.syms[option].str_value != value:
                raise ValueError(f"{option}: expected {value}, found {self._config.syms[option].str_value!r} set")
        return self._values()

    def write_header(self, path: Path) -> None:
        """What is set, as sdkconfig.h."""
        self._config.write_autoconf(str(path), header="#pragma once\n")

    def combinations(self, fixed: Mapping[str, str] | None = None) -> list[Options]:
        """The values of all switches that can be set, for every combination that there is; `fixed` ones stay."""
        fixed = fixed or {}
        own = [self._config.syms[name] for name in ("FREERTOS_UNICORE", *names())]
        switches = [each for each in own if each.str_value in ("y", "n")]
        free = [each for each in switches if each.name not in fixed]
        found: list[Options] = []
        self._reset()
        for name, value in fixed.items():
            self._config.syms[name].set_value(value)
        for values in itertools.product("ny", repeat=len(free)):
            for switch, value in zip(free, values, strict=True):
                switch.set_value(value)
            made = {each.name: each.str_value for each in switches if each.visibility or each.name in fixed}
            if made not in found:
                found.append(made)
        return found


def names() -> list[str]:
    """The options of FILES."""
    return [
        name
        for file in FILES
        for name in re.findall(r"^\s*config (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def idf_version(idf: Path) -> list[str]:
    text = (idf / "components/esp_common/include/esp_idf_version.h").read_text(encoding="utf-8")
    return re.findall(r"#define ESP_IDF_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", text)


def defaults(files: Iterable[Path]) -> Options:
    """What sdkconfig.defaults files say, later ones over earlier ones; those that do not exist say nothing."""
    found: Options = {}
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            if line.startswith("CONFIG_"):
                name, _, value = line.removeprefix("CONFIG_").partition("=")
                found[name] = value.strip('"')
    return found
