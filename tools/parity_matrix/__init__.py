"""Build and run the golden vectors on every target of firmware/targets. Standard library only."""
