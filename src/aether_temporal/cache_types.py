"""How a cache keeps keys and values."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CACHE_DTYPES", "Dtype"]

Dtype = Literal["float32", "float16"]
"""float16: rounded to binary16, which halves the memory. A model in integers keeps bytes, whichever is given."""

CACHE_DTYPES: tuple[str, ...] = get_args(Dtype)
"""In the order of aether_dtype."""
