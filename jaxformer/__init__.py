"""A from-scratch Gemma 3 in JAX whose every intermediate value can be watched.

    import jax, jaxformer

    config = jaxformer.PRESETS["gemma3-1b"]
    params = jaxformer.synthetic_params(config, seed=0)
    tokens = jaxformer.synthetic_tokens(config, batch=1, length=16, seed=0)
    logits = jax.jit(jaxformer.forward, static_argnums=2)(params, tokens, config)

    model = jaxformer.load("gemma-3-1b-it")   # a checkpoint folder, Orbax or safetensors
    print(model.generate("Why is the sky blue?"))

Names are imported when they are first used, so that `import jaxformer` costs nothing.
"""

import importlib
from typing import Any

_HOMES = {
    "Config": "jaxformer.config",
    "Gemma": "jaxformer.gemma",
    "Numerics": "jaxformer.numerics",
    "PRESETS": "jaxformer.config",
    "Params": "jaxformer.params",
    "Sampling": "jaxformer.sampling",
    "UsageError": "jaxformer.errors",
    "abstract_params": "jaxformer.params",
    "cached_forward": "jaxformer.cache",
    "empty_cache": "jaxformer.cache",
    "forward": "jaxformer.model",
    "load": "jaxformer.gemma",
    "load_tokenizer": "jaxformer.tokenizer",
    "no_tap": "jaxformer.taps",
    "open_checkpoint": "jaxformer.checkpoint.folder",
    "save_orbax": "jaxformer.checkpoint.orbax",
    "save_safetensors": "jaxformer.checkpoint.safetensors",
    "stream": "jaxformer.generate",
    "synthetic_params": "jaxformer.checkpoint.synthetic",
    "synthetic_tokens": "jaxformer.checkpoint.synthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
