"""The notebooks run from top to bottom, and what they show is what they hold.

`python -m pytest tests/test_notebooks.py --write-reports` runs them and writes their outputs anew.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from parity.subjects.gemma.studies.machine import machine, same_bits_expected

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("quickstart", "epsilon", "einsum", "your_own_model")


@pytest.mark.parametrize(
    "name",
    # What the studies' pages show too is run on request.
    [pytest.param(n, marks=[pytest.mark.matrix] if n == "epsilon" else []) for n in NAMES],
)
def test_a_notebook_shows_what_it_holds(name: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / f"{name}.ipynb"
    kept = nbformat.read(path, as_version=4)
    ran = executed(kept)
    if request.config.getoption("--write-reports"):
        nbformat.write(ran, path)
        return
    here = same_bits_expected(kept.metadata.get("machine", {}), ran.metadata.machine)
    for number, (was, now) in enumerate(zip(kept.cells, ran.cells, strict=True)):
        assert shown(now, exactly=here) == shown(was, exactly=here), f"cell {number}"


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_name_no_place_of_a_machine(name: str) -> None:
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    texts = [text for cell in cells for text in shown(cell, exactly=True)]
    assert texts
    assert [text for text in texts if re.search(r"(?<![\w.:/])/\w+/\w", text)] == []


def executed(notebook: Any) -> Any:
    """The notebook, run in a fresh kernel, with what a reader is to see."""
    ran = nbformat.from_dict({**notebook, "metadata": dict(notebook.metadata)})
    ran = nbformat.reads(nbformat.writes(ran), as_version=4)
    nbclient.NotebookClient(
        ran, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    for cell in ran.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # Progress goes to stderr; it says how long things took.
            cell.outputs = merged(o for o in cell.outputs if o.get("name") != "stderr")
    ran.metadata.pop("language_info", None)
    ran.metadata["machine"] = machine()
    return ran


def merged(outputs: Iterable[Any]) -> list[Any]:
    """Outputs with what was printed in pieces, as it happened to arrive, in one."""
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = without_checkout(output.text)
    return kept


def without_checkout(text: str) -> str:
    """Places in this repository without the name of the folder that it was checked out into."""
    return re.sub(r"\S+/((?:jaxformer|notebooks|parity)/\S+\.py)", r"\1", text)


def shown(cell: Any, *, exactly: bool) -> list[str]:
    """What a cell shows; of a picture its kind, and where bits may differ what holds anywhere."""
    texts = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        pictures = [kind for kind in data if kind.startswith("image/")]
        text = output.get("text", "") or (pictures or [data.get("text/plain", "")])[0]
        # Lines of the library move; those of the notebooks' own files are what is shown.
        texts.append(re.sub(r"((?:jaxformer|parity)/\S+\.py):\d+", r"\1", text))
    return texts if exactly else [anywhere(text) for text in texts]


def anywhere(text: str) -> str:
    """How the text begins, and what it says of `ours`: the rest follows the processor."""
    return " ".join([*text.split()[:1], *re.findall(r"(?m)^ours +\w+", text)])
