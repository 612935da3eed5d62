"""Options of the suite, and what no test may take from the machine that it runs on."""

from collections.abc import Iterator

import pytest


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
