"""From what a recorder calls a label to a class."""

from __future__ import annotations

SIDES = ("_RX", "_TX")


def without_side(name: str) -> str:
    """The activity in a label that also says on which side of the room it was."""
    return next((name.removesuffix(side) for side in SIDES if name.endswith(side)), name)
