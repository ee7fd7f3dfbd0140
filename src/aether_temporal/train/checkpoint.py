"""Checkpoints: whole or not there, whatever ends the process and whenever."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import torch

from aether_temporal import crc32
from aether_temporal._files import write_atomic

from .errors import CheckpointError

_MAGIC = b"AETHCKP1"
_HEAD = struct.Struct("<8sIQ")

State = dict[str, Any]


def save_checkpoint(path: str | os.PathLike[str], state: State) -> None:
    """Writes tensors, numbers, texts, lists and dicts of them; `path` holds the old checkpoint or the new one, whole.
    OSError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    write_atomic(path, _HEAD.pack(_MAGIC, crc32(payload), len(payload)) + payload)


def load_checkpoint(path: str | os.PathLike[str]) -> State:
    """What `save_checkpoint` wrote; nothing in the file is executed. CheckpointError when damaged, OSError."""
    raw = Path(path).read_bytes()
    if len(raw) < _HEAD.size or raw[:8] != _MAGIC:
        raise CheckpointError(f"{path}: expected a checkpoint, found {raw[:8]!r}; remove it to begin anew")
    _, crc, length = _HEAD.unpack_from(raw)
    payload = raw[_HEAD.size :]
    if length != len(payload) or crc != crc32(payload):
        raise CheckpointError(
            f"{path}: expected {length} bytes with CRC 0x{crc:08X}, found {len(payload)} with 0x{crc32(payload):08X}: "
            "damaged; "
            "remove it to begin anew"
        )
    try:
        state: State = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise CheckpointError(
            f"{path}: expected tensors and numbers, found others ({first}); remove it to begin anew"
        ) from None
    return state


def load_into(module: torch.nn.Module, state: State, path: str | os.PathLike[str], what: str = "network") -> None:
    """A module's state_dict out of a checkpoint. CheckpointError naming the first tensor that is missing, too many or
    of another shape; the module is then as it was."""
    own = module.state_dict()
    for name in (*own, *state):
        found = tuple(state[name].shape) if name in state else "none"
        wanted = tuple(own[name].shape) if name in own else "none"
        if found != wanted:
            raise CheckpointError(
                f"{path}: {what}.{name}: expected shape {wanted}, found {found}: a checkpoint of another network; "
                "resume with the "
                "settings it was trained with, or choose another run folder"
            )
    module.load_state_dict(state)
