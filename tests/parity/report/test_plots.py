"""Pictures: which are drawn, what they show, and that names in them are only names."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons_for_tests import by_block
from matplotlib import image

from parity.arrays.accuracy import accuracy
from parity.arrays.profile import profile
from parity.report.plots import PICTURES, draw_pictures
from parity.report.plots.style import shown, styled
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.verdict.status import judged
from parity.verdict.taps import StageError, TapDiff

B, T, D, BLOCKS = 2, 6, 32, 4
HOSTILE = ["ours", "_hidden", r"$\frac{x$ \$y$", "日本\n\x07", "<b>", "n" * 80, "$a$", "%s{}", ""]


def tap(name: str, seed: int, noise: float) -> TapDiff:
    """A tap whose second half of the positions differs, with everything that can be measured."""
    draw = np.random.default_rng(seed)
    truth = draw.standard_normal((B, T, D))
    reference = truth.astype("f4")
    ours = reference.copy()
    ours[:, T // 2 :] += (noise * draw.standard_normal((B, T - T // 2, D))).astype("f4")
    found = diff_arrays(name, ours, reference)
    assert found.metrics is not None
    if not found.metrics.mismatched:
        return found
    errors = accuracy(truth, ours, reference)
    return dataclasses.replace(
        found,
        profile=profile(ours, reference, found.metrics.mismatched, (B, T)),
        accuracy=errors,
        local=found.metrics,
        stage=StageError(found.metrics, 0.5, 0.5, errors),
    )


def column(name: str, noise: float = 1e-6) -> Column:
    taps = []
    for i in range(BLOCKS):
        taps += [tap(f"blocks.{i}.input", i, noise), tap(f"blocks.{i}.output", i + 1, noise)]
    return Column(name, {}, judged(taps))


def figure(name: str, *columns: Column) -> Any:
    with styled():
        return PICTURES[name](Comparison({"model": "m"}, columns, rule=by_block))


def lines(axes: Any) -> list[list[float]]:
    """The y values of each line that has any, along the x axis of blocks or bins."""
    return [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 2]


def test_all_are_drawn_where_all_was_measured(tmp_path: Path) -> None:
    pictures = draw_pictures(Comparison({}, [column("ours"), column("eps", 1e-3)]), tmp_path)
    assert pictures.drawn == tuple(PICTURES)
    assert pictures.left_out == {}
    assert sorted(os.listdir(tmp_path)) == sorted(
        f"{n}.{e}" for n in PICTURES for e in ("png", "svg")
    )
    for name in PICTURES:
        height, width, _ = image.imread(tmp_path / f"{name}.png").shape
        assert width == 1020  # 3.4 inches of 300 dots
        assert height < 1500


def test_nothing_is_drawn_without_its_figures(tmp_path: Path) -> None:
    nothing = Column("ours", {}, [TapDiff("x", "not_compared", "the reference has no such tap")])
    pictures = draw_pictures(Comparison({}, [nothing]), tmp_path)
    assert pictures.drawn == ()
    assert pictures.left_out == {
        "divergence": "nothing was compared where values leave a row",
        "errors": "of no column that differs local errors were measured",
        "ulp": "no tap that differs has a histogram",
        "quantiles": "no error was measured against an oracle",
        "tokens": "nothing that leaves a row and differs was profiled by token",
    }
    assert os.listdir(tmp_path) == []


def test_divergence_shows_the_share_that_differs_under_its_ceiling() -> None:
    share, _ = figure("divergence", column("ours", 0), column("eps", 1)).axes
    assert lines(share)[0] == [0] * BLOCKS
    assert all(0.45 < y <= 0.5 for y in lines(share)[1])
    assert [1, 1] in [list(line.get_ydata()) for line in share.lines]


def test_errors_show_free_and_local_on_one_scale_and_the_gain() -> None:
    free, local, gain = figure("errors", column("ours", 0), column("eps", 1e-3)).axes
    (values,) = lines(free)
    assert lines(local) == [values]
    assert all(1e-4 < y < 1e-2 for y in values)
    assert free.get_ylim() == local.get_ylim()
    assert all(0.5 < y < 2 for y in lines(gain)[0])


def test_an_error_that_is_inherited_alone_has_no_local_points() -> None:
    inherited = column("ours", 1e-3)
    same = diff_arrays("x", np.ones(2, "f4"), np.ones(2, "f4")).metrics
    taps = [dataclasses.replace(each, local=same) for each in inherited.taps]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        free, local, _ = figure("errors", dataclasses.replace(inherited, taps=taps)).axes
    assert len(lines(free)) == 1
    assert lines(local) == []


def test_infinite_errors_are_no_points() -> None:
    broken = column("ours", 1e-3)
    taps = [
        dataclasses.replace(each, metrics=dataclasses.replace(each.metrics, rel_l2=value))
        for each, value in zip(broken.taps, [np.inf, np.nan, None, 1.0] * 2, strict=True)
        if each.metrics is not None
    ]
    free, _ = figure("errors", dataclasses.replace(broken, taps=taps)).axes
    assert list(free.lines[0].get_ydata()) == [1.0, 1.0]  # and no gain, so that it has no panel


def test_ulp_shows_shares_of_all_elements() -> None:
    first, last = figure("ulp", column("ours", 1e-3)).axes
    for axes in (first, last):
        (shares,) = lines(axes)
        assert sum(shares) == pytest.approx(1)
        assert shares[0] == pytest.approx(0.5, abs=0.05)


def test_quantiles_of_a_side_that_errs_more_lie_off_the_diagonal() -> None:
    made, ran = figure("quantiles", column("ours", 1e-6)).axes
    for axes in (made, ran):
        line = axes.lines[0]
        x, y = np.array(line.get_xdata()), np.array(line.get_ydata())
        assert np.abs(x).max() == 1
        assert np.abs(y).max() > 5


def test_tokens_show_which_positions_differ() -> None:
    heat = figure("tokens", column("ours", 1)).axes[0]
    shares = heat.images[0].get_array()
    assert shares.shape == (BLOCKS, B * T)
    row = [True] * (T // 2) + [False] * (T // 2)
    assert (np.ma.getmaskarray(shares) == np.array([row * B] * BLOCKS)).all()
    assert shares.min() > 0.9


def test_only_three_columns_are_shown_by_token_and_the_title_says_so() -> None:
    drawn = figure("tokens", *(column(f"v{i}") for i in range(5)))
    assert sum(bool(axes.images) for axes in drawn.axes) == 3
    assert "(first 3 of 5)" in drawn.get_suptitle()


def test_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    comparison = Comparison({"model": "$m$", "reference": "$\\x"}, [*map(column, HOSTILE)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_pictures(comparison, tmp_path).drawn == tuple(PICTURES)
    with styled():
        legend = figure("divergence", *map(column, HOSTILE)).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [*map(shown, HOSTILE)]


def test_a_row_that_is_not_known_by_token_is_not_shown_as_equal() -> None:
    taps = list(column("ours", 1).taps)
    assert taps[3].profile is not None
    flat = dataclasses.replace(taps[3].profile, by_token=None)
    taps[3] = dataclasses.replace(taps[3], profile=flat)
    found = figure("tokens", Column("ours", {}, taps))
    assert len(found.axes[0].patches) == 1
    assert "hatched: not known" in found.axes[1].get_ylabel()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("$a$", r"\$a\$"),
        ("_a", " _a"),
        ("a\n b", "a b"),
        ("日", "\N{REPLACEMENT CHARACTER}"),
        ("n" * 40, "n" * 25 + "…"),
    ],
)
def test_a_name_begins_no_mathematics_and_hides_no_line(name: str, text: str) -> None:
    assert shown(name) == text


def test_neighbouring_lines_differ_in_greyscale() -> None:
    from matplotlib.colors import to_rgb

    from parity.report.plots.style import line_style

    styles = [line_style(i, 7) for i in range(7)]
    grey = [float(np.dot(to_rgb(style["color"]), (0.299, 0.587, 0.114))) for style in styles]
    assert max(grey) < 0.55  # dark enough on white
    assert len({style["marker"] for style in styles}) == 7
    assert len({str(style["linestyle"]) for style in styles}) == 7


DRAW = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/../.."]
import test_plots
from pathlib import Path
from parity.verdict.comparison import Comparison
from parity.report.plots import draw_pictures
draw_pictures(Comparison({}, [test_plots.column("ours")]), Path(sys.argv[2]))
"""


@pytest.mark.matrix
def test_the_same_figures_give_the_same_bytes_on_another_day(tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    draw_pictures(Comparison({}, [column("ours")]), here)
    day = {**os.environ, "SOURCE_DATE_EPOCH": "1000000000", "MPLBACKEND": "svg"}
    arguments = [sys.executable, "-c", DRAW, str(Path(__file__).parent), str(there)]
    subprocess.run(arguments, check=True, env=day)
    assert digests(here) == digests(there)
    text = (here / "divergence.svg").read_text()
    assert "<dc:date>" not in text
    assert "Matplotlib" not in text


def test_the_users_own_settings_are_neither_used_nor_changed(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 31, "text.usetex": True}):
        draw_pictures(Comparison({}, [column("ours")]), tmp_path)
        assert matplotlib.rcParams["font.size"] == 31
        assert matplotlib.rcParams["text.usetex"]
