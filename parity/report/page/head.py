"""The parts of the page that are plain HTML: readable without a script, and in print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from parity.report.facts import inputs, known
from parity.report.inert import one_line
from parity.report.text import decisive, details, headline, undecided, verdict, verified_line
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import COMPARED, Status, TapDiff

# field of the manifest -> its name on the page
_FACTS = {
    "model": "model",
    "source": "ours",
    "blocks": "blocks",
    "dtype": "dtype",
    "tokens_shape": "tokens",
    "numerics": "numerics",
    "backend": "backend",
    "weights": "weights",
    "reference": "reference",
}
_WORST = 6
_INPUTS = 12
_RANK: Mapping[Status, int] = {
    "nonfinite": 4,
    "shape": 4,
    "dtype": 4,
    "missing": 4,
    "diverged": 3,
    "unjudged": 2,
    "rounding": 1,
}


def _text(value: object) -> str:
    return escape(one_line(value))


def head(comparison: Comparison) -> str:
    """Verdict, verified fraction, a verdict per column, and what the run was."""
    facts = _facts(comparison.manifest)
    held = "holds" if comparison.holds else "open" if undecided(comparison) else "fails"
    return "\n".join(
        [
            f'<h1 class="{held}">{_text(headline(comparison))}</h1>',
            f'<p class="verified">{_text(verified_line(comparison))}</p>',
            '<ul class="verdicts">',
            *(_verdict(comparison, column) for column in comparison.columns),
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


def _verdict(comparison: Comparison, column: Column) -> str:
    worst = decisive(column)
    kind = worst.status if worst else "identical" if column.compared else "not_compared"
    lines = "".join(f"<span>{_text(line)}</span>" for line in details(comparison, column))
    return (
        f'<li><b>{_text(column.name)}</b> <span class="badge {kind}">{_text(verdict(column))}'
        f"</span>{lines}</li>"
    )


def _facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as names and values."""
    have = known(manifest)
    facts = [(name, _fact(have[field])) for field, name in _FACTS.items() if field in have]
    versions = ", ".join(f"{name} {v}" for name, v in have.get("versions", {}).items())
    rest = [("inputs", "; ".join(inputs(manifest, _INPUTS))), ("versions", versions)]
    return [*facts, *(fact for fact in rest if fact[1])]


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
    first = decisive(column)
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
