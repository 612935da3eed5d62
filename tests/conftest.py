"""Options of the suite, and what no test may take from the machine that it runs on."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-reports", action="store_true", help="write the reports that tests compute"
    )
