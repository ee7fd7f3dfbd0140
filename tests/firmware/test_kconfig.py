"""The Kconfig files, read by ESP-IDF's own parser: each combination of switches compiles only what it configures."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest
from building import COMPONENT, CSRC, FIRMWARE, NODE, ROOT, compiler, need_program
from idf_check import kconfig

pytestmark = pytest.mark.skipif(kconfig.missing() is not None, reason=f"needs {kconfig.missing()}")

SWITCHES = ("RUV_TEMPORAL_CACHE_BINARY16", "FREERTOS_UNICORE", "AETHER_CSI_ALL_FIELDS", "AETHER_SEND_RAW")
IDF = {
    line.split()[1]
    for line in (ROOT / "tools" / "idf_check" / "esp32s3.h").read_text(encoding="utf-8").splitlines()
    if line.startswith("#define")
}
FOLDERS = [FIRMWARE / "main", FIRMWARE / "app", COMPONENT / "include", COMPONENT / "src", NODE, CSRC / "include"]


def combinations() -> list[dict[str, str]]:
    """Each switch off and on, where the switches that it depends on are on."""
    found = [{"RUV_TEMPORAL": "n"}]
    for application in ("BOARD", "NODE"):
        names = SWITCHES if application == "NODE" else SWITCHES[:2]
        for values in itertools.product("ny", repeat=len(names)):
            switches = dict(zip(names, values, strict=True))
            found.append({"RUV_TEMPORAL": "y", f"AETHER_APPLICATION_{application}": "y", **switches})
    return found


def sources_of(folder: Path, cmake: str, options: dict[str, str]) -> list[Path]:
    """The sources that both components name to ESP-IDF with these options."""
    found: list[Path] = []
    for component in (FIRMWARE / "main", COMPONENT):
        script = folder / "read.cmake"
        lines = [f'set(CONFIG_{name} "{value}")' for name, value in options.items() if value not in ("n", "")]
        lines += [
            "function(idf_component_register)",
            '  cmake_parse_arguments(_ "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS;REQUIRES;PRIV_REQUIRES" ${ARGN})',
            "  foreach(each ${__SRCS})",
            '    message("source ${each}")',
            "  endforeach()",
            "  return()",
            "endfunction()",
            "function(target_compile_options)",
            "endfunction()",
            "function(set_property)",
            "endfunction()",
            "function(set_source_files_properties)",
            "endfunction()",
            f'set(CMAKE_CURRENT_LIST_DIR "{component}")',
            (component / "CMakeLists.txt").read_text(encoding="utf-8").replace("CONFIGURE_DEPENDS ", ""),
        ]
        script.write_text("\n".join(lines), encoding="utf-8")
        done = subprocess.run([cmake, "-P", script], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        names = re.findall(r"^source (\S+)", done.stderr, re.MULTILINE)
        assert names
        found += [Path(name) if Path(name).is_absolute() else component / name for name in names]
    return found


def empty_headers(folder: Path) -> Path:
    """What ESP-IDF's headers are to the preprocessor, as far as our options are concerned: nothing."""
    own = {path.name for each in FOLDERS for path in each.glob("*.h")}
    for source in [path for each in FOLDERS for path in each.glob("*.[ch]")]:
        for name in re.findall(r'#include "([^"]+)"', source.read_text(encoding="utf-8")):
            if name not in own and name != "sdkconfig.h" and not name.startswith("aether/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).touch()
    return folder


def test_every_combination_defines_what_its_sources_use(tmp_path: Path) -> None:
    """An option whose dependencies do not hold has no value: a source that uses it does not compile."""
    cc, cmake = compiler(), need_program("cmake", "cmake")
    stubs = empty_headers(tmp_path / "stubs")
    wrong: dict[str, set[str]] = {}
    compiled: set[str] = set()
    for number, switches in enumerate(combinations()):
        folder = tmp_path / str(number)
        options = kconfig.write_header(folder, switches)
        for source in sources_of(folder, cmake, options):
            compiled.add(source.name)
            if source.suffix != ".c" or "CONFIG_" not in source.read_text(encoding="utf-8"):
                continue
            includes = [f"-I{each}" for each in (folder, *FOLDERS, stubs)]
            preprocess = [cc, "-E", "-P", "-include", "sdkconfig.h", *includes, str(source)]
            done = subprocess.run(preprocess, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            used = set(re.findall(r"\bCONFIG_\w+", re.sub(r'"(?:[^"\\]|\\.)*"', "", done.stdout))) - IDF
            if used:
                wrong[f"{source.name} with {switches}"] = used
    assert not wrong
    assert {"raw_sender.c", "switched_off.c", "node_main.c", "board_main.c", "temporal_task.c"} <= compiled


def test_the_head_is_off_by_default(tmp_path: Path) -> None:
    assert kconfig.write_header(tmp_path, {})["RUV_TEMPORAL"] == "n"


def test_an_option_whose_dependencies_do_not_hold_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AETHER_RAW_HZ: expected 20, found '' set"):
        kconfig.write_header(tmp_path, {"RUV_TEMPORAL": "y", "AETHER_RAW_HZ": "20"})
    with pytest.raises(ValueError, match="AETHER_NOTHING: expected an option of the Kconfig files"):
        kconfig.write_header(tmp_path, {"AETHER_NOTHING": "y"})
