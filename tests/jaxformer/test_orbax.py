"""Orbax checkpoints: what the official package writes is read, and reads what we write."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SEVEN
from checkpoints_for_tests import TINY, assert_same, change_json, tiny_params

from jaxformer.checkpoint import orbax_store
from jaxformer.checkpoint.folder import open_checkpoint
from jaxformer.checkpoint.official_names import LAYOUTS
from jaxformer.checkpoint.orbax import save_orbax
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS, Config, gemma3_layer_kinds
from jaxformer.errors import UsageError
from jaxformer.official import import_gemma, official_params
from jaxformer.params import Params, abstract_params


def official_tree(params: Params, layout: str) -> dict[str, Any]:
    """Our parameters as the package itself lays them out."""
    import_gemma()
    from gemma.gm.ckpts import _checkpoint

    nested = official_params(params)["params"]
    if layout == "nested":
        return nested
    if layout == "flat":
        return _checkpoint._nested_to_flat(nested)
    return _checkpoint._nested_to_stacked(nested, 6)


def official_save(folder: Path, tree: dict[str, Any], config: Config | None) -> Path:
    """As the package saves; its checkpoints have no config, which any but a preset's needs."""
    import_gemma().ckpts.save_params(tree, folder, wait_until_finished=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config.to_hf()))
    return folder


def official_load(folder: Path) -> Any:
    return import_gemma().ckpts.load_params(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of ours, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("orbax") / "flat"
    save_orbax(tiny_params(), TINY, folder, layout="flat")
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "flat")


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_checkpoint(folder).load()
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


# --- written and read ----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_official_package_writes_is_read(tmp_path: Path, layout: str) -> None:
    params = synthetic_params(SEVEN, 0)
    folder = official_save(tmp_path / layout, official_tree(params, layout), SEVEN)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.format, checkpoint.layout) == ("orbax", layout)
    assert (checkpoint.config, checkpoint.preset, checkpoint.dtype) == (SEVEN, None, "bfloat16")
    assert_same(checkpoint.load(), params)
    assert_same(checkpoint.load(blocks=2), synthetic_params(SEVEN, 0, blocks=2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_official_package_reads_what_we_write(tmp_path: Path, layout: Any, dtype: str) -> None:
    """The config that we put beside is no trouble to it."""
    params = synthetic_params(SEVEN, 0, dtype)
    save_orbax(params, SEVEN, tmp_path / "x", layout=layout)
    loaded = official_load(tmp_path / "x")
    expected = official_params(params)["params"]
    assert jax.tree.structure(loaded) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(expected), jax.tree.leaves(loaded), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert_same(open_checkpoint(tmp_path / "x").load(), params)
    assert os.listdir(tmp_path) == ["x"]


def test_a_presets_shapes_need_no_config(tmp_path: Path) -> None:
    """270M at full size, but of zeros: 30 kB on disk, and nothing but metadata is read."""
    preset = PRESETS["gemma3-270m"]
    shapes = abstract_params(preset, "bfloat16")
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    folder = official_save(tmp_path / "x", official_tree(zeros, "flat"), None)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == preset
    assert checkpoint.preset == "gemma3-270m"
    assert checkpoint.describe() == "official Orbax, flat, gemma3-270m, bfloat16"
    assert_same(checkpoint.load(blocks=1), jax.tree.map(jnp.asarray, cut(zeros)))


def cut(params: Params) -> Params:
    return Params(params.embedding, params.blocks[:1], params.final_norm)


@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_the_text_part_of_a_multimodal_checkpoint_is_read(tmp_path: Path, layout: str) -> None:
    params = tiny_params()
    nested = official_params(params)["params"]
    extra = jnp.full(3, jnp.nan, jnp.float32)
    nested["embedder"] |= {
        "mm_input_projection": {"w": extra},
        "mm_soft_embedding_norm": {"scale": extra},
    }
    nested["vision_encoder"] = {"siglip_encoder": {"embedding": {"kernel": extra}}}
    if layout == "flat":
        from gemma.gm.ckpts import _checkpoint

        nested = _checkpoint._nested_to_flat(nested)
    checkpoint = open_checkpoint(official_save(tmp_path / "x", nested, TINY))
    assert checkpoint.layout == layout
    assert checkpoint.describe() == (
        f"official Orbax, {layout}, 7 blocks of width 24 (text part of a multimodal checkpoint), "
        "bfloat16"
    )
    said: list[str] = []
    assert_same(checkpoint.load(progress=said.append), params)
    assert said[0] == "3 tensors of the vision and audio parts are left out"


# --- refused to be written -----------------------------------------------------------------------


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout must be one of nested, flat, stacked"):
        save_orbax(tiny_params(), TINY, tmp_path / "x", layout="deep")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="parameters are not those of the config"):
        save_orbax(tiny_params(), SEVEN, tmp_path / "x")
    assert os.listdir(tmp_path) == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").write_text("kept")
    with pytest.raises(UsageError, match="not an empty folder"):
        save_orbax(tiny_params(), TINY, tmp_path / "x")
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "mine"]


