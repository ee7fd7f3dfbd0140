"""What the core costs on a chip, counted under emulation, and held against the tables of docs/budgets.md."""
