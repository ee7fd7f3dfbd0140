"""Builds, runs and tests every emulated target of the PlatformIO project firmware/, without the registry."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from building import OFFLINE, ROOT, call, lacks, need_platformio, pio
from parity_matrix import vectors
from parity_matrix.emulation import parse
from parity_matrix.targets import Target, all_targets

FIRMWARE = ROOT / "firmware"
EMULATED = {target.name: target for target in all_targets() if not target.hosted}
CHIPS = ("esp32", "esp32-s2", "esp32-s3", "esp32-c3", "esp32-c5", "esp32-c6")
BOARDS = tuple(f"{chip}-{application}" for chip in CHIPS for application in ("board", "node"))
EXECUTED = ("native", "aarch64", "cortex-m4f", "rv32imafc", "wasm32", "xtensa-fpu")  # the others are run as tests only
TESTS = sorted(path.name for path in (FIRMWARE / "test").iterdir() if path.is_dir() and path.name.startswith("test_"))


def settings() -> configparser.ConfigParser:
    ini = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    ini.read(FIRMWARE / "platformio.ini", encoding="utf-8")
    return ini


def test_every_target_has_an_environment() -> None:
    ini = settings()
    environments = {section.removeprefix("env:") for section in ini.sections() if section.startswith("env:")}
    assert environments == {"native", *BOARDS, *EMULATED}
    for name in EMULATED:
        assert ini[f"env:{name}"]["board"] == name
        assert ini[f"env:{name}"]["extends"] == "emulated"


def test_environments_download_nothing_by_default() -> None:
    assert settings()["platformio"]["default_envs"] == "native"


def test_boards_share_one_pinned_platform() -> None:
    need_platformio()
    from platformio.project.config import ProjectConfig

    config = ProjectConfig(str(FIRMWARE / "platformio.ini"))
    for name in BOARDS:
        assert re.fullmatch(r"platformio/espressif32@\d+\.\d+\.\d+", config.get(f"env:{name}", "platform"))
        assert config.get(f"env:{name}", "framework") == ["espidf"]
        assert config.get(f"env:{name}", "board_build.partitions") == "partitions.csv"
        chip, _, application = name.rpartition("-")
        assert config.get(f"env:{name}", "board").startswith(chip)
        extra = config.get(f"env:{name}", "board_build.cmake_extra_args", "")
        assert ("sdkconfig.defaults.node" in extra) == (application == "node")
    workflow = (ROOT / ".github" / "workflows" / "firmware.yml").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{chip}\b", workflow) for chip in CHIPS)


def test_defaults_of_one_chip_belong_to_a_chip_that_has_environments() -> None:
    """tools/idf-check says whether ESP-IDF has their options."""
    files = {path.name.removeprefix("sdkconfig.defaults") for path in FIRMWARE.glob("sdkconfig.defaults*")}
    assert files - {"", ".node"} < {f".{chip.replace('-', '')}" for chip in CHIPS}


@dataclass(frozen=True)
class Outcome:
    """Outcome of one environment."""

    log: str
    suites: dict[str, dict[str, object]]
    executed: str


def work_on(env: str, core: Path, folder: Path) -> Outcome:
    """Runs the tests and then the application, which reuses their objects."""
    workspace = {"PLATFORMIO_WORKSPACE_DIR": str(folder), "PLATFORMIO_RUN_JOBS": "1"}
    found = folder / "tests.json"
    log = pio(core, FIRMWARE, "test", "-e", env, "--json-output-path", found, **workspace)
    suites = json.loads(found.read_text(encoding="utf-8"))["test_suites"]
    executed = ""
    if env in EXECUTED:
        chosen = [] if env == "native" else ["-e", env]  # native is what `pio run` means
        executed = pio(core, FIRMWARE, "run", *chosen, "-t", "exec", **workspace)
    return Outcome(log, {suite["test_name"]: suite for suite in suites if suite["env_name"] == env}, executed)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_platformio()
    return tmp_path_factory.mktemp("core")


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, core: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """The environments of the selected tests, two at a time."""
    asked = [item.callspec.params["env"] for item in request.session.items if "outcomes" in item.fixturenames]
    present = [env for env in dict.fromkeys(asked) if env == "native" or not EMULATED[env].missing()]
    pio(core, FIRMWARE, "pkg", "list", "-e", "native")  # fills the core folder, once
    with ThreadPoolExecutor(2) as pool:
        yield {env: pool.submit(work_on, env, core, tmp_path_factory.mktemp(env)) for env in present}


def have(target: Target) -> None:
    if target.missing():
        lacks(f"{target.name}: {', '.join(target.missing())}", "see tools/install-emulators.sh")


@pytest.mark.slow
@pytest.mark.parametrize("env", ["native", *EMULATED])
def test_environment_builds_tests_and_runs(env: str, outcomes: dict[str, Future[Outcome]]) -> None:
    if env in EMULATED:
        have(EMULATED[env])
    outcome = outcomes[env].result()
    assert sorted(outcome.suites) == TESTS
    for name, suite in outcome.suites.items():
        cases = suite["test_cases"]
        assert isinstance(cases, list)
        assert suite["status"] == "PASSED", f"{name}: {outcome.log[-3000:]}"
        assert cases, name
        assert all(case["status"] == "PASSED" for case in cases)
    if env in EXECUTED:
        report = parse("".join(re.findall(r"^aether .*\n", outcome.executed, re.MULTILINE)))
        assert report.ended
        assert report.failures == []
        assert report.failed_files == 0
        assert {report.total("cases", kernels) for kernels in report.kernels()} == {vectors.whole().cases}
        assert report.total("compared") > 50_000
        assert report.chip == ("x86-64" if env == "native" else env)
        compiled = re.findall(r"^Compiling (\S+)", outcome.executed, re.MULTILINE)
        assert [name for name in compiled if "parity_main" not in name] == [], "compiled once is enough"


PROGRAMS = {
    "good": 'check_test("one", passes); return check_end();',
    "failing": 'check_test("one", passes); check_test("two", fails); return check_end();',
    "failing_quietly": 'check_test("two", fails); (void)check_end(); return 0;',
    "without_closing_line": 'check_test("one", passes); return 0;',
    "silent": "return 0;",
    "without_tests": "return check_end();",
    "checks_nothing": 'check_test("none", nothing); return check_end();',
    "ends_badly": 'check_test("one", passes); (void)check_end(); return 3;',
    "goes_on": 'check_test("one", passes); (void)check_end(); check_test("late", passes); return check_end();',
    "damaged": 'check_test("one", passes); platform_write(WRONG, sizeof WRONG - 1); return check_end();',
    "cut": 'check_test("one", passes); platform_write(WRONG, sizeof WRONG - 4); return check_end();',
    "lost_line": 'check_test("one", passes); (void)check_end_after_one_more(); return 0;',
    "trapped": 'check_test("one", passes); __builtin_trap();',
    "hanging": 'check_test("one", passes); for (;;) { stay = stay + 1; }',
}

PROGRAM = """\
#include "check.h"
#include "platform.h"
#include "report.h"

