"""What a report says was run: of a model, and of any function."""

import dataclasses
import html
import re

from comparisons_for_tests import SINGLE, other_comparison, small_comparison

from parity.report.facts import inputs, run_name
from parity.report.page import write_page
from parity.report.page.head import head
from parity.report.summary import summary
from parity.verdict.comparison import Comparison


def facts(comparison: Comparison) -> dict[str, str]:
    """Names and values in the page's list of what was run."""
    found = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", head(comparison))
    return {name: html.unescape(value) for name, value in found}


def test_a_function_is_told_by_its_name_its_arguments_and_its_reference() -> None:
    comparison = other_comparison(SINGLE)
    called = "x float32[2, 24, 8] 0123456789abcdef; params.w float32[8] 01"
    assert facts(comparison) == {
        "ours": "forward", "numerics": "default", "reference": "hf_forward", "inputs": called,
        "versions": "jax 0",
    }  # fmt: skip
    assert (
        f"\nrun: `forward`, numerics `default`, inputs `{called}` against `hf_forward`\n"
    ) in summary(comparison)
    page = write_page(comparison)
    assert "<title>Parity does not hold: forward</title>" in page
    assert "None" not in head(comparison) + summary(comparison)


def test_a_model_is_told_as_before() -> None:
    assert facts(small_comparison()) == {
        "model": "small", "dtype": "float32", "tokens": "2 × 24", "versions": "jax 0",
    }  # fmt: skip
    assert "\nrun: `small`, float32, tokens `[2, 24]`\n" in summary(small_comparison())


def test_of_nothing_known_nothing_is_said() -> None:
    comparison = dataclasses.replace(other_comparison(SINGLE), manifest={})
    assert facts(comparison) == {}
    assert "\nrun: a function\n" in summary(comparison)
    assert "<title>Parity does not hold: comparison</title>" in write_page(comparison)


def test_of_a_tree_of_weights_a_few_are_named() -> None:
    manifest = {"source": "f", "inputs": {f"w{i}": "float32[2] 01" for i in range(40)}}
    assert inputs(manifest, 2) == ["w0 float32[2] 01", "w1 float32[2] 01", "and 38 more"]
    assert inputs({"inputs": None}, 2) == []
    assert run_name(manifest) == "f"
    assert run_name({"model": "m", **manifest}) == "m"
