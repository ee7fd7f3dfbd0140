"""The `aether` command. It only calls Python; nothing is computed here."""

from .main import aether, main

__all__ = ["aether", "main"]
