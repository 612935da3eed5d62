"""Models with one edit each, and what a comparison with the unedited model is to say of it.

Rewrites are the same mathematics in another order or formulation. Faults are after public reports
of ports that went wrong. What is held out was written after the rest had its answers, and nothing
was changed for its sake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from parity.program.oracle import OracleDType
from parity.verdict.plan import Inject
from parity.verdict.taps import Status

MODELS = ("gpt", "nnx_transformer", "linen_vision", "equinox_mlp", "scanned")
FLOAT32, BFLOAT16 = "float32", "bfloat16"
Edits = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Case:
    """One model beside its reference.

    Attributes:
      edits: of our side's source.
      expected: the status; `rounding` is met by `identical` as well.
      tap: at which that status first stands; any, if empty.
      shared: edits of both sides' source.
      build, reference: functions of the model's file that make either side.
      tapped: both sides have taps.
      names: the name of a table of the model's file that pairs the taps of both.
      taps, inject, oracle: as `parity.diff` takes them.
    """

    model: str
    name: str
    expected: Status
    tap: str = ""
    edits: Edits = ()
    shared: Edits = ()
    build: str = "build"
    reference: str = "build"
    dtypes: tuple[str, ...] = (FLOAT32, BFLOAT16)
    held_out: bool = False
    tapped: bool = True
    names: str = ""
    taps: str = "*"
    inject: Inject = "auto"
    oracle: OracleDType | None = "float64"

    @property
    def alone(self) -> bool:
        """It shares no run of the reference with the other cases of its model."""
        usual = Case(self.model, "", "identical")
        own = ("shared", "reference", "tapped", "names", "taps", "inject", "oracle")
        return any(getattr(self, name) != getattr(usual, name) for name in own)

    @property
    def expectation(self) -> str:
        """In words."""
        if self.expected == "rounding":
            return "ROUNDING or IDENTICAL"
        return f"{self.expected.upper()}{' at ' if self.tap else ''}{self.tap}"


def rewrite(model: str, name: str, *edits: tuple[str, str], **more: Any) -> Case:
    return Case(model, name, "rounding", "", edits, **more)


def fault(model: str, name: str, tap: str, *edits: tuple[str, str], **more: Any) -> Case:
    return Case(model, name, "diverged", tap, edits, **more)


def unjudged(model: str, name: str, tap: str, *edits: tuple[str, str], **more: Any) -> Case:
    return Case(model, name, "unjudged", tap, edits, **more)


def itself(model: str, **more: Any) -> Case:
    name = "itself" if more.get("tapped", True) else "itself, without taps"
    return Case(model, name, "identical", **more)


G, N, L, E, S = MODELS

CHANNELS_FIRST = """class ChannelsFirst(nn.Conv):
    @nn.compact
    def __call__(self, x):
        channels = x.shape[-1]
        kernel = self.param(
            "kernel", self.kernel_init, (*self.kernel_size, channels, self.features), self.dtype
        )
        made = jax.lax.conv_general_dilated(
            x.transpose(0, 3, 1, 2),
            kernel.transpose(3, 2, 0, 1),
            (self.strides,) * 2,
            "SAME",
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )
        return made.transpose(0, 2, 3, 1)


class Convolution(nn.Module)"""

SPECTRAL = """def largest(kernel):
    return jnp.linalg.svd(kernel.astype(jnp.float32), compute_uv=False)[0].astype(kernel.dtype)


def spectral(weights):
    return {**weights, "kernel": weights["kernel"] / largest(weights["kernel"])}


