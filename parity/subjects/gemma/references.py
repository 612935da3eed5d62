"""What can be held against, by name: the official package, transformers, our own uncached run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

from jaxformer.numerics import NUMERICS_PROFILES
from parity.sides.side import Side
from parity.sides.stored import StoredSide
from parity.subjects.gemma.inputs import Inputs
from parity.subjects.gemma.setting import Setting
from parity.subjects.variants import Variant

ReferenceName = Literal["flax", "hf", "uncached"]
Reference = ReferenceName | StoredSide


@contextlib.contextmanager
def opened(
    reference: Reference, inputs: Inputs, *, certify: bool, progress: Callable[[str], None]
) -> Iterator[Side]:
    """The reference as a side, on these weights and tokens.

    Args:
      certify: it will be asked for its certificate.

    Raises:
      RequestError: it is not usable, or doesn't fit.
    """
    if isinstance(reference, StoredSide):
        yield reference
    elif reference == "flax":
        yield inputs.official()
    elif reference == "uncached":
        yield dataclasses.replace(inputs.ours(), label="uncached")
    else:
        from parity.subjects.gemma.hf_torch import hf_folder, hf_side

        setting = inputs.setting
        with contextlib.ExitStack() as stack:
            given = setting.checkpoint
            if given is not None and given.format == "safetensors":
                folder = given.folder
            else:
                progress("transformers: writing the weights for it")
                folder = stack.enter_context(hf_folder(inputs.params, setting.config))
            yield hf_side(
                folder,
                setting.tokens,
                inputs.manifest,
                blocks=setting.blocks,
                dtype=setting.dtype,
                vocab_size=setting.config.vocab_size,
                whole=setting.whole,
                select=setting.taps,
                certify=certify,
                progress=progress,
            )


def profile_fields(name: str) -> dict[str, Any]:
    """The numerics of a profile as a variant's fields; the norm's epsilon is the model's."""
    fields = dataclasses.asdict(NUMERICS_PROFILES[name])
    del fields["rms_norm_eps"]
    return fields


def profile_variant(name: str) -> Variant:
    """Our model with a profile's numerics, as a column of that name."""
    return Variant(name, profile_fields(name))


def suited_to(setting: Setting, reference: Reference) -> Setting:
    """The setting whose `ours` has the numerics that the reference has.

    Torch rounds each operation where it is written, as XLA does in strict mode only.
    """
    if reference != "hf":
        return setting
    config = setting.config.with_numerics(**profile_fields("hf"))
    return dataclasses.replace(setting, config=config, numerics="strict")
