"""Parts of a comparison as JSON-like data: no NaN and no Infinity in it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from parity.arrays.logits import Impact
from parity.verdict.taps import Explained, TapDiff


def profile_json(tap: TapDiff) -> dict[str, Any] | None:
    """A tap's profile as JSON-like data, in columns; errors to four digits. None without one."""
    profile, errors = tap.profile, tap.accuracy.errors if tap.accuracy else None
    if profile is None:
        return None
    magnitudes, tokens = profile.by_magnitude, profile.by_token
    return {
        "sampled": profile.sampled,
        "counted": profile.counted,
        "ulp_histogram": list(profile.ulp_histogram),
        "by_magnitude": {
            "exponent": [each.exponent for each in magnitudes],
            "count": [each.count for each in magnitudes],
            "mismatched": [each.mismatched for each in magnitudes],
            "max_abs": _short(each.max_abs for each in magnitudes),
            "mean_abs": _short(each.mean_abs for each in magnitudes),
        },
        "by_token": tokens
        and {
            "positions": tokens.positions,
            "bucket": tokens.bucket,
            "mismatched": [list(row) for row in tokens.mismatched],
            "max_abs": [_short(row) for row in tokens.max_abs],
        },
        "oracle_errors": errors
        and {
            "sampled": errors.sampled,
            "ours": _short(errors.ours),
            "reference": _short(errors.reference),
        },
    }


def _short(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def explained_json(explained: Explained | None) -> dict[str, Any] | None:
    """Causes, notes and whether the formulas are the same, as JSON-like data."""
    if explained is None:
        return None
    return {
        "same_formula": explained.same_formula,
        "causes": [dict(cause) for cause in explained.causes],
        "notes": list(explained.notes),
    }


def impact_json(impact: Impact) -> dict[str, Any]:
    """An impact's figures and its verdict, as JSON-like data."""
    return {**finite(dataclasses.asdict(impact)), "verdict": impact.verdict}


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no Infinity: null stands for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
