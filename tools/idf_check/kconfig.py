"""The Kconfig files of this project, read by ESP-IDF's own parser (PyPI: esp-idf-kconfig)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    ROOT / "firmware" / "components" / "ruv_temporal" / "Kconfig",
    ROOT / "firmware" / "main" / "Kconfig.projbuild",
    ROOT / "csrc" / "Kconfig",
)
# Options of ESP-IDF that these files name.
STUB = 'config FREERTOS_UNICORE\n    bool "One core"\n    default n\nconfig ESP_WIFI_CSI_ENABLED\n    bool\n'


def missing() -> str | None:
    """What to install, or None."""
    found = any(importlib.util.find_spec(name) for name in ("esp_kconfiglib", "kconfiglib"))
    return None if found else "esp-idf-kconfig: pip install esp-idf-kconfig"


def write_header(folder: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Writes sdkconfig.h into `folder` with these values ("y", "n", numbers, texts) over the defaults.

    Returns every option that is then set, as the parser has it. ValueError: an option that does not exist, or one that
    does not take the value because its dependencies do not hold.
    """
    name = "esp_kconfiglib" if importlib.util.find_spec("esp_kconfiglib") else "kconfiglib"
    library = importlib.import_module(name)
    folder.mkdir(parents=True, exist_ok=True)
    top = folder / "Kconfig"
    sources = "".join(f'source "{path}"\n' for path in FILES)
    top.write_text(f'mainmenu "check"\n{STUB}{sources}', encoding="utf-8")
    config = library.Kconfig(str(top), warn=False)
    for option, value in values.items():
        if option not in config.syms or not config.syms[option].nodes:
            raise ValueError(f"{option}: expected an option of the Kconfig files, found none of this name")
        config.syms[option].set_value(value)
    for option, value in values.items():
        if config.syms[option].str_value != value:
            raise ValueError(f"{option}: expected {value}, found {config.syms[option].str_value!r} set")
    config.write_autoconf(str(folder / "sdkconfig.h"), header="#pragma once\n")
    return {each.name: each.str_value for each in config.unique_defined_syms if each.config_string}
