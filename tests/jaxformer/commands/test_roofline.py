"""The roofline: where each phase lies, under which ceilings, and what is refused."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from jaxformer.commands.roofline import _figure, draw_roofline, points
from jaxformer.errors import UsageError

GIGA = 1e9


def figures(prefill: float, decode: float) -> dict[str, float]:
    return {"prefill_tokens_per_s": prefill, "first_token_s": 1, "decode_tokens_per_s": decode}


def cell(batch: int, prompt: int) -> dict[str, Any]:
    peers = {"official": figures(80, 3), "transformers-float32": figures(30, 7)}
    return {"batch": batch, "prompt": prompt, "ours": figures(50, 6), "peers": peers}


DOCUMENT = {
    "device": "cpu $x_1$",
    "formulation": "fast",
    "dtype": "bfloat16",
    "ceilings": {"read": 30 * GIGA, "matmul": {"bfloat16": 200 * GIGA, "float32": 300 * GIGA}},
    "bytes_per_step": 2 * GIGA,
    "flops_per_token": 4 * GIGA,
    "peak_bytes": 1,
    "cells": [cell(1, 16), cell(1, 512)],
}


def test_a_phase_lies_at_its_work_per_byte_and_its_rate() -> None:
    found = {(p.who, p.phase, p.label): (p.intensity, p.flops) for p in points(DOCUMENT)}
    assert found[("ours", "prefill", "T = 16")] == (16 * 4 / 2, 50 * 4 * GIGA)
    assert found[("ours", "prefill", "T = 512")] == (512 * 4 / 2, 50 * 4 * GIGA)
    assert found[("ours", "decode", "B = 1")] == (4 / 2, 6 * 4 * GIGA)
    assert found[("official", "decode", "B = 1")] == (4 / 2, 3 * 4 * GIGA)
    assert len(found) == 9  # decoding once for each of three, prefill at two lengths


def test_decoding_is_drawn_once_for_each_batch() -> None:
    batched = {**DOCUMENT, "cells": [cell(1, 16), cell(4, 16)]}
    labels = [p.label for p in points(batched) if p.who == "ours"]
    assert labels == ["T = 16, B = 1", "B = 1", "T = 16, B = 4", "B = 4"]
    assert [p.intensity for p in points(batched) if p.label == "B = 4"] == [8, 8, 8]


def test_the_ceilings_meet_where_reading_is_no_longer_the_limit() -> None:
    axes = _figure(DOCUMENT, points(DOCUMENT)).axes[0]
    roofs = {line.get_label(): line for line in axes.lines if line.get_linestyle() != "None"}
    assert list(roofs) == [
        "reading, 30 GB/s",
        "matmul bfloat16, 200 GFLOP/s",
        "matmul float32, 300 GFLOP/s",
    ]
    slope, *levels = roofs.values()
    x, y = (np.asarray(slope.get_xdata()), np.asarray(slope.get_ydata()))
    assert y / x == pytest.approx(30 * GIGA)
    for level, rate in zip(levels, (200, 300), strict=True):
        assert list(level.get_ydata()) == [rate * GIGA] * 2
        assert level.get_xdata()[0] == pytest.approx(rate / 30)
    assert len({str(line.get_linestyle()) for line in roofs.values()}) == 3


def test_everyone_has_a_marker_of_its_own_and_phases_are_filled_or_hollow() -> None:
    axes = _figure(DOCUMENT, points(DOCUMENT)).axes[0]
    marked = [line for line in axes.lines if line.get_linestyle() == "None"]
    named = {line.get_label(): line.get_marker() for line in marked if not len(line.get_xdata())}
    assert list(named) == ["ours", "official", "transformers-float32"]
    assert len(set(named.values())) == 3
    drawn = [line for line in marked if len(line.get_xdata())]
    hollow = [line for line in drawn if line.get_markerfacecolor() == "white"]
    assert len(drawn) == 6
    assert [list(line.get_xdata()) for line in hollow] == [[2], [2], [2]]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_written_and_is_the_same_each_time(tmp_path: Path, ending: str) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    for name in ("a", "b"):
        draw_roofline(document, tmp_path / f"{name}.{ending}")
    one, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert one == other
    assert len(one) > 5_000
    assert len(os.listdir(tmp_path)) == 2


def test_names_are_only_names(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["cells"][0]["peers"] = {r"$\frac{$": figures(1, 1), "_b": figures(1, 1)}
    draw_roofline(document, tmp_path / "a.png")
    legend = _figure(document, points(document)).legends[0]
    assert r"\$\frac{\$" in [text.get_text() for text in legend.get_texts()]
    assert " _b" in [text.get_text() for text in legend.get_texts()]


def test_without_peers_only_ours_is_drawn(tmp_path: Path) -> None:
    alone = {**DOCUMENT, "cells": [{**cell(1, 16), "peers": {}}]}
    draw_roofline(alone, tmp_path / "a.png")
    assert {p.who for p in points(alone)} == {"ours"}


def test_the_users_settings_are_left_as_they_are(tmp_path: Path) -> None:
    with matplotlib.rc_context({"text.usetex": True}):
        draw_roofline(DOCUMENT, tmp_path / "a.png")
        assert matplotlib.rcParams["text.usetex"]


@pytest.mark.parametrize(
    ("document", "name", "message"),
    [
        (DOCUMENT, "a.gif", "a plot must end in .png, .svg, .pdf; got "),
        (DOCUMENT, "nowhere/a.png", "can't write .*: No such file or directory"),
        ({}, "a.png", "needs the JSON that python -m jaxformer bench prints: KeyError"),
        ({**DOCUMENT, "cells": [{}]}, "a.png", "needs the JSON"),
        ({**DOCUMENT, "bytes_per_step": 0}, "a.png", "needs the JSON"),
        ({**DOCUMENT, "ceilings": {"read": 1}}, "a.png", "needs the JSON"),
        ({**DOCUMENT, "cells": []}, "a.png", "measured nothing"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, document: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        draw_roofline(document, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
