"""Distillation: a network whose attention sees less learns to predict as one does that sees more (docs/guide/train.md),
and `aether train distill`, which makes such a student of a blob."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aether_temporal import crc32
from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.blob import WeightBlob
from aether_temporal.bundled import model_path
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InvalidConfigError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingShapeError
from aether_temporal.settings import PYRAMID, PatternSettings
from aether_temporal.torch.exchange import from_blob, to_blob
from aether_temporal.torch.network import Description, TemporalClassifier

from . import splits
from .checkpoints import State, load_into
from .dataset import Dataset, Stack, windows, without_short_segments
from .prepared import file_names, read_dataset
from .reading import LONGEST, Reading, RunSettings
from .reid_protocol import entry
from .retrieval import normalised
from .runs import MODEL, RESULT, Run, environment, expect_place, say_written
from .shards import ShardedTask
from .supervised import Augmentation, Batches, Crops, scheduled_rate

DistillBatch = tuple[NDArray[np.float32], Any]

EPS = 1e-6
"""Of AdamW: gradients that are no more than rounding move nothing, where a student predicts as its teacher does."""


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Settings of the optimiser. The learning rate warms up over `warm_up_steps` and falls along a half cosine.
    InvalidConfigError names a field out of its range."""

    steps: Annotated[int, Within(1, 10**9)] = 300
    learning_rate: Annotated[float, Within(0.0, 1e3)] = 1e-3
    warm_up_steps: Annotated[int, Within(0, 10**9)] = 20
    clip: Annotated[float, Within(1e-6, 1e6)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)


def with_pattern(network: TemporalClassifier, pattern: PatternSettings) -> TemporalClassifier:
    """A copy with another attention pattern; weights and description stay."""
    other = TemporalClassifier(dataclasses.replace(network.config, pattern=pattern), network.description)
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    return other


def disagreement(teacher: TemporalClassifier, student: TemporalClassifier, frames: torch.Tensor) -> torch.Tensor:
    """How far the student's outputs for windows [N, T, F] are from the teacher's, a mean over the second half of their
    frames, in which both have seen something: of networks with an embedding, 1 less the cosine; of others, the
    Kullback-Leibler divergence of the class probabilities, in nats. Differentiable by the student's weights."""
    half = frames.shape[1] // 2
    with torch.no_grad():
        wanted = teacher.hidden(frames)[:, half:]
    found = student.hidden(frames)[:, half:]
    if teacher.embedding is not None:
        with torch.no_grad():
            directions = teacher.embed(wanted)
        return (1 - F.cosine_similarity(student.embed(found), directions, dim=-1)).mean()
    with torch.no_grad():
        log_p = F.log_softmax(teacher.classify(wanted), dim=-1)
    log_q = F.log_softmax(student.classify(found), dim=-1)
    return F.kl_div(log_q.flatten(0, 1), log_p.flatten(0, 1), reduction="batchmean", log_target=True)


