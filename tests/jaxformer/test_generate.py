"""Generation: what comes out is what the whole model, asked again for every token, would say."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT, talkative

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.errors import UsageError
from jaxformer.generate import generate, padded, stream
from jaxformer.official import converted_config, import_gemma, official_params
from jaxformer.params import Params
from jaxformer.sampling import Sampling

NEW = 200  # 25 windows


@pytest.fixture(scope="module")
def params() -> Params:
    return talkative(synthetic_params(SHORT, 0, "float32"))


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Within the window, past it, and longer than a chunk of 16."""
    return [synthetic_tokens(SHORT, 1, length, length)[0].tolist() for length in (3, 11, 37)]


@pytest.fixture(scope="module")
def greedy(params: Params, prompts: list[list[int]]) -> list[list[int]]:
    """200 tokens of each prompt, each run alone."""
    return [generate(params, [p], SHORT, max_new_tokens=NEW, chunk=16)[0] for p in prompts]


def official_greedy(params: Params, prompt: Sequence[int], new: int) -> list[int]:
    """The package's own cached forward: prefill, then a token at a time."""
    gm = import_gemma()
    config = converted_config(SHORT, SHORT.num_blocks)
    model = gm.nn.Transformer(config=config, dtype=jnp.float32)
    variables = official_params(params)
    slots = len(prompt) + new
    cache = config.init_cache(1, jnp.float32, cache_length=slots)

    @jax.jit
    def step(tokens: Any, positions: Any, cache: Any) -> Any:
        mask = jnp.arange(slots)[None, None, :] <= positions[:, :, None]
        out = model.apply(variables, tokens, positions=positions, cache=cache, attention_mask=mask)
        return out.logits[0, -1].argmax(), out.cache

    tokens, at, out = jnp.asarray([prompt]), 0, []
    for _ in range(new):
        positions = at + jnp.arange(tokens.shape[1])[None]
        token, cache = step(tokens, positions, cache)
        out.append(int(token))
        at += tokens.shape[1]
        tokens = token.reshape(1, 1)
    return out


@pytest.mark.parametrize("which", [0, 2])
def test_greedy_tokens_are_those_of_the_official_cached_forward(
    params: Params, prompts: list[list[int]], greedy: list[list[int]], which: int
) -> None:
    assert len(set(greedy[which])) > 50  # no loop that any model would agree with
    assert greedy[which] == official_greedy(params, prompts[which], NEW)


def test_a_batch_of_unequal_prompts_says_what_each_says_alone(
    params: Params, prompts: list[list[int]], greedy: list[list[int]]
) -> None:
    assert generate(params, prompts, SHORT, max_new_tokens=NEW, chunk=16) == greedy


def test_the_chunk_changes_nothing(
    params: Params, prompts: list[list[int]], greedy: list[list[int]]
) -> None:
    short = generate(params, [prompts[2]], SHORT, max_new_tokens=30, chunk=512)
    assert short[0] == greedy[2][:30]


def test_a_stop_token_ends_its_row_alone(
    params: Params, prompts: list[list[int]], greedy: list[list[int]]
) -> None:
    stop = greedy[1][4]
    ends = [row.index(stop) + 1 if stop in row[:40] else 40 for row in greedy]
    got = generate(params, prompts, SHORT, max_new_tokens=40, chunk=16, stop_ids=[stop])
    assert got == [row[:end] for row, end in zip(greedy, ends, strict=True)]
    assert len(set(ends)) > 1


def test_the_stream_ends_with_its_last_row(
    params: Params, prompts: list[list[int]], greedy: list[list[int]]
) -> None:
    row = greedy[0]
    end = next(i for i in range(2, 30) if row[i] not in row[:i])
    steps = stream(params, prompts[:1], SHORT, max_new_tokens=40, chunk=16, stop_ids=[row[end]])
    assert list(steps) == [[token] for token in row[: end + 1]]


def test_the_same_seed_draws_the_same_tokens(params: Params, prompts: list[list[int]]) -> None:
    def draw(seed: int) -> list[list[int]]:
        return generate(
            params, prompts, SHORT, max_new_tokens=12, chunk=16, seed=seed,
            sampling=Sampling(temperature=1.0, top_k=100, top_p=0.9),
        )  # fmt: skip

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_row_does_not_depend_on_its_neighbours_draws(
    params: Params, prompts: list[list[int]]
) -> None:
    sampling = Sampling(temperature=1.0)
    alone = generate(params, prompts[:1], SHORT, max_new_tokens=12, chunk=16, sampling=sampling)
    beside = generate(params, prompts, SHORT, max_new_tokens=12, chunk=16, sampling=sampling)
    assert beside[0] == alone[0]


def test_prompts_are_padded_on_the_left_to_few_lengths() -> None:
    np.testing.assert_array_equal(padded([[5, 6, 7], [8]])[:, -4:], [[0, 5, 6, 7], [0, 0, 0, 8]])
    shapes = {n: padded([[1] * n], chunk=64).shape[1] for n in (1, 16, 17, 33, 64, 65, 129)}
    assert shapes == {1: 16, 16: 16, 17: 32, 33: 64, 64: 64, 65: 128, 129: 192}
    assert padded([[1] * 20], chunk=24).shape[1] == 24


@pytest.mark.parametrize(
    ("prompts", "new", "complaint"),
    [
        ([], 4, "at least one token"),
        ([[2], []], 4, "at least one token"),
        ([[2, 0, 3]], 4, "must lie in 1..511 .0 is padding., got 0"),
        ([[2, 512]], 4, "must lie in 1..511 .0 is padding., got 512"),
        ([[2, -1]], 4, "got -1"),
        ([[2]], 0, "at least 1, got 0"),
        ([[2]], -3, "at least 1, got -3"),
        ([[2] * 131_070], 4, "context of 131072: at most 2 new tokens fit"),
        ([[2] * 131_072], 4, "shorten the prompt"),
    ],
)
def test_what_can_not_be_generated_is_refused(
    params: Params, prompts: list[list[int]], new: int, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        stream(params, prompts, SHORT, max_new_tokens=new)


@pytest.mark.parametrize("at_once", [3, 256])
def test_several_steps_of_one_program_say_what_single_ones_say(
    params: Params,
    prompts: list[list[int]],
    greedy: list[list[int]],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ending with a stop token in the middle of a program, or at the last token asked for."""
    monkeypatch.setattr("jaxformer.generate._AT_ONCE", {"cpu": at_once})
    assert generate(params, prompts[:2], SHORT, max_new_tokens=23) == [g[:23] for g in greedy[:2]]
    stop = greedy[0][10]
    ended = greedy[0][: greedy[0].index(stop) + 1]
    got = generate(params, prompts[:1], SHORT, max_new_tokens=NEW, stop_ids=[stop])
    assert got == [ended]
