"""The packed core in projects that contain nothing else of this one, and the installed C library, found by CMake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from building import IDF_HEADERS, ROOT, call, need_module, need_platformio, need_program, pio
from consumers import PAGE, write_cmake, write_idf, write_page, write_platformio
from hang import HANG
from parity_matrix import build as recipes
from parity_matrix.targets import all_targets

import aether_temporal as at
from aether_temporal import TemporalModel, __version__
from aether_temporal.bundled import model_path
from aether_temporal.device.slots import pack_slot
from aether_temporal.subcarriers import layout_of

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


# -- the component in a project of somebody else, by its page alone -------------------------------------------

DRIVER = """\
#include <stdio.h>
#include <string.h>

#include "esp_wifi.h"
#include "fake.h"
#include "prototypes.h"
#include "temporal_task.h"

static wifi_csi_cb_t driver;

esp_err_t esp_wifi_set_csi_config(const wifi_csi_config_t *config) { return config->lltf_en ? ESP_OK : ESP_FAIL; }
esp_err_t esp_wifi_set_csi_rx_cb(wifi_csi_cb_t take, void *user) { driver = user == NULL ? take : NULL; return ESP_OK; }
esp_err_t esp_wifi_set_csi(bool on) { return on ? ESP_OK : ESP_FAIL; }

void head_start(const uint8_t *bssid);
void app_main(void);

