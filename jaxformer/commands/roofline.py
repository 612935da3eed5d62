"""The roofline of a benchmark: how near the machine's ceilings prefill and decoding come.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxformer.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
# Told apart in greyscale by shape; prefill is filled, decoding hollow.
_MARKERS = (("o", "#000000"), ("s", "#D55E00"), ("^", "#0072B2"), ("D", "#7B3294"))
_DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.hashsalt": "jaxformer",
}


@dataclass(frozen=True)
class Point:
    """One phase of one implementation.

    Attributes:
      phase: `prefill` or `decode`.
      label: `T = 512` or `B = 1`; with both where the benchmark varied both.
      intensity: FLOP per byte of weights read; every token of a pass shares one read.
      flops: FLOP per second achieved.
    """

    who: str
    phase: str
    label: str
    intensity: float
    flops: float


def points(document: Mapping[str, Any]) -> list[Point]:
    """What there is to draw in the document of `python -m jaxformer bench`.

    The bytes are those that ours reads in a pass. Peers are placed at the same intensity,
    since the work is the same; where their weights are of another dtype that is a convention.

    Raises:
      UsageError: it isn't such a document.
    """
    try:
        limits = document["ceilings"]
        if not all(rate > 0 for rate in (limits["read"], max(limits["matmul"].values()))):
            raise ValueError("a ceiling of 0")
        return list(_points(document))
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"a roofline needs the JSON that python -m jaxformer bench prints: {error!r}"
        ) from error


def _points(document: Mapping[str, Any]) -> Iterator[Point]:
    per_token, read = document["flops_per_token"], document["bytes_per_step"]
    cells = document["cells"]
    many = len({cell["batch"] for cell in cells}) > 1
    once = set()  # decoding is drawn once a batch, at the first prompt length
    for cell in cells:
        batch, prompt = cell["batch"], cell["prompt"]
        decoding = batch not in once
        once.add(batch)
        for who, found in (("ours", cell["ours"]), *cell["peers"].items()):
            label = f"T = {prompt}" + (f", B = {batch}" if many else "")
            rate = found["prefill_tokens_per_s"]
            tokens = batch * prompt
            yield Point(who, "prefill", label, tokens * per_token / read, rate * per_token)
            if decoding:
                rate = found["decode_tokens_per_s"]
                yield Point(
                    who, "decode", f"B = {batch}", batch * per_token / read, rate * per_token
                )


def draw_roofline(document: Mapping[str, Any], path: Path) -> None:
    """Arithmetic intensity against FLOP/s, both logarithmic, under the measured ceilings.

    Args:
      document: what `python -m jaxformer bench` prints as JSON.
      path: a new file, `.png`, `.svg` or `.pdf`.

    Raises:
      UsageError: another ending, no such document, or the file can't be written.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise UsageError(f"a plot must end in {', '.join(ENDINGS)}; got {path}")
    found = points(document)
    if not found:
        raise UsageError("the benchmark measured nothing: there is no roofline to draw")

    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        _save(_figure(document, found), path)


def _figure(document: Mapping[str, Any], found: list[Point]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    _roofs(axes, document["ceilings"], [point.intensity for point in found])
    for who, group in itertools.groupby(sorted(found, key=_order), lambda point: point.who):
        marker, color = _MARKERS[_rank(who, found) % len(_MARKERS)]
        for phase, members in itertools.groupby(group, lambda point: point.phase):
            some = list(members)
            axes.plot(
                [point.intensity for point in some],
                [point.flops for point in some],
                linestyle="none",
                marker=marker,
                markersize=5,
                color=color,
                markerfacecolor=color if phase == "prefill" else "white",
                zorder=3,
            )
        axes.plot([], [], linestyle="none", marker=marker, color=color, label=_shown(who))
    _label(axes, found)
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_xlabel("FLOP per byte of weights read")
    axes.set_ylabel("FLOP/s")
    facts = [document.get("device"), document.get("dtype"), document.get("formulation")]
    run = ", ".join(_shown(str(fact)) for fact in facts if fact)
    axes.set_title(f"{run}\nfilled: prefill of T; hollow: decoding at batch B", fontsize=7)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, columnspacing=1)
    return figure


def _roofs(axes: Axes, ceilings: Mapping[str, Any], intensities: list[float]) -> None:
    """The read ceiling as a slope, and a level for each dtype's matmul."""
    read, matmul = ceilings["read"], ceilings["matmul"]
    knee = max(matmul.values()) / read
    low, high = min([*intensities, knee]) / 2, max([*intensities, knee]) * 2
    style: dict[str, Any] = {"color": "0.35", "linewidth": 1.1, "zorder": 2}
    axes.plot([low, knee], [low * read, knee * read], label=f"reading, {_scaled(read)}B/s", **style)
    for dash, (dtype, rate) in zip(itertools.cycle(_DASHES), sorted(matmul.items()), strict=False):
        label = f"matmul {_shown(dtype)}, {_scaled(rate)}FLOP/s"
        axes.plot([rate / read, high], [rate, rate], linestyle=dash, label=label, **style)
    axes.set_xlim(low, high)


def _scaled(rate: float) -> str:
    """Three digits, and the prefix of the unit that follows."""
    power = min(4, max(0, int(math.log10(rate) // 3)))
    return f"{rate / 1000**power:.3g} {' kMGT'[power].strip()}"


def _label(axes: Axes, found: list[Point]) -> None:
    """Under the lowest marker of each phase, which phase it is."""
    lowest: dict[tuple[str, float], Point] = {}
    for point in found:
        key = (point.label, point.intensity)
        if key not in lowest or point.flops < lowest[key].flops:
            lowest[key] = point
    for point in lowest.values():
        axes.annotate(
            point.label, (point.intensity, point.flops), xytext=(0, -6), fontsize=6,
            textcoords="offset points", ha="center", va="top",
        )  # fmt: skip
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom / 1.8, top * 1.5)


def _order(point: Point) -> tuple[bool, str, str, float]:
    return point.who != "ours", point.who, point.phase, point.intensity


def _rank(who: str, found: list[Point]) -> int:
    return list(dict.fromkeys(point.who for point in sorted(found, key=_order))).index(who)


def _shown(name: str) -> str:
    """A name on one line, in which no dollar begins mathematics; a `_` would hide it."""
    line = " ".join(name.split())[:40].replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def _save(figure: Figure, path: Path) -> None:
    """Written beside its place and renamed into it, without a date or versions in it."""
    nothing = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[path.suffix]
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        figure.savefig(part, dpi=300, metadata=nothing)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"can't write {path}: {error.strerror or error}; name another file"
        ) from error
