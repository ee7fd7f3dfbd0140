"""aether verify MODEL CAPTURE"""

from __future__ import annotations

from collections import Counter

import click

from aether_temporal.listening.captured_receipts import NodeChecks, captured_checks
from aether_temporal.listening.twin import Verdict
from aether_temporal.listening.verifier import describe_difference
from aether_temporal.recordings import describe

from .options import json_option, model_argument, open_model
from .output import console, print_json, quantity, seconds_text

_SHOWN = 20
"""Differences of a node that are printed one by one."""


@click.command("verify")
@model_argument
@click.argument("capture", type=click.Path())
@json_option
@click.pass_context
def command(ctx: click.Context, /, model: str, capture: str, as_json: bool) -> None:
    """Check the receipts in CAPTURE, a packet capture such as `aether listen --record` writes, with MODEL: compute from
    the raw frames what each node must have computed, and compare, bit for bit.

    Exit status: 0, all receipts that can be judged are verified; 1, one is different or of another model; 2 also where
    there is no receipt.
    """
    found = captured_checks(open_model(model), capture)
    if as_json:
        print_json({"model": model, "capture": capture, "nodes": [each.document() for each in found.nodes]})
    else:
        out = console()
        for each in found.nodes:
            counted = describe({name.replace("_", " "): count for name, count in each.counts().items()})
            out.print(f"node {each.node_id} at {each.address}: {quantity(len(each.checks))} receipts: {counted}")
            _print_notable(each)
        if found.rejected:
            out.print(f"rejected  {describe(found.rejected)}")
    judged = Counter(str(check.verdict) for each in found.nodes for _, check in each.checks)
    ctx.exit(1 if judged[Verdict.DIFFERENT] or judged[Verdict.ANOTHER_MODEL] else 0)


def _print_notable(found: NodeChecks) -> None:
    out = console()
    different = [(at, check) for at, check in found.checks if check.verdict is Verdict.DIFFERENT]
    for at, check in different[:_SHOWN]:
        out.print(f"  different  receipt {check.sequence}, {_place(at, found)}: {describe_difference(check)}")
    if len(different) > _SHOWN:
        out.print(f"  different  … and {quantity(len(different) - _SHOWN)} more (--json has all)")
    reasons = Counter(
        check.why for _, check in found.checks if check.verdict in (Verdict.BEHIND, Verdict.ANOTHER_MODEL)
    )
    for why, count in reasons.most_common(5):
        out.print(f"  {quantity(count)} times: {why}")


def _place(at: float, found: NodeChecks) -> str:
    return f"{seconds_text(at - found.checks[0][0])} after the first"
