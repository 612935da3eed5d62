"""A comparison as one self-contained HTML page: `write_page`."""

from parity.report.page.page import write_page

__all__ = ["write_page"]
