"""The page as a document: what is in it, what can't be, and how large it gets."""

import base64
import dataclasses
import gzip
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from typing import Any, get_args

import numpy as np
import pytest
from comparisons_for_tests import (
    HOSTILE,
    SINGLE,
    STACKS,
    large_comparison,
    other_comparison,
    small_comparison,
)

from parity.explain import explain
from parity.explain.document import explained
from parity.report.inert import one_line
from parity.report.page import write_page
from parity.report.page.data import PIECE, page_data
from parity.report.page.head import _RANK, worst_taps
from parity.report.page.packing import packed_json
from parity.report.page.page import _asset
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import Status


class Reader(HTMLParser):
    """Elements by name, texts of scripts by id, and the text that is shown."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.shown = ""
        self.open: tuple[str, str] | None = None
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open = tag, dict(attrs).get("id") or "page"

    def handle_endtag(self, tag: str) -> None:
        self.open = None

    def handle_data(self, data: str) -> None:
        tag, key = self.open or ("", "")
        if tag == "script":
            self.scripts[key] = self.scripts.get(key, "") + data
        elif tag != "style":
            self.shown += data

    def unpacked(self, key: str) -> str:
        return gzip.decompress(base64.b64decode(self.scripts[key])).decode()


def test_every_figure_of_the_document_is_in_the_page() -> None:
    comparison = small_comparison()
    reader = Reader(write_page(comparison))
    overview = json.loads(reader.unpacked("overview"))
    document = comparison.to_json()
    for number, (column, expected) in enumerate(
        zip(overview["columns"], document["columns"], strict=True)
    ):
        profiles = json.loads(reader.unpacked(f"profiles-{number}-0"))
        assert column["name"] == expected["name"]
        for row, tap in enumerate(expected["taps"]):
            named = column["taps"][row]
            assert overview["taps"][named] == tap["tap"]
            place = overview["places"][named]
            assert (place is None) == (tap["row"] == tap["tap"])
            if place is not None:
                assert overview["rows"][place[0]] == tap["row"]
                assert overview["kinds"][place[1]] == tap["kind"]
            assert overview["statuses"][column["status"][row]] == tap["status"]
            assert overview["reasons"][column["reason"][row]] == tap["reason"]
            at = tap["max_abs_at"]
            assert column["at"][row] == (None if at is None else list(at))
            for key, values in column["figures"].items():
                exact = key.endswith("_at_max") or not isinstance(tap[key], float)
                expected_value = tap[key] if exact else pytest.approx(tap[key], rel=1e-5, abs=0)
                assert values[row] == expected_value, key
            assert (profiles[row] is None) == (tap["profile"] is None)
        absent = set(expected["taps"][0]) - set(column["figures"])
        assert absent == {
            "index", "tap", "block", "row", "kind", "status", "reason", "profile", "max_abs_at",
        }  # fmt: skip


def overview_of(comparison: Comparison) -> dict[str, Any]:
    return page_data(comparison.to_json()).overview


def test_a_map_has_the_models_own_rows_in_execution_order() -> None:
    overview = overview_of(other_comparison(STACKS))
    assert overview["noun"] == "row"
    assert overview["rows"] == [
        f"{side}.layers[{i}]" for side in ("encoder", "decoder") for i in (0, 1)
    ]
    assert overview["kinds"] == ["attn", "mlp", "cross"]
    places = dict(zip(overview["taps"], overview["places"], strict=True))
    assert places["decoder.layers[1].cross"] == (3, 2)
    assert [name for name in STACKS if places[name] is None] == ["embed", "memory", "logits"]


def test_a_model_of_single_taps_has_no_map() -> None:
    overview = overview_of(other_comparison(SINGLE))
    assert overview["rows"] == overview["kinds"] == []
    assert set(overview["places"]) == {None}


def test_no_tap_hides_behind_another_in_the_map() -> None:
    """One is its row's own name; two are written in different ways."""
    names = ["layers[0]", "layers[0].mlp", "layers.0.mlp", "layers[1]", "layers[1].mlp"]
    overview = overview_of(other_comparison(names))
    assert overview["kinds"] == ["itself", "mlp", "layers.0.mlp"]
    assert overview["places"] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_every_status_has_a_place_wherever_statuses_are_listed() -> None:
    script, style = (_asset(name) for name in ("heat.js", "page.css"))
    listed = re.search(r"const STATUSES = \{\n(.*?)\n\};", script, re.DOTALL)
    assert listed is not None
    assert re.findall(r"^  (\w+): ", listed[1], re.MULTILINE) == list(get_args(Status))
    for status in get_args(Status):
        assert re.search(rf"\.badge\.{status}\b", style)
    assert {*_RANK, "identical", "not_compared"} == set(get_args(Status))


