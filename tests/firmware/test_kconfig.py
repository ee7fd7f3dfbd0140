"""The Kconfig files, read by ESP-IDF's own parser: what every combination of switches configures compiles.

tools/idf-check does the same against ESP-IDF's headers, firmware/main included.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from building import CSRC, FAKE, FIRMWARE, WARNINGS, compiler, idf_headers, need_program
from idf_check import components, kconfig

pytestmark = pytest.mark.skipif(kconfig.missing() is not None, reason=f"needs {kconfig.missing()}")

ESP_IDF = {"CONFIG_IDF_TARGET", "CONFIG_FREERTOS_HZ"}  # has a value in every configuration
SWITCHES = {
    *("RUV_TEMPORAL", "RUV_TEMPORAL_CACHE_BINARY16", "AETHER_APPLICATION_BOARD", "AETHER_APPLICATION_NODE"),
    "RUV_TEMPORAL_ZEROS_BEFORE_FIRST_FRAME",
    *(
        "AETHER_CSI_ALL_FIELDS",
        "AETHER_SEND_RAW",
        "RUV_TEMPORAL_RECEIPTS",
        "AETHER_FOR_SPEED",
        "AETHER_PYRAMID",
        "FREERTOS_UNICORE",
    ),
}


def empty_headers(folder: Path) -> Path:
    """What ESP-IDF's headers are to the preprocessor, as far as our options are concerned: nothing."""
    own = {path.name for path in [*FIRMWARE.rglob("*.h"), *(CSRC / "golden").glob("*.h")]}
    for source in [*FIRMWARE.rglob("*.c"), *FIRMWARE.rglob("*.h")]:
        for name in re.findall(r'#include "([^"]+)"', source.read_text(encoding="utf-8")):
            if name not in own and name != "sdkconfig.h" and not name.startswith("aether/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).touch()
    return folder


def test_every_combination_compiles(tmp_path: Path) -> None:
    """An option whose dependencies do not hold has no value: a source that uses it does not compile. A combination is
    compiled when a source sees other values than in those before."""
    cc, cmake = compiler(), need_program("cmake", "cmake")
    stubs = empty_headers(tmp_path / "stubs")
    config = kconfig.Configuration(tmp_path)
    (tmp_path / "freertos").mkdir()
    wrong: list[str] = []
    seen: set[object] = set()
    combinations = config.combinations()
    for switches in combinations:
        options = config.set(switches)
        config.write_header(tmp_path / "sdkconfig.h")
        own = components.own(cmake, options)
        public = [folder for component in own.values() for folder in component.public]
        for name, component in own.items():
            for source in component.sources:
                key = (source, *((option, options.get(option)) for option in components.mentioned(source)))
                if source.suffix != ".c" or key in seen:
                    continue
                seen.add(key)
                folders = [tmp_path, *component.private, *public]
                where = f"{source.name} with {switches}"
                stand_ins = [stubs] if name == "main" else [FAKE / "include", idf_headers()]
                done = subprocess.run(
                    [
                        *(
                            cc,
                            "-std=gnu11",
                            "-include",
                            "sdkconfig.h",
                            "-DCONFIG_FREERTOS_HZ=100",
                            *WARNINGS,
                            "-Werror",
                        ),
                        *(("-E", "-P") if name == "main" else ("-fsyntax-only", "-DAETHER_PORTABLE_ONLY")),
                        *(f"-I{folder}" for folder in [*folders, *stand_ins]),
                        source,
                    ],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode != 0:
                    wrong.append(f"{where}: {done.stderr}")
                unset = set(re.findall(r"\bCONFIG_\w+", re.sub(r'"(?:[^"\\]|\\.)*"', "", done.stdout))) - ESP_IDF
                if unset:
                    wrong.append(f"{where}: without a value: {unset}")
    assert not wrong
    assert set().union(*combinations) == SWITCHES
    assert {"raw_sender.c", "switched_off.c", "node_main.c", "board_main.c", "temporal_task.c"} <= {
        key[0].name for key in seen if isinstance(key, tuple)
    }


def test_combinations_are_all_that_the_switches_admit(tmp_path: Path) -> None:
    found = kconfig.Configuration(tmp_path).combinations()
    off = [each for each in found if each["RUV_TEMPORAL"] == "n"]
    assert {each.get("AETHER_APPLICATION_NODE") for each in off} == {None}  # the node needs the head
    assert len(off) == 2**3  # one core, speed, pyramid
    node = [each for each in found if each.get("AETHER_APPLICATION_NODE") == "y"]
    assert len(node) == 2**8  # and the cache, zeros, all fields, raw frames, receipts
    assert len(found) == len(off) + len(node) + 2**6
    one = kconfig.Configuration(tmp_path).combinations({"FREERTOS_UNICORE": "y"})
    assert len(one) == len(found) / 2
    assert {each["FREERTOS_UNICORE"] for each in one} == {"y"}


def test_the_head_is_off_by_default(tmp_path: Path) -> None:
    assert kconfig.Configuration(tmp_path).set({})["RUV_TEMPORAL"] == "n"


def test_an_option_whose_dependencies_do_not_hold_is_an_error(tmp_path: Path) -> None:
    config = kconfig.Configuration(tmp_path)
    with pytest.raises(ValueError, match="AETHER_RAW_HZ: expected 20, found '' set"):
        config.set({"RUV_TEMPORAL": "y", "AETHER_RAW_HZ": "20"})
    with pytest.raises(ValueError, match="AETHER_NOTHING: expected an option of the Kconfig files"):
        config.set({"AETHER_NOTHING": "y"})


def test_a_component_sees_the_folders_of_what_it_requires(tmp_path: Path) -> None:
    """Publicly and through others, as in ESP-IDF; a private requirement of another one stays hidden."""
    cmake = need_program("cmake", "cmake")
    (tmp_path / "tools" / "cmake").mkdir(parents=True)
    text = "set(requires_common freertos linux)\nset(requires_common log)\n"
    (tmp_path / "tools" / "cmake" / "build.cmake").write_text(text, encoding="utf-8")
    for name, required in {"net": "REQUIRES stack PRIV_REQUIRES radio", "stack": "", "radio": "", "log": ""}.items():
        folder = tmp_path / "components" / name
        folder.mkdir(parents=True)
        script = (
            f'idf_component_register(INCLUDE_DIRS "${{IDF_TARGET}}/include" {required})\nmessage(FATAL_ERROR "no")\n'
        )
        (folder / "CMakeLists.txt").write_text(script, encoding="utf-8")
    own = components.Component((), (), (), (), ("net",))
    build = components.Build(cmake, tmp_path, "esp32c6", "riscv", {})
    folders = build.folders(own)
    assert folders == [tmp_path / "components" / name / "esp32c6" / "include" for name in ("net", "log", "stack")]
    (tmp_path / "components" / "stack" / "CMakeLists.txt").write_text("no_such_command()\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no_such_command"):
        components.Build(cmake, tmp_path, "esp32c6", "riscv", {}).folders(own)
