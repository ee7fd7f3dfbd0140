"""How a cache keeps keys and values."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CACHE_DTYPES", "Dtype"]

Dtype = Literal["float32", "float16", "float16-widened"]
"""float16: rounded to binary16. float16-widened: the same, and the rows of the window kept as binary32 besides: same
bits and saved states for more memory, with fewer instructions on chips that cannot convert binary16."""

CACHE_DTYPES: tuple[str, ...] = get_args(Dtype)
"""In the order of aether_dtype."""
