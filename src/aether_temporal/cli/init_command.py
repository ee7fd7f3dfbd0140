"""aether init FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aether_temporal import WeightBlobHeader, crc32
from aether_temporal.blob_tools import random_blob

from .options import NewFile, json_option
from .output import bytes_text, print_json

_SIZE = click.IntRange(1, 65535)


@click.command("init")
@click.argument("file", type=NewFile())
@click.option("--input-dim", type=_SIZE, default=16, show_default=True, help="Features a frame.")
@click.option("--q-heads", type=_SIZE, default=4, show_default=True, help="Query heads.")
@click.option("--kv-heads", type=_SIZE, default=1, show_default=True, help="Key/value heads; divides the query heads.")
@click.option("--head-dim", type=_SIZE, default=32, show_default=True)
@click.option("--layers", type=_SIZE, default=2, show_default=True)
@click.option("--classes", type=click.IntRange(2, 65535), default=4, show_default=True)
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True, help="Of the weights."
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace FILE when it is there.")
@json_option
def command(
    file: str,
    input_dim: int,
    q_heads: int,
    kv_heads: int,
    head_dim: int,
    layers: int,
    classes: int,
    dtype: Any,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write a weight blob of random numbers in the plain version 1 layout to FILE.

    The same shape and seed give the same bytes on every machine. The weights are
    untrained; they serve to try things out.
    """
    if Path(file).exists() and not force:
        raise click.UsageError(f"{file}: expected a new file, found one that is there already (--force replaces it)")
    header = WeightBlobHeader(
        dtype=dtype, input_dim=input_dim, n_q_heads=q_heads, n_kv_heads=kv_heads, head_dim=head_dim, n_layers=layers,
        n_classes=classes,
    )  # fmt: skip
    blob = random_blob(header, seed)
    blob.save(file)
    raw = blob.serialize()
    crc = f"0x{crc32(raw[:-4]):08X}"
    if as_json:
        print_json({"file": file, "bytes": len(raw), "crc32": crc, "seed": seed})
    else:
        click.echo(f"{file}: {bytes_text(len(raw))}, CRC-32 {crc}, seed {seed}")