/* What the project was before: here, it plays the driver as well. */
void app_main(void) {
    static const uint8_t bssid[6] = {1, 2, 3, 4, 5, 6};
    static int8_t iq[128];
    wifi_csi_info_t info = {.buf = iq, .len = 128};
    temporal_task_stats_t now = {0};
    uint32_t t, i;
    FILE *slot = fopen("slot.bin", "rb");
    (void)!fread(fake_flash[0], 1, FAKE_SLOT_BYTES, slot);
    fclose(slot);
    fake_clock_stop(1000000);
    head_start(bssid);
    memcpy(info.mac, bssid, 6);
    for (t = 0; t < 200; t++) {
        for (i = 0; i < 128; i++) {
            iq[i] = (int8_t)((t * (1 + i % 5) * 7u + i * 13u) % 101u);
        }
        info.rx_ctrl.timestamp = t * 20000u;
        driver(NULL, &info);
        while (now.frames <= t) {
            vTaskDelay(1);
            (void)temporal_task_stats(&now);
        }
    }
    fake_clock_jump(2000000);
    for (i = 0; i < 1000 && now.classifications == 0; i++) {
        vTaskDelay(1);
        (void)temporal_task_stats(&now);
    }
    (void)temporal_task_stop();
}
"""
WIFI = """\
#pragma once
#include "types.h"
typedef struct {
    bool lltf_en, htltf_en, stbc_htltf2_en, ltf_merge_en, channel_filter_en, manu_scale;
} wifi_csi_config_t;
typedef struct {
    unsigned sig_mode, cwb, stbc, secondary_channel, channel, timestamp;
    int rssi, noise_floor;
} wifi_pkt_rx_ctrl_t;
typedef struct {
    wifi_pkt_rx_ctrl_t rx_ctrl;
    uint8_t mac[6];
    bool first_word_invalid;
    int8_t *buf;
    uint16_t len;
} wifi_csi_info_t;
typedef void (*wifi_csi_cb_t)(void *user, wifi_csi_info_t *info);
esp_err_t esp_wifi_set_csi_config(const wifi_csi_config_t *config);
esp_err_t esp_wifi_set_csi_rx_cb(wifi_csi_cb_t take, void *user);
esp_err_t esp_wifi_set_csi(bool on);
"""


def headers_of_esp_idf(folder: Path) -> Path:
    """ESP-IDF's headers as the tests play them, with this configuration's sdkconfig.h among them."""
    fake = ROOT / "tests" / "firmware" / "fake_idf"
    for name in ("types.h", "prototypes.h", "lwip/sockets.h"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fake / "include" / name, folder / name)
    shutil.copy(fake / "fake.h", folder)
    (folder / "freertos").mkdir()
    for name in IDF_HEADERS:
        (folder / f"{name}.h").write_text(
            '#pragma once\n#include "types.h"\n#include "prototypes.h"\n', encoding="ascii"
        )
    (folder / "esp_wifi.h").write_text(WIFI, encoding="ascii")
    version = "#define ESP_IDF_VERSION_VAL(a, b, c) ((a) << 16 | (b) << 8 | (c))\n#define ESP_IDF_VERSION 0x050505\n"
    (folder / "esp_idf_version.h").write_text(version, encoding="ascii")
    return folder


def kconfigs_of_the_component() -> list[Path]:
    return sorted((ROOT / "firmware" / "components").glob("*/Kconfig"))


@pytest.mark.slow
def test_the_page_leads_from_a_project_to_a_head_that_classifies(tmp_path: Path) -> None:
    project = write_page(tmp_path, DRIVER)
    headers = headers_of_esp_idf(tmp_path / "headers")
    sdkconfig = configuration(tmp_path, kconfigs_of_the_component(), [project / "sdkconfig.defaults"])
    lines = re.findall(r'^set\((CONFIG_\w+) "(.+)"\)$', sdkconfig.read_text(encoding="utf-8"), re.MULTILINE)
    texts = ("CONFIG_RUV_TEMPORAL_HOST", "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME", "CONFIG_IDF_TARGET")
    defines = [f"#define {name} {1 if value == 'y' else value}" for name, value in lines if name not in texts]
    defines += ['#define CONFIG_RUV_TEMPORAL_HOST ""', "#define CONFIG_FREERTOS_HZ 100"]
    (headers / "sdkconfig.h").write_text("\n".join(["#pragma once", *defines, ""]), encoding="utf-8")
    out, fake = tmp_path / "build", ROOT / "tests" / "firmware" / "fake_idf"
    options = f"-O1;-D_GNU_SOURCE;-Wall;-Werror;-I{headers}"
    configure(
        project,
        out,
        sdkconfig,
        f"-DSTANDIN_START={STANDIN / 'start.c'};{fake / 'fake.c'}",
        f"-DSTANDIN_OPTIONS={options}",
        f"-DSTANDIN_COMPONENTS={IDF_COMPONENTS}",
        "-DCMAKE_C_STANDARD_LIBRARIES=-lpthread",
    )
    build(out)
    model = TemporalModel.from_blob(model_path("motion"))
    (out / "slot.bin").write_bytes(pack_slot(model.blob))
    said = call([out / "mine.elf"], out)
    log = said.stdout + said.stderr
    assert "every bit is the same" in log
    assert f"slot aether_a: in use: sequence 0, {len(model.blob)} bytes, on trial" in log
    t, i = np.mgrid[:200, :128]
    iq = ((t * (1 + i % 5) * 7 + i * 13) % 101).astype(np.int8).reshape(200, 64, 2)
    layout = layout_of("esp32", 64, sig_mode=0, bandwidth=0, stbc=0, secondary=0)
    stream = model.stream(256, "float16")
    scores = [stream.push(model.csi_frame(frame, layout)) for frame in iq][-1]
    assert model.settings is not None
    assert model.settings.class_names is not None
    name, margin = model.settings.class_names[int(scores.argmax())], abs(float(scores[0] - scores[1]))
    assert f"class {int(scores.argmax())} {name}, margin {margin:.3f}" in log


@pytest.mark.slow
@pytest.mark.parametrize("place", ["components", "others"])
def test_a_second_component_of_the_name_stops_the_build(tmp_path: Path, place: str) -> None:
    """Whichever of the two ESP-IDF takes: a project's own components count before EXTRA_COMPONENT_DIRS."""
    project = write_page(tmp_path, DRIVER)
    theirs = project / place / "ruv_temporal"
    theirs.mkdir(parents=True)
    (theirs / "CMakeLists.txt").write_text('idf_component_register(INCLUDE_DIRS ".")\n', encoding="utf-8")
    if place == "others":
        top = project / "CMakeLists.txt"
        text = 'list(APPEND EXTRA_COMPONENT_DIRS "${CMAKE_CURRENT_LIST_DIR}/others")\n'
        top.write_text(text + top.read_text(encoding="utf-8"), encoding="utf-8")
    sdkconfig = configuration(tmp_path, kconfigs_of_the_component(), [project / "sdkconfig.defaults"])
    components = f"-DSTANDIN_COMPONENTS={IDF_COMPONENTS}"
    said = configure(project, tmp_path / "build", sdkconfig, components, good=False)
    assert "expected one component of this name" in " ".join(said.split())
    assert str(theirs) in "".join(said.split())


