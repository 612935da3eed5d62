"""A function replayed operation by operation: every value, and the line that made it.

Each operation runs on its own, so it rounds where it is written. Calls are entered, loops unrolled,
branches followed as this input takes them: what results is a list of operations without control
flow, which can be run again from other values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.errors import RequestError
from parity.explain.figures import shape_of
from parity.explain.fingerprint import fingerprint
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import NOWHERE, Location, body_is_library, end_of, location_of
from parity.explain.unrounded import unrounded
from parity.program.host import on_host
from parity.program.jaxprs import Widening, called

# An array of fewer elements that a program holds is taken for a number written in it.
_WRITTEN = 16
# A loop that runs until float32 stops changing may run for ever in float64.
_TURNS = 2_000
_RANDOM = frozenset(("random_bits", "random_seed", "random_wrap", "threefry2x32", "rng_uniform"))


def replay(
    fn: Callable[..., Any], args: Sequence[Any], label: str, *, wide: Widening | None = None
) -> Graph:
    """Trace `fn(*args)` and run its operations one by one.

    Arrays that it closes over are values like its arguments, but for a few numbers.

    Args:
      label: what messages call it.
      wide: runs operations in a wider dtype, which the arguments have. The program is traced in
        that dtype, too, so that constants written in it aren't rounded; where its code insists on
        another, in float32.

    Raises:
      RequestError: it can't be traced, has side effects, or draws random numbers.
    """
    if wide is None:
        program, shape = _traced(fn, args, label)
    else:
        try:
            program, shape = _traced(fn, args, label)
        except RequestError:
            narrow = jax.tree.map(Widening("float32").cast, tuple(args))
            with jax.enable_x64(False):
                program, shape = _traced(fn, narrow, label)
    if program.effects:
        raise RequestError(
            f"{label} has side effects ({', '.join(map(str, program.effects))}), which can't be "
            "replayed; remove its callbacks and prints"
        )
    leaves = jax.tree_util.tree_leaves_with_path(tuple(args))
    inputs = [Value(_array(leaf), name=jax.tree_util.keystr(path)) for path, leaf in leaves]
    replaying = _Replay(label, Graph(inputs, end=end_of(fn)), wide)
    outputs = replaying.program(program, inputs, None)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(shape)]
    replaying.graph.outputs = dict(zip(names, outputs, strict=True))
    return replaying.graph


def output_shapes(fn: Callable[..., Any], args: Sequence[Any], label: str) -> dict[str, Any]:
    """Shapes and dtypes of the outputs by name.

    Raises:
      RequestError: it can't be traced.
    """
    _, tree = _traced(fn, args, label)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _traced(fn: Callable[..., Any], args: Sequence[Any], label: str) -> tuple[Any, Any]:
    """The program of `fn(*args)`, and the tree of its outputs' shapes."""
    try:
        return jax.make_jaxpr(fn, return_shape=True)(*args)
    except RequestError:
        raise
    except Exception as error:  # whatever a stranger's function raises
        brief = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"{label} can't be traced: {type(error).__name__}: {brief}") from error


def _array(leaf: Any) -> jax.Array:
    return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)


