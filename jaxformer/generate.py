"""Token generation: prefill the cache in chunks, then one token at a time.

Everything that decides a compiled program's shape comes in few sizes (chunk, capacity), so that
prompts of many lengths share programs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxformer.attention import PADDING_ID
from jaxformer.cache import Cache, cached_forward
from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.fast.prefill import prefill
from jaxformer.fast.programs import program
from jaxformer.params import Params
from jaxformer.sampling import Sampling, sample

GREEDY = Sampling()
CHUNK = 512
_SHORTEST = 16
# Decoding steps of one program. On a CPU one: XLA does not split the products of a loop over cores,
# and a step of 1B takes 259 ms in one, 115 without.
_AT_ONCE = {"cpu": 1}
_AT_ONCE_ELSEWHERE = 8
_CAPACITY_STEP = 256


def generate(
    params: Params,
    prompts: Sequence[Sequence[int]],
    config: Config,
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    stop_ids: Sequence[int] = (),
    chunk: int = CHUNK,
) -> list[list[int]]:
    """The new tokens of each prompt, a stop token included where one ended it.

    Takes what `stream` takes, and raises the same errors.
    """
    rows: list[list[int]] = [[] for _ in prompts]
    for step in stream(
        params,
        prompts,
        config,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        seed=seed,
        stop_ids=stop_ids,
        chunk=chunk,
    ):
        for row, token in zip(rows, step, strict=True):
            if token is not None:
                row.append(token)
    return rows


def stream(
    params: Params,
    prompts: Sequence[Sequence[int]],
    config: Config,
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    stop_ids: Sequence[int] = (),
    chunk: int = CHUNK,
) -> Iterator[list[int | None]]:
    """Yields, step by step, each row's next token; None for a row that has ended.

    Args:
      prompts: token ids of each row, of any lengths, without padding.
      max_new_tokens: at most so many per row.
      seed: of the draws; row i's draws depend on it and on i alone.
      stop_ids: a row ends with one of these.
      chunk: prefill so many tokens at a time.

    Raises:
      UsageError: no prompt, an empty one, ids outside 1..V-1, a length below 1, or a prompt that
        leaves no room in the context for what was asked.
    """
    check_request(prompts, config, max_new_tokens, chunk)
    if seed < 0:
        raise UsageError(f"seed must be at least 0, got {seed}")
    return _steps(params, prompts, config, max_new_tokens, sampling, seed, stop_ids, chunk)


def check_request(
    prompts: Sequence[Sequence[int]], config: Config, max_new_tokens: int, chunk: int = CHUNK
) -> None:
    """Refuse what can't be generated; see `stream` for what that is.

    Raises:
      UsageError: naming what was expected and what came.
    """
    if max_new_tokens < 1 or chunk < 1:
        raise UsageError(
            f"max_new_tokens and chunk must be at least 1, got {max_new_tokens} and {chunk}"
        )
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise UsageError("each prompt needs at least one token; <bos> alone, id 2, will do")
    for prompt in prompts:
        wrong = [token for token in prompt if not 0 < token < config.vocab_size]
        if wrong:
            raise UsageError(
                f"token ids must lie in 1..{config.vocab_size - 1} (0 is padding), got {wrong[0]}"
            )
    longest = max(map(len, prompts))
    room = config.context_length - longest
    if room < max_new_tokens:
        advice = f"at most {room} new tokens fit" if room > 0 else "shorten the prompt"
        raise UsageError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's "
            f"context of {config.context_length}: {advice}"
        )


def padded(prompts: Sequence[Sequence[int]], chunk: int = CHUNK) -> Int[np.ndarray, "B T"]:
    """The prompts as one array, padded on the left to a length that others share.

    That is a power of two up to the chunk, past it a multiple of the chunk.
    """
    longest = max(map(len, prompts))
    if longest > chunk:
        length = -(-longest // chunk) * chunk
    else:
        length = min(chunk, max(_SHORTEST, 1 << (longest - 1).bit_length()))
    out = np.full((len(prompts), length), PADDING_ID, np.int32)
    for row, prompt in zip(out, prompts, strict=True):
        row[length - len(prompt) :] = prompt
    return out


def steps_at_once() -> int:
    """How many tokens one program decodes, on JAX's default backend."""
    return _AT_ONCE.get(jax.default_backend(), _AT_ONCE_ELSEWHERE)