def test_the_page_s_partitions_are_the_node_s() -> None:
    rows = re.search(r"^# Name,.*?(?=^```)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert rows is not None
    assert rows[0] in (ROOT / "firmware" / "partitions.csv").read_text(encoding="utf-8")


EXAMPLES = CSRC / "examples"
NAMES = ("attention", "classify", "sense")
FUSED = re.compile(r"\t(vfn?m(?:add|sub)\w*|fn?m(?:add|sub|la|ls))\s")  # of x86 and of AArch64


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix that `cmake --install` of csrc fills."""
    folder = tmp_path_factory.mktemp("install")
    cmake = need_program("cmake", "cmake")
    call([cmake, "-S", CSRC, "-B", folder / "build", f"-DCMAKE_INSTALL_PREFIX={folder / 'prefix'}"], folder)
    call([cmake, "--build", folder / "build", "-j2"], folder)
    call([cmake, "--install", folder / "build"], folder)
    shutil.rmtree(folder / "build")  # what is installed stands by itself
    return folder / "prefix"


@pytest.fixture(scope="module")
def examples(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples' programs, found and built by CMake."""
    folder = tmp_path_factory.mktemp("examples")
    cmake = need_program("cmake", "cmake")
    warnings = "-DCMAKE_C_FLAGS=-Wall -Wextra -Wconversion -Wshadow -Werror"
    call([cmake, "-S", EXAMPLES, "-B", folder, f"-DCMAKE_PREFIX_PATH={installed}", warnings], folder)
    call([cmake, "--build", folder, "-j2"], folder)
    return folder


def fed(program: Path, data: bytes, *arguments: str | Path) -> str:
    """What a program prints when it reads these bytes."""
    done = subprocess.run([program, *arguments], input=data, capture_output=True, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.slow
def test_attention_example_compares_sequence_and_steps(examples: Path) -> None:
    assert fed(examples / "attention", b"").splitlines()[-1] == "100 rows compared, 0 different"


@pytest.mark.slow
def test_classify_example_gives_the_logits_of_python(examples: Path) -> None:
    model = at.TemporalModel.from_blob(BLOB)
    frames = np.random.default_rng(3).standard_normal((300, model.input_dim), dtype=np.float32)
    lines = fed(examples / "classify", frames.tobytes(), BLOB).splitlines()
    logits = [[float.fromhex(value) for value in line.split()] for line in lines]
    np.testing.assert_array_equal(np.array(logits, np.float32), model.forward(frames, 256))


def packets(n: int, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Times in microseconds that wrap around 32 bits, uneven and with one long gap, and raw I/Q."""
    rng = np.random.default_rng(5)
    steps = rng.integers(5_000, 35_000, n)
    steps[n // 2] = 900_000
    return 0xFFF00000 + np.cumsum(steps), rng.integers(-60, 60, (n, n_pairs, 2), dtype=np.int8)


def changes(names: Sequence[str], times: list[int], logits: list[np.ndarray]) -> list[str]:
    """The lines of `sense`: each change of the predicted class."""
    lines, newest = [], None
    for time, row in zip(times, logits, strict=True):
        if (best := int(row.argmax())) != newest:
            lines.append(f"{time * 1e-6:.3f} {names[best]}")
            newest = best
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("resampled", [False, True])
def test_sense_example_predicts_the_classes_of_python(resampled: bool, examples: Path, tmp_path: Path) -> None:
    blob = at.WeightBlob.load(BLOB)
    if resampled:
        assert blob.settings is not None
        settings = replace(blob.settings, timing=at.TimingSettings(period_us=20_000, max_gap_us=500_000))
        blob = at.WeightBlob(blob.header, blob.weights[: blob.header.core_bytes(blob.width)], settings)
    path = tmp_path / "model.rvne"
    blob.save(path)
    model = at.TemporalModel.from_blob(path)
    times, iq = packets(400, model.input_dim)
    counters = (times & 0xFFFFFFFF).astype("<u4")
    data = b"".join(time.tobytes() + pairs.tobytes() for time, pairs in zip(counters, iq, strict=True))

    stream = model.stream(256)
    resampler = at.Resampler(model.input_dim, 20_000, 500_000, "mean")
    amplitudes = np.sqrt((iq.astype(np.float32) ** 2).sum(axis=2))
    when, logits = [], []
    for time, frame in zip((times - times[0]).tolist(), amplitudes, strict=True):
        grid, first = frame[None], time
        if resampled:
            restarted, grid, first = resampler.push(frame, time)
            if restarted:
                stream.reset()
        for index, each in enumerate(grid):
            when.append(first + index * 20_000)
            logits.append(np.array(stream.push(each)))
    assert model.settings is not None
    assert model.settings.class_names is not None
    expected = changes(model.settings.class_names, when, logits)
    assert len(expected) > 3
    assert fed(examples / "sense", data, path).splitlines() == expected


def test_readme_opens_with_the_classify_example() -> None:
    readme = (CSRC / "README.md").read_text(encoding="utf-8")
    program = re.search(r"```c\n(.*?)```", readme, re.DOTALL)
    assert program is not None
    assert program[1] == (EXAMPLES / "classify.c").read_text(encoding="utf-8")


@pytest.mark.slow
def test_pkg_config_finds_the_library(installed: Path, tmp_path: Path) -> None:
    (folder,) = installed.rglob("pkgconfig")
    tool, compiler = need_program("pkg-config", "pkg-config"), need_program("gcc", "gcc")
    environment = {"PKG_CONFIG_PATH": str(folder)}
    flags = call([tool, "--cflags", "--libs", "aether"], tmp_path, **environment).stdout.split()
    assert call([tool, "--modversion", "aether"], tmp_path, **environment).stdout.strip() == at.__version__
    call([compiler, "-std=c99", EXAMPLES / "attention.c", *flags, "-o", tmp_path / "attention"], tmp_path)
    assert "0 different" in fed(tmp_path / "attention", b"")


@pytest.mark.parametrize("version", ["0.2", "1.0"])
@pytest.mark.slow
def test_another_minor_version_is_rejected(version: str, installed: Path, tmp_path: Path) -> None:
    text = f"cmake_minimum_required(VERSION 3.16)\nproject(x C)\nfind_package(aether {version} REQUIRED)\n"
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    cmake = need_program("cmake", "cmake")
    done = call([cmake, "-S", tmp_path, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed}"], tmp_path, good=False)
    assert "aetherConfig.cmake, version: " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang-22", "aarch64-linux-gnu-gcc"])
def test_each_file_compiles_without_options_and_fuses_nothing(compiler: str, tmp_path: Path) -> None:
    """Files that name an instruction set, and compilers that contract a*b+c when they are not told otherwise."""
    if shutil.which(compiler) is None:
        need_program(compiler, compiler)
    sources = [path for part in ("src", "golden", "train") for path in sorted((CSRC / part).rglob("*.c"))]
    call([compiler, "-O2", f"-I{CSRC / 'include'}", "-c", *sources], tmp_path)
    objdump = "aarch64-linux-gnu-objdump" if compiler.startswith("aarch64") else "objdump"
    for part in sorted(tmp_path.glob("*.o")):
        if part.stem in ("gradient_avx512", "gradient_neon"):
            continue  # fused by name: no golden vector binds them
        assert FUSED.search(call([objdump, "-d", part], tmp_path).stdout) is None, part.name


@pytest.mark.slow
def test_core_compiled_without_options_gives_the_golden_bits(tmp_path: Path) -> None:
    sources = [path for part in ("src", "golden") for path in sorted((CSRC / part).rglob("*.c"))]
    program = tmp_path / "golden_host"
    options = ["-O2", f"-I{CSRC / 'include'}", "-o", program]
    call([need_program("gcc", "gcc"), *options, ROOT / "tools" / "golden_host.c", *sources], tmp_path)
    call([program, *sorted((ROOT / "tests" / "golden").glob("*.agv"))], tmp_path)
