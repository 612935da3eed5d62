"""Checkpoints read and written: safetensors, the official Orbax layouts, synthetic weights."""
