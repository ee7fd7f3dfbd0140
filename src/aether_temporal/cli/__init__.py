"""The `aether` command. It only calls Python; nothing is computed here."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["aether", "main"]


def main() -> None:
    """Entry point of the `aether` command. An interrupt while modules are still loading ends as any other."""
    try:
        from .group import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def __getattr__(name: str) -> Any:
    if name != "aether":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .group import aether

    return aether
