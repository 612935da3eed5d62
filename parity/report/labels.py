"""Labels made short so that they still differ: what they have in common goes first."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

# A name's words, each with what separates it from the word before.
_WORDS = re.compile(r"[./]*[^./]+|[./]+$")


def shortened(labels: Sequence[str], longest: int) -> list[str]:
    """The labels at no more than so many letters.

    From those that are too long the words are left out with which all of them begin or end, then
    letters from the middle.
    """
    words = [_WORDS.findall(label) for label in labels if len(label) > longest]
    some = min(map(len, words), default=1) - 1  # of each label a word is left
    before = _alike(words, some)
    after = _alike([each[::-1] for each in words], some - before)

    def short(label: str) -> str:
        if len(label) <= longest:
            return label
        each = _WORDS.findall(label)
        kept = "".join(each[before : len(each) - after])
        begun = f"…{kept.lstrip('./')}" if before else kept
        return _middle_out(f"{begun}…" if after else begun, longest)

    return [short(label) for label in labels]


def _alike(words: Sequence[Sequence[str]], most: int) -> int:
    """How many first words are the same in all, up to `most`; none of a single one."""
    if len(words) < 2:
        return 0
    firsts = itertools.islice(zip(*words, strict=False), most)
    return sum(1 for _ in itertools.takewhile(lambda each: len(set(each)) == 1, firsts))


def _middle_out(label: str, longest: int) -> str:
    if len(label) <= longest:
        return label
    left = (longest - 1) // 2
    return f"{label[:left]}…{label[left + 1 - longest :]}"