class _Replay:
    def __init__(self, label: str, graph: Graph, wide: Widening | None) -> None:
        self.graph = graph
        self._label = label
        self._wide = wide
        self._slots: dict[tuple[Location, str], dict[int, int]] = {}
        self._held: dict[int, tuple[object, Value]] = {}

    def program(
        self, program: core.ClosedJaxpr, args: Sequence[Value], outer: Location | None
    ) -> list[Value]:
        """Run a program's operations; `outer` is where a library's body was called."""
        jaxpr = program.jaxpr
        env: dict[Any, Value] = {}
        env.update(zip(jaxpr.constvars, map(self._constant, program.consts), strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        literals: dict[int, Value] = {}

        def read(atom: Any) -> Value:
            if not isinstance(atom, core.Literal):
                return env[atom]
            if id(atom) not in literals:
                array = jnp.asarray(atom.val, atom.aval.dtype)  # type: ignore[attr-defined]
                literals[id(atom)] = Value(self._widened(array), constant=True)
            return literals[id(atom)]

        for eqn in jaxpr.eqns:
            outputs = self._operation(eqn, [read(atom) for atom in eqn.invars], outer)
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _widened(self, array: jax.Array) -> Any:
        if self._wide is None or jnp.issubdtype(array.dtype, jax.dtypes.extended):
            return array
        wide = np.asarray(self._wide.constant(array))
        return (
            np.float64(unrounded(float(wide)))
            if wide.dtype == np.float64 and not wide.ndim
            else wide
        )

    def _constant(self, held: Any) -> Value:
        """An array that a program holds: one value, however many programs hold it."""
        if id(held) not in self._held:
            array = self._widened(jnp.asarray(held))
            numeric = not jnp.issubdtype(array.dtype, jax.dtypes.extended)  # a random key is none
            value = Value(array, constant=True)
            if numeric and (array.size >= _WRITTEN or fingerprint(array).telling):
                value = Value(array, name=f"closed-over {shape_of(jnp.asarray(held))}", closed=True)
                self.graph.closed.append(value)
            # The array is held, so that its id can't be taken by another.
            self._held[id(held)] = held, value
        return self._held[id(held)][1]

    def _operation(
        self, eqn: core.JaxprEqn, inputs: list[Value], outer: Location | None
    ) -> Sequence[Value]:
        name, where = eqn.primitive.name, location_of(eqn, outer)
        inner = called(eqn)
        if inner is not None:
            # A stranger's jitted function has lines of its own; a library's has its caller's.
            library = outer is not None or body_is_library(inner)
            return self.program(inner, inputs, where if library else None)
        if name in _RANDOM:
            raise RequestError(
                f"{self._label} draws random numbers ({name} at {where}); pass them in as arguments"
            )
        if name == "scan":
            return self._scan(eqn.params, inputs, where, outer)
        if name == "while":
            return self._while(eqn.params, inputs, where, outer)
        if name == "cond":
            index, *operands = inputs
            return self.program(eqn.params["branches"][int(index.array)], operands, outer)
        params = eqn.params if self._wide is None else self._wide.parameters(eqn.params)

        outputs = self._node(name, params, self._runner(eqn), inputs, where, eqn)
        if outputs[0].node is not None:
            given = eqn.params
            outputs[0].node.changed = lambda **new: self._runner(eqn.replace(params=given | new))
        return outputs

    def _runner(self, eqn: core.JaxprEqn) -> Callable[..., Sequence[Any]]:
        wide = self._wide
        if wide is not None:
            plain = on_host(eqn.primitive.name, wide.parameters(eqn.params))
            return plain or (lambda *arrays: wide(eqn, list(arrays)))

        def run(*arrays: jax.Array) -> Sequence[jax.Array]:
            result = eqn.primitive.bind(*arrays, **eqn.params)
            return result if eqn.primitive.multiple_results else [result]

        return run

    def _node(
        self,
        name: str,
        params: Mapping[str, Any],
        run: Callable[..., Sequence[jax.Array]],
        inputs: list[Value],
        where: Location = NOWHERE,
        text: object = None,
    ) -> list[Value]:
        arrays = run(*(value.array for value in inputs))
        slots = self._slots.setdefault((where, name), {})
        slot = slots.setdefault(id(text) if text is not None else len(slots), len(slots))
        node = Node(len(self.graph.nodes), name, params, run, inputs, [], where, slot)
        node.outputs = [Value(array, node) for array in arrays]
        self.graph.nodes.append(node)
        return node.outputs

    def _scan(
        self, params: Any, inputs: list[Value], where: Location, outer: Location | None
    ) -> list[Value]:
        consts, carried = params["num_consts"], params["num_carry"]
        fixed, carry = inputs[:consts], inputs[consts : consts + carried]
        rows = inputs[consts + carried :]
        variables = params["jaxpr"].jaxpr.invars[consts + carried :]
        steps = range(params["length"])
        made: dict[int, list[Value]] = {}
        for step in reversed(steps) if params["reverse"] else steps:
            taken = [
                self._node("row", {}, lambda x, i=step: [x[i]], [value], where, variable)[0]
                for value, variable in zip(rows, variables, strict=True)
            ]
            outputs = self.program(params["jaxpr"], [*fixed, *carry, *taken], outer)
            carry, made[step] = outputs[:carried], outputs[carried:]
        stacked = []
        for column in zip(*(made[step] for step in steps), strict=True):
            stacked += self._node("stack", {}, lambda *x: [self._stack(x)], list(column), where)
        if not params["length"]:
            avals = params["jaxpr"].out_avals[carried:]
            stacked = [Value(jnp.zeros((0, *a.shape), a.dtype), constant=True) for a in avals]
        return [*carry, *stacked]

    def _stack(self, arrays: Sequence[Any]) -> Any:
        return jnp.stack(arrays) if self._wide is None else np.stack(arrays)

    def _while(
        self, params: Any, inputs: list[Value], where: Location, outer: Location | None
    ) -> list[Value]:
        conditions, bodies = params["cond_nconsts"], params["body_nconsts"]
        fixed = inputs[conditions : conditions + bodies]
        carry = inputs[conditions + bodies :]
        for _ in range(_TURNS):
            (going,) = self.program(params["cond_jaxpr"], [*inputs[:conditions], *carry], outer)
            if going.array.size != 1:
                raise RequestError(
                    f"{self._label} has a while loop under vmap, whose rows end at turns of their "
                    f"own (at {where}); call it without vmap"
                )
            if not bool(going.array):
                return list(carry)
            carry = self.program(params["body_jaxpr"], [*fixed, *carry], outer)
        raise RequestError(
            f"{self._label} has a while loop of more than {_TURNS:,} turns (at {where}); it is run "
            "turn by turn here, so give an input for which it ends sooner"
        )
