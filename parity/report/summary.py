"""A comparison as a page of Markdown, to be pasted into a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.report.inert import code, code_block, escaped
from parity.report.plots import Pictures
from parity.report.table import block_rows, markdown_table
from parity.report.text import headline, verdict, verdict_lines, verified_line
from parity.verdict.comparison import Comparison

# A longer table is folded.
_LONG = 30
_TITLES = {
    "divergence": "Divergence by block",
    "errors": "Error by block: free, local, gain",
    "ulp": "Elements by ULP distance",
    "quantiles": "Quantiles of errors to the oracle",
    "tokens": "Differences by token",
}


def summary(comparison: Comparison, pictures: Pictures | None = None) -> str:
    """Verdict first; then what was compared and how, the table, and how to run it again.

    Args:
      pictures: those that stand beside the summary; None for none.
    """
    parts: list[list[str]] = [
        [f"**{first_line(comparison)}**"],
        [escaped(verified_line(comparison)), "", _what(comparison)],
        _environment(comparison),
        code_block(verdict_lines(comparison), "text"),
        _listed("Not seen by this run:", comparison.blind_spots),
        _listed("Notes:", comparison.notes),
        _pictures(pictures),
        _table(comparison),
        _command(comparison),
        _versions(comparison),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def first_line(comparison: Comparison) -> str:
    """The verdict on the column under test, in one line of Markdown."""
    ours = comparison.columns[0]
    return f"{headline(comparison)}: {escaped(ours.name)} {escaped(verdict(ours))}"


def _what(comparison: Comparison) -> str:
    """Model, input and reference, as far as the manifest has them."""
    manifest = comparison.manifest
    known = {name: value for name, value in manifest.items() if value not in (None, "")}
    facts = [code(known["model"])] if "model" in known else []
    if "blocks" in known:
        facts.append(f"{escaped(known['blocks'])} blocks")
    if "dtype" in known:
        facts.append(escaped(known["dtype"]))
    for name, words in (("tokens_shape", "tokens"), ("weights", ""), ("numerics", "numerics")):
        if name in known:
            facts.append(f"{words or name} {code(known[name])}")
    against = f" against {code(known['reference'])}" if "reference" in known else ""
    return f"run: {', '.join(facts) or 'a function'}{against}"


def _environment(comparison: Comparison) -> list[str]:
    if not comparison.environment:
        return []
    return _listed("The two sides ran in different environments:", comparison.environment)


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading, "", *(f"- {escaped(line)}" for line in lines)] if lines else []


def _pictures(pictures: Pictures | None) -> list[str]:
    if pictures is None:
        return []
    lines = []
    if pictures.drawn:
        first = pictures.drawn[0]
        lines.append(f"![{_TITLES[first]}]({first}.png)")
    rest = [f"[{_TITLES[name]}]({name}.png)" for name in pictures.drawn[1:]]
    if rest:
        lines += ["", f"Also drawn: {'; '.join(rest)}."]
    left_out = [f"{_TITLES[n]}: {escaped(why)}" for n, why in pictures.left_out.items()]
    if left_out:
        lines += ["", f"Not drawn: {'; '.join(left_out)}."]
    return lines


def _table(comparison: Comparison) -> list[str]:
    header, rows = block_rows(comparison)
    table = markdown_table(comparison)
    what = "residual stream, block by block" if header[0] == "block" else "each tap"
    title = f"Mismatched elements of {'the ' if header[0] == 'block' else ''}{what}"
    if len(rows) <= _LONG:
        return [f"{title}:", "", table]
    return [
        "<details>",
        f"<summary>{title}: {len(rows)} rows</summary>",
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
