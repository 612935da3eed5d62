"""A script that shows one departure on its own: both operations, their inputs, the mismatch.

It needs jax and numpy only. Inputs lie beside it in safetensors; nothing in it is executed but what
is written here from the two programs' operations.
"""

from __future__ import annotations

import enum
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from jax.extend.core import primitives

from parity.errors import RequestError
from parity.explain.content import TOLERANCE
from parity.explain.explanation import Explanation
from parity.explain.findings import Finding
from parity.explain.graph import Node, Value

_MOST_OPERATIONS = 60


class UnwritableError(RequestError):
    """A departure that no script can show."""


_TEMPLATE = '''\
"""{title}

Written by parity.explain. Run it with python; it needs jax and numpy, and {data} beside it.
"""

import json
import pathlib
import struct

{setup}import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as p


def load(path):
    """Arrays of a safetensors file: a header in JSON, then the bytes."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    dtypes = {{"BF16": jnp.bfloat16, "F32": np.float32, "F64": np.float64, "F16": np.float16,
              "I32": np.int32, "I64": np.int64, "U32": np.uint32, "U8": np.uint8, "BOOL": np.bool_}}
    found = {{}}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            array = np.frombuffer(raw[start:end], dtypes[entry["dtype"]])
            found[name] = jnp.asarray(array.reshape(entry["shape"]))
    return found


def ours({arguments_ours}):
    # {where_ours}
{body_ours}


def reference({arguments_reference}):
    # {where_reference}
{body_reference}


x = load(pathlib.Path(__file__).with_name("{data}"))
a = ours({values_ours})
b = reference({values_reference}){adapt}
print("ours     ", a.reshape(-1)[:8])
print("reference", b.reshape(-1)[:8])
differ = {differ}
print(int(differ.sum()), "of", differ.size, "elements differ")
'''


# A formula is held against another in float64, where rounding is no difference.
_WIDE = """import jax

jax.config.update("jax_enable_x64", True)
"""
_APART = f"np.asarray(abs(a - b) > {TOLERANCE} * (abs(b) + abs(b).mean()))"
_BITS = "np.asarray((a != b) & ~((a != a) & (b != b)))  # NaN equals NaN"


def write_repro(explanation: Explanation, path: Path) -> Path:
    """Write the first cause that has a counterpart as a script, and its inputs beside it.

    Raises:
      RequestError: there is nothing to show, an operation can't be written down, or the file can't
        be written.
    """
    finding = next((c.findings[0] for c in explanation.causes if _shows(c.findings[0])), None)
    if finding is None:
        raise UnwritableError("nothing departs that has a counterpart, so nothing to show")
    data = path.with_suffix(".safetensors")
    text, arrays = _script(finding, data.name)
    try:
        draft_text, draft_data = path.with_suffix(".py.part"), data.with_suffix(".part")
        draft_text.write_text(text, encoding="utf-8")
        safetensors.numpy.save_file(dict(arrays), draft_data)
        os.replace(draft_data, data)
        os.replace(draft_text, path)
    except OSError as error:
        raise RequestError(f"can't write {path}: {error.strerror}; name another --repro") from error
    return path


def _shows(finding: Finding) -> bool:
    """Both values were made by operations; an array that was given needs no script."""
    found = finding.counterpart
    return found is not None and found.ours.node is not None and found.reference.node is not None


@dataclass
class _Body:
    """Lines of one function, its arguments, and the arrays that they stand for."""

    names: dict[int, str] = field(default_factory=dict)
    arguments: list[Value] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def _script(finding: Finding, data: str) -> tuple[str, Mapping[str, np.ndarray]]:
    counterpart = finding.counterpart
    assert counterpart is not None
    shared: dict[str, Value] = {}
    made = counterpart.ours.node
    assert made is not None
    ours = _body(counterpart.ours, set(finding.known), shared)
    reference = _body(counterpart.reference, set(finding.reference_known), shared)
    count = finding.differing
    assert count is not None
    title = f"{made.operation}: {count.count} of {count.size} elements differ"
    formula = finding.wide
    layout = counterpart.array.shape != counterpart.reference.array.shape
    text = _TEMPLATE.format(
        title=title,
        setup=_WIDE if formula else "",
        differ=_APART if formula else _BITS,
        data=data,
        arguments_ours=", ".join(_own_names(ours)),
        arguments_reference=", ".join(_own_names(reference)),
        where_ours=_comment(made),
        where_reference=_comment(counterpart.reference.node),
        body_ours="\n".join(ours.lines),
        body_reference="\n".join(reference.lines),
        values_ours=_values(ours, shared),
        values_reference=_values(reference, shared),
        adapt=_adapt(counterpart.reference.array, counterpart.array) if layout else "",
    )
    return text, {name: np.asarray(value.array) for name, value in shared.items()}


