"""The number of options of the whole command line: each one is learned, documented and kept."""

from __future__ import annotations

from collections.abc import Iterator

import click

from aether_temporal.cli import aether

MOST = 175
TRAINING_MOST = 52
"""Of `train` and `gate` together; everything else about a training is in its configuration file."""


def options(command: click.Command, context: click.Context, path: str = "") -> Iterator[tuple[str, str]]:
    """Command and option, for every option of every command that has no subcommands."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from options(found, context, f"{path} {name}".strip())
    else:
        yield from ((path, option.opts[0]) for option in command.params if isinstance(option, click.Option))


def test_the_command_line_has_few_options() -> None:
    found = list(options(aether, click.Context(aether)))
    assert len(found) <= MOST
    assert len([path for path, _ in found if path.split()[0] in ("train", "gate")]) <= TRAINING_MOST
