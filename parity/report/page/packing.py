"""How data and scripts are put into a page so that nothing in them is taken for markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any


def packed(text: str) -> str:
    """Text as base64 of gzip, which the page unpacks; the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 7, mtime=0)).decode("ascii")


def packed_json(data: Any) -> str:
    """JSON-like data, packed. It is of ASCII, so that lone surrogates in names survive."""
    return packed(json.dumps(data, allow_nan=False, separators=(",", ":")))


def csp_hash(script: str) -> str:
    """What a content security policy calls an inline script."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
