"""Pictures of models and recordings: attention, embeddings, confusion, drift. Needs matplotlib (extra `plot`)."""
