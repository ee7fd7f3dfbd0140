"""A chip from the computer's side: parity over a serial line, blob images, flashing."""
