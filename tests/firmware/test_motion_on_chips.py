"""The bundled motion model on an emulated chip of each class: the logits, and the threshold of a quiet room, have the
computer's bits; and docs/budgets.md says how many instructions a frame of the grid takes."""

from __future__ import annotations

import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from budget_table import measure
from budget_table.image import Image, functions_of
from building import NODE, ROOT
from parity_matrix import build as recipes
from parity_matrix.build import call, core_sources, finish
from parity_matrix.targets import Target, all_targets
from test_node_task import calibration_frames, calibration_threshold

from aether_temporal import TemporalModel
from aether_temporal.bundled import model_path
from aether_temporal.cache_types import Dtype
from aether_temporal.running.inputs import model_input

APP = ROOT / "tests" / "firmware" / "motion_app.c"
PAGE = ROOT / "docs" / "budgets.md"
CHIPS = {target.name: target for target in all_targets()}
CLASSES = ("xtensa-fpu", "xtensa-soft", "rv32imc")
DTYPES: dict[Dtype, str] = {"float16": "AETHER_BINARY16", "float32": "AETHER_BINARY32"}


def image(target: Target, dtype: Dtype, folder: Path) -> Image:
    """The core and the node at -O2, with the blob."""
    folder.mkdir(parents=True, exist_ok=True)
    blob, data = model_path("motion"), folder / "blob.S"
    size = Path(blob).stat().st_size
    names = [".section .rodata.motion", ".p2align 4", ".globl motion_blob", "motion_blob:", f'.incbin "{blob}"']
    names += [".p2align 2", ".globl motion_bytes", "motion_bytes:", f".long {size}"]
    data.write_text("\n".join(names) + "\n", encoding="utf-8")
    own = [NODE / f"{name}.c" for name in recipes.OF_A_NODE]
    sources = [*core_sources(target), *recipes.runtime_sources(target), *own, APP, data]
    includes = [ROOT / "csrc" / "include", ROOT / "csrc" / "src", ROOT / "csrc" / "src" / "kernels", NODE]
    flags = [*recipes.flags(target), "-O2", f"-DMOTION_CACHE={DTYPES[dtype]}"]
    flags += [f"-I{each}" for each in [*includes, *recipes.runtime_includes(target)]]

    def compiled(source: Path, out: Path) -> None:
        if source.suffix == ".S":
            commands = recipes.assemble(target, [], str(source), str(out))
        else:
            options = [*flags, *recipes.own_flags(target, source), *(["-std=gnu99"] if source == APP else [])]
            commands = recipes.compile_c(target, options, str(source), str(out), "-O2")
        for command in commands:
            call(command)

    objects = {folder / f"{source.parent.name}-{source.stem}.o": source for source in sources}
    with ThreadPoolExecutor(2) as pool:
        finish([pool.submit(compiled, source, out) for out, source in objects.items()])
    path = folder / "motion.elf"
    call(recipes.link(target, [str(each) for each in objects], str(path)))
    return Image(path, functions_of(path), 0, 0)


@dataclass(frozen=True)
class Run:
    said: list[tuple[str, int]]
    instructions: int  # a frame of the grid


def run(target: Target, dtype: Dtype, folder: Path) -> Run:
    made = image(target, dtype, folder)
    said, counts = measure._run(target, made, measure.plugin(folder), folder)
    pushed = [value for key, value in said if key == "pushed"][-1]
    total = sum(measure._without_application(count).total() for count in counts)
    return Run(said, round(total / pushed))


def expected(depth: int, dtype: Dtype) -> tuple[int, int]:
    """Frames of the grid, and the CRC-32 of their logits, on this computer."""
    model = TemporalModel.from_blob(model_path("motion"))
    (frames,) = model_input(model, calibration_frames(depth)).segments()
    return len(frames), zlib.crc32(model.forward(frames, 256, dtype).astype("<f4").tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_chip_computes_what_the_computer_computes(name: str, dtype: Dtype, tmp_path: Path) -> None:
    missing = measure.missing(CHIPS[name])
    if missing:
        pytest.skip(f"motion: {name} needs {', '.join(missing)}")
    found = run(CHIPS[name], dtype, tmp_path)
    quiet, moving = expected(3, dtype), expected(40, dtype)
    threshold = calibration_threshold(3, dtype)
    ends = {"status": 0, "rejected": 0, "threshold": threshold}
    first = [*ends.items(), ("pushed", quiet[0]), ("crc", quiet[1]), ("calibration", 2)]
    second = [*ends.items(), ("pushed", quiet[0] + moving[0]), ("crc", moving[1]), ("calibration", 3)]
    assert sorted(found.said[1:]) == sorted([*first, *second, ("status", 0)])
    row = re.search(rf"^\| `{name}`, {dtype} cache \| ([\d ]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None, found.instructions
    assert found.instructions == pytest.approx(int(row[1].replace(" ", "")), rel=0.03)
