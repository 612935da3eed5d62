"""How an explanation does on a port: where it names the faulty line, and what it accuses."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from parity.explain import Explanation, causes

HERE = Path(__file__).parent
SETS = ("cases", "held_out")
# Several faults at once: how many runs it takes to find them is asked apart.
SEVERAL = ("three_faults", "seven_faults")
MARK = "# FAULT"


@dataclass(frozen=True)
class Port:
    """A reference, a port with a real fault, and the port without it."""

    group: str
    name: str

    @property
    def path(self) -> Path:
        return HERE / self.group / f"{self.name}.py"

    @property
    def faults(self) -> frozenset[int]:
        """Lines that may be named."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return frozenset(i for i, line in enumerate(lines, 1) if MARK in line)

    def load(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"port_{self.name}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@dataclass(frozen=True)
class Score:
    """Attributes:
    ranks: of the causes on the faulty port, in order, whether each names a faulty line.
    confidences: of these causes.
    accused: causes on the correct port, as `line: confidence`.
    """

    ranks: tuple[bool, ...]
    confidences: tuple[str, ...]
    accused: tuple[str, ...]

    @property
    def rank(self) -> int | None:
        """Of the first cause that names a faulty line, from 1."""
        return self.ranks.index(True) + 1 if any(self.ranks) else None


def ports(group: str) -> list[Port]:
    names = sorted(path.stem for path in (HERE / group).glob("*.py"))
    return [Port(group, name) for name in names if name not in SEVERAL]


def dtypes(port: Port) -> list[str]:
    """In which dtypes the fault can be seen."""
    text = port.path.read_text(encoding="utf-8")
    return ["bfloat16"] if 'ONLY = "bfloat16"' in text else ["float32", "bfloat16"]


def score(port: Port, dtype: str) -> Score:
    module = port.load()
    inputs = cast(module.inputs(), dtype)
    faulty = causes(module.ours, module.reference, *inputs, attribution=False)
    right = causes(module.fixed, module.reference, *inputs, attribution=False)
    places = [(cause.where.file, cause.where.line) for cause in faulty.causes]
    return Score(
        tuple(file == str(port.path) and line in port.faults for file, line in places),
        tuple(cause.findings[0].confidence for cause in faulty.causes),
        tuple(accusations(right)),
    )


def runs(name: str) -> tuple[list[set[int]], set[int]]:
    """Of a port with several faults: those that each run names, and those that none does.

    What a run names is right in the next, as whoever ports a model goes on.
    """
    port = Port("held_out", name)
    module, lines = port.load(), port.path.read_text(encoding="utf-8").splitlines()
    numbered = {
        i: int(line.rsplit(maxsplit=1)[1]) for i, line in enumerate(lines, 1) if MARK in line
    }
    left, done = set(numbered.values()), []
    while left:
        fixed = frozenset(set(numbered.values()) - left)
        ours = functools.partial(module.ours_without, fixed_faults=fixed)
        found = causes(ours, module.reference, *cast(module.inputs(), "float32"), attribution=False)
        places = [c.where.line for c in found.causes if c.where.file == str(port.path)]
        named = {numbered[line] for line in places if line in numbered} & left
        if not named:
            break
        done.append(named)
        left -= named
    return done, left


def accusations(explanation: Explanation) -> list[str]:
    return [f"{c.where.line}: {c.findings[0].confidence}" for c in explanation.causes]


def cast(tree: Any, dtype: str) -> Any:
    """Floats in this dtype."""

    def leaf(array: Any) -> Any:
        array = jnp.asarray(array)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(leaf, tree)