def test_what_is_not_judged_is_looked_at_after_what_diverged_and_before_rounding() -> None:
    whole = other_comparison(SINGLE)
    statuses: list[Status] = ["rounding", "rounding", "unjudged", "diverged"]
    taps = [
        dataclasses.replace(tap, status=status)
        for tap, status in zip(whole.columns[0].taps[2:], statuses, strict=True)
    ]
    table = worst_taps(dataclasses.replace(whole, columns=[Column("ours", {}, taps)]))
    badges = re.findall("class='badge (.*?)'", table)
    assert badges == ["diverged", "unjudged", "rounding", "rounding"]


def test_a_profile_is_rounded_to_what_is_drawn() -> None:
    comparison = small_comparison()
    (pieces,) = page_data(comparison.to_json()).pieces[1]
    exact = comparison.to_json()["columns"][1]["taps"]
    row = next(i for i, tap in enumerate(exact) if tap["profile"])
    found, full = pieces[row], exact[row]["profile"]
    assert found["ulp_histogram"] == full["ulp_histogram"]
    assert found["by_token"]["mismatched"] == full["by_token"]["mismatched"]
    np.testing.assert_allclose(
        found["by_magnitude"]["max_abs"], full["by_magnitude"]["max_abs"], rtol=0.05
    )


def test_profiles_come_in_pieces() -> None:
    data = page_data(large_comparison(blocks=4, columns=1).to_json())
    assert [len(piece) for piece in data.pieces[0]] == [PIECE, 83 - PIECE]


def test_head_and_worst_taps_stand_without_a_script() -> None:
    reader = Reader(write_page(small_comparison()))
    for words in (
        "Parity holds", "10 of 11", "DIVERGED at blocks.1.output", "devices differ",
        "sliding window: not reached", "official certified", "float32", "2 × 24",
    ):  # fmt: skip
        assert words in reader.shown
    links = [attributes.get("href") for tag, attributes in reader.elements if tag == "a"]
    assert "#eps%3D1e-5/blocks.1.output" in links


def test_the_page_refers_to_nothing_outside_of_it() -> None:
    reader = Reader(write_page(small_comparison(HOSTILE)))
    for tag, attributes in reader.elements:
        assert tag not in ("img", "iframe", "object", "embed", "form")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))


def test_only_the_scripts_written_here_may_run() -> None:
    reader = Reader(write_page(small_comparison(HOSTILE)))
    (policy,) = (a["content"] for _, a in reader.elements if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    (allowed,) = re.findall("script-src ([^;]*)", policy)
    texts = [reader.scripts["page"], reader.unpacked("library")]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    assert allowed.split() == [f"'sha256-{each}'" for each in hashes]
    executable = [a for tag, a in reader.elements if tag == "script" and not a.get("type")]
    assert len(executable) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    comparison = small_comparison((name,))
    comparison = Comparison(
        {"model": name, "reference": name},
        [*comparison.columns, Column(name, {}, comparison.columns[1].taps)],
        environment=[name], blind_spots=[name], notes=[name],
    )  # fmt: skip
    reader, plain = Reader(write_page(comparison)), Reader(write_page(small_comparison(("x",))))
    kinds = {tag for tag, _ in reader.elements}
    assert kinds == {tag for tag, _ in plain.elements}
    assert "dataset.owned" not in reader.scripts["page"]
    assert one_line(name) in reader.shown
    assert one_line(name) in json.loads(reader.unpacked("overview"))["taps"]


def test_values_survive_packing() -> None:
    data: Any = {"</script>": ["\u2028", "\ud800", 1e-300, None]}
    text = gzip.decompress(base64.b64decode(packed_json(data))).decode()
    assert json.loads(text) == data
    assert packed_json(data) == packed_json(data)


def test_source_lines_stand_with_the_column_that_was_explained() -> None:
    explanation = explain(lambda x: (x * 3).sum(), lambda x: (x * 2).sum(), np.float32([1, 2]))
    comparison = small_comparison()
    ours, eps = comparison.columns
    eps = dataclasses.replace(eps, explained=explained(explanation))
    page = write_page(dataclasses.replace(comparison, columns=[ours, eps]))
    ours, eps = json.loads(Reader(page).unpacked("overview"))["columns"]
    assert ours["causes"] == []
    (cause,) = eps["causes"]
    assert "test_page.py" in cause["place"]
    assert "x * 3" in cause["text"]
    assert any(label == "confidence" for label, _ in cause["lines"])


def test_62_blocks_in_4_columns_make_a_page_of_less_than_8_mb() -> None:
    comparison = large_comparison()
    start = time.perf_counter()
    size = len(write_page(comparison).encode())
    print(f"{size / 1e6:.2f} MB in {time.perf_counter() - start:.1f} s")
    assert sum(len(column.taps) for column in comparison.columns) == 4 * (62 * 20 + 3)
    assert size < 8e6
