"""What a user says of a file that the file does not say itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Hints:
    """None: the reader finds out. csi_bits: of one I or Q in the device's buffer."""

    csi_bits: Literal[8, 12] | None = None


NOTHING = Hints()
