"""Damaged metadata of a checkpoint: the same parameters as before, or one clear error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints_for_tests import assert_same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxformer.checkpoint.folder import open_checkpoint
from jaxformer.checkpoint.orbax import save_orbax
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Config
from jaxformer.errors import UsageError

SMALLEST = Config(
    vocab_size=24,
    width=8,
    mlp_width=12,
    num_heads=4,
    num_kv_heads=2,
    head_width=4,
    layer_kinds=("local", "global"),
    window=4,
    query_pre_attn_scalar=4,
)
PARAMS = synthetic_params(SMALLEST, 0)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.sampled_from([10**30, 1e300, float("nan"), 0.5, -1.0])
    | st.text(max_size=4)
    | st.sampled_from(["BF16", "F32", "U16", "I8", "../model.safetensors", "linear", "jax.Array"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def edited_bytes(draw: Callable, data: bytes) -> bytes:
    """A few bytes replaced, put in or left out, or the tail cut off."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(damaged)))
        length = draw(st.integers(0, 4))
        damaged[at : at + length] = draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"9", b"{"])
        )
    return bytes(damaged[: draw(st.just(len(damaged)) | st.integers(0, len(damaged)))])


def edited_json(draw: Callable, data: bytes) -> bytes:
    """One member replaced, renamed, left out or put in."""
    document = json.loads(data)
    nodes = [document]
    for node in nodes:
        children = node.values() if isinstance(node, dict) else node
        nodes += [child for child in children if isinstance(child, dict | list)]
    node = draw(st.sampled_from([n for n in nodes if n]))
    key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    what = draw(st.sampled_from(["replace", "leave out", "rename", "copy"]))
    names = sorted({name for n in nodes if isinstance(n, dict) for name in n})
    other = draw(st.sampled_from(names) | st.text(max_size=5))
    if what == "replace" or isinstance(node, list):
        node[key] = draw(VALUES)
    elif what == "copy":
        node[other] = copy.deepcopy(node[key])
    else:
        value = node.pop(key)
        if what == "rename":
            node[other] = value
    return json.dumps(document).encode()


def edited_header(edit: Callable, *, mended: bool = True) -> Callable:
    """The same within the header of a safetensors file, whose length is mended."""

    def apply(draw: Callable, data: bytes) -> bytes:
        end = 8 + int.from_bytes(data[:8], "little")
        header = edit(draw, data[8 if mended else 0 : end])
        length = len(header).to_bytes(8, "little") if mended else b""
        return length + header + data[end:]

    return apply


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("fuzz")
    save_safetensors(PARAMS, SMALLEST, root / "single")
    save_safetensors(PARAMS, SMALLEST, root / "sharded", max_shard_bytes=2500)
    save_orbax(PARAMS, SMALLEST, root / "orbax", layout="flat")
    for path in root.iterdir():
        assert_same(open_checkpoint(path).load(), PARAMS)
    return {path.name: path for path in root.iterdir()}


def first_shard(folder: Path) -> str:
    return sorted(path.name for path in folder.glob("*.safetensors"))[0]


CASES: dict[str, tuple[str, Callable[[Path], str], Callable]] = {
    "header bytes": ("single", first_shard, edited_header(edited_bytes)),
    "header members": ("single", first_shard, edited_header(edited_json)),
    "shard header bytes": ("sharded", first_shard, edited_header(edited_bytes, mended=False)),
    "shard header members": ("sharded", first_shard, edited_header(edited_json)),
    "index bytes": ("sharded", lambda _: "model.safetensors.index.json", edited_bytes),
    "index members": ("sharded", lambda _: "model.safetensors.index.json", edited_json),
    "config bytes": ("single", lambda _: "config.json", edited_bytes),
    "config members": ("single", lambda _: "config.json", edited_json),
    "Orbax bytes": ("orbax", lambda _: "_METADATA", edited_bytes),
    "Orbax members": ("orbax", lambda _: "_METADATA", edited_json),
}


@pytest.mark.parametrize("case", CASES)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_damaged_metadata_loads_the_same_or_is_refused(
    folders: dict[str, Path], case: str, data: Any
) -> None:
    folder_name, file_of, edit = CASES[case]
    folder = folders[folder_name]
    path = folder / file_of(folder)
    whole = path.read_bytes()
    try:
        path.write_bytes(edit(data.draw, whole))
        refusal = ""
        try:
            params = open_checkpoint(folder).load()
        except UsageError as error:
            refusal = str(error)
        if refusal:
            assert "\n" not in refusal
        else:
            assert_same(params, PARAMS)
    finally:
        path.write_bytes(whole)