def _steps(
    params: Params,
    prompts: Sequence[Sequence[int]],
    config: Config,
    max_new_tokens: int,
    sampling: Sampling,
    seed: int,
    stop_ids: Sequence[int],
    chunk: int,
) -> Iterator[list[int | None]]:
    tokens = padded(prompts, chunk)
    needed = tokens.shape[1] + max_new_tokens
    capacity = -(-needed // _CAPACITY_STEP) * _CAPACITY_STEP
    logits, cache = prefill(params, tokens, config, capacity, chunk)
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(
        jnp.arange(len(prompts))
    )
    stops = jnp.asarray(sorted(set(stop_ids)), jnp.int32)
    done = jnp.zeros(len(prompts), bool)
    decode = program(_decode, config, static=("config", "sampling", "at_once"), donate=("state",))
    at_once = steps_at_once()
    token, ended = _choose(logits, keys, 0, done, stops, sampling)
    yield _said(np.asarray(token), np.asarray(done))
    for step in range(1, max_new_tokens, at_once):
        if bool(ended.all()):
            return
        found, (token, ended, cache) = decode(
            params, (token, ended, cache), keys, jnp.int32(step), stops,
            config=config, sampling=sampling, at_once=at_once,
        )  # fmt: skip
        # Past the last token asked for, the program has written where nobody looks.
        for i, (tokens_now, over) in enumerate(zip(*map(np.asarray, found), strict=True)):
            if over.all() or step + i == max_new_tokens:
                return
            yield _said(tokens_now, over)


def _said(token: Int[np.ndarray, " B"], done: Bool[np.ndarray, " B"]) -> list[int | None]:
    """Each row's token; None for a row that had ended before."""
    return [None if over else int(chosen) for chosen, over in zip(token, done, strict=True)]


@functools.partial(jax.jit, static_argnames="sampling")
def _choose(
    logits: jax.Array,
    keys: Array,
    step: Int[Array, ""] | int,
    done: Bool[Array, " B"],
    stops: Int[Array, " S"],
    sampling: Sampling,
) -> tuple[Int[Array, " B"], Bool[Array, " B"]]:
    """The next token of each row, and whether the row has ended with it."""
    step_keys = jax.vmap(lambda key: jax.random.fold_in(key, step))(keys)
    token = sample(logits[:, -1], step_keys, sampling)
    return token, done | (token[:, None] == stops).any(axis=-1)


# The last tokens of all rows, which rows have ended, and the cache with all before.
_State = tuple[Int[Array, " B"], Bool[Array, " B"], Cache]


def _decode(
    params: Params,
    state: _State,
    keys: Array,
    step: Int[Array, ""],
    stops: Int[Array, " S"],
    config: Config,
    sampling: Sampling,
    at_once: int,
) -> tuple[tuple[Int[Array, "n B"], Bool[Array, "n B"]], _State]:
    """`at_once` tokens further, each with the rows that had ended before it."""

    def one(state: _State, step: Int[Array, ""]) -> tuple[_State, tuple[jax.Array, jax.Array]]:
        token, done, cache = state
        # Rows that have ended add nothing to their cache.
        logits, cache = cached_forward(params, token[:, None], cache, config, valid=~done[:, None])
        token, ended = _choose(logits, keys, step, done, stops, sampling)
        return (token, ended, cache), (token, done)

    if at_once == 1:
        state, said = one(state, step)
        return (said[0][None], said[1][None]), state
    state, found = jax.lax.scan(one, state, step + jnp.arange(at_once))
    return found, state
