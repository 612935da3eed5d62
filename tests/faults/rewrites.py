"""Rewrites of jaxformer's source that compute the same formula and round it differently."""

from __future__ import annotations

from faults.table import A, Edit, L, M

_MEAN_SQUARE = "jnp.mean(jnp.square(wide), axis=-1, keepdims=True)"
_NORMED = "normed = wide * jax.lax.rsqrt(mean_square + numerics.rms_norm_eps)"
_GAINED = "(normed * (1 + scale.astype(arithmetic)))"
_POWER = "rope.base**exponents"
_ANGLES = "positions[..., None] / timescale"
_ROTATED = "rotated = [first * cos - second * sin, second * cos + first * sin]"
_GELU = "jax.nn.gelu(wide, approximate=True)"
_BOTH = 'both = jnp.einsum("...F,NHF->...NH", x, gating)'
_FED = 'jnp.einsum("BTF,FD->BTD", activations, output)'
_UNEMBED = "jnp.dot(x, embedding.T)"
_QUERY = 'query = jnp.einsum("BTD,NDH->BTNH", x, params.query)'
_KEY_VALUE = 'key, value = jnp.einsum("BSD,CKDH->CBSKH", x, params.key_value)'
_SCALED = "query = query * config.query_scale"
_SCORES = "logits = scores(query, key)"
_SOFTMAX = "jax.nn.softmax(wide, axis=-1)"
_VALUES = "weighted_values(probs, seen.value)"
_OUT = 'jnp.einsum("BTNH,NHD->BTD", encoded, params.output)'

# Name -> what becomes what in which file.
_CHANGES = {
    "mean square by einsum": [
        (L, _MEAN_SQUARE, 'jnp.einsum("...D,...D->...", wide, wide)[..., None] / wide.shape[-1]'),
    ],
    "mean square by halves": [
        (L, _MEAN_SQUARE, """(
        sum(jnp.sum(half**2, axis=-1, keepdims=True) for half in jnp.split(wide, 2, axis=-1))
        / wide.shape[-1]
    )"""),
    ],
    "mean square from the variance": [
        (L, _MEAN_SQUARE, "jnp.var(wide, axis=-1, keepdims=True)\n"
         "    mean_square += jnp.square(jnp.mean(wide, axis=-1, keepdims=True))"),
    ],
    "norm by length": [
        (L, _MEAN_SQUARE,
         "jnp.square(jnp.linalg.norm(wide, axis=-1, keepdims=True)) / wide.shape[-1]"),
        (L, _NORMED, "normed = wide / jnp.sqrt(mean_square + numerics.rms_norm_eps)"),
    ],
    "gain before the norm": [
        (L, _NORMED, "normed = wide * (1 + scale.astype(arithmetic))"),
        (L, _GAINED, "(normed * jax.lax.rsqrt(mean_square + numerics.rms_norm_eps))"),
    ],
    "gain's one apart": [(L, _GAINED, "(normed + normed * scale.astype(arithmetic))")],
    "RoPE by frequencies": [
        (L, _POWER, "rope.base**-exponents"),
        (L, _ANGLES, "positions[..., None] * timescale"),
    ],
    "RoPE of whole heads": [
        (L, _POWER, "jnp.exp(-exponents * jnp.log(rope.base))"),
        (L, _ANGLES, "positions[..., None] * timescale"),
        (L, _ROTATED, """sin, cos = (jnp.concatenate([x, x], axis=-1) for x in (sin, cos))
    rotated = [x * cos + jnp.concatenate([-second, first], axis=-1) * sin]"""),
    ],
    "RoPE by complex numbers": [
        (L, _ROTATED, """turned = jax.lax.complex(first, second) * jax.lax.complex(cos, sin)
    rotated = [turned.real, turned.imag]"""),
    ],
    "RoPE by rotations": [
        (L, _ROTATED, """turns = jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])])
    turns = jnp.broadcast_to(turns, (2, 2, *first.shape))
    rotated = jnp.einsum("IJBTNF,JBTNF->IBTNF", turns, jnp.stack([first, second]))"""),
    ],
    "GELU by sigmoid": [
        (L, _GELU, "(wide * jax.nn.sigmoid((8 / jnp.pi) ** 0.5 * (wide + 0.044715 * wide**3)))"),
    ],
    "MLP output by halves": [
        (L, _FED, """sum(
        half @ weights
        for half, weights in zip(
            jnp.split(activations, 2, axis=-1), jnp.split(output, 2), strict=True
        )
    )"""),
    ],
    "one product for query, key and value": [
        (A, _QUERY, """heads = jnp.concatenate([params.query, *params.key_value])
        every = jnp.tensordot(x, heads.swapaxes(0, 1), 1)
        query = every[:, :, : params.query.shape[0]]"""),
        (A, _KEY_VALUE,
         "key, value = jnp.split(every[:, :, params.query.shape[0] :], 2, axis=2)"),
    ],
    "key scaled": [(A, _SCALED, "key = key * config.query_scale")],
    "softmax by logsumexp": [
        (A, _SOFTMAX, "jnp.exp(wide - jax.nn.logsumexp(wide, axis=-1, keepdims=True))"),
    ],
    "softmax normalised after the values": [
        (A, _SOFTMAX, "jnp.exp(wide - jnp.max(wide, axis=-1, keepdims=True))"),
        (A, _VALUES, f"{_VALUES} / jnp.sum(probs, axis=-1, keepdims=True)"),
    ],
    "heads first": [
        (A, _QUERY, "query = x[:, None] @ params.query"),
        (A, _KEY_VALUE, "key, value = x[:, None] @ params.key_value[:, None]"),
        (L, "angles = angles[..., None, :]", "angles = angles[:, None]"),
        (A, _SCORES, """key = jnp.repeat(key, query.shape[1] // key.shape[1], axis=1)
    logits = query @ key.swapaxes(2, 3)"""),
        (A, "mask[:, :, None, :]", "mask[:, None]"),
        (A, _VALUES,
         "probs @ jnp.repeat(seen.value, probs.shape[1] // seen.value.shape[1], axis=1)"),
        (A, _OUT, "(encoded @ params.output).sum(1)"),
    ],
    "transposed weights": [
        (A, _QUERY, "query = (params.query.swapaxes(1, 2) @ x[:, :, None, :, None])[..., 0]"),
        (A, _OUT, """(
            params.output.reshape(-1, x.shape[-1]).T @ encoded.reshape(*x.shape[:2], -1, 1)
        )[..., 0]"""),
        (L, _BOTH, "both = (gating @ x[..., None, :, None])[..., 0]"),
        (L, _FED, 'jnp.einsum("DF,BTF->BTD", output.T, activations)'),
        (L, _UNEMBED, 'jnp.einsum("VD,BTD->VBT", embedding, x).transpose(1, 2, 0)'),
    ],
    "residuals in one sum": [(M, "fed + residual)", "fed + attended + x)")],
}  # fmt: skip
_ANOTHER_HAND = [
    *("mean square from the variance", "gain's one apart", "RoPE by frequencies"),
    *("RoPE by complex numbers", "GELU by sigmoid", "transposed weights", "key scaled"),
    *("softmax by logsumexp", "residuals in one sum"),
]

ROUNDING_REWRITES = {
    name: [Edit(name, *change) for change in changes] for name, changes in _CHANGES.items()
}
ROUNDING_REWRITES["by another hand"] = [
    edit for name in _ANOTHER_HAND for edit in ROUNDING_REWRITES[name]
]
