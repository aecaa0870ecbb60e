"""The cards: registry, keys, hotlist."""
