"""`aether gate` as a user has it: verdict, exit status, files, a run that is killed and resumed, clear errors."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from cli.command import call
from click.testing import CliRunner, Result
from gate.gate_task import save_task
from train.distributed_runs import launch

from aether_temporal import PatternSettings
from aether_temporal._internal.toml_settings import load_settings
from aether_temporal.cli import aether
from aether_temporal.config import OF_PATTERN
from aether_temporal.gate.contrastive import Contrasting
from aether_temporal.gate.gate_config import GateConfig
from aether_temporal.train.reading import Reading, RunSettings

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12
SETTINGS = """
window = 48
held_out = 12
batch = 12
held_out_batches = 2
neighbours = 12
deployed = 512
lengths = [64]
rounds = 9
[network]
width = 16
q_heads = 2
head_dim = 8
embedding = 8
[pattern]
pattern = "reference"
window = 1
use_log_stride = false
use_landmarks = false
global_tokens = []
[distillation]
steps = 3
[contrast]
steps = 12
projection = 16
[views]
masked = [0.05, 0.2]
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_task(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(SETTINGS)
    return path


class Links(HTMLParser):
    """What a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag in ("script", "iframe", "object", "link")
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def arguments(data: Path, settings: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("gate", "--data", data, "--config", settings, "--out", out, *more)


def gate(data: Path, settings: Path, out: Path, *more: object, code: int) -> Result:
    return call(*arguments(data, settings, out, *more), code=code)


def measured(out: Path) -> dict[str, Any]:
    """The result but for its latency, which no two runs have in common."""
    document = json.loads((out / "result.json").read_text())
    return {name: document[name] for name in ("data", "seeds", "configuration")} | {"gates": document["gates"][:3]}


@pytest.mark.slow
def test_a_killed_gate_goes_on_and_more_seeds_may_be_asked_for(
    tmp_path: Path, data: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    real, steps = Contrasting.step, [0]

    def counted(self: Contrasting, step: int, batch: Any) -> Any:
        steps[0] += 1
        if steps[0] == STEPS + 8:
            raise KeyboardInterrupt
        return real(self, step, batch)

    monkeypatch.setattr(Contrasting, "step", counted)
    settings.write_text(SETTINGS + "[run]\ncheckpoint_every = 5\n")
    gate(data, settings, killed, "--seeds", 1, code=130)
    assert not (killed / "result.json").exists()
    gate(data, settings, killed, "--seeds", 1, code=2)  # a run is there: --resume or another folder

    result = gate(data, settings, killed, "--seeds", 1, "--resume", code=3)
    assert steps[0] == 2 * STEPS + 3  # the interrupted step, and the two after the checkpoint, again
    assert "undecided: needs at least 2 seeds" in result.stdout
    one = measured(killed)
    assert [found["outcome"] for found in one["gates"]] == ["undecided"] * 3
    assert one["gates"][0]["low"] is None

    before = {path.name: path.read_bytes() for path in (killed / "seed0").glob("*.pt")}
    assert len(before) == 4  # both trainings, and what is distilled
    steps[0] = 1000
    more = arguments(data, settings, killed, "--seeds", 2, "--resume", "--json")
    again = CliRunner().invoke(aether, [str(argument) for argument in more])
    document = json.loads(again.stdout)
    status = {"pass": 0, "fail": 1, "undecided": 3}[document["verdict"]]
    assert again.exit_code == status
    assert steps[0] == 1000 + 2 * STEPS  # seed 1 alone was trained
    assert {name: (killed / "seed0" / name).read_bytes() for name in before} == before
    assert document == json.loads((killed / "result.json").read_text())

    gate(data, settings, whole, "--seeds", 2, code=status)
    assert measured(whole) == measured(killed)
    check_page(killed / "gates.html")
    assert {path.name for path in (killed / "plots").iterdir()} == {
        f"{name}.svg" for name in ("attention", "latency", "loss", "neighbours")
    }


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_processes_share_the_seeds_and_give_the_figures_of_one(tmp_path: Path, data: Path, settings: Path) -> None:
    settings.write_text(SETTINGS.replace("steps = 12", "steps = 4"))
    one, two = tmp_path / "one", tmp_path / "two"
    seeds = ("--seeds", 3, "--json")
    statuses, printed, errors = launch(2, "-m", "aether_temporal", *arguments(data, settings, two, *seeds))
    assert statuses[1] == 0, errors
    gate(data, settings, one, *seeds, code=statuses[0])
    assert measured(two) == measured(one)
    assert json.loads(printed) == json.loads((two / "result.json").read_text())
    for seed in range(3):
        names = {path.name for path in (one / f"seed{seed}").iterdir()}
        for name in sorted(names - {".lock"}):
            assert (two / f"seed{seed}" / name).read_bytes() == (one / f"seed{seed}" / name).read_bytes()
        assert len(names) == 7


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_a_seed_that_fails_in_another_process_ends_all_with_its_message(
    tmp_path: Path, data: Path, settings: Path
) -> None:
    """Seed 1 cannot use its run, and seed 0 would train for hours."""
    out = tmp_path / "run"
    (out / "seed1").mkdir(parents=True)
    (out / "seed1" / "configuration.json").write_text("{")
    settings.write_text(SETTINGS.replace("steps = 12", "steps = 1000000"))
    statuses, _, errors = launch(2, "-m", "aether_temporal", *arguments(data, settings, out, "--seeds", 2))
    assert statuses == [2, 0]
    said = [line for line in errors.splitlines() if line.startswith("aether: ")]
    assert len(said) == 1, errors
    assert "seed1/configuration.json: expected a run's configuration, found a damaged one" in said[0]


def check_page(path: Path) -> None:
    """Everything the page shows is in it."""
    text = path.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.scripts == 0
    assert len(links.found) == 4
    assert "http" not in re.sub("base64,[A-Za-z0-9+/=]+", "", text)
    for link in links.found:
        assert link.startswith("data:image/svg+xml;base64,")
        picture = base64.b64decode(link.split(",", 1)[1]).decode()
        assert "<svg" in picture
        assert not re.findall(r'href="(?!#|data:)', picture)
    for word in ("contrastive loss", "rank-1", "Spearman", "latency", "Configuration", "2 seeds;"):
        assert word in text
    assert "Gate 4 is decided at 512 frames." in text
    latency = text.split("<h2>Latency</h2>")[1].split("</table>")[0]
    judged = re.findall(r"<td>(\d+)</td><td>([a-z ,]+)</td>.*?<td[^>]*>([^<]*)</td></tr>", latency)
    assert len(judged) == 10
    for frames, job, verdict in judged:
        asked = job in ("prefill", "streaming step")
        assert bool(re.fullmatch(r"(pass|fail|undecided): [+-][\d.]+", verdict)) is asked, (frames, job, verdict)


def test_without_matplotlib_the_page_says_so(
    tmp_path: Path, data: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aether_temporal.gate.pictures.can_draw", lambda: False)
    settings.write_text(SETTINGS.replace("steps = 12", "steps = 2"))
    result = gate(data, settings, tmp_path / "run", "--seeds", 1, code=3)
    text = (tmp_path / "run" / "gates.html").read_text()
    assert "<img" not in text
    assert "pip install matplotlib" in text
    assert "pip install matplotlib" in result.stdout


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, data: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = gate(data, settings, tmp_path / "run", code=2)
    assert "pip install torch" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("windw = 3", r"gate.toml: windw: expected one of seed, window, held_out, .*; found no such field"),
        ("[pattern]\nwidow = 3", r"gate.toml: pattern.widow: expected one of window, "),
        ("window = 1.5", r"gate.toml: window: expected int, found 1.5"),
        ("window = true", r"gate.toml: window: expected int, found True"),
        ("pattern = 3", r"gate.toml: pattern: expected a table, found 3"),
        ("captures = 'some'", r"gate.toml: captures: expected 'gallery' or 'all', found 'some'"),
        ("[views]\nmasked = [1]", r"gate.toml: views.masked: expected a list of 2 numbers, found \[1\]"),
        ("[pattern]\nblock_size = 0", r"gate.toml: .*block_size: expected an integer from 1 "),
        ("[network]\nq_heads = 3\nkv_heads = 2", r"gate.toml: .*kv_heads"),
        ("window = ", r"gate.toml: expected TOML, found something else"),
        ("deployed = 1000000000", r"gate.toml: deployed: expected an integer from 1 to 65536, found 1000000000"),
        (
            "window = 48\n[network]\npool = 49",
            r"gate.toml: network.pool: expected an integer from 1 to 48, the window, found 49",
        ),
        (
            "[network]\nhead_dim = 100000",
            r"gate.toml: network.head_dim: expected an integer from 1 to 1024, found 100000",
        ),
        (
            "[contrast]\ntemperature = 0",
            r"gate.toml: contrast.temperature: expected a number .*, found 0.0",
        ),
        (
            "[contrast]\ntemperature = -1",
            r"gate.toml: contrast.temperature: expected a number from 0.001 to 1000, found -1.0",
        ),
        (
            "[contrast]\nlearning_rate = nan",
            r"gate.toml: contrast.learning_rate: expected a number from 0 to 1000, found nan",
        ),
        (
            "[views]\nnoise = [nan, inf]",
            r"gate.toml: views.noise: expected two numbers from 0 to 10, the smaller first, found \[nan, inf\]",
        ),
        (
            "[views]\nmasked = [0.9, 0.1]",
            r"gate.toml: views.masked: expected two numbers from 0 to 1, the smaller first, found \[0.9, 0.1\]",
        ),
        (
            "[views]\nchanges = [0, 9]",
            r"gate.toml: views.changes: expected two integers from 0 to 5, the smaller first, found \[0, 9\]",
        ),
        (
            "[views]\nscale = [-2, -1]",
            r"gate.toml: views.scale: expected two numbers from 0.001 to 1000, the smaller first, found \[-2.0, -1.0\]",
        ),
        (
            "window = 48\nheld_out = 12\nneighbours = 12\n[pattern]\npattern = 'reference'\nwindow = 1000000000000",
            r"pattern.window: expected an integer from 0 to 4294967294",  # what a blob can hold
        ),
    ],
)
def test_a_bad_configuration_is_named(tmp_path: Path, data: Path, text: str, expected: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    result = call("gate", "--data", data, "--config", path, "--out", tmp_path / "run", code=2)
    assert re.search(expected, result.stderr), result.stderr
    assert not (tmp_path / "run").exists()


def test_a_configuration_file_chooses_the_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text("[pattern]\npattern = 'pyramid'\nwindow = 8\nblock_size = 4\n")
    (found,) = load_settings(path, GateConfig())
    assert found.pattern == PatternSettings(pattern="pyramid", window=8, block_size=4)
    head = found.head("sparse")
    assert (head.pattern, head.window, head.block_size, head.global_tokens) == ("pyramid", 8, 4, ())


def test_the_documented_configuration_is_the_default(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    path = tmp_path / "gate.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    parts = GateConfig(), Reading(), RunSettings()
    assert load_settings(path, parts[0], reading=parts[1], run=parts[2]) == parts
    written = tomllib.loads(path.read_text())
    for name, value in dataclasses.asdict(GateConfig()).items():
        missing = set(value) - set(written[name]) if isinstance(value, dict) else {name} - set(written)
        assert missing <= {"ema_rate", *OF_PATTERN["pyramid"]}, name  # not asked by gates; not of this pattern


def test_no_limit_is_spelled_all(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(
        "[pattern]\npattern = 'reference'\nwindow = 'all'\nhistory = 64\nglobal_tokens = [0, 3]\n"
        "[contrast]\ntemperature = 1\n"
    )
    (found,) = load_settings(path, GateConfig())
    assert (found.pattern.window, found.pattern.history, found.pattern.global_tokens) == (None, 64, (0, 3))
    assert found.contrast.temperature == 1.0
    assert found.contrast.steps == 600


def test_unsuitable_recordings_are_rejected_before_anything_is_written(
    tmp_path: Path, data: Path, settings: Path
) -> None:
    for before, after, expected in (
        ("neighbours = 12", "neighbours = 36", "neighbours: expected fewer than the gallery has windows (36, of 12 "),
        (
            "held_out = 12",
            "held_out = 23",
            "task.npz: held_out: expected 2 to 22 of the 24 identities there are, found 23",
        ),
        ("window = 48", "window = 145", "frames: expected at least 145, one window, found 144"),
    ):
        settings.write_text(SETTINGS.replace(before, after, 1))
        result = gate(data, settings, tmp_path / "run", code=2)
        assert expected in result.stderr
        assert not (tmp_path / "run").exists()


def test_damaged_or_unfit_recordings_are_named(tmp_path: Path, data: Path, settings: Path) -> None:
    def rejected(name: str, **changes: Any) -> str:
        arrays = {**np.load(data), **changes}
        path = tmp_path / name
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        result = gate(path, settings, tmp_path / f"run-{name}", code=2)
        assert not (tmp_path / f"run-{name}").exists()
        return str(result.stderr)

    whole = np.load(data)
    probe = whole["rec_session"].copy()
    probe[1] = 0
    assert "noprobe.npz: subject 0: expected a probe capture too" in rejected("noprobe.npz", rec_session=probe)
    frames = whole["rec_offset"][6]
    cut = {name: whole[name][:6] for name in ("rec_name", "rec_subject", "rec_session")}
    three = rejected("three.npz", amp=whole["amp"][:frames], rec_offset=whole["rec_offset"][:7], **cut)
    assert "three.npz: subject: expected at least four, two to train on and two to ask about, found 3" in three
    for identity in (0, 12):  # of any one identity, whether the first seed trains on it or not
        wild = whole["amp"].copy()
        frames = wild[288 * identity : 288 * (identity + 1)]
        frames[::7] = 0
        frames[::7, :3] = 1e25, -1e25, 1e-20
        assert f"wild{identity}.npz: frames: expected " in rejected(f"wild{identity}.npz", amp=wild)
    nan = whole["amp"].copy()
    nan[700, 3] = np.nan
    assert "nan.npz" in rejected("nan.npz", amp=nan)
    assert "subject: expected one, to tell apart, found none" in rejected("nobody.npz", rec_subject=None)
    assert "session: expected at least two" in rejected("once.npz", rec_session=np.zeros(48, dtype=int))


def test_a_training_that_leaves_finite_numbers_is_told_and_gives_no_verdict(
    tmp_path: Path, data: Path, settings: Path
) -> None:
    wild = (
        "[contrast]\nlearning_rate = 1000.0\nhead_learning_rate = 1000.0\nclip = 1e6\nwarm_up_steps = 0\nsteps = 40\n"
    )
    settings.write_text(SETTINGS.replace("[contrast]\nsteps = 12\n", wild))
    arguments = ("gate", "--data", data, "--config", settings, "--out", tmp_path / "run", "--seeds", 1)
    result = call(*arguments, code=2)
    assert re.search(r"seed 0, dense.*: expected a .*finite.*lower contrast.learning_rate", result.stderr)
    assert not (tmp_path / "run" / "result.json").exists()