def attention("""
SCALE_MOVED = ("query, key) * head**-0.5", "query * head**-0.5, key)")
GPT = [
    itself(G),
    rewrite(G, "heads first", ('"btnh,bsnh->bnts", query, key',
        '"bnth,bnsh->bnts", query.swapaxes(1, 2), key.swapaxes(1, 2)')),
    rewrite(G, "three products for one",
        ('dense(x, block["qkv"]).reshape',
         'jnp.concatenate([x @ k + b for k, b in zip(jnp.split(block["qkv"]["kernel"], 3, -1), '
         'jnp.split(block["qkv"]["bias"], 3))], axis=-1).reshape')),
    rewrite(G, "scale moved to the query", SCALE_MOVED),
    rewrite(G, "softmax written out", ("jax.nn.softmax(scores, axis=-1)",
        "(lambda e: e / e.sum(-1, keepdims=True))"
        "(jnp.exp(scores - scores.max(-1, keepdims=True)))")),
    rewrite(G, "sums in float32", ("x @ weights[\"kernel\"]",
        "jnp.dot(x, weights[\"kernel\"], preferred_element_type=jnp.float32).astype(x.dtype)")),
    rewrite(G, "jit inside", ("x + attention(normed, block, named)",
        "x + jax.jit(lambda n, b: attention(n, b, named))(normed, block)")),
    fault(G, "epsilon", "h.0.norm_1", ("EPSILON = 1e-5", "EPSILON = 1e-6"), dtypes=(FLOAT32,)),
    fault(G, "scale left out", "h.0.scores", (" * head**-0.5", "")),
    fault(G, "causal mask off by one", "h.0.scores", ("[:, None] >= jnp", "[:, None] > jnp")),
    fault(G, "exact GELU", "h.0.gelu", ("approximate=True", "approximate=False")),
    fault(G, "residual left out", "h.0.attn_residual", ("x + attention(", "attention(")),
    fault(G, "position off by one", "embed", ("jnp.arange(tokens.shape[1])",
        "1 + jnp.arange(tokens.shape[1])")),
    rewrite(G, "scale moved, without taps", SCALE_MOVED, tapped=False),
    fault(G, "scale left out, without taps", "output", (" * head**-0.5", ""), tapped=False),
    fault(G, "epsilon, without taps", "output", ("EPSILON = 1e-5", "EPSILON = 1e-6"),
        dtypes=(FLOAT32,), tapped=False),
    fault(G, "exact GELU, without taps", "output", ("approximate=True", "approximate=False"),
        tapped=False),
    unjudged(G, "nothing injected", "h.0.scores", SCALE_MOVED, inject="none"),
    unjudged(G, "no oracle", "h.0.scores", SCALE_MOVED, oracle=None),
    unjudged(G, "spectral norm by svd", "h.0.attn", (
        'dense(mixed.reshape(batch, length, width), spectral(block["proj"]))',
        '(mixed.reshape(batch, length, width) @ block["proj"]["kernel"] '
        '/ largest(block["proj"]["kernel"]) + block["proj"]["bias"])'),
        shared=(('dense(mixed.reshape(batch, length, width), block["proj"])',
                 'dense(mixed.reshape(batch, length, width), spectral(block["proj"]))'),
                ("def attention(", SPECTRAL))),
    Case(G, "heads joined at a tap", "shape", "h.0.query", (('tap("query", query)',
        'tap("query", query.reshape(x.shape)).reshape(query.shape)'),), taps="h.0.query"),
    Case(G, "scores kept in float32", "dtype", "h.0.scores", (
        ("scores = tap(\"scores\", jnp.where(causal, scores, MASKED))",
         "scores = tap(\"scores\", jnp.where(causal, scores, MASKED).astype(jnp.float32)"
         ").astype(x.dtype)"),), taps="h.0.scores", dtypes=(BFLOAT16,)),
]  # fmt: skip

NNX = [
    itself(N),
    rewrite(N, "layer norm written out", ('tap("norm_1", self.norm_1(x))',
        'tap("norm_1", (lambda w: ((w - w.mean(-1, keepdims=True)) / jnp.sqrt(w.var(-1, '
        'keepdims=True) + EPSILON) * self.norm_1.scale[...].astype(jnp.float32) '
        '+ self.norm_1.bias[...].astype(jnp.float32)).astype(x.dtype))(x.astype(jnp.float32)))')),
    rewrite(N, "grouped heads without repeating", (
        'key, value = (jnp.repeat(x, HEADS // GROUPS, axis=2) for x in (key, value))',
        'grouped = query.reshape(batch, length, GROUPS, HEADS // GROUPS, HEAD)'),
        ('scores = jnp.einsum("btnh,bsnh->bnts", query, key)',
         'scores = jnp.einsum("btgnh,bsgh->bgnts", grouped, key)'
         '.reshape(batch, HEADS, length, length)'),
        ('jnp.einsum("bnts,bsnh->btnh", probs, value)',
         'jnp.einsum("bgnts,bsgh->btgnh", probs.reshape(batch, GROUPS, HEADS // GROUPS, length, '
         'length), value).reshape(batch, length, HEADS, HEAD)')),
    rewrite(N, "RoPE by rotate_half", (
        "turned = [first * cos - second * sin, second * cos + first * sin]",
        "turned = [x * jnp.concatenate([cos, cos], -1) "
        "+ jnp.concatenate([-second, first], -1) * jnp.concatenate([sin, sin], -1)]")),
    rewrite(N, "SiLU written out", ("jax.nn.silu(self.gate(normed)) * self.up(normed)",
        "(lambda g: g / (1 + jnp.exp(-g)))(self.gate(normed)) * self.up(normed)")),
    rewrite(N, "gate and up in one product", (
        "jax.nn.silu(self.gate(normed)) * self.up(normed)",
        "(lambda both: jax.nn.silu(both[..., :HIDDEN]) * both[..., HIDDEN:])(normed @ "
        "jnp.concatenate([self.gate.kernel[...], self.up.kernel[...]], -1) "
        "+ jnp.concatenate([self.gate.bias[...], self.up.bias[...]]))")),
    fault(N, "heads tiled", "blocks.0.probs", (
        "(jnp.repeat(x, HEADS // GROUPS, axis=2)", "(jnp.tile(x, (1, 1, HEADS // GROUPS, 1))")),
    fault(N, "RoPE interleaved", "blocks.0.query_rope",
        ("jnp.split(x.astype(jnp.float32), 2, axis=-1)",
         "(x.astype(jnp.float32)[..., ::2], x.astype(jnp.float32)[..., 1::2])")),
    fault(N, "scale of the width", "blocks.0.probs", ("jnp.sqrt(HEAD)", "jnp.sqrt(WIDTH)")),
    fault(N, "GELU for SiLU", "blocks.0.gated", ("jax.nn.silu", "jax.nn.gelu")),
    fault(N, "dropout left on", "blocks.0.attn_residual",
        ("deterministic=True", "deterministic=False")),
    fault(N, "embedding unscaled", "embed", (" * jnp.sqrt(WIDTH).astype(self.embed.dtype)", "")),
]  # fmt: skip

LINEN = [
    itself(L),
    rewrite(L, "BatchNorm folded into a factor", ('tap(f"{name}.norm", norm(x))',
        'tap(f"{name}.norm", self._folded(norm, x))'),
        ('    @nn.compact\n    def __call__(self, x, tap, name):',
         '    def _folded(self, norm, x):\n'
         '        norm(x)  # makes its parameters\n'
         '        v, wide = norm.variables, jnp.float32\n'
         '        mean, var = v["batch_stats"]["mean"], v["batch_stats"]["var"]\n'
         '        factor = v["params"]["scale"].astype(wide) / jnp.sqrt(var + EPSILON)\n'
         '        rest = v["params"]["bias"].astype(wide) - mean * factor\n'
         '        return (x.astype(wide) * factor + rest).astype(x.dtype)\n\n'
         '    @nn.compact\n    def __call__(self, x, tap, name):')),
    rewrite(L, "mean by sum", ("jnp.mean(x, axis=(1, 2))",
        "jnp.sum(x.astype(jnp.float32), axis=(2, 1)).astype(x.dtype) / (x.shape[1] * x.shape[2])"),
        dtypes=(FLOAT32,)),
    rewrite(L, "padding written out", ('padding="SAME",\n            use_bias',
        'padding=[((max((-(-n // self.strides) - 1) * self.strides + self.kernel - n, 0)) // 2, '
        '(max((-(-n // self.strides) - 1) * self.strides + self.kernel - n, 0) + 1) // 2) '
        'for n in x.shape[1:3]],\n            use_bias')),
    rewrite(L, "channels first", ("x = nn.Conv(\n            self.width",
        "x = ChannelsFirst(\n            self.width"),
        ("            param_dtype=self.dtype,\n        )(x)",
         "            param_dtype=self.dtype,\n            name=\"Conv_0\",\n        )(x)"),
        ("class Convolution(nn.Module)", CHANNELS_FIRST)),
    rewrite(L, "head as an einsum", ('tap("logits", head(x))',
        'tap("logits", (head(x), jnp.einsum("kc,bk->bc", head.variables["params"]["kernel"], x) '
        '+ head.variables["params"]["bias"])[1])')),
    fault(L, "BatchNorm's epsilon", "stem.norm", ("EPSILON = 1e-3", "EPSILON = 1e-5")),
    fault(L, "padding symmetric", "stages.1.first.conv",
        ('padding="SAME",\n            use_bias',
         'padding=self.kernel // 2,\n            use_bias')),
    fault(L, "kernel transposed", "stem.conv", ("(x)\n        x = tap(f\"{name}.conv\", x)",
        "(x.swapaxes(1, 2)).swapaxes(1, 2)\n        x = tap(f\"{name}.conv\", x)")),
    fault(L, "shortcut left out", "stages.0.out", ("nn.relu(shortcut + h)", "nn.relu(h)")),
    fault(L, "statistics of the batch", "stem.norm",
        ("use_running_average=not self.training", "use_running_average=self.training"),
        ("return Classifier(dtype).apply\n",
         "return lambda v, x, *, tap: Classifier(dtype).apply(\n"
         "        v, x, tap=tap, mutable=['batch_stats'])[0]\n")),
    fault(L, "momentum of PyTorch's", "output.1.batch_stats.Convolution_0.BatchNorm_0.mean",
        ("MOMENTUM = 0.9", "MOMENTUM = 0.1"), build="build_training", reference="build_training"),
]  # fmt: skip

ERF = "h * (1 + jax.lax.erf(h / jnp.sqrt(2).astype(h.dtype))) / 2"
EQUINOX = [
    itself(E),
    rewrite(E, "rows together", ("jax.vmap(lambda row: self.network(row, tap))(x)",
        "self.network(x, tap)"),
        ("self.up(h)", "(h @ self.up.weight.T + self.up.bias)"),
        ("self.down(h)", "(h @ self.down.weight.T + self.down.bias)"),
        ("self.first(features)", "features @ self.first.weight.T + self.first.bias"),
        ("self.last(x)", "x @ self.last.weight.T + self.last.bias")),
    rewrite(E, "norm by rsqrt", ("x / jnp.sqrt(square + EPSILON) * self.scale",
        "x * jax.lax.rsqrt(square + EPSILON) * self.scale")),
    rewrite(E, "GELU by erf", ("jax.nn.gelu(h, approximate=False)",
        ERF), dtypes=(FLOAT32,)),
    # 1 + erf cancels where erfc does not.
    Case(E, "GELU by erf, less accurate", "diverged", "layers.0.gelu",
        (("jax.nn.gelu(h, approximate=False)", ERF),), dtypes=(BFLOAT16,)),
    rewrite(E, "square by dot", ("jnp.mean(jnp.square(x), axis=-1, keepdims=True)",
        "(jnp.dot(x, x, preferred_element_type=jnp.float32)[None] / x.shape[-1]).astype(x.dtype)")),
    rewrite(E, "layers jitted", ("x = layer(x, lambda name, value, n=number: "
        "tap(f\"layers.{n}.{name}\", value))",
        "x = jax.jit(lambda x, layer=layer, number=number: layer(x, "
        "lambda name, value: tap(f\"layers.{number}.{name}\", value)))(x)")),
    fault(E, "tanh GELU", "layers.0.gelu", ("approximate=False", "approximate=True")),
    fault(E, "epsilon outside the root", "layers.0.norm",
        ("jnp.sqrt(square + EPSILON)", "(jnp.sqrt(square) + EPSILON)"), dtypes=(FLOAT32,)),
    fault(E, "norm by sum", "layers.0.norm", ("jnp.mean(jnp.square", "jnp.sum(jnp.square")),
    fault(E, "residual of the normed", "layers.0.out",
        ('h = tap("norm", self.norm(x))', 'x = h = tap("norm", self.norm(x))')),
    fault(E, "sine and cosine exchanged", "features",
        ("[jnp.sin(angles), jnp.cos(angles)]", "[jnp.cos(angles), jnp.sin(angles)]")),
    fault(E, "layers in another order", "layers.0.norm",
        ("enumerate(self.layers)", "enumerate(self.layers[::-1])")),
]  # fmt: skip

SCANNED = [
    itself(S),
    rewrite(S, "unrolled", build="build", reference="build_unrolled", names="NAMES"),
    rewrite(S, "without rematerialisation", ("        @jax.checkpoint\n", "")),
    rewrite(S, "scan of two layers at a time", ('params["layers"]))\n        return',
        'params["layers"]), unroll=2)\n        return')),
    rewrite(S, "scale on the scores", ('"btnh,bsnh->bnts", query * HEAD**-0.5, key)',
        '"btnh,bsnh->bnts", query, key) * HEAD**-0.5')),
    rewrite(S, "output projection flat", ('jnp.einsum("btnh,nhd->btd", mixed, w["out"])',
        'mixed.reshape(*x.shape[:2], -1) @ w["out"].reshape(-1, WIDTH)')),
    rewrite(S, "norm's root divided by", (
        "x.astype(jnp.float32) * jax.lax.rsqrt(square + EPSILON)",
        "x.astype(jnp.float32) / jnp.sqrt(square + EPSILON)")),
    fault(S, "layer index off by one", "layers[0].probs",
        ("(jnp.arange(LAYERS), params", "(1 + jnp.arange(LAYERS), params")),
    fault(S, "window one longer", "layers[0].probs", ("ahead < WINDOW)", "ahead <= WINDOW)")),
    fault(S, "scale without one", "layers[0].norm_1",
        ("(1 + scale.astype(jnp.float32))", "scale.astype(jnp.float32)")),
    fault(S, "sines and cosines interleaved", "embed",
        ("jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)",
         "jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(length, WIDTH)")),
    fault(S, "layers in another order", "layers[0].norm_1",
        ("jnp.arange(LAYERS), params[\"layers\"]",
         "jnp.arange(LAYERS), jax.tree.map(lambda w: w[::-1], params[\"layers\"])")),
    fault(S, "unrolled, layers off by one", "h.1.norm_1", ("index=index: stacked[index]",
        "index=index: stacked[max(index - 1, 0)]"),
        build="build_unrolled", reference="build_unrolled"),
]  # fmt: skip
CASES = [*GPT, *NNX, *LINEN, *EQUINOX, *SCANNED]