class Distilling(ShardedTask[DistillBatch]):
    """The student's weights and their optimiser. The teacher stays as it is. Batches are windows [N, T, F]; what else a
    batch has is not used."""

    def __init__(self, teacher: TemporalClassifier, student: TemporalClassifier, config: DistillConfig) -> None:
        self.teacher, self.student, self.config = teacher.eval(), student.train(), config
        self.optimiser = torch.optim.AdamW(
            student.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), eps=EPS, weight_decay=0.0
        )

    def parameters(self) -> list[torch.nn.Parameter]:
        """Those of the student."""
        return list(self.student.parameters())

    def weight(self, batch: DistillBatch) -> float:
        """The number of windows."""
        return len(batch[0])

    def measure(self, batch: DistillBatch) -> Mapping[str, float]:
        """The disagreement; adds its gradients."""
        loss = disagreement(self.teacher, self.student, torch.from_numpy(np.asarray(batch[0])))
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        return {"disagreement": loss.item()}

    def update(self, step: int) -> None:
        """One step along the gradients."""
        config = self.config
        rate = scheduled_rate(config.learning_rate, step, warm_up_steps=config.warm_up_steps, steps=config.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), config.clip)
        self.optimiser.step()

    def state(self) -> State:
        """Everything that steps change."""
        return {"student": self.student.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: State, path: Path) -> None:
        """What `state` gave. CheckpointError for another shape."""
        load_into(self.student, state["student"], path)
        self.optimiser.load_state_dict(state["optimiser"])


Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result, beside teacher and recordings.

    length: frames of the windows that both see. batch: windows in a batch. pattern: of the student's attention; with no
    history of its own it has the teacher's.
    """

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    length: Annotated[int, Within(2, LONGEST)] = 100
    batch: Annotated[int, Within(1, LONGEST)] = 30
    pattern: PatternSettings = PYRAMID
    distillation: DistillConfig = dataclasses.field(default_factory=DistillConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        self.pattern.check()


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a network predicts as its teacher does after the last frame of held-out windows.

    alike: where there is an embedding, the mean cosine of the two; else the share of windows of which both say the same
    class. worst: the mean over the tenth of the windows that agree least in cosine, or in the probability of the
    teacher's class. neighbours: where there is an embedding, the share of windows whose nearest other window is the
    same by both.
    """

    alike: float
    worst: float
    neighbours: float | None

    def __str__(self) -> str:
        if self.neighbours is None:
            return (
                f"the same class in {100 * self.alike:.1f} % of the windows; in the worst tenth it gives the teacher's "
                f"class a probability of {self.worst:.3f}"
            )
        return (
            f"cosine {self.alike:.4f}, in the worst tenth {self.worst:.4f}; the same nearest window for "
            f"{100 * self.neighbours:.1f} % of the windows"
        )


def reading_of(blob: WeightBlob, reading: Reading) -> Reading:
    """How recordings become the frames that the blob asks for. InvalidConfigError: `reading` says it too."""
    for name in ("subcarriers", "select", "period_us", "max_gap_us"):
        if getattr(reading, name) is not None:
            expected = "none, for the teacher's blob says it"
            raise InvalidConfigError.of(f"reading.{name}", expected, getattr(reading, name))
    s = blob.settings
    if s is None:
        return dataclasses.replace(reading, agc="none")
    changes: dict[str, Any] = {"agc": s.agc or "none"}
    if s.subcarrier_numbers is not None:
        changes["subcarriers"] = str(s.subcarrier_numbers.wanted())
    elif s.subcarriers is not None:
        changes["select"] = tuple(np.asarray(s.subcarriers.index).tolist())
    if s.timing is not None and s.timing.period_us is not None:
        changes |= {"period_us": s.timing.period_us, "max_gap_us": s.timing.max_gap_us}
    return dataclasses.replace(reading, **changes)


def agreement(teacher: TemporalClassifier, student: TemporalClassifier, asked: Stack) -> Agreement:
    """On these windows."""
    found = [_last(network, asked) for network in (teacher, student)]
    if teacher.embedding is not None:
        a, b = map(normalised, found)
        cosines = (a * b).sum(axis=1)
        nearest = [_nearest(each) for each in (a, b)]
        return Agreement(float(cosines.mean()), _worst(cosines), float((nearest[0] == nearest[1]).mean()))
    classes = found[0].argmax(axis=1)
    given = found[1] - found[1].max(axis=1, keepdims=True)
    given = np.exp(given) / np.exp(given).sum(axis=1, keepdims=True)
    right = float((found[1].argmax(axis=1) == classes).mean())
    return Agreement(right, _worst(given[np.arange(len(classes)), classes]), None)


def _last(network: TemporalClassifier, asked: Stack) -> NDArray[np.float64]:
    """What a network gives after the last frame of each window: its embedding, or the logits of one without."""
    output = network.classify if network.embedding is None else network.embed
    with torch.no_grad():
        found = [output(network.hidden(torch.from_numpy(some))[:, -1]) for some in asked.batches(64)]
    return torch.cat(found).double().numpy()


