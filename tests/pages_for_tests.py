"""Report pages in headless Chromium, for tests of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parity.report.page import write_page
from parity.verdict.comparison import Comparison

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, closed in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_ARGUMENTS
        )
        yield found
        found.close()


class Opened:
    """A page written to a file and opened, with all it says and asks for."""

    def __init__(self, browser: Any, comparison: Comparison, folder: Path, **view: Any) -> None:
        self.file = folder / "report.html"
        self.file.write_text(write_page(comparison), encoding="utf-8")
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **view})
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def at(self, fragment: str = "") -> Any:
        self.page.goto(self.file.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def check(self) -> None:
        """Nothing on the console; nothing asked for but the file and what it holds itself."""
        assert self.said == []
        outside = [url for url in self.asked if not url.startswith(("data:", "blob:"))]
        assert {url.partition("#")[0] for url in outside} == {self.file.as_uri()}
        self.page.close()


def cell(page: Any, row: int, kind: int) -> Any:
    return page.locator(f"#cell-{row}-{kind}")
