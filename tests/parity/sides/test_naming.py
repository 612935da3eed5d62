"""Taps of other names are paired, and a pair that pairs nothing is refused."""

import pytest

from parity.errors import RequestError
from parity.sides.naming import renaming

FRAMES = ["embed", "layers[0].mlp", "layers[1].mlp", "layers[1].mlp.gate"]


def test_a_name_gives_that_of_the_reference_and_others_stay() -> None:
    rename = renaming({"embed": "wte"}, FRAMES)
    assert [rename(name) for name in ("embed", "embed.x", "layers[0].mlp")] == [
        "wte",
        "embed.x",
        "layers[0].mlp",
    ]


def test_braces_stand_for_a_number() -> None:
    rename = renaming({"layers[{}].mlp": "h.{}.ff"}, FRAMES)
    assert [rename(name) for name in FRAMES] == ["embed", "h.0.ff", "h.1.ff", "layers[1].mlp.gate"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"embedding": "wte"}, "ours has no tap 'embedding'; it has 'embed', 'layers"),
        ({"layers[{}].mlp": "h.mlp"}, "must have as many numbers"),
        ({"layers.{}.mlp": "h.{}.mlp"}, "ours has no tap"),
    ],
)
def test_a_pair_that_pairs_nothing_is_refused(names: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message.replace("[", r"\[")):
        renaming(names, FRAMES)
