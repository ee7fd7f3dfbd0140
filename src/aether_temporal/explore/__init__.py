"""Pictures of models and recordings: attention, embeddings, confusion, drift. Needs matplotlib (extra `plot`)."""

from aether_temporal._internal.figures import write as write
