"""The case studies: what their pages say, and that a smaller run says the same again."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.studies import einsum
from parity.studies.__main__ import main
from parity.studies.einsum import Row
from parity.studies.einsum_files import csv_text, summary_text
from parity.studies.machine import same_bits_expected
from parity.studies.summation import Chain, replay, reveal

REPORTS = Path(__file__).parents[3] / "reports"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def in_order(terms: np.ndarray) -> np.ndarray:
    total = terms[:, 0].copy()
    for column in terms.T[1:]:
        total += column
    return total


def interleaved(terms: np.ndarray) -> np.ndarray:
    a, b, c = (in_order(terms[:, start::3]) for start in range(3))
    return (a + b) + c


def halves(terms: np.ndarray) -> np.ndarray:
    if terms.shape[1] == 1:
        return terms[:, 0]
    middle = terms.shape[1] // 2
    return halves(terms[:, :middle]) + halves(terms[:, middle:])


@pytest.mark.parametrize(
    ("sums", "said", "roundings"),
    [
        (in_order, "one sum", 11),
        (interleaved, "3 interleaved sums, of 4 each", 5),
        (halves, "mixed", 4),
    ],
)
def test_an_order_of_addition_is_found_and_replayed(sums: Any, said: str, roundings: int) -> None:
    order = reveal(sums, 12)
    assert said in order.describe()
    assert order.roundings == roundings
    random = np.random.default_rng(0)
    # Few enough bits for products to be exact.
    x, weights = (random.integers(-999, 999, (7, 12)).astype(np.float32) / 97 for _ in range(2))
    x, weights = (np.float32(a.astype(np.float16)) for a in (x, weights))
    own = sums((x[:, None] * weights).reshape(49, 12)).reshape(7, 7)
    assert (replay(order, x, weights) == own).all()
    other = halves if sums is in_order else in_order
    assert (replay(reveal(other, 12), x, weights) != own).any()


def test_sums_in_a_row_are_told_from_one_sum() -> None:
    def pieces(terms: np.ndarray) -> np.ndarray:
        return in_order(terms[:, :8]) + in_order(terms[:, 8:])

    assert reveal(pieces, 12) == Chain((*range(8), Chain((8, 9, 10, 11))))
    assert reveal(pieces, 12).describe() == "2 sums in a row, of 8 + 4"


def test_sums_that_round_otherwise_are_refused() -> None:
    with pytest.raises(ValueError, match="can't be told"):
        reveal(lambda terms: terms.astype(np.float64).sum(-1) - 0.5, 12)


def test_an_unknown_study_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["softmax"]) == 2
    assert "must be one of epsilon, einsum; got 'softmax'" in capsys.readouterr().err


def test_epsilon_comes_out_the_same_in_small(tmp_path: Path) -> None:
    assert main(["epsilon", "--reduced", "--out", str(tmp_path)]) == 0
    kept, found = load(REPORTS / "epsilon/reduced.json"), load(tmp_path / "figures.json")
    assert (tmp_path / "run/summary.md").exists()
    assert found["columns"]["ours"] == kept["columns"]["ours"]
    assert found["columns"]["ours"]["first_divergence"] is None
    before, was = (each["columns"]["eps=1e-5"] for each in (found, kept))
    assert before["first_divergence"] == was["first_divergence"]
    assert [bool(n) for n in before["mismatched"]] == [bool(n) for n in was["mismatched"]]
    if same_bits_expected(kept["machine"], found["machine"]):
        assert found == kept


# A block is compiled twice for each row: of the twelve the suite takes four.
PART = dataclasses.replace(einsum.REDUCED, lengths=(16,), formulations=("fused", "stacked"))


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(PART, id="part"),
        pytest.param(einsum.REDUCED, id="whole", marks=pytest.mark.matrix),
    ],
)
def test_einsum_comes_out_the_same_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: einsum.Plan
) -> None:
    monkeypatch.setattr(einsum, "REDUCED", plan)
    assert main(["einsum", "--reduced", "--out", str(tmp_path)]) == 0
    kept, found = load(REPORTS / "einsum/reduced.json"), load(tmp_path / "figures.json")
    assert {path.name for path in tmp_path.iterdir()} >= {"einsum.csv", "einsum.png", "summary.md"}
    rows = [
        row
        for row in kept["rows"]
        if row["length"] in plan.lengths and row["formulation"] in plan.formulations
    ]
    assert len(found["rows"]) == len(rows)
    explained(found["rows"])
    if same_bits_expected(kept["machine"], found["machine"]):
        assert found == {**kept, "rows": rows}


def explained(rows: list[dict[str, Any]]) -> None:
    """The order of addition is the reason for every count, whatever the machine."""
    assert rows
    for row in rows:
        assert row["replayed"] in (0, None)
        if row["same_order"]:
            assert row["default"] == row["strict"] == row["op_by_op"] == 0
            assert row["block_default"] == row["block_strict"] == 0
        elif row["dtype"] == "float32":
            assert row["default"] > row["elements"] / 2
        else:
            assert row["default"] < row["elements"] / 100


def test_the_einsum_study_explains_every_count() -> None:
    explained(load(REPORTS / "einsum/figures.json")["rows"])


def test_the_einsum_files_agree() -> None:
    folder = REPORTS / "einsum"
    rows = [Row(**row) for row in load(folder / "figures.json")["rows"]]
    assert (folder / "einsum.csv").read_text() == csv_text(rows)
    assert (folder / "summary.md").read_text() == summary_text(rows)


def test_the_epsilon_page_says_what_its_files_say() -> None:
    folder = REPORTS / "epsilon"
    figures, document = load(folder / "figures.json"), load(folder / "run/comparison.json")
    before, after = (figures["columns"][name] for name in ("eps=1e-5", "ours"))
    column = document["columns"][1]
    taps = {tap["tap"]: tap for tap in column["taps"]}
    first = taps[before["first_divergence"]]
    sixth, last = taps["blocks.6.output"], taps["blocks.19.output"]
    made = [tap["tap"] for tap in column["taps"] if tap["stage_mismatched"]]
    assert {tap.split(".")[-1] for tap in made} == {"post_attention_norm", "post_ffw_norm"}
    assert before["diverged_at"] == before["first_divergence"]
    assert sixth["mismatched"] == sixth["local_mismatched"]
    assert (before["mismatched"][:6], set(after["mismatched"])) == ([0] * 6, {0})
    says(
        folder,
        [
            f"`{figures['command']}`",
            f"`{first['tap']}`, where {first['mismatched']:,} of {first['size']:,} elements differ,"
            f" by up to {first['max_ulp']} ULP",
            f"{document['columns'][0]['compared']} of {figures['taps']} taps",
            f"of the {sixth['mismatched']:,} elements that differ after block 6",
            f"{last['local_mismatched']:,} of those after block 19",
            f"at {len(made)} taps",
            f"{first['stage_formula_share']:.3g} times farther",
            f"{last['oracle_ratio']:.2f} times as far",
            f"its first {len(after['mismatched'])} blocks, 16 tokens",
            "270M's first 9 blocks at 6 tokens",
        ],
        [
            f"| {i} | {before['size']:,} | {b:,} | {a:,} |"
            for i, (b, a) in enumerate(zip(before["mismatched"], after["mismatched"], strict=True))
        ],
    )


def test_the_tables_of_the_epsilon_run_agree() -> None:
    folder = REPORTS / "epsilon/run"
    rows = [line.split(",") for line in (folder / "blocks.csv").read_text().splitlines()]
    columns = load(folder / "comparison.json")["columns"]
    for number, column in ((2, columns[0]), (3, columns[1])):
        taps = {tap["tap"]: tap for tap in column["taps"]}
        outputs = [taps[f"blocks.{i}.output"] for i in range(20)]
        assert [int(row[number]) for row in rows[1:]] == [tap["mismatched"] for tap in outputs]
    page = (folder / "summary.md").read_text()
    shown = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert shown == [f"| {' | '.join(row)} |" for row in rows]
    last, first = outputs[-1], taps[columns[1]["diverged_at"]]
    words = " ".join(page.split())
    assert f"made here: {first['stage_mismatched']} of {first['size']} differ" in words
    assert f"{last['oracle_ratio']:.2f} of the reference's error to the oracle" in words


def test_the_einsum_page_says_what_its_files_say() -> None:
    folder = REPORTS / "einsum"
    rows = load(folder / "figures.json")["rows"]
    at = {(row["dtype"], row["length"], row["formulation"]): row for row in rows}
    low, high = at["bfloat16", 16, "stacked"], at["float32", 16, "stacked"]
    one, fused = at["float32", 1, "stacked"], at["float32", 16, "fused"]
    other = [row for row in rows if not row["same_order"]]
    assert {row["formulation"] for row in other} == {"stacked"}
    assert {row["length"] for row in other} == {2, 6, 16, 33}
    assert all(row["default"] == row["strict"] == row["op_by_op"] for row in rows)
    reduced = load(REPORTS / "einsum/reduced.json")["rows"]
    assert any(row["default"] for row in reduced if row["formulation"] == "split")
    tables = re.findall(r"(?m)^\|.*\|$", (folder / "summary.md").read_text())
    says(
        folder,
        [
            f"it is {low['default']:,} of {low['elements']:,} elements in bfloat16 and\n"
            f"{high['default']:,} of them in float32",
            f"{low['before_rounding']:,} of {low['elements']:,} sums differ before that rounding",
            f"{low['default']} are left",
            f"{one['rel_l2']:.3e} with {one['roundings']} of them, {high['rel_l2']:.3e} with "
            f"{high['roundings']}, {fused['rel_l2']:.3e} with {fused['roundings']} "
            "(at 1, 16 and 16 tokens)",
            f"in pieces of {fused['order'].partition('of ')[2]}",
            f"keeps {high['order'].partition(' ')[0]} sums",
            "from 2 tokens on and below 64",
            "1,152 terms",
        ],
        tables,
    )


def says(folder: Path, claims: list[str], tables: list[str]) -> None:
    """Every claim and every line of a table stands on the page, and no other figure does."""
    page = (folder / "README.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ") and "`" not in line]
    assert [x for x in lines if re.search(r"\d", x)] == [x for x in tables if re.search(r"\d", x)]
    rest = " ".join(re.sub(r"(?m)^(\|.*\||#.*| {4}.*)$", "", page).split())
    for claim in map(" ".join, map(str.split, claims)):
        assert claim in rest
        rest = rest.replace(claim, "")
    assert set(re.findall(r"(?<![\w.-])\d[\d.,]*\d(?![\w-])", rest)) <= NAMES


# What is no measurement: an issue, a paper, settings, and rough costs.
NAMES = {"29990", "2411.00442", "7000", "16", "64", "5.6", "20"}
