"""A decoder that scans over stacked layers, each rematerialised; every second one sees a window.

Its weights are closed over. `build_unrolled` is the same model as a loop of Python's, whose taps
have names of their own.
"""

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, HEAD, WIDTH, HIDDEN, VOCABULARY, LENGTH, WINDOW = 3, 4, 12, 48, 96, 83, 15, 5
EPSILON = 1e-6
# names of the scanned model's taps -> those of the unrolled one's
NAMES = {
    f"layers[{{}}].{name}": f"h.{{}}.{name}"
    for name in ("norm_1", "query", "probs", "mixed", "attn_residual", "norm_2", "hidden", "output")
}


def weights(dtype):
    rng = np.random.default_rng(0)

    def array(*shape, scale, centre=0.0):
        return jnp.asarray(centre + scale * rng.standard_normal(shape), dtype)

    layers = {
        "norm_1": array(LAYERS, WIDTH, scale=0.2),
        "query": array(LAYERS, WIDTH, HEADS, HEAD, scale=WIDTH**-0.5),
        "key": array(LAYERS, WIDTH, HEADS, HEAD, scale=WIDTH**-0.5),
        "value": array(LAYERS, WIDTH, HEADS, HEAD, scale=WIDTH**-0.5),
        "out": array(LAYERS, HEADS, HEAD, WIDTH, scale=WIDTH**-0.5),
        "norm_2": array(LAYERS, WIDTH, scale=0.2),
        "up": array(LAYERS, WIDTH, HIDDEN, scale=WIDTH**-0.5),
        "down": array(LAYERS, HIDDEN, WIDTH, scale=HIDDEN**-0.5),
    }
    return {"embedding": array(VOCABULARY, WIDTH, scale=0.5), "layers": layers}


def inputs(dtype):
    return (jnp.asarray(np.random.default_rng(0).integers(0, VOCABULARY, (2, LENGTH))),)


def rms_norm(x, scale):
    square = jnp.mean(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    normed = x.astype(jnp.float32) * jax.lax.rsqrt(square + EPSILON)
    return (normed * (1 + scale.astype(jnp.float32))).astype(x.dtype)


def sinusoids(length):
    """Fixed positions: sines, then cosines, of falling frequencies."""
    rates = 10_000.0 ** -(jnp.arange(WIDTH // 2) / (WIDTH // 2))
    angles = jnp.arange(length)[:, None] * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def layer(x, index, w, tap):
    length = x.shape[1]
    normed = tap("norm_1", rms_norm(x, w["norm_1"]))
    query = tap("query", jnp.einsum("btd,dnh->btnh", normed, w["query"]))
    key = jnp.einsum("btd,dnh->btnh", normed, w["key"])
    value = jnp.einsum("btd,dnh->btnh", normed, w["value"])
    scores = jnp.einsum("btnh,bsnh->bnts", query * HEAD**-0.5, key)
    ahead = jnp.arange(length)[:, None] - jnp.arange(length)
    seen = (ahead >= 0) & ((ahead < WINDOW) | (index % 2 == 1))
    scores = jnp.where(seen, scores, -jnp.inf)
    probs = tap("probs", jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(x.dtype))
    mixed = tap("mixed", jnp.einsum("bnts,bsnh->btnh", probs, value))
    x = tap("attn_residual", x + jnp.einsum("btnh,nhd->btd", mixed, w["out"]))
    normed = tap("norm_2", rms_norm(x, w["norm_2"]))
    hidden = tap("hidden", jnp.square(jax.nn.relu(normed @ w["up"])))
    return tap("output", x + hidden @ w["down"])


def embed(embedding, tokens):
    x = embedding[tokens]
    return x + sinusoids(tokens.shape[1]).astype(x.dtype)


def head(embedding, x):
    return jnp.einsum("btd,vd->btv", x, embedding)


def build(dtype):
    params = weights(dtype)

    def forward(tokens, *, tap=lambda _, value: value):
        x = tap("embed", embed(params["embedding"], tokens))

        @jax.checkpoint
        def body(x, scanned):
            index, w = scanned
            return layer(x, index, w, lambda name, value: tap(f"layers.{name}", value)), None

        x, _ = jax.lax.scan(body, x, (jnp.arange(LAYERS), params["layers"]))
        return tap("logits", head(params["embedding"], x))

    return forward


def build_unrolled(dtype):
    params = weights(dtype)

    def forward(tokens, *, tap=lambda _, value: value):
        x = tap("embed", embed(params["embedding"], tokens))
        for index in range(LAYERS):
            w = jax.tree.map(lambda stacked, index=index: stacked[index], params["layers"])
            x = layer(x, index, w, lambda name, value, n=index: tap(f"h.{n}.{name}", value))
        return tap("logits", head(params["embedding"], x))

    return forward
