"""What tests of report pages share."""

from collections.abc import Iterator
from typing import Any

import pytest
from pages_for_tests import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found
