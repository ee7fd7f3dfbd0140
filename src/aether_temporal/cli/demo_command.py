"""aether demo"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aether_temporal import TemporalModel, kernels
from aether_temporal._internal.interruption import interruptible
from aether_temporal.bundled import model_path
from aether_temporal.host.golden import golden_files, run_golden
from aether_temporal.recordings import Recording, save_recording
from aether_temporal.running import run
from aether_temporal.running.stream import Prediction, prediction_names, real_time
from aether_temporal.simulation import DEMO_SEED, demo_recording
from aether_temporal.simulation.simulated import FRAME_RATE

from .options import NewFile, json_option
from .output import Display, console, print_json
from .parity_command import document as parity_document
from .parity_command import print_reports
from .run_display import Lines, Panel, print_result

_FASTER = 4.0


class _Ids(click.ParamType[range]):
    """An id of a node, or a range of them, such as 1-20."""

    name = "ID[-ID]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        first, dash, last = value.partition("-")
        digits = [each for each in (first, last if dash else first) if each.isdecimal() and len(each) <= 3]
        if len(digits) != 2 or not int(digits[0]) <= int(digits[1]) <= 255:
            self.fail(f"expected an id from 0 to 255, or a range such as 1-20, found {value!r}", param, ctx)
        return range(int(digits[0]), int(digits[1]) + 1)


@click.command("demo")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=DEMO_SEED,
    show_default=True,
    help="Seed of room, subject and noise.",
)
@click.option(
    "--speed",
    type=click.Choice(["real", "max"]),
    help="In real time, or as fast as possible. [default: four times real time on a terminal, else max]",
)
@click.option("--save", type=NewFile(), help="Save the simulated recording (.npz, for `aether run`).")
@click.option(
    "--send", metavar="HOST:PORT", help="Only send the recording there over UDP as a node does, to try `aether listen`."
)
@click.option(
    "--node", type=_Ids(), default="1", show_default=True, help="With --send: the node's id, or a range of nodes: 1-20."
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    seed: int,
    speed: str | None,
    save: str | None,
    send: str | None,
    node: range,
    as_json: bool,
) -> None:
    """Simulate a short recording, classify it frame by frame, and check this host against the golden vectors.

    A physical model of a room simulates the recording: it shows how the tool works, not how well it does in real rooms.
    """
    if save is not None and Path(save).exists():
        raise click.UsageError(f"{save}: expected a new file, found an existing one; remove it or choose another name")
    if send is not None and (save is not None or speed == "max"):
        raise click.UsageError("--send: expected without --save and --speed max; it sends in real time only")
    if send is None and ctx.get_parameter_source("node") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--node: expected together with --send")
    out = console()
    stop = ctx.with_resource(interruptible())
    model = TemporalModel.from_blob(model_path("demo"))
    recording = demo_recording(seed)
    if save is not None:
        save_recording(recording, save)
    if send is not None:
        _send(out, model, recording, seed, send, node, as_json)
        return
    names = prediction_names(model)
    if not as_json:
        out.print(
            f"This recording is SIMULATED: a physical model of a room with one subject (seed {seed}), "
            f"{len(recording)} frames. Nothing was measured."
        )
        out.print()
    factor = {"real": 1.0, "max": None, None: _FASTER if out.is_terminal and not as_json else None}[speed]
    display: Display[Prediction] = (
        Display()
        if as_json
        else Panel(out, names, recording, "demo ← simulation", False)
        if out.is_terminal
        else Lines(out, names)
    )
    with display:
        result = run(
            model, recording, pace=None if factor is None else real_time(recording, factor), on_prediction=display.show
        )
    reports = []
    for name, (file, data) in itertools.product(kernels(), golden_files()):
        if stop.is_set():
            break
        reports.append(run_golden(data, name, file))
    passed = all(report.passed for report in reports)
    if as_json:
        print_json(
            {
                "simulated": True,
                "seed": seed,
                "model": "demo",
                "kernels": model.kernels,
                "context": model.default_context,
                "recording": result.summary(),
                "parity": parity_document(reports),
            }
        )
    else:
        print_result(out, result)
        delay = model.label_delay
        out.print(
            f"Frames are compared with the label {delay} frames ({delay / FRAME_RATE:g} s) before, which the model is "
            "trained to predict; windows with the label that most of their own frames have."
        )
        if reports:
            out.print()
            out.print("Golden vectors on this host, every kernel variant that runs here:")
            print_reports(reports)
    ctx.exit(130 if stop.is_set() else 0 if passed else 1)


def _send(
    out: Console,
    model: TemporalModel,
    recording: Recording,
    seed: int,
    target: str,
    nodes: range,
    as_json: bool,
) -> None:
    """Sends the simulated recording as packets, in real time."""
    from aether_temporal.listening.simulated_node import resolve, send_recording

    resolve(target)
    if not as_json:
        out.print(
            f"Sending a SIMULATED recording (seed {seed}) to {target} as {_named(nodes)}: {len(recording)} raw CSI "
            "frames each, and a classification a second by the demo model. Nothing was measured. Ctrl-C ends."
        )
    sent = send_recording(recording, model, target, nodes=nodes)
    if as_json:
        print_json({"simulated": True, "seed": seed, "target": target, "nodes": list(nodes), "packets": sent})
    else:
        out.print(f"{sent} packets sent")


def _named(nodes: range) -> str:
    return f"node {nodes[0]}" if len(nodes) == 1 else f"nodes {nodes[0]} to {nodes[-1]}"