def test_without_orbax_the_error_names_the_install_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(orbax_store.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install -c constraints.txt orbax-checkpoint"):
        open_checkpoint(folder)


# --- refused to be read --------------------------------------------------------------------------

WRONG_TREES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (
        lambda tree: tree["layer_3"]["attn"].pop("q_einsum"),
        "layer_3/attn/q_einsum/w is missing",
    ),
    "unknown": (lambda tree: tree.update(head={"w": jnp.ones(2)}), "head/w is unknown"),
    "an eighth block": (
        lambda tree: tree.update(layer_7={"attn": tree["layer_0"]["attn"]}),
        "layer_7/attn/q_einsum/w is unknown",
    ),
    "a wrong shape": (
        lambda tree: tree["final_norm"].update(scale=jnp.ones(23, jnp.bfloat16)),
        "final_norm/scale must be [24], it is [23]",
    ),
    "mixed": (
        lambda tree: tree["final_norm"].update(scale=jnp.ones(24, jnp.float32)),
        "dtypes are mixed, float32 among bfloat16: final_norm/scale",
    ),
    "quantised": (
        lambda tree: tree["layer_1"]["mlp"].update(linear=jnp.ones((28, 24), jnp.int8)),
        "dtype int8 is quantised",
    ),
    "NaN": (
        lambda tree: tree["layer_1"]["mlp"].update(linear=jnp.full((28, 24), jnp.nan, "bfloat16")),
        "NaN or infinite weights (as bfloat16) in blocks.1.mlp.output",
    ),
    "a trainer's": (
        lambda tree: tree.update(params={"w": jnp.ones(2)}, opt_state={"m": jnp.ones(2)}, step=1),
        "a trainer's checkpoint",
    ),
}


@pytest.mark.parametrize("case", WRONG_TREES)
def test_wrong_tensors_are_refused(tmp_path: Path, case: str) -> None:
    change, message = WRONG_TREES[case]
    tree = official_tree(tiny_params(), "nested")
    change(tree)
    assert message in refusal(official_save(tmp_path / "x", tree, TINY))


def test_a_stack_of_too_few_blocks_is_refused(tmp_path: Path) -> None:
    tree = official_tree(tiny_params(), "stacked")
    name = "transformer/stacked_layers/attention_type_0/attn/q_einsum"
    tree[name] = {"w": tree[name]["w"][:1]}
    message = refusal(official_save(tmp_path / "x", tree, TINY))
    assert f"{name}/w must be [2, 6, 24, 4], it is [1, 6, 24, 4]" in message


def test_shapes_of_no_preset_are_shown(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert (
        "its shapes are of no preset (tiny, gemma3-270m, gemma3-1b, gemma3-4b, gemma3-12b, "
        "gemma3-27b): "
        "found 7 blocks, V 40, D 24, N 6, H 4, K 3, F 28; put a config.json"
    ) in refusal(folder)


def test_a_presets_depth_alone_is_no_preset(tmp_path: Path) -> None:
    deep = dataclasses.replace(TINY, layer_kinds=gemma3_layer_kinds(18))
    save_orbax(synthetic_params(deep, 0), deep, tmp_path / "x")
    (tmp_path / "x" / "config.json").unlink()
    assert "found 18 blocks, V 40, D 24" in refusal(tmp_path / "x")


def test_another_models_config_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config.update(hidden_size=30))
    message = refusal(folder)
    assert "transformer/embedder/input_embedding must be [40, 30], it is [40, 24]" in message
    assert "more" in message


