"""Each blind spot is named when the input has it, and only then."""

import pytest

from jaxformer.config import PRESETS
from parity.subjects.gemma.blind_spots import blind_spots


def spots(model: str, length: int, blocks: int | None = None) -> list[str]:
    config = PRESETS[model]
    tokens = [[2, *range(3, length + 2)]]
    found = blind_spots(config, blocks or config.num_blocks, tokens)
    return [line.partition(":")[0] for line in found]


@pytest.mark.parametrize(
    ("model", "length", "blocks", "expected"),
    [
        ("gemma3-1b", 1, None, ["attention", "sliding window"]),
        ("gemma3-1b", 16, None, ["sliding window"]),
        ("gemma3-1b", 512, None, ["sliding window"]),
        ("gemma3-1b", 513, None, []),
        ("gemma3-1b", 513, 5, ["global attention", "final norm and logits"]),
        ("gemma3-1b", 513, 6, ["final norm and logits"]),
        ("gemma3-4b", 1100, None, ["RoPE factor"]),
        ("gemma3-4b", 2048, None, []),
    ],
)
def test_inputs_and_what_they_cannot_show(
    model: str, length: int, blocks: int | None, expected: list[str]
) -> None:
    assert spots(model, length, blocks) == expected


def test_equal_tokens_hide_attention() -> None:
    config = PRESETS["gemma3-1b"]
    found = blind_spots(config, 26, [[7] * 600, [7] * 600])
    assert found == ["attention: all tokens are equal, so all values are"]


def test_padding_does_not_lengthen_a_row() -> None:
    config = PRESETS["gemma3-1b"]
    assert blind_spots(config, 26, [[2] + [0] * 600])[0].startswith("attention: one token")
