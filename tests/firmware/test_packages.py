"""The packed core, used by projects that contain nothing else of this one."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from building import ROOT, call, need_module, need_platformio, need_program, pio
from consumers import write_cmake, write_idf, write_platformio
from parity_matrix import build as recipes
from parity_matrix.targets import all_targets

from aether_temporal import TemporalModel, __version__

CSRC = ROOT / "csrc"
HERE = Path(__file__).resolve().parent
STANDIN = HERE / "standin_idf"
BLOB = ROOT / "src" / "aether_temporal" / "blobs" / "demo.rvne"
FRAMES = 20
CHIP = {target.name: target for target in all_targets()}["rv32imafc"]
IDF_COMPONENTS = "esp_event;esp_netif;esp_partition;esp_timer;esp_wifi;freertos;heap;log;lwip;nvs_flash;spi_flash"


def listed(name: str) -> list[str]:
    text = (CSRC / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"set\({name}\n(.*?)\)\n", text, re.DOTALL)
    assert found is not None
    return found[1].split()


def test_source_list_is_complete() -> None:
    sources = [path.relative_to(CSRC).as_posix() for path in sorted((CSRC / "src").rglob("*.c"))]
    golden = [path.relative_to(CSRC).as_posix() for path in sorted((CSRC / "golden").rglob("*.c"))]
    assert listed("AETHER_SOURCES") == sources
    assert listed("AETHER_GOLDEN_SOURCES") == golden


def test_source_names_are_unique() -> None:
    """PlatformIO puts the objects of an external ESP-IDF component into one folder."""
    names = [Path(name).name for name in listed("AETHER_SOURCES") + listed("AETHER_GOLDEN_SOURCES")]
    assert len(names) == len(set(names))


def test_platformio_builds_the_same_sources() -> None:
    need_platformio()
    from platformio.builder.tools.piobuild import SRC_BUILD_EXT
    from platformio.fs import match_src_files

    manifest = json.loads((CSRC / "library.json").read_text(encoding="utf-8"))
    found = match_src_files(str(CSRC), manifest["build"]["srcFilter"], SRC_BUILD_EXT)
    assert sorted(Path(name).as_posix() for name in found) == listed("AETHER_GOLDEN_SOURCES") + listed("AETHER_SOURCES")


def test_packages_state_version_and_licence_of_the_core() -> None:
    assert json.loads((CSRC / "library.json").read_text(encoding="utf-8"))["version"] == __version__
    assert f'version: "{__version__}"' in (CSRC / "idf_component.yml").read_text(encoding="utf-8")
    assert (CSRC / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def expected() -> str:
    """The lines that the consumer must print, computed in Python."""
    model = TemporalModel.from_blob(BLOB)
    stream = model.stream(64)
    t, i = np.mgrid[:FRAMES, : model.input_dim]
    for frame in ((t * 31 + i * 17) % 64 * 0.125 - 4).astype(np.float32):
        logits = stream.push(frame)
    return "logits" + "".join(f" {bits:08x}" for bits in np.asarray(logits).view(np.uint32))


def check_output(text: str, expected: str) -> None:
    golden = re.search(r"^golden ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{8})$", text, re.MULTILINE)
    assert golden is not None, text
    assert int(golden[1], 16) == 0
    assert int(golden[2], 16) > 100
    assert int(golden[3], 16) == 0
    assert expected in text.splitlines()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_platformio()
    return tmp_path_factory.mktemp("core")


@pytest.fixture(scope="module")
def library(core: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the PlatformIO library."""
    folder = tmp_path_factory.mktemp("library")
    pio(core, folder, "pkg", "pack", CSRC, "-o", folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def test_library_contains_exactly_the_core(library: Path) -> None:
    with tarfile.open(library) as archive:
        names = {name for name in archive.getnames() if name != "."}
    assert {"library.json", "LICENSE", "README.md", "include/aether/aether.h", "golden/golden.h"} <= names
    assert {name.split("/")[0] for name in names} == {
        *("library.json", "platformio_flags.py", "LICENSE", "README.md", "include", "src", "golden"),
    }
    assert set(listed("AETHER_SOURCES")) <= names


@pytest.mark.slow
@pytest.mark.parametrize("env", ["native", "chip"])
def test_library_works_in_a_platformio_project(
    env: str, core: Path, library: Path, expected: str, tmp_path: Path
) -> None:
    if env == "chip" and CHIP.missing():
        need_program(CHIP.programs()[0], "see tools/install-emulators.sh")
    project = tmp_path / "project"
    write_platformio(project, library, CHIP.name)
    check_output(pio(core, project, "run", "-e", env, "-t", "exec"), expected)
    assert not list(project.rglob("train")), "the consumer saw more than the archive"


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive of the ESP-IDF component."""
    need_module("idf_component_manager", "idf-component-manager")
    folder = tmp_path_factory.mktemp("component")
    compote = need_program("compote", "idf-component-manager")
    pack = ["component", "pack", "--project-dir", CSRC, "--name", "aether_temporal", "--dest-dir", folder]
    call([compote, *pack], folder, IDF_TOOLS_PATH=str(folder))
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4
            packed.extractall(folder / "aether_temporal", filter="data")
        else:
            packed.extractall(folder / "aether_temporal")
    return folder / "aether_temporal"


def test_component_contains_exactly_the_core(component: Path) -> None:
    assert {path.name for path in component.iterdir()} >= {"CMakeLists.txt", "Kconfig", "idf_component.yml", "LICENSE"}
    assert not (component / "train").exists()
    assert not (component / "library.json").exists()
    assert all((component / name).is_file() for name in listed("AETHER_SOURCES") + listed("AETHER_GOLDEN_SOURCES"))


def configuration(folder: Path, kconfigs: list[Path], defaults: list[Path]) -> Path:
    """The CMake file that ESP-IDF's own tool generates from Kconfig files and defaults."""
    need_module("kconfgen", "esp-idf-kconfig")
    root = folder / "Kconfig"
    lines = [
        'mainmenu "Test"',
        "config IDF_TARGET",
        '    string "Chip"',
        "config ESP_WIFI_CSI_ENABLED",
        '    bool "CSI"',
    ]
    lines += [f'source "{path}"' for path in kconfigs]
    root.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = folder / "sdkconfig.cmake"
    files = [part for path in defaults for part in ("--defaults", path)]
    tool = [sys.executable, "-m", "kconfgen", "--kconfig", root, "--config", folder / "sdkconfig", *files]
    done = call([*tool, "--output", "cmake", out], folder)
    for severe in ("error", "undefined symbol"):
        assert severe not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    return out


def configure(project: Path, build: Path, sdkconfig: Path, *options: str, good: bool = True) -> str:
    cmake, ninja = need_program("cmake", "cmake"), need_program("ninja", "ninja")
    done = call(
        [
            *(cmake, "-G", "Ninja", "-S", project, "-B", build),
            *(f"-DCMAKE_MAKE_PROGRAM={ninja}", f"-DSTANDIN_SDKCONFIG={sdkconfig}", *options),
        ],
        project,
        good=good,
        IDF_PATH=str(STANDIN),
    )
    return done.stdout + done.stderr


def build(folder: Path, *targets: str) -> str:
    done = call([need_program("ninja", "ninja"), "-C", folder, "-j2", "-v", *targets], folder)
    return done.stdout + done.stderr


@pytest.fixture
def idf_project(component: Path, tmp_path: Path) -> Path:
    project = tmp_path / "project"
    write_idf(project)
    shutil.copytree(component, project / "components" / "aether_temporal")
    return project


@pytest.mark.slow
def test_component_works_in_an_idf_project_on_the_host(idf_project: Path, tmp_path: Path, expected: str) -> None:
    sdkconfig = configuration(tmp_path, [idf_project / "components" / "aether_temporal" / "Kconfig"], [])
    out = tmp_path / "build"
    configure(
        idf_project, out, sdkconfig, f"-DSTANDIN_START={STANDIN / 'start.c'}", "-DSTANDIN_OPTIONS=-Og;-Wall;-Werror"
    )
    log = build(out)
    core_lines = [line for line in log.splitlines() if "/src/attention.c" in line and " -c " in line]
    assert len(core_lines) == 1
    flags = core_lines[0].split()
    assert "-ffp-contract=off" in flags
    assert "-DAETHER_PORTABLE_ONLY" in flags
    assert flags.index("-O2") > flags.index("-Og")
    check_output(call([out / "consumer.elf"], out).stdout, expected)


@pytest.mark.slow
def test_component_works_in_an_idf_project_on_a_chip(idf_project: Path, tmp_path: Path, expected: str) -> None:
    if CHIP.missing():
        need_program(CHIP.programs()[0], "see tools/install-emulators.sh")
    (tmp_path / "defaults").write_text("CONFIG_AETHER_FOR_SPEED=n\n", encoding="utf-8")
    kconfig = idf_project / "components" / "aether_temporal" / "Kconfig"
    sdkconfig = configuration(tmp_path, [kconfig], [tmp_path / "defaults"])
    out = tmp_path / "build"
    runtime = [str(path) for path in recipes.runtime_sources(CHIP)]
    includes = [f"-I{folder}" for folder in recipes.runtime_includes(CHIP)]
    flags = [*CHIP.flags, "-ffreestanding", "-Os", "-DCONSUMER_BARE", *includes]
    link = recipes.link(CHIP, [], "")
    link_flags = [flag for flag in link[1 : link.index("-o")] if flag]
    machine = " ".join(CHIP.flags)
    configure(
        idf_project,
        out,
        sdkconfig,
        f"-DCMAKE_C_COMPILER={CHIP.compiler}",
        "-DCMAKE_SYSTEM_NAME=Generic",
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        f"-DCMAKE_ASM_FLAGS={machine} {' '.join(CHIP.assembler_flags)}",
        f"-DCMAKE_EXE_LINKER_FLAGS={' '.join(link_flags)}",
        f"-DCMAKE_C_STANDARD_LIBRARIES={' '.join(CHIP.libraries)}",
        f"-DSTANDIN_START={';'.join([str(STANDIN / 'start.c'), *runtime])}",
        f"-DSTANDIN_OPTIONS={';'.join(flag for flag in flags)}",
    )
    assert " -O2 " not in build(out)
    emulate = ROOT / "firmware" / "platform" / "modules" / "emulate.py"
    check_output(call([sys.executable, emulate, CHIP.name, out / "consumer.elf"], out).stdout, expected)


def test_rejects_a_component_without_a_source(idf_project: Path, tmp_path: Path) -> None:
    """Shows that the stand-in for ESP-IDF can fail."""
    sdkconfig = configuration(tmp_path, [], [])
    (idf_project / "components" / "aether_temporal" / "src" / "edges.c").unlink()
    assert "no file" in configure(idf_project, tmp_path / "build", sdkconfig, good=False)


@pytest.mark.slow
def test_component_works_in_a_plain_cmake_project(component: Path, tmp_path: Path, expected: str) -> None:
    project = tmp_path / "project"
    write_cmake(project)
    shutil.copytree(component, project / "aether_temporal")
    out = tmp_path / "build"
    cmake, ninja = need_program("cmake", "cmake"), need_program("ninja", "ninja")
    call([cmake, "-G", "Ninja", "-S", project, "-B", out, f"-DCMAKE_MAKE_PROGRAM={ninja}"], project)
    build(out)
    check_output(call([out / "consumer"], out).stdout, expected)


def partitions() -> dict[str, tuple[str, str, int, int]]:
    rows = {}
    for line in (ROOT / "firmware" / "partitions.csv").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, kind, subtype, offset, size = [part.strip() for part in line.split(",")]
            rows[name] = (kind, subtype, int(offset, 0), int(size, 0))
    return rows


def test_partitions_fit_the_flash_and_slots_are_page_aligned() -> None:
    rows = partitions()
    end = 0x9000  # behind the table itself
    for kind, _, offset, size in rows.values():
        assert offset >= end
        assert offset % (0x10000 if kind == "app" else 0x1000) == 0
        assert size % 0x1000 == 0
        end = offset + size
    assert end <= 4 << 20
    first, second = rows["aether_a"], rows["aether_b"]
    assert first[:2] == second[:2] == ("data", "undefined")
    assert first[3] == second[3] >= 192 << 10
    assert first[2] % 0x10000 == second[2] % 0x10000 == 0
    assert rows["nvs"][3] >= 0x3000
    assert max(path.stat().st_size for path in BLOB.parent.glob("*.rvne")) + 4096 < first[3]


@pytest.mark.slow
@pytest.mark.parametrize("application", ["board", "node"])
def test_firmware_is_an_idf_project(application: str, tmp_path: Path) -> None:
    """Its components find their sources and each other; the core and the golden vectors are built.

    tools/idf-check compiles the rest against ESP-IDF's headers.
    """
    firmware = ROOT / "firmware"
    kconfigs = [*sorted((firmware / "components").glob("*/Kconfig")), firmware / "main" / "Kconfig.projbuild"]
    defaults = [firmware / "sdkconfig.defaults"]
    if application == "node":
        defaults.append(firmware / "sdkconfig.defaults.node")
    sdkconfig = configuration(tmp_path, kconfigs, defaults)
    text = sdkconfig.read_text(encoding="utf-8")
    chosen = "NODE" if application == "node" else "BOARD"
    assert f'set(CONFIG_AETHER_APPLICATION_{chosen} "y")' in text
    assert 'set(CONFIG_RUV_TEMPORAL "y")' in text
    out = tmp_path / "build"
    configure(firmware, out, sdkconfig, f"-DSTANDIN_COMPONENTS={IDF_COMPONENTS}")
    ninja = need_program("ninja", "ninja")
    objects = call([ninja, "-C", out, "-t", "targets", "all"], out).stdout
    found = re.search(r"^(\S*vectors\.S\.o\w*):", objects, re.MULTILINE)
    assert (found is not None) == (application == "board")
    if found is not None:
        assert "lib__idf_aether_temporal.a" in build(out, "__idf_aether_temporal", found[1])
        golden = b"".join(path.read_bytes() for path in sorted((ROOT / "tests" / "golden").glob("*.agv")))
        assert golden in (out / found[1]).read_bytes()
