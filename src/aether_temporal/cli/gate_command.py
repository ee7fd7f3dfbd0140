"""aether gate"""

from __future__ import annotations

import importlib
from typing import Any

import click

from .options import json_option
from .output import console, print_json, say, table
from .recipes import about, config_option, data_option, resumable, settings_of, trainer

_STATUS = {"pass": 0, "fail": 1, "undecided": 3}


@click.command("gate")
@data_option("Recordings with subject and session")
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for trainings, verdict and page.")
@config_option
@click.option(
    "--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Train both with so many seeds."
)
@click.option("--resume", is_flag=True, help="Resume the run in --out; --seeds may be more than before.")
@json_option
def command(
    data: tuple[str, ...],
    out: str,
    seeds: int,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check by four gates whether sparse attention may replace dense: train dense, and distil sparse from it.

    Exit status: 0 all gates pass, 1 a gate fails, 3 none fails but one is undecided.
    """
    trainer("reading")
    configs = importlib.import_module("aether_temporal.gate.gate_config")
    config, reading, run = settings_of(configs.GateConfig(), options)
    with about(data), resumable(out):
        document = importlib.import_module("aether_temporal.gate.command").gate(
            data,
            config,
            seeds=range(config.seed, config.seed + seeds),
            out=out,
            reading=reading,
            resume=resume,
            run_settings=run,
            show_progress=not as_json,
            say=(lambda _: None) if as_json else say,
        )
    if as_json:
        print_json(document)
    else:
        _show(document, out)
    click.get_current_context().exit(_STATUS[document["verdict"]])


def _show(document: dict[str, Any], folder: str) -> None:
    words = importlib.import_module("aether_temporal.gate.page")
    out = console()
    shown = table(
        "gate",
        ">measured (95 % interval)",
        ">limit",
        ">margin",
        "verdict",
        title=f"{document['data']}, {words.seeds_text(document)}",
    )
    for gate in document["gates"]:
        shown.add_row(*words.gate_row(gate))
    out.print(shown)
    for gate in document["gates"]:
        if gate["beside"]:
            out.print(f"  gate {gate['number']}, beside it: {words.beside_text(gate)}", soft_wrap=True)
    shown = table(words.NETWORK_HEADS[0], *(">" + head for head in words.NETWORK_HEADS[1:]), title="all networks")
    for row in words.network_rows(document):
        shown.add_row(*row)
    out.print(shown)
    shown = table(">" + words.LATENCY_HEADS[0], *words.LATENCY_HEADS[1:], title=words.latency_note(document))
    for row in words.latency_rows(document):
        shown.add_row(*row)
    out.print(shown)
    out.print(f"{document['verdict']}: {words.MEANINGS[document['verdict']]}")
    out.print(f"{folder}/gates.html, {folder}/result.json")
