"""The page in headless Chromium, of models that have other rows than blocks, or none."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from comparisons_for_tests import HOSTILE, SCAN, SINGLE, STACKS, other_comparison
from pages_for_tests import Opened, cell

from parity.report.inert import one_line
from parity.verdict.taps import Status

pytestmark = pytest.mark.browser


def test_a_model_without_rows_has_a_button_per_tap_and_no_map(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, other_comparison(SINGLE), tmp_path)
    page = opened.at("#ours/stem")
    assert not page.locator("#heat").is_visible()
    buttons = page.locator(".chips button")
    marks = ["=", "=", "≈", "?", "?", "?"]
    assert buttons.all_inner_texts() == [f"{n} {m}" for n, m in zip(SINGLE, marks, strict=True)]
    pressed = page.locator(".chips button[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["stem ="]
    assert page.locator("#hint").inner_text().startswith("Click a tap to open it.")
    buttons.nth(4).click()
    page.wait_for_function("() => document.querySelector('#detail h2').textContent === 'dense'")
    assert pressed.all_inner_texts() == ["dense ?"]
    page.get_by_text("other", exact=True).and_(page.locator("label")).click()
    assert buttons.all_inner_texts()[2:] == [f"{name} ≠" for name in SINGLE[2:]]
    opened.check()


def test_a_scanned_model_has_a_row_per_layer(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, other_comparison(SCAN), tmp_path)
    page = opened.at()
    assert page.locator("#heat").get_attribute("aria-label").startswith("Heat map, layers by taps.")
    assert page.locator("#heat thead").inner_text().split() == ["layers", "attn", "mlp"]
    assert page.locator("#heat tbody th").all_inner_texts() == ["0", "1", "2", "3"]
    assert page.locator(".chips button").all_inner_texts() == ["embed =", "head ?"]
    cell(page, 2, 1).hover()
    assert page.locator("#pointed").inner_text() == (
        "layers 2, mlp: not judged: nothing decides why it differs"
    )
    opened.check()


def test_rows_of_two_stacks_have_their_labels(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, other_comparison(STACKS), tmp_path)
    page = opened.at("#ours/decoder.layers[0].cross")
    stacks = [f"{side}.layers[{i}]" for side in ("encoder", "decoder") for i in (0, 1)]
    heads = page.locator("#heat tbody th")
    assert heads.all_inner_texts() == stacks
    for head in heads.all():
        assert head.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert page.locator(".chips button").all_inner_texts() == ["embed =", "memory ≈", "logits ?"]
    cell(page, 0, 1).hover()
    assert page.locator("#pointed").inner_text() == ("encoder.layers[0], mlp: rounding explains it")
    page.locator("#heat").focus()
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.wait_for_function(
        "() => document.querySelector('#detail h2').textContent === 'encoder.layers[1].mlp'"
    )
    opened.check()


def test_what_is_not_judged_looks_like_nothing_else(browser: Any, tmp_path: Path) -> None:
    """By a pattern, so that neither greyscale nor an eye for fewer colours takes that away."""
    names = [f"layers[{i}].x" for i in range(5)]
    whole = other_comparison(names)
    statuses: list[Status] = ["rounding", "unjudged", "diverged", "nonfinite", "unjudged"]
    taps = [
        dataclasses.replace(tap, status=status)
        for tap, status in zip(
            other_comparison(["a", "b", *names]).columns[0].taps[2:], statuses, strict=True
        )
    ]
    named = [dataclasses.replace(tap, tap=name) for tap, name in zip(taps, names, strict=True)]
    ours = dataclasses.replace(whole.columns[0], taps=named)
    opened = Opened(browser, dataclasses.replace(whole, columns=[ours]), tmp_path)
    page = opened.at()
    images = page.locator("#heat tbody td").evaluate_all(
        "all => all.map(each => getComputedStyle(each).backgroundImage)"
    )
    assert images[1] == images[4]
    assert images[1].startswith("repeating-linear-gradient")
    assert images[0] == images[2] == images[3] == "none"
    assert page.locator("#legend .striped").count() == 1
    borders = {
        name: page.locator(f".badge.{name}").first.evaluate(
            "it => getComputedStyle(it).borderTopStyle"
        )
        for name in ("rounding", "unjudged", "diverged")
    }
    assert borders == {"rounding": "solid", "unjudged": "dashed", "diverged": "solid"}
    assert [o for o in page.locator("#in-status option").all_inner_texts() if o == "unjudged"]
    page.select_option("#figure", "rel_l2")
    assert page.locator("#heat .striped").count() == 0
    opened.check()


def test_undecided_is_neither_ticked_nor_crossed(browser: Any, tmp_path: Path) -> None:
    whole = other_comparison(SINGLE)
    undecided = dataclasses.replace(whole, allow=frozenset({"rounding"}))
    opened = Opened(browser, undecided, tmp_path)
    page = opened.at()
    mark = "getComputedStyle(document.querySelector('h1'), '::before').content"
    assert page.evaluate(mark) == '"?"'
    assert page.locator("h1").inner_text() == "Parity is not decided"
    opened.check()


def test_a_map_wider_than_its_place_is_moved_to_the_chosen_tap(
    browser: Any, tmp_path: Path
) -> None:
    names = [f"layers[{i}].part_{k}" for i in range(2) for k in "abcdefghijklmnopqrstuvwxyz" * 4]
    names = [f"{name}{k // 26 % 4}" for k, name in enumerate(names)]
    opened = Opened(browser, other_comparison(names), tmp_path)
    page = opened.at(f"#ours/{names[103]}")
    assert page.locator("#heat").bounding_box()["width"] > 1200
    box, pane = cell(page, 0, 103).bounding_box(), page.locator("#map").bounding_box()
    assert pane["x"] < box["x"] < pane["x"] + pane["width"]
    page.evaluate(f"location.hash = '#ours/{names[0]}'")
    page.wait_for_function("() => document.querySelector('#heat').parentElement.scrollLeft === 0")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    opened.check()


def shown_row(label: str) -> str:
    return label if len(label) <= 60 else f"…{label[-59:]}"


def test_hostile_rows_are_shown_and_do_nothing(browser: Any, tmp_path: Path) -> None:
    rows = [f"{stack}[{i}]" for stack in HOSTILE for i in (0, 1)]
    opened = Opened(
        browser, other_comparison([f"{r}.{kind}" for r in rows for kind in "ab"]), tmp_path
    )
    page = opened.at()
    titles = page.locator("#heat tbody th").evaluate_all("all => all.map(each => each.title)")
    assert titles == [*map(one_line, rows)]
    for i in range(len(rows)):
        cell(page, i, 1).hover()
        assert page.locator("#pointed").text_content().startswith(shown_row(titles[i]))
    assert page.locator("svg a, img, iframe, #detail script, a[href^=javascript]").count() == 0
    assert page.evaluate("document.documentElement.dataset.owned") is None
    opened.check()


@pytest.mark.parametrize("names", [STACKS, SINGLE], ids=["stacks", "single taps"])
def test_a_phone_shows_any_model_without_scrolling_sideways(
    browser: Any, tmp_path: Path, names: tuple[str, ...]
) -> None:
    view = {"viewport": {"width": 390, "height": 844}}
    opened = Opened(browser, other_comparison(names), tmp_path, **view)
    page = opened.at()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    word = page.locator("#detail .to-map").inner_text()
    assert word == ("taps" if names is SINGLE else "map")
    opened.check()
