"""Receipts and the twin: every second that a node computed as validated is verified, one flipped bit is found in its
second, and after a loss the node is checked anew."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import blob_bytes
import numpy as np
import pytest
from building import CSRC, FIRMWARE, NODE, ROOT, build, core_sources, run
from parity_matrix.build import Builder
from parity_matrix.targets import all_targets

from aether_temporal import TemporalModel, WeightBlob, WeightBlobHeader
from aether_temporal.blob_tools import random_blob
from aether_temporal.listening.packets import Classification, RawFrame, Receipt
from aether_temporal.listening.twin import Check, NodeTwin, Verdict
from aether_temporal.settings import PYRAMID, ModelSettings, PatternSettings

pytestmark = pytest.mark.slow  # compiles the node

FRAMES, SEED = 900, 7
WEIGHT, FRAME, PREDICTION, MEMORY = 1, 2, 3, 4
Sent = RawFrame | Classification | Receipt


def _load(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("twin", str(path))
    spec = importlib.util.spec_from_loader("twin", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


TWIN = _load(ROOT / "tools" / "twin")


def random_model(settings: ModelSettings) -> bytes:
    plain = random_blob(WeightBlobHeader("float32", 8, 4, 1, 8, 2, 3), 1)
    return WeightBlob(plain.header, plain.weights, settings).serialize()


MODELS = {
    "window": random_model(ModelSettings(pattern=PatternSettings(window=8, block_size=4, global_tokens=()))),
    "pyramid": random_model(ModelSettings(pattern=PYRAMID)),
    "grid": TWIN.model_with_grid(),
    "globals": blob_bytes.plain(),
}
"""Of 8 I/Q pairs a frame, but for the last."""


@dataclass(frozen=True)
class Node:
    """A node made by firmware/app/twin_main.c."""

    program: Path

    def sends(self, blob: bytes, frames: int = FRAMES, fault: int = 0, at: int = 0, place: int = 0) -> list[Sent]:
        """What the host receives: the raw frames, as they were before any fault, and what the program sends."""
        path = self.program.parent / "vectors.bin"
        path.write_bytes(TWIN.image_data(blob, frames, SEED, fault, at, place))
        return list(TWIN.received(run(self.program, path), frames, TemporalModel.from_blob(blob), SEED))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    folder = tmp_path_factory.mktemp("twin")
    (folder / "from_file.c").write_text(FROM_FILE)
    app = FIRMWARE / "app"
    node_sources = [
        NODE / f"{name}.c"
        for name in ("cadence", "calibration", "classifier", "csi_input", "node", "packets", "queue", "receipt")
    ]
    sources = [folder / "from_file.c", app / "twin_main.c", app / "report.c", *node_sources, *core_sources()]
    includes = [app, FIRMWARE / "runtime", NODE, CSRC / "include"]
    return Node(build(folder, "twin", sources, includes))


FROM_FILE = """
#include <stdio.h>
#include <stdlib.h>
#include "parity.h"
static uint32_t vectors[1 << 18];
static uint64_t scratch[1 << 17];
static void put(void *user, const char *text, size_t bytes) { (void)user; (void)fwrite(text, 1, bytes, stdout); }
const parity_io *bare_io(void) {
    static report out;
    static parity_io io;
    out.write = put;
    io.out = &out;
    io.vectors = vectors;
    io.scratch = scratch;
    io.scratch_bytes = sizeof scratch;
    return &io;
}
int firmware_main(void);
int main(int argc, char **argv) {
    FILE *file = fopen(argc > 1 ? argv[1] : "", "rb");
    if (file == NULL || fread(vectors, 1, sizeof vectors, file) == 0) {
        return 9;
    }
    fclose(file);
    return firmware_main();
}
"""


def checked(blob: bytes, sent: Iterable[Sent]) -> list[Check]:
    twin = NodeTwin(TemporalModel.from_blob(blob))
    found: list[Check] = []
    for packet in sent:
        twin.take(packet)
        found += twin.checks()
    return found + list(twin.checks(final=True))


def verdicts(checks: Sequence[Check]) -> list[Verdict]:
    return [check.verdict for check in checks]


@pytest.mark.parametrize("name", MODELS)
def test_every_second_is_verified(node: Node, name: str) -> None:
    sent = node.sends(MODELS[name])
    checks = checked(MODELS[name], sent)
    assert len(checks) >= FRAMES // 110
    assert sum(check.frames for check in checks) == FRAMES
    assert set(verdicts(checks)) == {Verdict.VERIFIED}


@pytest.mark.parametrize("name", MODELS)
def test_a_flipped_weight_is_found_in_its_second(node: Node, name: str) -> None:
    model = TemporalModel.from_blob(MODELS[name])
    place = next(row.offset for row in model.array_table() if row.name == "classifier.weight") + 2
    good = [packet for packet in node.sends(MODELS[name]) if isinstance(packet, Receipt)]
    at = good[4].entries[30][0]
    checks = checked(MODELS[name], node.sends(MODELS[name], fault=WEIGHT, at=at, place=place))
    second = second_of(good, at)
    assert set(verdicts(checks[:second])) == {Verdict.VERIFIED}
    assert set(verdicts(checks[second:])) == {Verdict.DIFFERENT}
    assert any(difference.field in ("logit", "margin", "class") for difference in checks[second].differences)
    assert all(difference.node != difference.host for check in checks for difference in check.differences)


def without_frame(sent: Iterable[Sent], number: int) -> list[Sent]:
    return [packet for packet in sent if not (isinstance(packet, RawFrame) and packet.sequence == number)]


def second_of(receipts: Sequence[Receipt], number: int) -> int:
    return next(i for i, receipt in enumerate(receipts) if any(n == number and p >= 0 for n, p in receipt.entries))


@pytest.mark.parametrize("name", ["window", "pyramid", "grid"])
def test_a_flipped_bit_of_a_frame_is_found_in_its_second(node: Node, name: str) -> None:
    receipts = [packet for packet in node.sends(MODELS[name]) if isinstance(packet, Receipt)]
    checks = checked(MODELS[name], node.sends(MODELS[name], fault=FRAME, at=333, place=5))
    second = second_of(receipts, 333)
    assert set(verdicts(checks[:second])) == {Verdict.VERIFIED}
    assert checks[second].verdict is Verdict.DIFFERENT
    assert checks[-1].verdict is Verdict.VERIFIED  # forgotten by then


@pytest.mark.parametrize("name", MODELS)
def test_a_flipped_bit_of_a_prediction_is_found_in_its_second(node: Node, name: str) -> None:
    sent = node.sends(MODELS[name])
    receipts = [packet for packet in sent if isinstance(packet, Receipt)]
    third = receipts[3].entries
    at, number = next((a[0], b[0]) for a, b in itertools.pairwise(third) if b[1] < 0 <= a[1])
    (said,) = [packet for packet in sent if isinstance(packet, Classification) and packet.sequence == number]
    checks = checked(MODELS[name], node.sends(MODELS[name], fault=PREDICTION, at=at, place=4 * said.argmax))
    assert [i for i, check in enumerate(checks) if check.verdict is not Verdict.VERIFIED] == [3]
    assert checks[3].verdict is Verdict.DIFFERENT
    assert (checks[3].differences[0].sequence, checks[3].differences[0].field) == (number, "logit")


@pytest.mark.parametrize("name", ["window", "pyramid", "grid"])
def test_after_a_loss_a_node_is_behind_then_checked_anew(node: Node, name: str) -> None:
    sent = [
        packet for packet in node.sends(MODELS[name]) if not (isinstance(packet, RawFrame) and packet.sequence == 250)
    ]
    receipts = [packet for packet in sent if isinstance(packet, Receipt)]
    checks = checked(MODELS[name], sent)
    second = second_of(receipts, 250)
    assert checks[second].verdict is Verdict.BEHIND
    assert "1 of" in checks[second].why
    assert checks[second].behind is not None
    assert checks[second].behind > 0
    assert Verdict.DIFFERENT not in verdicts(checks)
    assert checks[-1].verdict is Verdict.VERIFIED
    counts = [check.behind or 0 for check in checks[second:] if check.verdict is Verdict.BEHIND]
    assert counts == sorted(counts, reverse=True)


def test_a_model_that_never_forgets_is_checked_until_a_loss(node: Node) -> None:
    sent = without_frame(node.sends(MODELS["globals"]), 250)
    checks = checked(MODELS["globals"], sent)
    lost = verdicts(checks).index(Verdict.BEHIND)
    assert set(verdicts(checks[:lost])) == {Verdict.VERIFIED}
    assert set(verdicts(checks[lost:])) == {Verdict.BEHIND}
    assert checks[-1].behind is None


def test_a_fault_after_a_loss_is_found(node: Node) -> None:
    """The twin trusts its memory again when the model has forgotten the loss, and not before."""
    sent = [
        p
        for p in node.sends(MODELS["pyramid"], fault=FRAME, at=800, place=5)
        if getattr(p, "sequence", 0) != 50 or not isinstance(p, RawFrame)
    ]
    receipts = [packet for packet in sent if isinstance(packet, Receipt)]
    checks = checked(MODELS["pyramid"], sent)
    assert checks[second_of(receipts, 800)].verdict is Verdict.DIFFERENT
    assert Verdict.DIFFERENT not in verdicts(checks[: second_of(receipts, 800)])


def test_a_lost_receipt_is_no_difference(node: Node) -> None:
    sent = node.sends(MODELS["window"])
    receipts = [packet for packet in sent if isinstance(packet, Receipt)]
    checks = checked(MODELS["window"], [packet for packet in sent if packet is not receipts[2]])
    assert len(checks) == len(receipts) - 1
    assert Verdict.DIFFERENT not in verdicts(checks)
    assert checks[-1].verdict is Verdict.VERIFIED


def test_a_receipt_before_its_frames_waits_for_them(node: Node) -> None:
    sent = node.sends(MODELS["window"])
    late = sorted(sent, key=lambda packet: (isinstance(packet, RawFrame), 0))[:2]
    assert all(isinstance(packet, Receipt | Classification) for packet in late)
    moved: list[Sent] = []
    for packet in sent:  # each receipt overtakes the last three frames that it names
        moved.append(packet)
        if isinstance(packet, Receipt) and len(moved) > 4:
            moved[-4:] = [packet, *moved[-4:-1]]
    assert set(verdicts(checked(MODELS["window"], moved))) == {Verdict.VERIFIED}


def test_receipts_that_do_not_follow_one_another_are_different(node: Node) -> None:
    sent = node.sends(MODELS["window"])
    receipts = [packet for packet in sent if isinstance(packet, Receipt)]
    forged = replace(receipts[3], before=receipts[3].before ^ 1)
    checks = checked(MODELS["window"], [forged if packet is receipts[3] else packet for packet in sent])
    assert checks[3].verdict is Verdict.DIFFERENT
    assert "does not begin" in checks[3].why


def test_another_blob_is_named(node: Node) -> None:
    checks = checked(MODELS["pyramid"], node.sends(MODELS["window"], frames=300))
    assert set(verdicts(checks)) == {Verdict.ANOTHER_MODEL}
    assert "CRC" in checks[0].why


def test_a_node_that_starts_again_is_checked_from_its_start(node: Node) -> None:
    sent = node.sends(MODELS["globals"], frames=300)
    assert set(verdicts(checked(MODELS["globals"], [*sent, *sent]))) == {Verdict.VERIFIED}


def test_a_context_that_takes_too_much_memory_is_rejected(node: Node) -> None:
    sent = node.sends(MODELS["window"], frames=300)
    large = [replace(p, context=1 << 31) if isinstance(p, Receipt) else p for p in sent]
    checks = checked(MODELS["window"], large)
    assert set(verdicts(checks)) <= {Verdict.ANOTHER_MODEL, Verdict.DIFFERENT}


def test_hostile_receipts_break_nothing(node: Node) -> None:
    """Well-formed receipts with fields that cannot be: a verdict each, no exception, and no long work."""
    sent = node.sends(MODELS["grid"], frames=300)
    receipt = next(packet for packet in sent if isinstance(packet, Receipt))
    rng = np.random.default_rng(1)
    changes: list[dict[str, Any]] = [
        {"position": (1 << 64) - 1},
        {"position": 5},
        {"grid": 0},
        {"grid": (1 << 64) - 2},
        {"base": 0},
        {"base": (1 << 64) - 1},
        {"context": 0},
        {"context": (1 << 32) - 1},
        {"entries": tuple((1, receipt.base) for _ in range(160))},
        {"entries": ((0, -1),)},
        {"entries": ((0, -(1 << 31)),)},
        {"entries": tuple((int(n), receipt.base + int(n)) for n in rng.integers(0, 300, 160))},
    ]
    for change in changes:
        twin = NodeTwin(TemporalModel.from_blob(MODELS["grid"]))
        for packet in sent:
            if isinstance(packet, RawFrame):
                twin.take(packet)
        twin.take(replace(receipt, **change))
        (check,) = twin.checks(final=True)
        if not change.keys() & {"position", "grid", "base", "context"}:  # every bit may agree whatever these say
            assert check.verdict is not Verdict.VERIFIED


# -- on emulated chips --------------------------------------------------------------------------------------------

TARGETS = {target.name: target for target in all_targets()}


def of_a_chip(builder: Builder, name: str, fault: int = 0, at: int = 0, place: int = 0) -> list[Check]:
    target, blob = TARGETS[name], MODELS["grid"]
    if target.missing():
        pytest.skip(f"a twin of {name} needs {', '.join(target.missing())}")
    output = TWIN.output_of(builder, target, TWIN.image_data(blob, 400, SEED, fault, at, place))
    return list(TWIN.checks(blob, TWIN.received(output, 400, TemporalModel.from_blob(blob), SEED)))


@pytest.mark.parametrize("name", TWIN.DEFAULT)
def test_an_emulated_chip_is_verified_and_its_faults_are_found(name: str, tmp_path: Path) -> None:
    builder = Builder(tmp_path, 2)
    try:
        assert {check.verdict for check in of_a_chip(builder, name)} == {Verdict.VERIFIED}
        model = TemporalModel.from_blob(MODELS["grid"])
        place = next(row.offset for row in model.array_table() if row.name == "classifier.weight") + 2
        found = of_a_chip(builder, name, WEIGHT, 250, place)
        assert [check.verdict for check in found][:2] == [Verdict.VERIFIED] * 2
        assert found[-1].verdict is Verdict.DIFFERENT
    finally:
        builder.pool.shutdown()
