"""Two parameter trees: every way to disagree is named, all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS
from jaxformer.params import abstract_params
from parity.arrays.trees import check_weights
from parity.subjects.gemma.gemma_package import expected_weights, given_weights, preset_config


@pytest.mark.parametrize("model", PRESETS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_our_shapes_are_what_the_package_initialises(model: str, dtype: str) -> None:
    ours = given_weights(abstract_params(PRESETS[model], dtype, blocks=7))
    check = check_weights(ours, expected_weights(preset_config(model, 7), dtype))
    assert check.problems == ()
    assert check.tensors == 2 + 11 * 7
    assert "bits" not in str(check)


def test_bits_are_compared_where_both_have_arrays() -> None:
    ours = given_weights(synthetic_params(SMALL, 0, "bfloat16"))
    theirs = {name: jnp.array(leaf) for name, leaf in ours.items()}
    check = check_weights(ours, theirs)
    assert check.problems == ()
    assert check.compared == check.tensors == 2 + 11 * SMALL.num_blocks
    assert str(check) == "weights: 46 tensors agree in name, shape and dtype; the bits of 46"


def test_every_offender_is_named() -> None:
    good = {name: np.ones((2, 3), np.float32) for name in ("a", "b", "c", "d", "e")}
    bad = dict(good)
    bad["a"] = np.ones((3, 2), np.float32)
    bad["b"] = np.ones((2, 3), np.float64)
    bad["c"] = good["c"] * np.float32([1, 1, 1.5])
    bad["f"] = bad.pop("d")
    check = check_weights(bad, good)
    assert check.problems == (
        "d: ours has none",
        "f: the reference has none",
        "a: expected shape [2, 3], got [3, 2]",
        "b: expected float32, got float64",
        "c: 2 of 6 elements differ, by up to 0.5, at (0, 2)",
    )
    assert str(check).startswith("weights: 5 problems in 5 tensors\n  d: ours has none\n")


def test_a_long_list_is_cut() -> None:
    shapes = {f"w{i}": jax.ShapeDtypeStruct((1,), jnp.float32) for i in range(30)}
    assert str(check_weights({}, shapes)).endswith("\n  … and 10 more")
