"""What the README shows is true, and the command reference is what the parsers say.

`python -m pytest tests/test_readme.py --write-reports` writes the reference, and the README's
outputs from the whole ones in `reports/readme`; with `-m ''` the commands run, to make those anew.
"""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents_for_tests import KEPT, OUTPUT, README, ROOT, command_output, phrases, shortened

import jaxformer
from jaxformer.__main__ import _COMMANDS
from jaxformer.gemma import Gemma
from parity.studies.machine import machine, same_bits_expected

REFERENCE = ROOT / "reports/commands.md"
# Started by other commands.
INTERNAL = {"jaxformer.commands.peers", "parity.subjects.gemma.hf_process"}
RUNS = {
    "compare.txt": "parity.compare --blocks 20",
    "explain.txt": (
        "parity.explain --blocks 20 --variant 'stacked:gating=stacked' --repro einsum.py"
    ),
}
PICTURE = "divergence.png"
_HEAD = """\
# Commands

What `--help` prints, written by `python -m pytest tests/test_readme.py --write-reports`.
"""


def page() -> str:
    return README.read_text(encoding="utf-8")


def examples(word: str) -> str:
    """The one example in Python in which a word occurs."""
    codes = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    (code,) = (code for code in codes if word in code)
    return code


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def names_of_commands() -> list[str]:
    """Every module that can be run, but those that only commands start; and jaxformer's parts."""
    names: list[str] = []
    for package in ("parity", "jaxformer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(p for p in parts if p != "__main__"))
    assert set(names) >= INTERNAL
    programs = [f"jaxformer {name}" for name in _COMMANDS]
    return [*(name for name in names if name not in INTERNAL), *programs]


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
    assert set(shown) == {f"reports/readme/{name}" for name in RUNS}
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
    patterns = [r"\d+ of \d+(?= single)", r"(?<=of )\d+(?= faults of pairs)", r"\d+(?= rewrites)"]
    singles, together, rewrites = (re.findall(pattern, table)[0] for pattern in patterns)
    claim = f"{singles} planted faults come out at the exact statement"
    claims = [claim, f"{together} planted together", f"{rewrites} rewrites"]
    assert [each for each in claims if each not in " ".join(page().split())] == []


def test_the_example_of_your_own_model_runs() -> None:
    code = examples("parity.diff_traces")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    told = re.findall(r"(?m)^print\(.*\)  # (.*)$", code)
    assert told
    assert run(code) == "\n".join(told) + "\n"


def test_the_example_of_explaining_names_a_line() -> None:
    told = run(examples("import explain"))
    assert "where ours departs" in told
    (said,) = re.findall("and says `(.*)`", page())
    assert f"{said}\n" in told


def test_the_example_of_generating_calls_what_exists() -> None:
    """That it generates is shown in tests/jaxformer/test_gemma.py."""
    calls = [n for n in ast.walk(ast.parse(examples("jaxformer.load"))) if isinstance(n, ast.Call)]
    bound = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            of_model = call.func.value.id == "model"
            function = getattr(Gemma if of_model else jaxformer, call.func.attr)
            given = [None] * (len(call.args) + of_model)
            inspect.signature(function).bind(*given, **{str(k.arg): k for k in call.keywords})
            bound.append(call.func.attr)
    assert sorted(bound) == ["Sampling", "generate", "load", "stream"]


def test_every_argument_it_names_exists() -> None:
    kept = sections()
    named = set(re.findall(r"(?<!=)--[a-z-]+", page())) - {"--help", "--write-reports"}
    assert {name for name in named if f"{name} " not in " ".join(kept.values())} == set()
    for command, rest in re.findall(r"python -m (jaxformer \w+|parity\.\w+)([^\n`]*)", page()):
        names = re.findall(r"(?<!=)--[a-z-]+", rest)
        assert [name for name in names if not re.search(rf"{name}\b", kept[command])] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_it_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text.replace("reports/STUDY/", "reports/epsilon/").replace("`reports/runs/`", "")
    linked = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    folders = "jaxformer|parity|reports|notebooks|tests"
    quoted = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    assert [path for path in (*linked, *quoted) if not (ROOT / path).exists()] == []