#define WRONG "aether test name=x checks=1 failed=0 *00000000\\n"

static volatile int stay;
static void passes(void) { CHECK(stay == 0); CHECK_EQUAL(7u, 7u); CHECK_BITS(1u, 1u); }
static void fails(void) { CHECK_EQUAL((uint64_t)1 << 40, 7u); CHECK_BITS(1u, 2u); CHECK(stay == 1); }
static void nothing(void) { stay = 0; }
static void line(void *user, const char *text, size_t bytes) { (void)user; platform_write(text, bytes); }
static int check_end_after_one_more(void) {
    static report out;
    out.write = line;
    report_begin(&out, "end");
    report_number(&out, "tests", 1);
    report_number(&out, "failed_tests", 0);
    report_number(&out, "lines", 3);
    report_end(&out);
    return 0;
}
int firmware_main(void) {
    (void)passes; (void)fails; (void)nothing; (void)check_end_after_one_more; (void)stay;
    BODY
}
"""

INI = """\
[platformio]
src_dir = main
test_dir = test

[env]
test_framework = custom
test_build_src = yes
lib_ldf_mode = off
build_src_filter = -<*> +<../app/report.c> +<../crc32.c>
build_flags = -Iapp -I../csrc/include -I../csrc/src
custom_seconds = 30

