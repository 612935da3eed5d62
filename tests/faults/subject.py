"""A from-scratch model with planted edits: jaxformer's own source, edited and imported anew."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from cases import SMALL
from faults.table import Edit

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import Rope
from parity.explain.location import Location

# A block of each kind, rows longer than the window, a RoPE factor, and no size or scale that hides
# a fault by being a power of two.
CONFIG = dataclasses.replace(
    SMALL,
    width=96,
    query_pre_attn_scalar=24,
    layer_kinds=("local", "global"),
    global_rope=Rope(1_000_000, 8.0),
)
SOURCE = Path(__file__).parents[2] / "jaxformer"
FILES = ("layers", "attention", "model")
_numbers = itertools.count()


@dataclass(frozen=True)
class Statement:
    """Lines of one statement, and of the function around it."""

    file: str
    first: int
    last: int
    function: tuple[int, int]

    def holds(self, place: Location | None) -> bool:
        """Whether the place is one of its lines."""
        return (
            place is not None and place.file == self.file and self.first <= place.line <= self.last
        )


@dataclass(frozen=True)
class Subject:
    """An edited model, and the statements that its edits are to be found at."""

    model: Callable[..., Any]
    statements: list[Statement]

    def forward(self, params: Any, tokens: Any) -> Any:
        """Logits, as a function of the model's inputs alone."""
        return self.model(params, tokens, CONFIG)


def model_inputs() -> tuple[Any, Any]:
    """Weights in float32, and two rows of tokens."""
    params = synthetic_params(CONFIG, 0, "float32")
    return params, jnp.asarray(synthetic_tokens(CONFIG, 2, 20, 0))


def edited(edits: Sequence[Edit], folder: Path) -> Subject:
    """Write the edited source as a package of its own below `folder`, and import it."""
    package = f"edited_{next(_numbers)}"
    home = folder / package
    home.mkdir()
    (home / "__init__.py").write_text("")
    texts = {name: (SOURCE / f"{name}.py").read_text() for name in FILES}
    for edit in edits:
        assert edit.old in texts[edit.file], edit.name
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new, 1)
    for name, text in texts.items():
        for other in FILES:
            text = text.replace(f"from jaxformer.{other} import", f"from {package}.{other} import")
        (home / f"{name}.py").write_text(text)
    statements = [_statement(edit, home) for edit in edits]
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(f"{package}.model")
    finally:
        sys.path.remove(str(folder))
    return Subject(module.forward, statements)


def _statement(edit: Edit, home: Path) -> Statement:
    wanted = edit.at or edit.new
    names = [edit.at_file or edit.file] if edit.at_file or not edit.at else FILES
    for name in names:
        text = (home / f"{name}.py").read_text()
        if wanted in text:
            line = text[: text.index(wanted)].count("\n") + 1
            tree = ast.parse(text)
            around = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
            ]
            inner = min(around, key=lambda node: (node.end_lineno or 0) - node.lineno)
            functions = [node for node in around if isinstance(node, ast.FunctionDef)]
            outer = functions[-1]
            return Statement(
                str(home / f"{name}.py"),
                inner.lineno,
                inner.end_lineno or inner.lineno,
                (outer.lineno, outer.end_lineno or outer.lineno),
            )
    raise AssertionError(f"{edit.name}: {wanted!r} is in no file")
