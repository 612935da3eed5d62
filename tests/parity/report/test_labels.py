"""Labels made short: told apart for as long as that can be."""

import pytest

from parity.report.labels import shortened


def test_labels_that_fit_stay_as_they_are() -> None:
    assert shortened(["a.b.c", "a.b.d"], 5) == ["a.b.c", "a.b.d"]
    assert shortened([], 5) == []


def test_words_in_common_go_first() -> None:
    names = [f"model.encoder.layer_{c}.attention.output" for c in "abc"]
    assert shortened(names, 20) == ["…layer_a…", "…layer_b…", "…layer_c…"]
    assert shortened(["embed", *names], 20) == ["embed", "…layer_a…", "…layer_b…", "…layer_c…"]
    assert shortened(["a/b/c/first/x", "a/b/c/second"], 9) == ["…first/x", "…second"]


def test_a_word_of_each_is_left() -> None:
    assert shortened(["a.b.c.d.e.f"] * 2, 10) == ["…f", "…f"]
    assert shortened(["abcdefghijkl"] * 2, 7) == ["abc…jkl"] * 2


def test_then_letters_from_the_middle() -> None:
    assert shortened(["abcdefghijkl"], 7) == ["abc…jkl"]


@pytest.mark.parametrize("label", ["x" * 99, ".." * 50, "a.b" * 40, "/" * 99, "." + "x" * 98])
@pytest.mark.parametrize("longest", [2, 3, 8])
def test_no_label_is_longer_than_was_asked_for_or_empty(label: str, longest: int) -> None:
    assert len(shortened([label], longest)[0]) == longest
    assert all(0 < len(each) <= longest for each in shortened([label, label], longest))
