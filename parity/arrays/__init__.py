"""Figures of arrays: NumPy alone, pure functions."""
