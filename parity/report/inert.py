"""Names and values from data as text that a terminal or Markdown shows and doesn't act on."""

from __future__ import annotations

import re

# What begins a construct of GitHub's Markdown within a line, mathematics included.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_JOINER = "\N{WORD JOINER}"


def one_line(text: object) -> str:
    """On one line, with control and other invisible characters written out: `\\x1b`."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def escaped(text: object) -> str:
    """As running text of GitHub's Markdown: no markup, no HTML, and nobody is mentioned."""
    plain = _SPECIAL.sub(lambda found: "\\" + found[0], one_line(text))
    return re.sub(r"@(?=\w)", "@" + _JOINER, plain)


def code(text: object) -> str:
    """As a code span, for running text; in a table use `escaped`."""
    line = one_line(text)
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def code_block(lines: list[str], language: str) -> list[str]:
    """Lines of a code block, whatever fences its own lines hold."""
    fence = "`" * max(3, max(map(_longest_run, lines), default=0) + 1)
    return [f"{fence}{language}", *lines, fence]


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
