"""One program's array in the layout of the other's."""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np


def laid_out(array: Any, like: Any) -> Any | None:
    """An array of the same elements in the shape of `like`, with the axes that fit it best."""
    if array.shape == like.shape:
        return array.astype(like.dtype)
    kept = [axis for axis, size in enumerate(array.shape) if size != 1]
    target = [size for size in like.shape if size != 1]
    if sorted(array.shape[a] for a in kept) != sorted(target) or len(kept) > 4:
        return array.reshape(like.shape).astype(like.dtype) if array.size == like.size else None
    best, nearest = None, np.inf
    squeezed = array.reshape([array.shape[a] for a in kept])
    for order in itertools.permutations(range(len(kept))):
        if [squeezed.shape[i] for i in order] == target:
            moved = squeezed.transpose(order).reshape(like.shape).astype(like.dtype)
            distance = _distance(moved, like)
            if best is None or distance < nearest:
                best, nearest = moved, distance
    return best


def _distance(a: Any, b: Any) -> float:
    """Relative distance of two arrays of one shape."""
    wide_a, wide_b = (jnp.asarray(x).astype(jnp.float32).reshape(-1) for x in (a, b))
    size = float(jnp.linalg.norm(wide_b))
    distance = float(jnp.linalg.norm(wide_a - wide_b))
    return distance / size if np.isfinite(distance) and size else np.inf
