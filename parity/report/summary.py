"""A comparison as a page of Markdown, to be pasted into a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.report.facts import inputs, known, run_name
from parity.report.inert import code, code_block, escaped
from parity.report.plots import Pictures
from parity.report.rows import axis_rows, table_rows
from parity.report.table import markdown_table
from parity.report.text import cause_lines, headline, verdict, verdict_lines, verified_line
from parity.verdict.comparison import Comparison

# A longer table is folded.
_LONG = 30
_INPUTS = 3
_TITLES = {
    "divergence": "Divergence by {noun}",
    "errors": "Error by {noun}: free, local, gain",
    "ulp": "Elements by ULP distance",
    "quantiles": "Quantiles of errors to the oracle",
    "tokens": "Differences by token",
}


def summary(comparison: Comparison, pictures: Pictures | None = None) -> str:
    """Verdict first; then what was compared and how, the table, and how to run it again.

    Args:
      pictures: those that stand beside the summary; None for none.
    """
    return _joined(
        [f"**{first_line(comparison)}**"],
        [escaped(verified_line(comparison)), "", _what(comparison)],
        _environment(comparison),
        code_block(verdict_lines(comparison), "text"),
        *(code_block(lines, "text") for c in comparison.columns if (lines := cause_lines(c))),
        _listed("Not seen by this run:", comparison.blind_spots),
        _listed("Notes:", comparison.notes),
        _pictures(comparison, pictures),
        _table(comparison),
        _command(comparison),
        _versions(comparison),
    )


def in_short(comparison: Comparison) -> str:
    """The verdict and the table alone, for a notebook."""
    return _joined(
        [f"**{first_line(comparison)}**"],
        [escaped(verified_line(comparison))],
        _environment(comparison),
        code_block(verdict_lines(comparison), "text"),
        _table(comparison),
    )


def _joined(*parts: Sequence[str]) -> str:
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def first_line(comparison: Comparison) -> str:
    """The verdict on the column under test, in one line of Markdown."""
    ours = comparison.columns[0]
    return f"{headline(comparison)}: {escaped(ours.name)} {escaped(verdict(ours))}"


def _what(comparison: Comparison) -> str:
    """Model, input and reference, as far as the manifest has them."""
    have = known(comparison.manifest)
    name = run_name(comparison.manifest)
    facts = [code(name)] if name else []
    if "blocks" in have:
        facts.append(f"{escaped(have['blocks'])} blocks")
    if "dtype" in have:
        facts.append(escaped(have["dtype"]))
    for field, words in (("tokens_shape", "tokens"), ("weights", ""), ("numerics", "numerics")):
        if field in have:
            facts.append(f"{words or field} {code(have[field])}")
    if called := inputs(comparison.manifest, _INPUTS):
        facts.append(f"inputs {code('; '.join(called))}")
    against = f" against {code(have['reference'])}" if "reference" in have else ""
    return f"run: {', '.join(facts) or 'a function'}{against}"


def _environment(comparison: Comparison) -> list[str]:
    if not comparison.environment:
        return []
    return _listed("The two sides ran in different environments:", comparison.environment)


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading, "", *(f"- {escaped(line)}" for line in lines)] if lines else []


def _pictures(comparison: Comparison, pictures: Pictures | None) -> list[str]:
    if pictures is None:
        return []
    noun = axis_rows(comparison).noun
    titles = {name: escaped(title.format(noun=noun)) for name, title in _TITLES.items()}
    lines = []
    if pictures.drawn:
        first = pictures.drawn[0]
        lines.append(f"![{titles[first]}]({first}.png)")
    rest = [f"[{titles[name]}]({name}.png)" for name in pictures.drawn[1:]]
    if rest:
        lines += ["", f"Also drawn: {'; '.join(rest)}."]
    left_out = [f"{titles[n]}: {escaped(why)}" for n, why in pictures.left_out.items()]
    if left_out:
        lines += ["", f"Not drawn: {'; '.join(left_out)}."]
    return lines


def _table(comparison: Comparison) -> list[str]:
    shown, table = table_rows(comparison), markdown_table(comparison)
    title = f"Mismatched elements by {escaped(shown.words)}"
    if len(shown.rows) <= _LONG:
        return [f"{title}:", "", table]
    return [
        "<details>",
        f"<summary>{title}: {len(shown.rows)} rows</summary>",
        "",
        table,
        "",
        "</details>",
    ]


def _command(comparison: Comparison) -> list[str]:
    command = comparison.manifest.get("command")
    if not command:
        return []
    return ["To reproduce:", "", *code_block(str(command).splitlines(), "sh")]


def _versions(comparison: Comparison) -> list[str]:
    versions: dict[str, Any] = dict(comparison.manifest.get("versions") or {})
    manifest = comparison.manifest
    machine = [str(manifest[name]) for name in ("backend", "device") if manifest.get(name)]
    known = [f"{name} {version}" for name, version in versions.items()]
    known += dict.fromkeys(machine)  # on a CPU both have one name
    return [f"Versions: {escaped(', '.join(known))}"] if known else []
