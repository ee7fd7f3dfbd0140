"""Files as arguments."""

from __future__ import annotations

from typing import Any

import click


class NewFile(click.Path):
    """The name of a file to be written. Not `-`: a user who means standard output would get a file of that name."""

    def __init__(self, *, dir_okay: bool = False) -> None:
        super().__init__(dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            self.fail("expected the name of a file, found -; standard output cannot take it", param, ctx)
        return super().convert(value, param, ctx)
