"""An epsilon of 1e-5 in RMSNorm where the model has 1e-6: block by block, before and after.

It is one run of `python -m parity.compare`, whose report is kept, and the figures that the page
about it quotes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEFORE, AFTER = "eps=1e-5", "ours"
_VARIANT = ["--variant", f"{BEFORE}:rms_norm_eps=1e-5", "--no-variants"]
FULL = ["--model", "gemma3-1b", "--blocks", "20", *_VARIANT]
# Counts are all that is compared with, and those need neither local errors nor an oracle.
REDUCED = ["--model", "gemma3-270m", "--blocks", "9", "--seq-len", "6", *_VARIANT]
REDUCED += ["--taps", "blocks", "--inject", "none", "--oracle", "none"]


def run(arguments: list[str], out: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Compare, with the report in `out/run`; returns the figures that are kept beside it.

    Raises:
      SystemExit: the request was wrong; the command has said why.
    """
    from parity.commands.compare import main

    report = out / "run"
    status = main([*arguments, "--out", str(report)])
    if status not in (0, 1):
        raise SystemExit(status)
    progress("reading the report")
    document = json.loads((report / "comparison.json").read_text(encoding="utf-8"))
    return {"command": f"python -m parity.compare {shlex.join(arguments)}", **figures(document)}


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """Of a `comparison.json`: for each column where it departs and its blocks' counts."""
    columns = {}
    for column in document["columns"]:
        outputs = [
            tap
            for tap in column["taps"]
            if tap["block"] is not None and tap["tap"] == f"blocks.{tap['block']}.output"
        ]
        columns[column["name"]] = {
            "first_divergence": column["first_divergence"],
            "diverged_at": column["diverged_at"],
            "mismatched": [tap["mismatched"] for tap in outputs],
            "size": outputs[0]["size"],
        }
    return {"taps": len(document["columns"][0]["taps"]), "columns": columns}