[env:native]
platform = native
extra_scripts = pre:platform/native.py
build_src_filter = ${env.build_src_filter} +<../targets/x86-64/platform.c>

[env:chip]
platform = symlink://${PROJECT_DIR}/platform
board = cortex-m4f

[env:unknown]
platform = symlink://${PROJECT_DIR}/platform
board = z80

[env:level]
platform = symlink://${PROJECT_DIR}/platform
board = cortex-m4f
custom_level = -Ofast
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with firmware/'s platform and test runner, and test programs of this file."""
    root = tmp_path_factory.mktemp("project")
    firmware = root / "firmware"
    for name in ("platform", "app", "targets", "runtime"):
        shutil.copytree(FIRMWARE / name, firmware / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools").symlink_to(ROOT / "tools")
    (root / "csrc").symlink_to(ROOT / "csrc")
    shutil.copy(ROOT / "csrc" / "src" / "crc32.c", firmware)
    shutil.copy(ROOT / "csrc" / "src" / "crc32_tables.h", firmware)
    (firmware / "main").mkdir()
    (firmware / "platformio.ini").write_text(INI, encoding="utf-8")
    tests = firmware / "test"
    tests.mkdir()
    for name in ("check.c", "check.h", "test_custom_runner.py"):
        shutil.copy(FIRMWARE / "test" / name, tests)
    for name, body in PROGRAMS.items():
        (tests / f"test_{name}").mkdir()
        (tests / f"test_{name}" / "main.c").write_text(PROGRAM.replace("BODY", body), encoding="utf-8")
    return firmware


@pytest.mark.slow
@pytest.mark.parametrize("env", ["native", "chip"])
def test_runner_passes_only_complete_successful_reports(env: str, core: Path, project: Path, tmp_path: Path) -> None:
    if env == "chip":
        have(EMULATED["cortex-m4f"])
    found = tmp_path / "tests.json"
    log = pio(core, project, "test", "-e", env, "--json-output-path", found, good=False)
    suites = json.loads(found.read_text(encoding="utf-8"))["test_suites"]
    status = {suite["test_name"].removeprefix("test_"): suite["status"] for suite in suites if suite["env_name"] == env}
    failed = {"failing", "failing_quietly", "checks_nothing"}
    assert status == {
        name: "PASSED" if name == "good" else "FAILED" if name in failed else "ERRORED" for name in PROGRAMS
    }, log[-6000:]
    assert "ended without its closing line" in log
    assert "damaged line" in log
    assert "comes after the closing line" in log
    assert "the program ran no test" in log
    assert "3 lines; 1, 0, 2 arrived" in log
    assert "still running after 30 s" in log
    assert re.search(
        "file=main.c line=[0-9]+ what=7u expected=(1099511627776 got=7|00000000 above=00000100 got=7);", log
    )
    assert re.search("what=2u expected=00000001 got=00000002; ", log)
    assert "what=stay_==_1" in log


@pytest.mark.slow
def test_names_wrong_options_and_missing_compilers(core: Path, project: Path) -> None:
    assert "cortex-m4f" in pio(core, project, "run", "-e", "unknown", good=False)
    assert "custom_level: expected one of -O2, -O3, -Os, found -Ofast" in pio(
        core, project, "run", "-e", "level", good=False
    )
    nothing = pio(core, project, "run", "-e", "chip", good=False, PATH="/nowhere")
    assert "arm-none-eabi-gcc (package gcc-arm-none-eabi)" in nothing


def test_leaves_a_foreign_core_folder_alone(tmp_path: Path) -> None:
    need_platformio()
    (tmp_path / "packages").mkdir()
    done = call([sys.executable, OFFLINE, "system", "info"], tmp_path, good=False, PLATFORMIO_CORE_DIR=str(tmp_path))
    assert "expected an empty folder or one made by tools/pio-offline" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["packages"]


def test_emulator_has_a_time_limit(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    emulate = FIRMWARE / "platform" / "modules" / "emulate.py"
    done = call([sys.executable, emulate, "x86-64", program, "--seconds", "0.5"], tmp_path, good=False)
    assert done.returncode == 124
    assert "still running after 0.5 s" in done.stderr
