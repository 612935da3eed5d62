"""Hold candidates against references, one reference at a time, and judge them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.errors import RequestError
from parity.program.oracle import OracleDType
from parity.program.stages import Scope
from parity.sides.function import FunctionSource, Source
from parity.subjects.gemma.inputs import Inputs
from parity.subjects.gemma.references import Reference, opened
from parity.subjects.gemma.setting import arguments_of
from parity.trace.frames import Manifest, Trace
from parity.verdict.comparison import Column
from parity.verdict.evidence import Evidence
from parity.verdict.noise import TIMED_KERNELS, floor_here, floor_in_processes, floor_line, widest
from parity.verdict.run import Candidate, Certificate, certificate, compare_candidate, recorded

Inject = Literal["auto", "none", "blocks", "taps", "both"]
_SCOPES: dict[Inject, tuple[Scope, ...]] = {
    "auto": ("blocks", "taps"),
    "none": (),
    "blocks": ("blocks",),
    "taps": ("taps",),
    "both": ("blocks", "taps"),
}


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Attributes:
      certify: prove for each side that runs that its taps changed nothing.
      inject: measure local errors in blocks, between taps, or both; `auto`: both, for columns that
        differ somewhere.
      oracle: dtype of the oracle; None for none.
      repeat: how often each side is run again for the noise floor.
      check_weights: compare parameter trees before anything runs.
    """

    certify: bool = False
    inject: Inject = "auto"
    oracle: OracleDType | None = "float64"
    repeat: int = 0
    check_weights: bool = False


class Holding:
    """What has been held against references so far.

    Attributes:
      manifests: of the references so far.
      certificates: of every side that was to be certified.
      notes: noise floors, and what a reference has to say of itself.
    """

    def __init__(
        self,
        inputs: Inputs,
        options: Options,
        progress: Callable[[str], None],
    ) -> None:
        self.manifests: list[Manifest] = []
        self.certificates: list[Certificate] = []
        self._inputs = inputs
        self._options = options
        self._progress = progress
        self.notes: list[str] = []

    def against(self, name: Reference, candidates: Sequence[Candidate]) -> list[Column]:
        """A judged column per candidate."""
        options, progress = self._options, self._progress
        with contextlib.ExitStack() as stack:
            reference = stack.enter_context(
                opened(name, self._inputs, certify=options.certify, progress=progress)
            )
            trace = stack.enter_context(recorded(reference, progress))
            self.manifests.append(reference.manifest)
            if options.certify:
                self._certify(reference)
            floor = {}
            if options.repeat:
                timed = name == "flax" and self._inputs.manifest.backend in TIMED_KERNELS
                floor = _floor(self._inputs, reference, trace, options.repeat, timed, progress)
                backend = self._inputs.manifest.backend
                self.notes.append(floor_line(floor, options.repeat, backend))
            reference.release()
            self.notes += getattr(reference, "notes", [])
            judges: dict[frozenset[str], Evidence] = {}

            def judge(source: FunctionSource) -> Evidence:
                # A tap that the candidate hasn't must not be injected on the other side either.
                lacking = frozenset(source.unavailable)
                if lacking not in judges:
                    judges[lacking] = stack.enter_context(
                        Evidence(
                            reference,
                            trace.without(lacking),
                            functools.partial(_formula, self._inputs, reference),
                            scopes=_SCOPES[options.inject]
                            if self._inputs.setting.takes_block_inputs
                            else (),
                            dtype=options.oracle,
                            floor=floor,
                            progress=progress,
                        )
                    )
                return judges[lacking]

            columns: list[Column] = []
            for candidate in candidates:
                column, source = compare_candidate(
                    trace, reference.unavailable, candidate, progress
                )
                if options.certify and not columns:
                    self._certify(source)
                if options.inject != "auto" or column.first_divergence is not None:
                    column = judge(source).examine(column, source)
                columns.append(column)
        return columns

    def _certify(self, source: Source) -> None:
        proof = certificate(source, self._progress)
        if proof is not None:
            self.certificates.append(proof)


def _formula(inputs: Inputs, reference: Source) -> FunctionSource | None:
    """The reference as a function, for the oracle; for a stored trace the package, if usable."""
    if isinstance(reference, FunctionSource):
        return reference
    try:
        return inputs.official()
    except RequestError:
        return None


def _floor(
    inputs: Inputs,
    reference: Source,
    trace: Trace,
    repeat: int,
    timed: bool,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Of both sides; in processes of their own where kernels are chosen by timing them."""
    ours = inputs.ours()
    with recorded(ours, progress) as own:
        if not timed:
            floors = [
                floor_here(s, t, repeat, progress) for s, t in ((reference, trace), (ours, own))
            ]
        else:
            floors = [
                floor_in_processes(
                    [*arguments_of(inputs.setting), "--source", name], first, repeat, progress
                )
                for name, first in (("flax", trace), ("jaxformer", own))
            ]
    return dict(widest(*floors))
