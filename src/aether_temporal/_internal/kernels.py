"""Chooses the kernel variant: an argument, else the environment variable AETHER_KERNELS, else the fastest usable."""

from __future__ import annotations

import functools
import os

from aether_temporal import _core
from aether_temporal.errors import KernelsError

__all__ = ["ENVIRONMENT", "choose", "kernels"]

ENVIRONMENT = "AETHER_KERNELS"


def kernels() -> tuple[str, ...]:
    """Names of the kernel variants this processor can run, fastest last. All give the same bits; the first,
    "portable", is the definition."""
    return _usable()


@functools.cache  # in a virtual machine it takes long to ask the processor
def _usable() -> tuple[str, ...]:
    return tuple(name for name, usable in _core.kernel_variants() if usable)


def choose(name: str | None) -> str:
    """The variant to use; the environment is read now. KernelsError."""
    usable = kernels()
    field, wanted = ("kernels", name) if name is not None else (ENVIRONMENT, os.environ.get(ENVIRONMENT) or usable[-1])
    if not isinstance(wanted, str) or wanted not in usable:
        raise KernelsError.of(field, f"one of {', '.join(usable)}", repr(wanted))
    return wanted
