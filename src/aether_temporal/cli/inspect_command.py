"""aether inspect MODEL, and aether init FILE"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from aether_temporal import TemporalModel, WeightBlob, WeightBlobHeader, crc32
from aether_temporal.blob_tools import Check, check_blob, describe_model, float16_error, random_blob
from aether_temporal.bundled import model_path
from aether_temporal.cache_types import Dtype
from aether_temporal.recordings import open_recording
from aether_temporal.running.inputs import model_input
from aether_temporal.subcarriers import Band, SubcarrierMap

from .options import NewFile, context_option, json_option, model_argument
from .output import bytes_text, console, print_json, quantity, say, table

_ARRAYS, _NAMES, _CHARACTERS = 200, 64, 2000
"""Most arrays, names and characters of one text that are shown."""


@click.command("inspect")
@model_argument
@context_option
@click.option(
    "--float16-error",
    "float16_recording",
    type=click.Path(exists=True, dir_okay=False),
    metavar="RECORDING",
    help="Measure the error of float16 matrices over this recording, one by one and together.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, model: str, context: int | None, float16_recording: str | None, as_json: bool) -> None:
    """Describe the blob MODEL: header, settings, arrays with shapes and offsets, memory and multiply-adds, CRC.

    MODEL is a file or the name of a bundled blob (activity, demo). For a damaged blob, the failed check is
    named with what was expected and found, and the exit status is 1.
    """
    path = model_path(model)
    raw = path.read_bytes()
    checks, error = check_blob(raw)
    if error is not None:
        if as_json:
            found = {"type": type(error).__name__, "message": str(error)}
            print_json(
                {"file": str(path), "whole": False, "error": found, "checks": [asdict(check) for check in checks]}
            )
        else:
            _print_damage(str(path), checks)
            say(f"aether: {path}: {error} ({type(error).__name__})", err=True)
        ctx.exit(1)
    document = {"file": str(path), "whole": True, **describe_model(raw, context=context)}
    dtypes: tuple[Dtype, ...] = ("float32", "float16")
    needed = [describe_model(raw, context=context, dtype=dtype)["memory"] for dtype in dtypes]
    document["memory"] = {memory["dtype"]: memory for memory in needed}
    if float16_recording is not None:
        frames = model_input(TemporalModel.from_blob(raw), open_recording(float16_recording)).frames
        document["float16_error"] = {
            "recording": float16_recording,
            **asdict(float16_error(WeightBlob.parse(raw), frames)),
        }
    if as_json:
        print_json(document)
    else:
        _print(document)
        if float16_recording is not None:
            _print_float16_error(document["float16_error"])


def _print_damage(path: str, checks: list[Check]) -> None:
    shown = table("check", "", "expected", "found", title=f"{path} is damaged")
    words = {True: "ok", False: "FAILED", None: "–"}
    for check in checks:
        shown.add_row(check.name, words[check.passed], check.expected, check.found)
    console().print(shown)


def _print(document: dict[str, Any]) -> None:
    out = console()
    header, memory, settings = document["header"], document["memory"], document["settings"]
    out.print(document["file"], style="bold")
    out.print(
        f"RVNE version {header['version']}, {bytes_text(document['bytes'])}, CRC-32 {document['crc32']} (correct)"
    )
    out.print(
        f"{header['n_layers']} layers of width {document['width']}, {header['n_q_heads']} query and "
        f"{header['n_kv_heads']} key/value heads of dim {header['head_dim']}; {header['input_dim']} features in, "
        f"{header['n_classes']} classes out; "
        f"{quantity(document['weights'])} weights, matrices in {header['dtype']}"
    )
    out.print()
    if settings is None:
        out.print("Plain version 1: attention only, window 32, block 16, token 0 global, log-stride and landmarks.")
    else:
        for line in settings_lines(settings):
            out.print(line)
    out.print()
    shown = table("array", "shape", "type", ">offset", ">bytes")
    arrays = document["arrays"]
    for array in arrays[:_ARRAYS]:
        shape = " × ".join(map(str, array["shape"]))
        shown.add_row(array["name"], shape, array["dtype"], f"0x{array['offset']:06X}", quantity(array["bytes"]))
    out.print(shown)
    if len(arrays) > _ARRAYS:
        out.print(f"… and {quantity(len(arrays) - _ARRAYS)} arrays more; --json lists them")
    out.print()
    plain = next(iter(memory.values()))
    out.print(f"A stream with a context of {quantity(plain['context'])} frames:")
    out.print(f"  flash    {bytes_text(plain['flash'])}")
    for dtype, entry in memory.items():
        out.print(
            f"  RAM      {bytes_text(entry['ram'])} with {'an' if dtype == 'int8' else 'a'} {dtype} cache: "
            f"{quantity(entry['state'])} kept, {quantity(entry['scratch'])} scratch"
        )
        out.print(f"           {bytes_text(entry['ram_32_bit'])} on a 32-bit chip")
    out.print(f"  work     {quantity(plain['multiply_adds'])} multiply-adds a frame")
    out.print(f"  cache    {plain['cache_rows']} token rows a layer")


def _print_float16_error(report: dict[str, Any]) -> None:
    out = console()
    out.print()
    out.print(f"Matrices in binary16: {bytes_text(report['bytes_before'])} become {bytes_text(report['bytes_after'])}.")
    out.print(f"Over the {quantity(report['frames'])} frames of {report['recording']}, rounded alone:")
    shown = table("matrix", ">values", ">rounding, worst", ">mean", ">logits", ">predictions changed")
    for cost in (*report["arrays"], report["together"]):
        shown.add_row(
            cost["name"],
            quantity(cost["values"]),
            f"{cost['max_relative']:.1e}",
            f"{cost['mean_relative']:.1e}",
            f"{cost['logits']:.1e}",
            f"{100 * cost['changed']:.2f} %",
        )
    out.print(shown)


def settings_lines(settings: dict[str, Any]) -> list[str]:
    """The settings in words: one entry for each section that is there. Sections without words here come last."""
    given = settings | {"pooling": settings["pooling"] or {"kind": "newest"}}
    if given["subcarriers"] is not None:
        given["subcarriers"] = given["subcarriers"] | {"alone": given["subcarrier_numbers"] is None}
    names = [*_WORDS, *(name for name in given if name not in _WORDS and name != "width")]
    lines = []
    for name in names:
        value = given[name]
        if value is None:
            continue
        label, words = _WORDS.get(name, (name, _plain))
        texts = words(value)
        lines += [f"{label:<15} {text}" for text in texts[:1]] + [f"{'':<15} {text}" for text in texts[1:]]
    return lines


def _first(text: str) -> str:
    """The text, or its beginning and how much more there is: what is shown stays short, whatever a blob holds."""
    if len(text) <= _CHARACTERS:
        return text
    return f"{text[:_CHARACTERS]} … and {quantity(len(text) - _CHARACTERS)} characters more"


def _listed(names: Sequence[object]) -> str:
    """The first names, and how many more there are."""
    more = f", … and {quantity(len(names) - _NAMES)} more" if len(names) > _NAMES else ""
    return ", ".join(_first(str(name)) for name in names[:_NAMES]) + more


def _timing(timing: dict[str, Any]) -> list[str]:
    delay = f"a prediction is for the frame {timing['label_delay']} frames before"
    if timing["period_us"] is None:
        return [delay]
    period, gap = timing["period_us"] / 1e3, timing["max_gap_us"] / 1e3
    return [
        delay,
        f"frames are resampled on a grid of {period:g} ms, which restarts after gaps of more than {gap:g} ms",
    ]


def _calibration(section: dict[str, Any]) -> list[str]:
    return [f"calibrated on recordings that were not trained on (temperature {section['temperature']:.3g})"]


def _pattern(pattern: dict[str, Any]) -> list[str]:
    window = "unlimited" if pattern["window"] is None else pattern["window"]
    history = "unlimited" if pattern["history"] is None else f"{pattern['history']} frames"
    if pattern["pattern"] == "pyramid":
        return [f"pyramid: window {window}, block {pattern['block_size']}, history {history}"]
    switches = [
        name for name, key in (("log-stride", "use_log_stride"), ("landmarks", "use_landmarks")) if pattern[key]
    ]
    tokens = _listed(pattern["global_tokens"]) or "none"
    return [
        f"window {window}, block {pattern['block_size']}, history {history}, "
        f"{' and '.join(switches) or 'neither log-stride nor landmarks'}, global tokens: {tokens}"
    ]


def _subcarriers(section: dict[str, Any]) -> list[str]:
    places = f"{len(section['index'])} of {section['n_pairs']} I/Q pairs: {_ranges(section['index'])}"
    if section["alone"]:
        return [places, "by index, not by number: of the order of the chip it was trained on, and no other"]
    return [places, "by index, for frames of which nobody knows which subcarriers they hold"]


def _numbers(section: dict[str, Any]) -> list[str]:
    found = SubcarrierMap(tuple(map(Band, section["band"])), tuple(section["number"]))
    return textwrap.wrap(f"{len(found)} by number: {found}", 90)


def _pooling(pooling: dict[str, Any]) -> list[str]:
    return ["newest frame" if pooling["kind"] == "newest" else f"mean of the last {pooling['frames']} frames"]


def _plain(section: Any) -> list[str]:
    """A section by its fields and the sizes of its arrays."""
    if not isinstance(section, dict):
        return textwrap.wrap(_first(str(section)), 90)
    return [", ".join(f"{key.replace('_', ' ')} {value}" for key, value in section.items()) or "yes"]


# Label and text of each section, in the order shown.
_WORDS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "class_names": ("classes", lambda names: [_listed(names)]),
    "frame_rate": ("frame rate", lambda rate: [f"{rate:g} frames a second"]),
    "timing": ("label delay", _timing),
    "calibration": ("probabilities", _calibration),
    "pattern": ("pattern", _pattern),
    "subcarrier_numbers": ("subcarriers", _numbers),
    "subcarriers": ("subcarriers", _subcarriers),
    "agc": ("agc", lambda kind: ["each frame is divided by its mean"] if kind == "mean" else []),
    "normalisation": ("normalisation", lambda _: ["mean and scale for each feature"]),
    "projection": ("projection", lambda _: ["features to width"]),
    "stem": ("stem", _plain),
    "bias": ("bias", lambda _: ["in all projections"]),
    "norm": ("norm", lambda norm: [f"root mean square, eps {norm['eps']:g}"]),
    "convolution": ("convolution", lambda section: [f"causal, {section['taps']} taps a channel"]),
    "feed_forward": ("feed-forward", lambda section: [f"{section['hidden']} hidden values, ReLU"]),
    "pooling": ("pooling", _pooling),
    "embedding": ("embedding", lambda section: [f"{section['dim']} values, length 1"]),
    "provenance": ("provenance", lambda text: textwrap.wrap(_first(text), 90)),
}


def _ranges(indices: list[int]) -> str:
    """[0, 1, 2, 5] → '0-2, 5'."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


