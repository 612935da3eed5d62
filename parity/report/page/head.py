"""The parts of the page that are plain HTML: readable without a script, and in print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from parity.report.inert import one_line
from parity.report.text import details, headline, verdict, verified_line
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import COMPARED, TapDiff

_FACTS = ("model", "blocks", "dtype", "tokens_shape", "numerics", "backend", "weights", "reference")
_WORST = 6
_RANK = {"nonfinite": 3, "shape": 3, "dtype": 3, "missing": 3, "diverged": 2, "rounding": 1}


def _text(value: object) -> str:
    return escape(one_line(value))


def head(comparison: Comparison) -> str:
    """Verdict, verified fraction, a verdict per column, and what the run was."""
    manifest = comparison.manifest
    facts = [(name, _fact(manifest.get(name))) for name in _FACTS if manifest.get(name) is not None]
    versions = ", ".join(f"{name} {v}" for name, v in manifest.get("versions", {}).items())
    facts += [("versions", versions)] if versions else []
    held = "holds" if comparison.holds else "fails"
    return "\n".join(
        [
            f'<h1 class="{held}">{_text(headline(comparison))}</h1>',
            f'<p class="verified">{_text(verified_line(comparison))}</p>',
            '<ul class="verdicts">',
            *map(_verdict, comparison.columns),
            "</ul>",
            _list("Differs between the sides", comparison.environment),
            _list("Not seen by this run", comparison.blind_spots),
            _list("Notes", comparison.notes),
            "<details><summary>What was run</summary><dl class=facts>",
            *(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts),
            "</dl></details>",
        ]
    )


def worst_taps(comparison: Comparison) -> str:
    """A table of the taps to look at first: where an error is made, then how much differs."""
    found = [(column, tap) for column in comparison.columns for tap in _worst(column)]
    if not found:
        return "<p>No tap that was compared differs.</p>"
    cells = ("column", "tap", "status", "mismatched", "max ULP", "reason")
    rows = (
        f"<tr><td><b>{escape(shorten(one_line(column.name)))}</b></td><td>{_link(column, tap)}</td>"
        f"<td><span class='badge {tap.status}'>{tap.status}</span></td>"
        f"<td class=number>{_share(tap)}</td><td class=number>{_ulp(tap)}</td>"
        f"<td>{_text(tap.reason)}</td></tr>"
        for column, tap in found
    )
    header = "".join(f"<th scope=col>{cell}</th>" for cell in cells)
    return (
        f"<table class=worst><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _verdict(column: Column) -> str:
    worst = column.diverged_at or column.first_divergence
    kind = worst.status if worst else "identical" if column.compared else "not_compared"
    lines = "".join(f"<span>{_text(line)}</span>" for line in details(column))
    return (
        f'<li><b>{_text(column.name)}</b> <span class="badge {kind}">{_text(verdict(column))}'
        f"</span>{lines}</li>"
    )


def _list(heading: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<details open><summary>{heading}</summary><ul>{items}</ul></details>"


def _fact(value: Any) -> str:
    return (
        " × ".join(map(str, value))
        if isinstance(value, Iterable) and not isinstance(value, str)
        else str(value)
    )


def _differs(tap: TapDiff) -> bool:
    return tap.status not in ("identical", "not_compared")


def _worst(column: Column) -> list[TapDiff]:
    """Where the column departs, then the worst of the others."""
    first = column.diverged_at or column.first_divergence
    others = [tap for tap in column.taps if _differs(tap) and tap is not first]
    ranked = sorted(others, key=_severity, reverse=True)
    return ([first] if first else []) + ranked[: _WORST - 1]


def _severity(tap: TapDiff) -> tuple[float, ...]:
    here = tap.stage.metrics if tap.stage else tap.local
    made = here.mismatched if here else 0
    share = tap.metrics.mismatched / max(tap.metrics.size, 1) if tap.metrics else 1.0
    return _RANK.get(tap.status, 0), float(made > 0), share


def _link(column: Column, tap: TapDiff) -> str:
    parts = [one_line(part) for part in (column.name, tap.tap)]
    target = "/".join(quote(part, safe="") for part in parts)
    return f'<a href="#{target}">{escape(shorten(parts[1]))}</a>'


def shorten(name: str, width: int = 100) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _share(tap: TapDiff) -> str:
    if tap.metrics is None or tap.status not in COMPARED:
        return ""
    return f"{tap.metrics.mismatched} of {tap.metrics.size}"


def _ulp(tap: TapDiff) -> str:
    return "" if tap.metrics is None or tap.metrics.max_ulp is None else str(tap.metrics.max_ulp)
