"""What the README shows is true, and what is generated says what the code says.

`python -m pytest tests/test_readme.py --write-reports` writes the reference of commands, the table
of taps, the rooms in CONTRIBUTING.md, and the README's outputs from the whole ones in
`reports/readme`; with `-m ''` Gemma's commands run, to make those anew. The examples of a model of
one's own are in tests/test_your_own_model.py.
"""

import ast
import dataclasses
import functools
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents_for_tests import (
    KEPT,
    OUTPUT,
    README,
    ROOT,
    command_output,
    page,
    phrases,
    shortened,
)
from rooms_for_tests import DRAWN, drawing
from taps_for_tests import LETTERS, taps_page

import jaxformer
from jaxformer.__main__ import _COMMANDS
from jaxformer.gemma import Gemma
from jaxformer.numerics import NUMERICS_CHOICES, Numerics
from jaxformer.taps import model_taps
from parity.studies.machine import machine, same_bits_expected

REFERENCE = ROOT / "reports/commands.md"
TAPS = ROOT / "reports/taps.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
# A command's arguments depend on what it is asked about: Gemma, or a function.
OF_A_FUNCTION = "my_port.py:ours"
# Started by other commands.
INTERNAL = {"jaxformer.commands.peers", "parity.subjects.gemma.hf_process"}
RUNS = {
    "compare.txt": "parity.compare --blocks 20",
    "explain.txt": (
        "parity.explain --blocks 20 --variant 'stacked:gating=stacked' --repro einsum.py"
    ),
}
PICTURE = "divergence.png"
FIGURES = re.compile(r"\| ([\d,]+) \| ([\d,]+) \|")
_HEAD = """\
# Commands

What `--help` prints, written by `python -m pytest tests/test_readme.py --write-reports`. For
`python -m parity.COMMAND` you can write `parity COMMAND`. The arguments of compare, explain and
record depend on what they are asked about: Gemma, or the function that is named first.
"""


