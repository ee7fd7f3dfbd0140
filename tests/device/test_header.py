"""A blob as C source: what a compiler makes of it is the blob, aligned."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.bundled import bundled_models
from aether_temporal.device.c_header import c_header
from aether_temporal.errors import BlobCrcError, InvalidArgumentError

MAIN = """
#include <stdio.h>
#include "model.h"
#include "model.h"
int main(void) {
    if ((unsigned long)(const void *)model % 16u != 0) { return 3; }
    return fwrite(model, 1, sizeof model, stdout) == sizeof model ? 0 : 4;
}
"""
C99 = ["-std=c99", "-pedantic"]
C11 = ["-std=c11", "-pedantic", "-U__GNUC__"]  # as a compiler without GNU attributes would read it
CPP = ["-std=c++17", "-x", "c++"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "options"),
    [("gcc", C99), ("clang-22", C11), ("clang-22", CPP)],
    ids=["c99", "c11", "c++"],
)
@pytest.mark.parametrize("name", ["activity", "plain"])
def test_a_compiler_gives_the_bytes_back(
    tmp_path: Path, plain_blob: WeightBlob, compiler: str, options: list[str], name: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    blob = bundled_models()["activity"].read_bytes() if name == "activity" else plain_blob.serialize()
    (tmp_path / "model.h").write_text(c_header(blob, "model", "a.rvne"), encoding="ascii")
    (tmp_path / "main.c").write_text(MAIN, encoding="ascii")
    command = [compiler, *options, "-Wall", "-Wextra", "-Werror", "main.c", "-o", "program"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert found == blob


def test_what_it_says() -> None:
    text = c_header(bundled_models()["activity"].read_bytes(), "walk", "activity.rvne")
    assert "RVNE weight blob activity.rvne: " in text
    assert "56 features in, 5 classes out, 2 layers" in text
    assert "Classes: SEATED, SITTING_DOWN, STANDING_UP, TURN, WALKING." in text
    ram = TemporalModel.from_blob("activity").memory(context=128, pointer_bytes=4).ram
    assert f"A stream of 128 frames takes {ram} bytes of RAM on a 32-bit chip (float32 cache)." in text
    assert max(map(len, text.splitlines())) < 140


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "a;int b", "ä", "int", "class"])
def test_names_are_identifiers(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="name: expected a C identifier"):
        c_header(bundled_models()["demo"].read_bytes(), name)


def test_a_name_cannot_leave_the_comment() -> None:
    text = c_header(bundled_models()["demo"].read_bytes(), "m", "x*/int y;/*\n#error\\")
    head = text.split("#ifndef")[0]
    assert head.count("*/") == 1
    assert "\n#error" not in head


def test_a_damaged_blob_is_rejected() -> None:
    blob = bytearray(bundled_models()["demo"].read_bytes())
    blob[100] ^= 1
    with pytest.raises(BlobCrcError):
        c_header(bytes(blob), "m")
