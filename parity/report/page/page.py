"""One HTML document with everything in it: data, charts' library, style, script.

A content security policy allows nothing but what is in the document: no request can leave it, and
of scripts only the two that are known here run, by their hashes. Values from a trace are text.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from parity.report.facts import run_name
from parity.report.inert import one_line
from parity.report.page.data import PageData, page_data
from parity.report.page.head import head, worst_taps
from parity.report.page.packing import csp_hash, packed, packed_json
from parity.report.text import headline
from parity.verdict.comparison import Comparison

_SCRIPTS = ("store.js", "heat.js", "charts.js", "detail.js", "table.js", "page.js")


def write_page(comparison: Comparison, document: Mapping[str, Any] | None = None) -> str:
    """The page of a comparison.

    Args:
      document: the comparison's, where it has been made already.
    """
    script = "".join(_asset(name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    library, library_packed = _library()
    name = one_line(run_name(comparison.manifest) or "comparison")
    return string.Template(_asset("page.html")).substitute(
        title=escape(f"{headline(comparison)}: {name}"),
        policy=_policy(script, library),
        style=_asset("page.css"),
        head=head(comparison),
        worst=worst_taps(comparison),
        data=_embedded(page_data(document or comparison.to_json())),
        library=library_packed,
        script=script,
    )


def _embedded(data: PageData) -> str:
    pieces: list[tuple[str, Any]] = [("overview", data.overview)]
    for column, each in enumerate(data.pieces):
        pieces += [(f"profiles-{column}-{i}", piece) for i, piece in enumerate(each)]
    return "\n".join(
        f'<script type="text/plain" id="{name}">{packed_json(piece)}</script>'
        for name, piece in pieces
    )


def _policy(*scripts: str) -> str:
    allowed = " ".join(csp_hash(script) for script in scripts)
    # Plotly styles what it draws by style attributes, and draws heat maps as data: images.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (files("parity.report.page") / name).read_text(encoding="utf-8")


@functools.cache
def _library() -> tuple[str, str]:
    """plotly.js, with its licence, plain and packed."""
    from plotly.offline import get_plotlyjs

    text = get_plotlyjs()
    return text, packed(text)
