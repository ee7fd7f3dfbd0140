"""aether bench"""

from __future__ import annotations

import importlib
from typing import Any

import click

from aether_temporal.host.benchmark import FORWARD_LENGTHS, STEP_LENGTHS, bench
from aether_temporal.recordings import MissingExtraError

from .options import json_option
from .output import console, micros, print_json, table
from .recipes import NO_TORCH


@click.command("bench")
@click.argument("what", type=click.Choice(["kernels", "training"]), default="kernels")
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=15, show_default=True, help="Turns each candidate gets."
)
@click.option(
    "--forward",
    "forward_lengths",
    type=click.IntRange(1, 65536),
    multiple=True,
    help="Tokens of a forward; may be repeated. [default: 32 64 256 1024]",
)
@click.option(
    "--step",
    "step_lengths",
    type=click.IntRange(1, 10_000_000),
    multiple=True,
    help="Tokens before a step; may be repeated. [default: 100 1000 10000 100000]",
)
@json_option
def command(
    what: str, rounds: int, forward_lengths: tuple[int, ...], step_lengths: tuple[int, ...], as_json: bool
) -> None:
    """Measure forward and step of both patterns, dense attention and CRC beside torch (or numpy) and zlib (`kernels`,
    the default); or forward and backward of a training step beside torch's own (`training`, extra `train`).

    Candidates take turns. Figures are the median and the best of one call on one thread (of a training step, on one and
    on two). A ratio is a candidate's median over that of the first of its group: above 1 it is slower.
    """
    training = what == "training"
    if training and (forward_lengths or step_lengths):
        raise click.UsageError("bench training: expected neither --forward nor --step")
    if training:
        document = _training(rounds)
    else:
        document = bench(
            forward_lengths=forward_lengths or FORWARD_LENGTHS, step_lengths=step_lengths or STEP_LENGTHS, rounds=rounds
        )
    if as_json:
        print_json(document)
        return
    out = console()
    other = f"torch {document['torch']}" if document["torch"] else "torch is not installed: numpy instead"
    shape = document["shape"]
    out.print(
        f"{document['machine']}, kernels {document['kernels']}, Python {document['python']}, {other}; "
        f"{shape['q_heads']} query and {shape['kv_heads']} key/value heads of dim {shape['head_dim']}"
        + ("" if training else ", one thread")
    )
    for group in document["groups"]:
        out.print()
        shown = table("", ">median", ">best", ">ratio", title=group["name"])
        for result in group["results"]:
            median, best = micros(result["median_us"]), micros(result["best_us"])
            shown.add_row(result["name"], median, best, f"{result['ratio']:.2f}")
        out.print(shown)


def _training(rounds: int) -> dict[str, Any]:
    try:
        module = importlib.import_module("aether_temporal.torch.training_bench")
        found: dict[str, Any] = module.bench_training(rounds=rounds)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(NO_TORCH) from None
    return found
