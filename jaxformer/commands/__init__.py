"""The commands of `python -m jaxformer`, one file each, and what only they use."""
