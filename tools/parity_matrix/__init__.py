"""Builds and runs the golden vectors on every target of firmware/targets. Needs the standard library alone."""
