"""The installed C library: compiled without options, found by CMake and pkg-config, used by the examples."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from building import ROOT, call, need_program

import aether_temporal as at

CSRC = ROOT / "csrc"
EXAMPLES = CSRC / "examples"
BLOB = ROOT / "src" / "aether_temporal" / "blobs" / "demo.rvne"
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
    done = subprocess.run([program, *arguments], input=data, capture_output=True, check=False, timeout=60)
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
