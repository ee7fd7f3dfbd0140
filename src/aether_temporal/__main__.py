"""`python -m aether_temporal` is the `aether` command, also where its folder is not on the path."""

from aether_temporal.cli import main

main()
