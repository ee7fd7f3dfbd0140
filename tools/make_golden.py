#!/usr/bin/env python3
"""Writes tests/golden/*.agv from the reference (docs/spec/golden.md).

`--check` compares with the committed files and fails when one differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checkout import needs

try:
    from golden_cases import attention, integers, models, numerics, pyramid
    from reference.golden_file import Case, Kernel, decode, encode
except ModuleNotFoundError as lacking:
    needs("tools/make_golden.py", lacking)

FLOAT_OUTPUTS = set(Kernel) - {
    Kernel.NARROW,
    Kernel.CRC32,
    Kernel.PATTERN,
    Kernel.BLOB_WRITE,
    Kernel.CACHE_STATE,
    Kernel.STREAM_STATE,
    Kernel.RESAMPLE,
}

FILES: dict[str, tuple[Callable[[], list[Case]], ...]] = {
    "kernels": (
        numerics.exp_cases,
        numerics.root_cases,
        numerics.half_cases,
        numerics.crc_cases,
        numerics.linear_cases,
        numerics.amplitude_cases,
        numerics.resample_cases,
        numerics.attend_query_cases,
        numerics.block_mean_cases,
    ),
    "attention": (
        attention.pattern_cases,
        attention.length_cases,
        attention.switch_cases,
        attention.shape_cases,
        attention.dense_cases,
        attention.value_cases,
        attention.stream_cases,
        models.cache_state_cases,
    ),
    "pyramid": (
        pyramid.seen_cases,
        pyramid.length_cases,
        pyramid.shape_cases,
        pyramid.stream_cases,
        pyramid.state_cases,
        models.pyramid_blob_cases,
        models.pyramid_model_cases,
        models.pyramid_stream_state_cases,
    ),
    "integers": (integers.blob_cases, integers.model_cases, integers.stream_state_cases),
    "model": (models.blob_cases, models.model_cases, models.stream_state_cases),
}


def checked(group: Callable[[], list[Case]]) -> list[Case]:
    """The cases of one group, none of which has a NaN among its outputs."""
    cases = group()
    for case in cases:
        if case.kernel in FLOAT_OUTPUTS and any(w & 0x7FFFFFFF > 0x7F800000 for w in case.stored):
            raise AssertionError(f"{case.name}: NaN bits are no part of the contract")
    return cases


def make(which: str) -> bytes:
    """The bytes of one golden file."""
    return encode([case for group in FILES[which] for case in checked(group)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=list(FILES), help="kernels, attention, pyramid, integers, model")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent.parent / "tests" / "golden"
    wrong = 0
    for which in arguments.files:
        data, path = make(which), folder / f"{which}.agv"
        same = path.exists() and path.read_bytes() == data
        if not arguments.check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif not same:
            wrong += 1
        print(f"{path.name}: {len(decode(data))} cases, {len(data)} bytes{'' if same else ', changed'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
