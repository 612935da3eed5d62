"""The speed page's table is what the benchmarks beside it printed.

`python -m pytest tests/test_speed.py --write-reports` writes the table anew.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from documents_for_tests import README, ROOT

from jaxformer.commands.bench import _HEAD, _rows, _utilisation

FOLDER = ROOT / "reports/speed"
PAGE = FOLDER / "README.md"
TABLE = re.compile(r"(?m)^\| machine \| batch .*\n(?:\|.*\n)+")
HEAD = """\
| machine | batch | prompt | decode/s | × official | × torch | of reading | prefill/s \
| × official | × torch | of matmul |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def outputs() -> list[Path]:
    return sorted(FOLDER.glob("*/*.txt"))


def document(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8").splitlines()[-1])


def row(path: Path, cell: dict[str, Any]) -> str:
    figures: list[str] = []
    shares = {"decode": "decode_share_of_read", "prefill": "prefill_share_of_matmul"}
    for phase, share in shares.items():
        faster = {name: peer["ours_faster"][phase] for name, peer in cell["peers"].items()}
        torch = [ratio for name, ratio in faster.items() if name.startswith("transformers")]
        ratios = [faster.get("official"), min(torch, default=None)]
        figures.append(f"{cell['ours'][f'{phase}_tokens_per_s']:,.1f}")
        figures += ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        figures.append(f"{cell[share]:.0%}")
    return (
        f"| {path.parent.name} | {cell['batch']} | {cell['prompt']:,} | {' | '.join(figures)} |\n"
    )


def rows() -> Iterator[str]:
    """By machine, batch and prompt; other files than `bench*` are of a few blocks."""
    cells = [
        (path.parent.name, cell["batch"], cell["prompt"], row(path, cell))
        for path in outputs()
        if path.stem.startswith("bench")
        for cell in document(path)["cells"]
    ]
    return (line for *_, line in sorted(cells))


def test_the_table_is_what_the_benchmarks_printed(request: pytest.FixtureRequest) -> None:
    table = HEAD + "".join(rows())
    page = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--write-reports"):
        page = TABLE.sub(lambda _: table, page)
        PAGE.write_text(page, encoding="utf-8")
    assert table in page


@pytest.mark.parametrize("path", outputs(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_output_agrees_with_its_document(path: Path) -> None:
    printed = path.read_text(encoding="utf-8").splitlines()
    found = document(path)
    expected = [_HEAD, *(line for cell in found["cells"] for line in _rows(cell))]
    assert printed[1:-1] == [*expected, *_utilisation(found)]


def test_what_the_readme_says_is_in_the_table() -> None:
    (measured,) = (r for r in rows() if r.startswith("| avx2 | 1 | 512 |"))
    decode, official, torch, read, prefill, *others, matmul = measured.strip("| \n").split(" | ")[
        3:
    ]
    said = " ".join(README.read_text(encoding="utf-8").split())
    rounded = [f"{float(ratio):.1f}" for ratio in (official, torch, *others)]
    assert (
        f"decoding {decode} tokens/s, {rounded[0]} times the official package and {rounded[1]} "
        f"times transformers at its best, at {read} of"
    ) in said
    assert (
        f"prefill of {float(prefill):.0f} tokens/s, {rounded[2]} and {rounded[3]} times as fast, "
        f"at {matmul} of"
    ) in said


def test_what_the_page_says_of_faster_memory_is_what_was_measured() -> None:
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    cells = document(FOLDER / "avx2b/bench.txt")["cells"]
    shares = [cell["decode_share_of_read"] for cell in cells]
    factors = [cell["peers"]["official"]["ours_faster"]["decode"] for cell in cells]
    low, high = sorted(x / share for x, share in zip(factors, shares, strict=True))
    assert f"the roof is at {low:.1f} to {high:.1f} times the official package" in said
    assert f"is at {min(shares):.0%} to {max(shares):.0%} of it".replace("% to", " to") in said
    took = cells[-1]["ours"]["first_token_s"]
    products = took * cells[-1]["prefill_share_of_matmul"]
    assert f"and {products:.1f} of avx2b's {took:.1f}" in said


def test_what_the_page_says_of_long_prompts_and_accuracy_is_what_was_measured() -> None:
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    short, long = document(FOLDER / "avx2/growth.txt")["cells"]
    assert long["prompt"] == 4 * short["prompt"]
    growth = long["ours"]["first_token_s"] / short["ours"]["first_token_s"] / 4
    assert f"Time grows {growth:.2f} times linearly" in said
    longest = document(FOLDER / "avx2/bench-longest.txt")
    above = longest["cells"][0]["peak_bytes"] - longest["bytes_per_step"]
    assert f"takes {above / 1e9:.2f} GB above the weights" in said
    means = pd.read_csv(FOLDER / "accuracy.csv", index_col="tap")["mean"]
    low, high = means.min(), means.max()
    assert f"means of {low:.2f} to {high:.2f}, {means['logits']:.2f} on the logits" in said
