"""What `aether serve` adds to listening: a page, a broker's topics, metrics and a history (extra `live`)."""
