"""This computer: its speed beside the alternatives, and its bits against the golden vectors."""
