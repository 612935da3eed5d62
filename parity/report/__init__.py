"""A Comparison as people and programs read it."""
