"""aether compare OLD NEW RECORDING…"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console

from aether_temporal._internal.interruption import interruptible
from aether_temporal.recordings import RecordingError, Sources
from aether_temporal.running.model_comparison import Comparison, compare, totals

from .options import ModelName, hints_of, json_option, open_model, recording_options, stream_memory
from .output import console, names_within, print_json, quantity, table


@click.command("compare")
@click.argument("old", type=ModelName())
@click.argument("new", type=ModelName())
@click.argument("recordings", nargs=-1, required=True, type=click.Path())
@recording_options
@json_option
@click.pass_context
def command(
    ctx: click.Context, /, old: str, new: str, recordings: tuple[str, ...], format_: str | None, **options: Any
) -> None:
    """List every prediction that changes when the model NEW takes the place of OLD, on RECORDINGS: files, folders,
    wildcards or manifests.

    Each model takes the frames as its blob asks for. A file of several senders counts as one recording for each. The
    exit status is 0 whether predictions change or not.
    """
    as_json = options.pop("as_json")
    models = [open_model(name) for name in (old, new)]
    for model in models:
        stream_memory(model, model.default_context, "float32")
    sources = Sources(recordings, format=format_, hints=hints_of(options))
    ctx.with_resource(interruptible())
    found: list[Comparison] = []
    interrupted = False
    for recording in sources:
        each = compare(models[0], models[1], recording)
        interrupted = each.interrupted
        if interrupted:
            break
        found.append(each)
    if not interrupted and not any(each.compared for each in found):
        raise RecordingError(f"{', '.join(recordings)}: expected frames that both models can take, found none")
    if as_json:
        print_json({"old": old, "new": new, "recordings": [each.summary() for each in found], "total": totals(found)})
    else:
        out = console()
        for note in sources.notes:
            out.print(note)
        _print(out, found, names_within(sources.files))
        if interrupted:
            out.print(f"interrupted: {len(found)} recordings were compared")
    ctx.exit(130 if interrupted else 0)


def _print(out: Console, found: Sequence[Comparison], named: Callable[[str, str], str]) -> None:
    shown = table("recording", ">from s", ">to s", ">predictions", "old", "new")
    for each in found:
        name = named(each.recording.source, each.recording.name)
        for note in each.notes:
            out.print(f"{name}: {note}")
        for change in each.changes:
            # Without times, places among the predictions stand in the columns of times.
            ends = (
                (f"#{change.index}", f"#{change.index + change.predictions - 1}")
                if change.begin is None or change.end is None
                else (f"{change.begin:.2f}", f"{change.end:.2f}")
            )
            shown.add_row(name, *ends, quantity(change.predictions), change.old, change.new)
    if shown.row_count:
        out.print(shown)
        out.print()
    _print_totals(out, totals(found))


def _print_totals(out: Console, total: dict[str, Any]) -> None:
    compared, changed = total["compared"], total["changed"]
    share = f" ({changed / compared:.1%})" if changed else ""
    recordings = "1 recording" if total["recordings"] == 1 else f"{quantity(total['recordings'])} recordings"
    out.print(f"{quantity(changed)} of {quantity(compared)} predictions change{share}, in {recordings}")
    for entry in total["changes"]:
        out.print(f"  {entry['old']} → {entry['new']}: {quantity(entry['predictions'])}")
    differing = total["differing_logits"]
    if differing == 0:
        out.print("every bit of the logits is the same")
    elif differing is not None:
        out.print(f"logits differ in {quantity(differing)} predictions")
    before, after = total["accuracy"]["old"], total["accuracy"]["new"]
    if before is not None and after is not None:
        frames = f"{quantity(before['frames'])} and {quantity(after['frames'])} labelled frames"
        out.print(f"accuracy {before['fraction']:.1%} before, {after['fraction']:.1%} after, of {frames}")
