"""What a sparse pattern keeps of dense attention: patterns and eviction policies under the weights of a gate run.

    python tools/pattern_study.py runs/gate --data wiper_persons_0_59.npz --out patterns.json

Takes the networks that `aether gate` trained dense, one for each seed, and exchanges the attention of the last query,
nothing else: the dyadic pyramid (window, block, growth), the reference pattern, and what a cache of as many rows could
keep instead: the newest tokens, heavy hitters (H2O), those that a trained FastGRNN gate finds salient, and those that
dense attention weighs most, which no policy can know before. Attention here is the ten-line definition in numpy.
Prints a table of means over the seeds: entries of the last query, rows that a stream keeps, Spearman of the nearest
neighbours, contrastive loss over dense, points of rank-1 lost.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aether_temporal._internal.toml_settings import load_settings
from aether_temporal.gate.contrastive import Contrasting
from aether_temporal.gate.gate_config import GateConfig
from aether_temporal.gate.kernel_comparison import compare_orders, cosines
from aether_temporal.gate.study import ASKED, arranged, first_network, held_out, pairing, view_terms
from aether_temporal.torch import TemporalClassifier
from aether_temporal.torch.network import Layer, rms_norm
from aether_temporal.train.checkpoints import load_checkpoint, step_generator
from aether_temporal.train.dataset import Dataset, without_short_segments
from aether_temporal.train.prepared import read_dataset
from aether_temporal.train.retrieval import match

Array = NDArray[np.float64]
Keep = Callable[[Array, Array, Array], tuple[Array, Array, Array]]
"""Of the last query [N, H, D], keys and values [N, T, D]: the keys and values of its entries [N, E, D], and how many
tokens each stands for [N, E]."""

HELD_OUT_STEP = 1 << 40
LATEST = 8
"""Tokens that every policy keeps as they are, as the pyramid's window does."""


