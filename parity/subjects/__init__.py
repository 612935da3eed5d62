"""What is held against what: the registry, and the subjects."""
