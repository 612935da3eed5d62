"""`NAME:field=value,…` and nothing else."""

import pytest

from parity.errors import RequestError
from parity.subjects.variants import Variant, check_names, parse_variant


def test_a_variant_has_a_name_and_fields() -> None:
    parsed = parse_variant("eps=1e-5 f32: rms_norm_eps=1e-5, norm_dtype=float32")
    assert parsed == Variant("eps=1e-5 f32", {"rms_norm_eps": 1e-5, "norm_dtype": "float32"})


@pytest.mark.parametrize(
    "text", ["", "a", "a:", "a:b", "a:b=", ":b=1", "a:=1", "a:b=1,", "a:b=1,b=2"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="must read NAME:field=value"):
        parse_variant(text)


def test_headings_are_unique() -> None:
    check_names([Variant("a", {}), Variant("b", {})])
    with pytest.raises(RequestError, match="two columns are called 'a'"):
        check_names([Variant("a", {}), Variant("a", {})])
