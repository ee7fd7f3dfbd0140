"""What a blob says beside the numbers that are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from aether_temporal.settings import SubcarrierSettings, TimingSettings

__all__ = ["Description"]


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """Sections of a blob that no parameter stands behind (docs/spec/rvne.md); None leaves one out.

    neutral: sections that are written although they say no more than their absence would: of "pattern", "gain" and
    "pooling", and "extension" for one that is empty. A blob that was loaded is written again as it was.
    """

    class_names: Sequence[str] | None = None
    frame_rate: float | None = None
    provenance: str | None = None
    subcarriers: SubcarrierSettings | None = None
    timing: TimingSettings | None = None
    neutral: frozenset[str] = frozenset({"pattern", "gain", "extension"})
