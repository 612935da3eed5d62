"""Options of the suite, and what no test may take from the machine that it runs on."""

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Workers share the cores: threads of torch, here and in its processes, would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files that import one of these need the packages that the extra `gemma` brings.
_NEEDS_GEMMA = re.compile(
    r"^\s*(?:from|import) (?:jaxformer|cases|faults|(?:checkpoints|tokenizers)_for_tests"
    r"|parity\.studies|parity\.subjects\.gemma)\b",
    re.MULTILINE,
)
_GEMMA = (Path(__file__).parents[1] / "jaxformer").is_dir() and importlib.util.find_spec("gemma")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without Gemma, what is left are the tests of the core."""
    if _GEMMA or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if _NEEDS_GEMMA.search(text) else None


def pytest_report_header() -> str | None:
    return None if _GEMMA else "core only: jaxformer or the gemma package is not here"


@pytest.fixture(autouse=True, scope="session")
def no_choices_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the user measured or compiled here must not decide what a test sees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXFORMER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile as users do, but for what is marked `quick`, and the fixtures that it asks for first.

    What comes out may differ in its last bits: tests of bits, of bounds and of verdicts where a
    rounding decides are not marked, or are marked `optimised` in a file that is. Reports are
    written of what users see.
    """
    marked = {mark.name for mark in item.iter_markers()}
    quick = "quick" in marked and "optimised" not in marked
    quick = quick and not item.config.getoption("--write-reports")
    if quick != _compiled.get("quickly", False):
        import jax

        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()
        _compiled["quickly"] = quick


_compiled: dict[str, bool] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-reports", action="store_true", help="write the reports that tests compute"
    )