def _worst(values: NDArray[np.float64]) -> float:
    return float(np.sort(values)[: max(1, len(values) // 10)].mean())


def _nearest(directions: NDArray[np.float64]) -> NDArray[np.int64]:
    """The index of the nearest other row, by cosine."""
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    found: NDArray[np.int64] = cosines.argmax(axis=1)
    return found


def described(teacher: WeightBlob, name: str, network: TemporalClassifier, pattern: PatternSettings) -> Description:
    """What the student's blob says: as the teacher's, but that it is a student, and not calibrated."""
    about = network.description
    before = f"{about.provenance.rstrip('. ')}. " if about.provenance else ""
    text = f"{before}Distilled from {name} (CRC-32 {crc32(teacher.serialize()):08x}) for the pattern {pattern.pattern}."
    others = {key: value for key, value in about.others.items() if key != "calibration"}
    return dataclasses.replace(about, provenance=text, others=others)


def main(
    teacher_path: str, data: Sequence[str], recipe: Recipe, reading: Reading, run: RunSettings, say: Say, **options: Any
) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    blob = WeightBlob.load(model_path(teacher_path))
    teacher = from_blob(blob).eval()
    dataset = _read(data, blob, teacher_path, reading_of(blob, reading), recipe, say)
    dataset, split = splits.hold_out(dataset, recipe.length)
    taught, held = split.parts(dataset)
    asked = Stack(held, windows(held, recipe.length, short="skip"))
    if recipe.pattern.history is None and teacher.config.pattern.history is not None:
        recipe = dataclasses.replace(recipe, pattern=recipe.pattern.replace(history=teacher.config.pattern.history))
    exchanged = with_pattern(teacher, recipe.pattern)
    crops = Crops(recipe.length, recipe.batch, 0, 0, Augmentation(profile=0.0, jitter=0.0, noise=0.0, masked=0))
    task = Distilling(teacher, with_pattern(teacher, recipe.pattern), recipe.distillation)
    configuration = {
        "recipe": "distill",
        "teacher": f"{crc32(blob.serialize()):08x}",
        "data": file_names(data),
        "recordings": [entry(recording) for recording in dataset],
        **dataclasses.asdict(recipe),
        "environment": environment(),
    }
    with Run.open(
        options["run_folder"],
        configuration,
        resume=options["resume"],
        steps=("distillation", "steps"),
        shards=run.shards,
    ) as folder:
        for note in folder.notes:
            say(note)
        say(f"compared on {len(asked)} windows of {len(held)} recordings that the student is not taught on")
        before = agreement(teacher, exchanged, asked)
        say(f"kernel exchanged only: {before}")
        folder.train(
            task,
            Batches(crops, taught),
            steps=recipe.distillation.steps,
            seed=recipe.seed,
            title="distilling",
            checkpoint_every=run.checkpoint_every,
            workers=run.workers,
        )
        student = task.student.eval()
        after = agreement(teacher, student, asked)
        say(f"distilled:             {after}")
        dtype: Dtype = "float16" if blob.header.dtype == "float16" else "float32"
        made = to_blob(student, described(blob, Path(teacher_path).name, teacher, recipe.pattern), dtype)
        memory = {
            name: TemporalModel.from_blob(each).memory(pointer_bytes=4).ram
            for name, each in (("teacher", blob), ("student", made))
        }
        say(f"a stream on a 32-bit chip: {memory['student']} bytes of RAM ({memory['teacher']} with the teacher)")
        folder.write(MODEL, made.serialize())
        folder.write(
            RESULT,
            {"ram": memory, "exchanged": dataclasses.asdict(before), "distilled": dataclasses.asdict(after)},
        )
    if options["out"] is not None:
        made.save(options["out"])
    say_written(options["out"], options["run_folder"], say)


def _read(data: Sequence[str], blob: WeightBlob, name: str, reading: Reading, recipe: Recipe, say: Say) -> Dataset:
    found = read_dataset(*data, reading=reading)
    for note in found.notes:
        say(note)
    if found.width != blob.header.input_dim:
        raise RecordingShapeError(
            f"frames: expected {blob.header.input_dim} features, as {Path(name).name} has them, "
            f"found {found.width}; distil on recordings like those that it was trained on"
        )
    return without_short_segments(found, recipe.length)
