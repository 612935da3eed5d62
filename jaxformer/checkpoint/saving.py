"""What writers of checkpoints share: parameters that are the config's, and a folder all at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from jaxformer.checkpoint.casting import BFLOAT16, FLOAT32
from jaxformer.checkpoint.messages import folded
from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.params import Params, abstract_params, named_leaves


def checked_leaves(params: Params, config: Config) -> tuple[dict[str, jax.Array], np.dtype]:
    """Arrays by our names, and their one dtype.

    Raises:
      UsageError: they aren't a whole model of this config in bfloat16 or in float32.
    """
    arrays = dict(named_leaves(params))
    dtypes = {np.dtype(array.dtype) for array in arrays.values()}
    if len(dtypes) > 1 or not dtypes <= {BFLOAT16, FLOAT32}:
        found = ", ".join(sorted(dtype.name for dtype in dtypes))
        raise UsageError(f"parameters to save must all be bfloat16, or all float32, got {found}")
    dtype = dtypes.pop()
    expected = {name: leaf.shape for name, leaf in named_leaves(abstract_params(config, dtype))}
    wrong = [
        f"{name} is {list(arrays[name].shape) if name in arrays else 'missing'}, "
        f"should be {list(expected[name]) if name in expected else 'absent'}"
        for name in [*expected, *(arrays.keys() - expected.keys())]
        if name not in arrays or arrays[name].shape != expected.get(name)
    ]
    if wrong:
        raise UsageError(f"the parameters are not those of the config: {folded(wrong)}")
    return arrays, dtype


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes its name when the block ends without an exception.

    Raises:
      UsageError: it exists and is not empty, or can't be written.
    """
    # Hidden, beside its place: a rename within one file system is all or nothing.
    partial = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is not an empty folder: name a new one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