# -- aether init -----------------------------------------------------------------------------------------------

_HEADER = WeightBlobHeader(
    dtype="float32", input_dim=16, n_q_heads=4, n_kv_heads=1, head_dim=32, n_layers=2, n_classes=4
)
_HEADER_FIELDS = tuple(field.name for field in fields(_HEADER) if field.name != "extension")


class _HeaderField(click.ParamType[tuple[str, int | str]]):
    """FIELD=VALUE: a field of the blob's header."""

    name = "FIELD=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | str]:
        name, equals, text = str(value).partition("=")
        if name not in _HEADER_FIELDS or not equals:
            self.fail(f"expected FIELD=VALUE with one of {', '.join(_HEADER_FIELDS)}, found {value!r}", param, ctx)
        if name == "dtype":
            return name, text
        if not text.isdecimal() or len(text) > 9:
            self.fail(f"{name}: expected a number, found {text!r}", param, ctx)
        return name, int(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the fields."""
        return [CompletionItem(f"{name}=") for name in _HEADER_FIELDS if name.startswith(incomplete)]


@click.command("init")
@click.argument("file", type=NewFile())
@click.option(
    "--set",
    "values",
    type=_HeaderField(),
    multiple=True,
    help="Another value for a field of the header; repeatable. "
    f"[default: {' '.join(f'{name}={getattr(_HEADER, name)}' for name in _HEADER_FIELDS)}]",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@json_option
def init(file: str, values: tuple[tuple[str, Any], ...], seed: int, force: bool, as_json: bool) -> None:
    """Write a weight blob of random numbers in the plain version 1 layout to FILE.

    The same shape and seed give the same bytes on every machine. The weights are
    untrained; they serve to try things out.
    """
    if os.path.lexists(file) and not force:
        raise click.UsageError(f"{file}: expected a new file, found an existing one; --force replaces it")
    header = replace(_HEADER, **dict(values))
    blob = random_blob(header, seed)
    blob.save(file)
    raw = blob.serialize()
    crc = f"0x{crc32(raw[:-4]):08X}"
    if as_json:
        print_json({"file": file, "bytes": len(raw), "crc32": crc, "seed": seed})
    else:
        say(f"{file}: {bytes_text(len(raw))}, CRC-32 {crc}, seed {seed}")
