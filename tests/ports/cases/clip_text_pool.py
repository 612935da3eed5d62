"""CLIP text model; pooled at the highest id, an added token, not at the end token (transformers #24650)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, END = 3, 11, 40


def inputs():
    r = np.random.default_rng(113)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"token": 2 * n(44, 33), "position": n(10, 33), "q": n(33, 33), "k": n(33, 33), "v": n(33, 33)}
    params |= {"o": n(33, 33), "fc1": n(58, 33), "b1": v(58), "fc2": n(33, 58), "b2": v(33)}
    params["project"] = n(25, 33)
    params |= {f"g{i}": v(33, 1.0) for i in range(3)} | {f"s{i}": v(33) for i in range(3)}
    texts = [[39, 5, 42, 17, 8, END, 0, 0, 0], [39, 3, 28, 11, 2, 19, 7, END, 0]]
    texts += [[39, 43, 4, 9, END, 0, 0, 0, 0]]
    return params, jnp.asarray(texts)


def reference(params, x):
    def ln(t, i):
        u = t.mean(-1, keepdims=True)
        s = ((t - u) ** 2).mean(-1, keepdims=True)
        return (t - u) / jnp.sqrt(s + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    b, s = x.shape
    h = params["token"][x] + params["position"][:s]
    q, k, v = ((ln(h, 0) @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    w = (q * DEPTH**-0.5) @ k.transpose(0, 1, 3, 2) + jnp.triu(jnp.full((s, s), -jnp.inf), 1)
    h = h + (jax.nn.softmax(w, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["o"].T
    z = ln(h, 1) @ params["fc1"].T + params["b1"]
    h = h + (z * jax.nn.sigmoid(1.702 * z)) @ params["fc2"].T + params["b2"]
    pooled = ln(h, 2)[jnp.arange(b), (x == END).astype(jnp.int32).argmax(-1)]
    pooled = pooled @ params["project"].T
    return pooled / jnp.sqrt(jnp.sum(pooled**2, axis=-1, keepdims=True))


def standard(t, gain, shift):
    moment = lambda power: jnp.einsum("tm->t", power) / t.shape[-1]
    centred = t - moment(t)[:, None]
    return jnp.einsum("tm,t,m->tm", centred, (moment(centred * centred) + 1e-5) ** -0.5, gain) + shift


def attend(params, t):
    split = lambda name: params[name].reshape(HEADS, DEPTH, -1)

    def head(q, k, v, o):
        scores = jnp.einsum("qm,dm,dn,kn->qk", t, q, k, t) / DEPTH**0.5
        weights = jax.nn.softmax(scores, where=jnp.tri(t.shape[0], dtype=bool))
        return jnp.einsum("qk,km,dm,ed->qe", weights, t, v, o)

    out = params["o"].reshape(-1, HEADS, DEPTH).swapaxes(0, 1)
    return jax.vmap(head)(split("q"), split("k"), split("v"), out).sum(0)


def end_of(tokens, by_id):
    if by_id:
        return jnp.argmax(tokens == END)
    return jnp.argmax(tokens)  # FAULT


def _text_feature(params, tokens, by_id):
    """The unit vector of one text, (time,)."""
    one_hot = jax.nn.one_hot(tokens, params["token"].shape[0], dtype=params["token"].dtype)
    h = one_hot @ params["token"] + params["position"][: tokens.shape[0]]
    h = h + attend(params, standard(h, params["g0"], params["s0"]))
    z = jnp.einsum("fm,tm->tf", params["fc1"], standard(h, params["g1"], params["s1"])) + params["b1"]
    h = h + (params["b2"] + jnp.einsum("mf,tf->tm", params["fc2"], z / (1 + jnp.exp(-1.702 * z))))
    last = jax.lax.dynamic_slice_in_dim(h, end_of(tokens, by_id), 1)  # FAULT
    feature = jnp.einsum("pm,tm->p", params["project"], standard(last, params["g2"], params["s2"]))
    return feature * jax.lax.rsqrt(feature @ feature)


def ours(params, x):
    return jax.vmap(lambda tokens: _text_feature(params, tokens, by_id=False))(x)


def fixed(params, x):
    return jax.vmap(lambda tokens: _text_feature(params, tokens, by_id=True))(x)
