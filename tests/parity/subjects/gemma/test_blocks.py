"""The rows of Gemma, which its subject reads in the names of its taps."""

import numpy as np

from parity.report.table import text_table
from parity.subjects.gemma.blocks import by_block
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.verdict.grouping import Row
from parity.verdict.taps import TapDiff

SAME = np.ones(2, np.float32)


def test_blocks_and_logits_are_the_rows_of_the_short_table() -> None:
    names = ["embed", "blocks.0.input", "blocks.0.output", "final_norm", "logits"]
    found = by_block(names)
    assert found.noun == "block"
    assert list(found.shown) == ["0", "logits"]
    assert found.rows[1] == Row("0", "blocks.0.input", "blocks.0.output")
    taps = [diff_arrays(name, SAME, SAME) for name in names]
    assert text_table(Comparison({}, [Column("ours", {}, taps)], rule=by_block)) == (
        " block  elements  ours\n     0         2     0\nlogits         2     0"
    )


def test_a_block_ends_at_its_output_where_that_is_missing_too() -> None:
    taps = [diff_arrays("blocks.0.input", SAME, SAME), TapDiff("blocks.0.output", "missing")]
    comparison = Comparison({}, [Column("ours", {}, taps)], rule=by_block)
    assert comparison.grouping.rows == [Row("0", "blocks.0.input", "blocks.0.output")]
    assert text_table(comparison).split() == ["block", "elements", "ours", "0", "-", "missing"]