def _comment(node: Node | None) -> str:
    if node is None:
        return "given"
    name = Path(node.where.file).name if node.where.file else "?"
    return f"{name}:{node.where.line}: {node.where.text}"


def _own_names(body: _Body) -> list[str]:
    return [body.names[id(value)] for value in body.arguments]


def _values(body: _Body, shared: Mapping[str, Value]) -> str:
    by_id = {id(value.array): name for name, value in shared.items()}
    return ", ".join(f'x["{by_id[id(value.array)]}"]' for value in body.arguments)


def _body(value: Value, known: set[int], shared: dict[str, Value]) -> _Body:
    """The operations from known values to this one, as lines of code."""
    body = _Body()
    nodes: list[Node] = []

    def visit(wanted: Value) -> None:
        if id(wanted) in body.names or wanted.constant:
            return
        if wanted.node is None or (wanted is not value and id(wanted) in known):
            body.names[id(wanted)] = f"x{len(body.arguments)}"
            body.arguments.append(wanted)
            if not any(v.array is wanted.array for v in shared.values()):
                shared[f"input_{len(shared)}"] = wanted
            return
        node = wanted.node
        if node in nodes:
            return
        for given in node.inputs:
            visit(given)
        nodes.append(node)
        if len(nodes) > _MOST_OPERATIONS:
            raise UnwritableError(
                f"more than {_MOST_OPERATIONS} operations lie between what both sides "
                "know and the difference"
            )
        for number, output in enumerate(node.outputs):
            body.names[id(output)] = f"v{node.index}_{number}"

    visit(value)
    for node in nodes:
        given = ", ".join(_operand(v, body) for v in node.inputs)
        outputs = ", ".join(body.names[id(v)] for v in node.outputs)
        body.lines.append(f"    {outputs}{_unpack(node)} = {_call(node, given)}")
    body.lines.append(f"    return {body.names[id(value)]}")
    return body


def _unpack(node: Node) -> str:
    return "," if len(node.outputs) == 1 and _many(node) else ""


def _many(node: Node) -> bool:
    primitive = getattr(primitives, f"{node.operation}_p", None)
    return bool(primitive is not None and primitive.multiple_results)


def _call(node: Node, given: str) -> str:
    if node.operation == "stack" and not node.parameters:
        return f"jnp.stack([{given}])"
    if not hasattr(primitives, f"{node.operation}_p"):
        raise UnwritableError(f"the operation {node.operation} can't be written down")
    named = "".join(f", {key}={_literal(value)}" for key, value in node.parameters.items())
    return f"p.{node.operation}_p.bind({given}{named})"


def _operand(value: Value, body: _Body) -> str:
    if not value.constant:
        return body.names[id(value)]
    array = np.asarray(value.array)
    if array.size > 64:
        raise UnwritableError("a long constant can't be written down; pass it as an argument")
    listed = array.astype(np.float64).tolist() if array.dtype.kind in "fV" else array.tolist()
    text = repr(listed).replace("inf", "np.inf").replace("nan", "np.nan")
    return f"jnp.asarray({text}, {_literal(array.dtype)})"


def _literal(value: Any) -> str:
    """A parameter as source text."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, np.integer):
        return repr(int(value))
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return f'jnp.dtype("{np.dtype(value).name}")'
    if isinstance(value, tuple):
        if type(value) is not tuple:  # a named one
            raise UnwritableError(f"{type(value).__name__} can't be written down")
        inner = "".join(f"{_literal(item)}, " for item in value)
        return f"({inner.strip()})" if len(value) == 1 else f"({inner.rstrip(', ')})"
    if isinstance(value, enum.Enum) and hasattr(jax.lax, type(value).__name__):
        return f"lax.{type(value).__name__}.{value.name}"
    if isinstance(value, jax.lax.GatherDimensionNumbers):
        fields = [
            *("offset_dims", "collapsed_slice_dims", "start_index_map"),
            *("operand_batching_dims", "start_indices_batching_dims"),
        ]
        named = ", ".join(f"{name}={_literal(getattr(value, name))}" for name in fields)
        return f"lax.GatherDimensionNumbers({named})"
    raise UnwritableError(f"{type(value).__name__} can't be written down")


def _adapt(array: Any, adapted: Any) -> str:
    """Text that brings the reference's layout into that of ours."""
    kept = [axis for axis, size in enumerate(array.shape) if size != 1]
    for order in itertools.permutations(kept):
        rest = [axis for axis in range(array.ndim) if axis not in kept]
        moved = array.transpose((*order, *rest)).reshape(adapted.shape)
        if bool((moved == adapted).all()):
            return f".transpose({(*order, *rest)}).reshape({tuple(adapted.shape)})"
    raise UnwritableError("the two values' layouts can't be brought together")
