"""The `aether` command. It only calls Python; nothing is computed here."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["aether", "main"]


def main() -> None:
    """Entry point of the `aether` command. An interrupt while modules load, or what a library makes of it, is no
    traceback."""
    from aether_temporal._internal.interruption import end_of_program, interrupted, take_interrupts

    take_interrupts()
    try:
        from .group import main as run

        run()
    except (Exception, KeyboardInterrupt) as error:
        if not (isinstance(error, KeyboardInterrupt) or interrupted()):
            raise
        print("aether: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        end_of_program()


def __getattr__(name: str) -> Any:
    if name != "aether":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .group import aether

    return aether