def each_cut_short(paths: Iterable[Path]) -> None:
    for path in paths:
        cut_short(path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def entry(metadata: dict[str, Any]) -> dict[str, Any]:
    return metadata["tree_metadata"]["('transformer/final_norm', 'scale')"]


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "data gone": (lambda f: shutil.rmtree(f / "ocdbt.process_0"), "damaged or incomplete"),
    # Not each of these files is still in use.
    "data cut": (lambda f: each_cut_short(f.rglob("d/*")), "damaged or incomplete"),
    "directory gone": (lambda f: shutil.rmtree(f / "d"), "damaged or incomplete"),
    "manifest gone": (lambda f: (f / "manifest.ocdbt").unlink(), "damaged or incomplete"),
    "manifest cut": (lambda f: cut_short(f / "manifest.ocdbt"), "damaged or incomplete"),
    "metadata gone": (lambda f: (f / "_METADATA").unlink(), "has no _METADATA"),
    "metadata cut": (lambda f: cut_short(f / "_METADATA"), "is not JSON"),
    "metadata of another kind": (
        lambda f: change_json(f / "_METADATA", lambda m: m.update(tree_metadata=[])),
        "must have a tree_metadata",
    ),
    "another storage": (
        lambda f: change_json(f / "_METADATA", lambda m: m.update(use_ocdbt=False)),
        "damaged or incomplete",
    ),
    "flags of another type": (
        lambda f: change_json(f / "_METADATA", lambda m: m.update(use_zarr3="no")),
        "use_zarr3 must be true or false",
    ),
    "a leaf in a list": (
        lambda f: change_json(
            f / "_METADATA", lambda m: entry(m)["key_metadata"][1].update(key_type=1)
        ),
        "('transformer/final_norm', 'scale') is no array under keys",
    ),
    "a leaf that is no array": (
        lambda f: change_json(
            f / "_METADATA", lambda m: entry(m)["value_metadata"].update(value_type="scalar")
        ),
        "('transformer/final_norm', 'scale') is no array under keys",
    ),
    "a leaf twice": (
        lambda f: change_json(f / "_METADATA", lambda m: m["tree_metadata"].update(x=entry(m))),
        "transformer/final_norm/scale is there twice",
    ),
    "a way out of the folder": (
        lambda f: change_json(
            f / "_METADATA", lambda m: entry(m)["key_metadata"][0].update(key="../../x")
        ),
        "../../x/scale is unknown",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_one_clear_error(
    folder: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGES[case]
    damage(folder)
    assert message in refusal(folder)
    assert capfd.readouterr().err == ""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Without OCDBT, as older checkpoints: a folder per array, a file per part of it."""
    from orbax import checkpoint as ocp

    folder = tmp_path / "plain"
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder, official_tree(tiny_params(), "flat"))
    (folder / "config.json").write_text(json.dumps(TINY.to_hf()))
    return folder


def test_arrays_stored_as_plain_files_are_read(plain: Path) -> None:
    assert not (plain / "manifest.ocdbt").exists()
    assert_same(open_checkpoint(plain).load(), tiny_params())
    change_json(plain / "_METADATA", lambda metadata: metadata.pop("use_ocdbt", None))
    assert_same(open_checkpoint(plain).load(), tiny_params())


def test_a_part_that_is_not_there_is_zeros_only_where_zeros_are_left_out(plain: Path) -> None:
    (plain / "transformer" / "final_norm.scale" / "0").unlink()
    assert "damaged or incomplete" in refusal(plain)
    flag = "store_array_data_equal_to_fill_value"
    change_json(plain / "_METADATA", lambda metadata: metadata.update({flag: False}))
    assert not np.asarray(open_checkpoint(plain).load().final_norm).any()


def test_what_only_orbax_itself_needs_may_be_gone(folder: Path) -> None:
    for name in ("_sharding", "_CHECKPOINT_METADATA"):
        (folder / name).unlink()
    shutil.rmtree(folder / "array_metadatas")
    assert_same(open_checkpoint(folder).load(), tiny_params())


def test_a_checkpoint_in_a_folder_below_is_pointed_out(folder: Path) -> None:
    outer = folder.parent / "outer"
    outer.mkdir()
    shutil.copy(folder / "_CHECKPOINT_METADATA", outer)
    folder.rename(outer / "default")
    assert f"has no _METADATA, as Orbax checkpoints do: {outer / 'default'} does" in refusal(outer)
