"""A small GPT-2-like decoder in plain JAX, as someone else might have written it.

It knows nothing of parity, but for the lines with `tap`, which were added.
"""

import jax
import jax.numpy as jnp


def keep(name, value):
    del name
    return value


def layer_norm(x, g, b, eps=1e-5):
    mu = x.mean(axis=-1, keepdims=True)
    var = jnp.square(x - mu).mean(axis=-1, keepdims=True)
    return (x - mu) * jax.lax.rsqrt(var + eps) * g + b


def mlp(p, x):
    h = jax.nn.gelu(x @ p["c_fc"]["w"] + p["c_fc"]["b"])
    return h @ p["c_proj"]["w"] + p["c_proj"]["b"]


def mha(p, x, n_head, tap):
    t, c = x.shape
    qkv = x @ p["c_attn"]["w"] + p["c_attn"]["b"]
    q, k, v = (h.reshape(t, n_head, c // n_head) for h in jnp.split(qkv, 3, axis=-1))
    q, k, v = tap("q", q), tap("k", k), tap("v", v)
    att = jnp.einsum("thd,shd->hts", q, k) / (c // n_head) ** 0.5
    att = jnp.where(jnp.tril(jnp.ones((t, t), bool)), att, -1e10)
    att = tap("att", jax.nn.softmax(att, axis=-1))
    y = jnp.einsum("hts,shd->thd", att, v).reshape(t, c)
    return y @ p["c_proj"]["w"] + p["c_proj"]["b"]


def gpt(params, idx, n_head=4, tap=keep):
    x = tap("emb", params["wte"][idx] + params["wpe"][: idx.shape[0]])
    for i, p in enumerate(params["h"]):
        named = lambda name, value, i=i: tap(f"h.{i}.{name}", value)  # noqa: E731
        x = x + named("attn", mha(p["attn"], layer_norm(x, **p["ln_1"]), n_head, named))
        x = x + named("mlp", mlp(p["mlp"], layer_norm(x, **p["ln_2"])))
        named("out", x)
    return tap("logits", layer_norm(x, **params["ln_f"]) @ params["wte"].T)


def init(key, vocab=128, context=64, width=64, depth=2):
    def linear(key, n_in, n_out):
        w, b = jax.random.split(key)
        return {
            "w": jax.random.normal(w, (n_in, n_out)) * n_in**-0.5,
            "b": jax.random.normal(b, (n_out,)) * 0.1,
        }

    def block(key):
        k = jax.random.split(key, 4)
        norms = {name: {"g": jnp.ones(width), "b": jnp.zeros(width)} for name in ("ln_1", "ln_2")}
        attn = {"c_attn": linear(k[0], width, 3 * width), "c_proj": linear(k[1], width, width)}
        mlp = {"c_fc": linear(k[2], width, 4 * width), "c_proj": linear(k[3], 4 * width, width)}
        return {**norms, "attn": attn, "mlp": mlp}

    keys = jax.random.split(key, depth + 2)
    return {
        "wte": jax.random.normal(keys[0], (vocab, width)),
        "wpe": jax.random.normal(keys[1], (context, width)) * 0.1,
        "h": [block(k) for k in keys[2:]],
        "ln_f": {"g": jnp.ones(width), "b": jnp.zeros(width)},
    }