def runs_of(blocks: int, window: int, block: int, growth: int) -> list[tuple[int, int]]:
    """Runs of blocks, first and count, from the newest on: each is about 1/growth as long as it is far away."""
    found, p = [], blocks
    while p > 0:
        z = 1
        while p % (2 * z) == 0 and growth * z <= blocks - p + max(1, window // block):
            z *= 2
        found.append((p - z, z))
        p -= z
    return found


def pyramid(window: int, block: int, growth: int = 4) -> Keep:
    """The dyadic pyramid of docs/spec/pattern.md, whose growth is 4."""

    def keep(_: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        last = k.shape[1] - 1
        blocks = max(0, last - window) // block
        ranges = [(first * block, count * block) for first, count in runs_of(blocks, window, block, growth)]
        ranges += [(i, 1) for i in range(blocks * block, last + 1)]
        means = [np.stack([x[:, a : a + n].mean(axis=1) for a, n in ranges], axis=1) for x in (k, v)]
        sizes = np.array([n for _, n in ranges], dtype=float)
        return means[0], means[1], np.broadcast_to(sizes, (len(k), len(ranges)))

    return keep


def chosen(tokens: NDArray[np.int64], k: Array, v: Array) -> tuple[Array, Array, Array]:
    """Tokens [N, E] by their index, each for itself."""
    rows = np.arange(len(k))[:, None]
    return k[rows, tokens], v[rows, tokens], np.ones(tokens.shape)


def newest(count: int) -> Keep:
    """A ring: the last tokens."""
    return lambda q, k, v: chosen(np.tile(np.arange(k.shape[1])[-count:], (len(k), 1)), k, v)


def weights(q: Array, k: Array) -> Array:
    """Dense attention of queries [N, H, D] over keys [N, T, D]: [N, H, T]."""
    scores = np.einsum("nhd,ntd->nht", q, k) / np.sqrt(q.shape[-1])
    out = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(out / out.sum(axis=-1, keepdims=True))


def heaviest(count: int) -> Keep:
    """The tokens that the last query itself weighs most: what no policy can know when it drops a row."""

    def keep(q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        mass = weights(q, k).sum(axis=1)
        return chosen(np.sort(np.argsort(-mass, axis=1, kind="stable")[:, :count], axis=1), k, v)

    return keep


def salient(count: int, salience: Callable[[Array], Array]) -> Keep:
    """The latest tokens, and of those before them the most salient ones."""

    def keep(_: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        found = salience(k)
        found[:, -LATEST:] = np.inf
        return chosen(np.sort(np.argsort(-found, axis=1, kind="stable")[:, :count], axis=1), k, v)

    return keep


def heavy_hitters(count: int, queries: Callable[[], Array]) -> Keep:
    """H2O: a cache of `count` rows. Each step adds its attention to the sum of each row it sees; a full cache drops the
    row with the smallest sum that is not among the latest. queries: all of them, [N, T, H, D]."""

    def keep(_: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        q, rows = queries(), np.arange(len(k))
        held = np.zeros((len(k), 0), dtype=np.int64)
        mass = np.zeros((len(k), 0))
        for t in range(k.shape[1]):
            if held.shape[1] == count:
                old = np.where(held < t - LATEST, mass, np.inf)
                victim = old.argmin(axis=1)
                stay = np.ones(held.shape, bool)
                stay[rows, victim] = False
                held, mass = held[stay].reshape(len(k), -1), mass[stay].reshape(len(k), -1)
            held = np.concatenate([held, np.full((len(k), 1), t)], axis=1)
            mass = np.concatenate([mass, np.zeros((len(k), 1))], axis=1)
            mass += weights(q[:, t], k[rows[:, None], held]).sum(axis=1)
        return chosen(held, k, v)

    return keep


class Salience(torch.nn.Module):
    """The FastGRNN gate: state h from the mean key of each token; the salience is its length."""

    def __init__(self, dim: int, hidden: int = 16) -> None:
        super().__init__()
        self.hidden = hidden
        self.inputs, self.state = torch.nn.Linear(dim, 2 * hidden), torch.nn.Linear(hidden, 2 * hidden, bias=False)
        self.zeta, self.nu = torch.nn.Parameter(torch.tensor(0.5)), torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keys [N, T, D] to salience [N, T]."""
        h, out = torch.zeros(len(x), self.hidden), []
        for t in range(x.shape[1]):
            g, c = (self.inputs(x[:, t]) + self.state(h)).split(self.hidden, dim=-1)
            gate, candidate = torch.sigmoid(g), torch.tanh(c)
            f = (self.zeta * gate + self.nu).clamp(0, 1)
            h = f * h + (1 - f) * candidate
            out.append(h.norm(dim=-1))
        return torch.stack(out, dim=1)


class Dense:
    """A network that was trained dense: its last query, keys and values, and what follows the attention."""

    def __init__(self, network: TemporalClassifier) -> None:
        (layer,) = network.layers
        assert isinstance(layer, Layer)
        self.network, self.layer = network, layer

    def rows(self, frames: NDArray[np.float32]) -> tuple[torch.Tensor, Array, Array, Array]:
        """What enters the layer after the last frame [N, w], and queries [N, T, H, D], keys, values [N, T, D]."""
        inputs: list[torch.Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        with torch.no_grad():
            self.network.hidden(torch.from_numpy(frames))
            hook.remove()
            q, k, v = (x.double().numpy() for x in self.layer.queries_keys_values(inputs[0]))
        return inputs[0][:, -1], q, k[:, :, 0], v[:, :, 0]

    def embed(self, frames: NDArray[np.float32], keep_of: Callable[[Callable[[], Array]], Keep]) -> NDArray[np.float64]:
        """Embeddings [N, E] after the last frame, its attention over what is kept."""
        x, q, k, v = self.rows(frames)
        keys, values, sizes = keep_of(lambda: q)(q[:, -1], k, v)
        scores = np.einsum("nhd,ned->nhe", q[:, -1], keys) / np.sqrt(q.shape[-1])
        mass = np.exp(scores - scores.max(axis=-1, keepdims=True)) * sizes[:, None]
        attended = np.einsum("nhe,ned->nhd", mass / mass.sum(axis=-1, keepdims=True), values)
        arrays = self.layer.attention
        with torch.no_grad():
            out = x + torch.from_numpy(attended.reshape(len(x), -1)).float() @ arrays["wo"] + arrays["bo"]
            assert self.network.norm is not None
            assert self.network.config.eps is not None
            found: NDArray[np.float64] = (
                self.network.embed(rms_norm(out, self.network.norm["final"], self.network.config.eps)).double().numpy()
            )
        return found


def trained_gate(dense: Dense, draw: Callable[[np.random.Generator], tuple[NDArray[np.float32], object]]) -> Salience:
    """A gate whose salience correlates with what dense attention of the last query weighs, on training windows."""
    torch.manual_seed(0)
    gate = Salience(dense.layer.config.head_dim)
    optimiser = torch.optim.Adam(gate.parameters(), lr=1e-2)
    for step in range(200):
        frames, _ = draw(step_generator(0, step))
        _, q, k, _ = dense.rows(frames)
        wanted = torch.from_numpy(np.log(weights(q[:, -1], k).mean(axis=1))).float()[:, :-LATEST]
        found = gate(torch.from_numpy(k).float())[:, :-LATEST]
        a, b = (x - x.mean(dim=1, keepdim=True) for x in (found, wanted))
        loss = -((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return gate


def _fixed(keep: Keep, _: Callable[[], Array]) -> Keep:
    """A pattern that asks no other queries."""
    return keep


def policies(rows: int, gate: Salience) -> dict[str, Callable[[Callable[[], Array]], Keep]]:
    """What a cache of so many rows can keep."""

    def salience(k: Array) -> Array:
        with torch.no_grad():
            found: Array = gate(torch.from_numpy(k).float()).double().numpy()
            return found

    return {
        f"newest {rows}": lambda _: newest(rows),
        f"H2O {rows}": lambda queries: heavy_hitters(rows, queries),
        f"FastGRNN gate {rows}": lambda _: salient(rows, salience),
        f"heaviest {rows} (oracle)": lambda _: heaviest(rows),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--config")
    parser.add_argument("--out", type=Path, help="JSON")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = load_settings(given.config, GateConfig())[0] if given.config else GateConfig()
    dataset = without_short_segments(read_dataset(given.data), config.window)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for path in sorted(given.run.glob("seed*-dense.pt")):
        seed = int(path.stem.removeprefix("seed").removesuffix("-dense"))
        for name, values in measured(config, dataset, seed, path).items():
            rows.setdefault(name, []).append(values)
    table = {name: np.mean(values, axis=0).tolist() for name, values in rows.items()}
    print(f"{len(next(iter(rows.values())))} seeds, {config.window} frames")
    print(f"{'':32} entries  Spearman  loss / dense  rank-1 lost")
    for name, (entries, spearman, loss, lost) in table.items():
        print(f"{name:32} {entries:7.0f} {spearman:9.3f} {loss:13.3f} {100 * lost:12.1f}")
    if given.out:
        given.out.write_text(json.dumps(table, indent=1) + "\n")


def measured(config: GateConfig, dataset: Dataset, seed: int, path: Path) -> dict[str, tuple[float, ...]]:
    """Of one seed, by pattern."""
    protocol, names = arranged(config, dataset, seed), held_out(config, dataset, seed)
    part = protocol.parts[ASKED]
    task = Contrasting(first_network(config, protocol.train, "dense", seed), config.contrast, scale=1.0, seed=seed)
    task.load(load_checkpoint(path)["task"], path)
    task.network.eval()
    task.head.eval()
    dense = Dense(task.network)
    gate = trained_gate(dense, pairing(config, protocol.train))
    asked: dict[str, Callable[[Callable[[], Array]], Keep]] = {"dense": lambda _: newest(config.window)}
    for window, block in ((4, 4), (8, 4), (8, 8), (16, 8), (32, 8), (32, 16)):
        for growth in (2, 4, 8):
            asked[f"pyramid {window}, {block}, 1/{growth}"] = functools.partial(_fixed, pyramid(window, block, growth))
    for count in (16, 24, 32, 48):
        asked |= policies(count, gate)
    unseen = dataset.subset([i for i, recording in enumerate(dataset) if recording.subject in names])
    draw = pairing(config, unseen)
    views = [draw(step_generator(seed, HELD_OUT_STEP + i))[0] for i in range(5)]
    found: dict[str, tuple[float, ...]] = {}
    base: tuple[Array, float, float] | None = None
    for name, keep in asked.items():
        probes, gallery = (
            np.concatenate([dense.embed(some, keep) for some in x.batches(64)]) for x in (part.probes, part.gallery)
        )
        similar = cosines(probes, gallery)
        hits = match(gallery, part.gallery_of, probes, part.probes_of).ranks <= 1
        with torch.no_grad():
            terms = [
                view_terms(task.head(torch.from_numpy(dense.embed(x, keep)).float()), config.contrast.temperature)
                for x in views
            ]
        loss = float(np.concatenate(terms).mean())
        if base is None:
            base = (similar, float(hits.mean()), loss)
        _, q, k, v = dense.rows(part.probes[:1])
        entries = keep(lambda: q)(q[:, -1], k, v)[0].shape[1]  # noqa: B023
        orders = compare_orders(base[0], similar, config.neighbours)
        found[name] = (entries, float(orders.spearman.mean()), loss / base[2], float(base[1] - hits.mean()))
    return found


if __name__ == "__main__":
    main()