def names_of_commands() -> list[str]:
    """Every module that can be run, but those that only commands start; and jaxformer's parts."""
    names: list[str] = []
    for package in ("parity", "jaxformer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(p for p in parts if p != "__main__"))
    assert set(names) >= INTERNAL
    shown: list[str] = []
    for name in names:
        if name not in INTERNAL:
            shown.append(name)
        if name in {"parity.compare", "parity.record", "parity.explain"}:
            shown.append(f"{name} {OF_A_FUNCTION}")
    return [*shown, *(f"jaxformer {name}" for name in _COMMANDS)]


def sections() -> dict[str, str]:
    """The reference's text by command."""
    text = REFERENCE.read_text(encoding="utf-8")
    return dict(re.findall(r"## python -m ([^\n]+)\n\n```text\n(.*?)```\n", text, re.DOTALL))


def test_the_reference_is_what_the_parsers_say(request: pytest.FixtureRequest) -> None:
    """At 80 columns; other versions of Python break lines elsewhere."""
    helps = {name: command_output(*name.split(), "--help") for name in names_of_commands()}
    if request.config.getoption("--write-reports"):
        shown = [f"## python -m {name}\n\n```text\n{text}```\n" for name, text in helps.items()]
        REFERENCE.write_text("\n".join([_HEAD, *shown]), encoding="utf-8")
    kept = sections()
    assert list(kept) == list(helps)
    assert {name: kept[name].split() for name in kept} == {n: helps[n].split() for n in helps}
    assert max(len(line) for text in kept.values() for line in text.splitlines()) <= 80


@pytest.mark.matrix
def test_the_commands_print_what_is_kept(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Some minutes of two cores: to the figure on a machine of the kind that they are of."""
    printed = {}
    for name, command in RUNS.items():
        out = ["--out", "report"] if name == "compare.txt" else []
        printed[name] = command_output(*shlex.split(command), *out, cwd=tmp_path)
    counted = subprocess.run(
        [sys.executable, "einsum.py"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    told = re.search(r": (\d+ of \d+) differ", " ".join(printed["explain.txt"].split()))
    assert told is not None
    assert counted.stdout.endswith(f"{told[1]} elements differ\n")
    if request.config.getoption("--write-reports"):
        for name, text in printed.items():
            (KEPT / name).write_text(text, encoding="utf-8")
        (KEPT / PICTURE).write_bytes((tmp_path / "report" / PICTURE).read_bytes())
        (KEPT / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n", "utf-8")
    kept = {name: (KEPT / name).read_text(encoding="utf-8") for name in RUNS}
    assert {n: form(text) for n, text in printed.items()} == {n: form(t) for n, t in kept.items()}
    if same_bits_expected(json.loads((KEPT / "machine.json").read_text()), machine()):
        assert printed == kept


def form(text: str) -> tuple[set[str], list[str], list[str]]:
    """What holds on any machine: phrases, blocks, verdicts. The einsums may agree or not."""
    rows = sorted(set(re.findall(r"(?m)^ +(\d+)  +\d+  .*$", text)))
    verdicts = re.findall(r"(?m)^(?:ours|eps=1e-5) +([A-Z]{2}.*)$", text)
    said = {each for each in phrases(text) if not re.search("IDENTICAL|ROUNDING|seen at", each)}
    return said, rows, verdicts


def test_every_output_shown_is_a_kept_one_shortened(request: pytest.FixtureRequest) -> None:
    def kept(name: str) -> str:
        return shortened((ROOT / name).read_text(encoding="utf-8"))

    if request.config.getoption("--write-reports"):
        text = OUTPUT.sub(lambda m: f"<!-- {m[1]} -->\n```text\n{kept(m[1])}```\n", page())
        README.write_text(text, encoding="utf-8")
    shown = dict(OUTPUT.findall(page()))
    assert shown == {name: kept(name) for name in shown}
    assert [Path(name).name for name in shown] == ["compare.txt", "diff.txt", "causes.txt"]
    assert page().count("```text") == len(shown)
    assert [name for name, command in RUNS.items() if f"python -m {command}" not in page()] == []


def test_the_line_that_is_named_is_that_line() -> None:
    """Also in the official package, of the version installed here."""
    import gemma

    text = (KEPT / "explain.txt").read_text(encoding="utf-8")
    places = re.findall(r"(?m)^ +(?:\d+ |reference:) ?(\S+\.py):(\d+)\n +> (.*)$", text)
    assert [Path(file).name for file, _, _ in places] == ["layers.py", "_layers.py"]
    for file, line, statement in places:
        folder = ROOT if file.startswith("jaxformer/") else Path(gemma.__file__).parent
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
        assert lines[int(line) - 1].strip() == statement


def test_it_names_the_machine_of_its_outputs() -> None:
    here = json.loads((KEPT / "machine.json").read_text(encoding="utf-8"))
    widest = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
    vectors = next(shown for name, shown in widest.items() if name in here["features"])
    assert f"jax {here['jax']}, {here['cores']} cores with {vectors}" in " ".join(page().split())


def test_what_it_says_of_planted_faults_is_what_became_of_them() -> None:
    table = (ROOT / "reports/faults/table.md").read_text(encoding="utf-8")
    (singles,) = re.findall(r"\d+ of \d+(?= single)", table)
    claim = f"{singles} planted faults come out at the exact statement"
    assert claim in " ".join(page().split())


def test_the_example_of_generating_calls_what_exists() -> None:
    """That it generates is shown in tests/jaxformer/test_gemma.py."""
    (code,) = re.findall(r"`(jaxformer\.load.*?)`", page())
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    known = {"load": jaxformer.load, "generate": functools.partial(Gemma.generate, None)}
    assert len(calls) == len(known)
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        function = inspect.signature(known[call.func.attr])
        function.bind(*call.args, **{str(k.arg): k for k in call.keywords})


def test_every_argument_it_names_exists() -> None:
    kept = sections()
    named = set(re.findall(r"(?<![=|])--[a-z-]+", page())) - {"--help", "--write-reports"}
    assert {name for name in named if f"{name} " not in " ".join(kept.values())} == set()
    own = OF_A_FUNCTION.replace(".", r"\.").replace("ours", r"\w+")
    texts = [
        *re.findall(r"python -m (jaxformer \w+|parity\.\w+)([^\n`]*)", page()),
        *(
            (f"parity.{name} {OF_A_FUNCTION}", rest)
            for name, rest in re.findall(rf"parity (\w+) {own}([^\n`]*)", page())
        ),
    ]
    assert len(texts) > 5
    for command, rest in texts:
        names = re.findall(r"(?<!=)--[a-z-]+", rest)
        assert [name for name in names if not re.search(rf"{name}\b", kept[command])] == []


def test_its_table_of_choices_is_that_of_the_numerics() -> None:
    (table,) = re.findall(r"(?m)^\| choice \|.*\n\|.*\n((?:\|.*\n)+)", page())
    told = {}
    for names, values in re.findall(r"(?m)^\| (.*) \| (.*) \|$", table):
        for name in re.findall(r"`(\w+)`", names):
            told[name] = re.findall(r"`([^`]+)`", values)
    chosen = dataclasses.asdict(Numerics())
    assert told.pop("rms_norm_eps") == [str(chosen["rms_norm_eps"])]
    assert {name: values[0] for name, values in told.items()}.items() <= chosen.items()
    assert {name: {*values} for name, values in told.items()} == {
        name: {*values} for name, values in NUMERICS_CHOICES.items() if values is not None
    }


def test_where_an_accelerator_is_behind_it_says_so() -> None:
    text = (ROOT / "reports/speed/h100/bench.txt").read_text(encoding="utf-8")
    cells = json.loads(text.splitlines()[-1])["cells"]
    faster = [cell["peers"]["official"]["ours_faster"] for cell in cells]
    low, high = (f"{f([each['decode'] for each in faster]):.2f}" for f in (min, max))
    slow, best = (f"{f([each['prefill'] for each in faster]):.2f}" for f in (min, max))
    said = " ".join(page().split())
    assert f"On an H100 decoding is {low} to {high} times as fast as the official package" in said
    assert f"prefill is behind it, at {slow} to {best} of its speed" in said


def test_the_table_of_taps_is_that_of_the_code(request: pytest.FixtureRequest) -> None:
    page_of_taps = taps_page()
    if request.config.getoption("--write-reports"):
        TAPS.write_text(page_of_taps, encoding="utf-8")
    assert TAPS.read_text(encoding="utf-8") == page_of_taps
    assert {letter for point in model_taps(1) for letter in point.letters} == set(LETTERS)


def test_the_rooms_are_drawn_from_the_imports(request: pytest.FixtureRequest) -> None:
    """Lengths are told roughly, so that not every change is one of the page."""
    drawn = drawing()
    if request.config.getoption("--write-reports"):
        text = DRAWN.sub(lambda _: drawn, CONTRIBUTING.read_text(encoding="utf-8"))
        CONTRIBUTING.write_text(text, encoding="utf-8")
    (kept,) = DRAWN.findall(CONTRIBUTING.read_text(encoding="utf-8"))
    assert FIGURES.sub("| |", kept) == FIGURES.sub("| |", drawn)
    for told, now in zip(FIGURES.findall(kept), FIGURES.findall(drawn), strict=True):
        files, lines = (int(figure.replace(",", "")) for figure in now)
        assert int(told[0]) == pytest.approx(files, abs=3)
        assert int(told[1].replace(",", "")) == pytest.approx(lines, rel=1 / 3, abs=100)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_it_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text.replace("reports/STUDY/", "reports/epsilon/").replace("`reports/runs/`", "")
    linked = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    folders = "jaxformer|parity|reports|notebooks|tests"
    quoted = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    assert [path for path in (*linked, *quoted) if not (ROOT / path).exists()] == []
