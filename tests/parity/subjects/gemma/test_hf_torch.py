"""transformers as a reference: every tap, ours close to it, faults seen, failures in one line."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from cases import SMALL, tap_count

from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS, Config, Rope
from jaxformer.numerics import NUMERICS_PROFILES
from parity.errors import RequestError
from parity.sides.function import FunctionSide
from parity.subjects.gemma.hf_taps import FrameLedger, expected_frames
from parity.subjects.gemma.hf_torch import HfSide, hf_folder, hf_side
from parity.subjects.gemma.ours import jaxformer_side
from parity.trace.frames import FrameSpec, MemorySink, Trace
from parity.trace.manifest import Manifest
from parity.trace.recorder import NumericsMode, TapRecorder
from parity.verdict.comparison import Column
from parity.verdict.diff import DiffSink

OURS = dataclasses.replace(SMALL, numerics=NUMERICS_PROFILES["hf"])
CUT = 3
ALL = SMALL.num_blocks
# Longer than the window, padded at the end, in the middle and at the start.
PADDED = [
    [2, *range(5, 18), 0, 0, 0, 0],
    [2, 5, 6, 7, 8, 0, 0, *range(9, 20)],
    [0, 0, 0, 2, *range(20, 34)],
]
MULTIMODAL = "language_model.model."


def recorded(source: HfSide) -> Trace:
    sink = MemorySink()
    source.run(sink)
    return sink.trace(source.manifest)


def ours(tokens: Any, dtype: str, blocks: int, config: Config = OURS, **more: Any) -> FunctionSide:
    params = synthetic_params(SMALL, 0, dtype)
    ids = jnp.asarray(tokens, jnp.int32)
    return jaxformer_side(params, ids, config, Manifest("test"), blocks=blocks, **more)


def against(reference: Trace, source: Any) -> Column:
    sink = DiffSink(reference)
    source.run(sink)
    return sink.column("ours")


def errors(column: Column) -> dict[str, float]:
    """Relative error of each tap."""
    assert {tap.status for tap in column.taps} <= {"identical", "unjudged"}
    return {tap.tap: tap.metrics.rel_l2 or 0.0 for tap in column.taps if tap.metrics}


@pytest.fixture(scope="module")
def cut() -> Iterator[tuple[HfSide, Trace]]:
    """The first blocks in bfloat16."""
    params = synthetic_params(SMALL, 0, "bfloat16", blocks=CUT)
    tokens = synthetic_tokens(SMALL, 2, 20, 0).tolist()
    said: list[str] = []
    with hf_folder(params, SMALL) as folder:
        source = hf_side(
            folder,
            tokens,
            Manifest("test", tokens=tokens),
            blocks=CUT,
            dtype="bfloat16",
            vocab_size=SMALL.vocab_size,
            whole=False,
            certify=True,
            progress=said.append,
        )
        assert [spec.name for spec in source.prepare()][:2] == ["embed", "blocks.0.input"]
        yield source, recorded(source)
    assert any("running 3 blocks, 61 taps" in line for line in said)
    assert not folder.exists()


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> tuple[HfSide, Trace]:
    """The whole model in float32, in the folder of a multimodal model with rows to spare."""
    folder = tmp_path_factory.mktemp("hf") / "checkpoint"
    save_safetensors(synthetic_params(SMALL, 0, "float32"), SMALL, folder, prefix=MULTIMODAL)
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    table = tensors[f"{MULTIMODAL}embed_tokens.weight"]
    spare = np.full((64, table.shape[1]), 9, table.dtype)
    tensors[f"{MULTIMODAL}embed_tokens.weight"] = np.concatenate([table, spare])
    tensors["vision_tower.anything.weight"] = spare
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    text = json.loads((folder / "config.json").read_text()) | {"vocab_size": len(table) + 64}
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    source = hf_side(
        folder, PADDED, Manifest("test"), blocks=ALL, dtype="float32", vocab_size=len(table)
    )
    return source, recorded(source)


def test_it_has_every_tap_that_ours_has(
    cut: tuple[HfSide, Trace], padded: tuple[HfSide, Trace]
) -> None:
    for trace, dtype, blocks in ((cut[1], "bfloat16", CUT), (padded[1], "float32", ALL)):
        tokens = PADDED if blocks == ALL else [[2] * 20] * 2
        source, recorder = ours(tokens, dtype, blocks), TapRecorder()
        jax.eval_shape(functools.partial(source.fn, tap=recorder), *source.args)
        assert list(trace.specs) == recorder.specs
    assert len(padded[1].specs) == tap_count(ALL, whole=True)


def test_ours_is_transformers_in_float32_padding_included(padded: tuple[HfSide, Trace]) -> None:
    source, trace = padded
    found = errors(against(trace, ours(PADDED, "float32", ALL)))
    assert {name: error for name, error in found.items() if error > 3e-6} == {}
    assert len(found) == tap_count(ALL, whole=True)
    assert "masks that count positions" in source.notes[0]


def test_the_official_numerics_are_as_close_in_float32(padded: tuple[HfSide, Trace]) -> None:
    found = errors(against(padded[1], ours(PADDED, "float32", ALL, SMALL)))
    assert max(found.values()) < 3e-6


@pytest.mark.parametrize("numerics", ["strict", "default"])
def test_ours_has_the_bits_of_transformers_in_bfloat16(
    cut: tuple[HfSide, Trace], numerics: NumericsMode
) -> None:
    """On its values, tap by tap: what is left is the order of sums, in a few elements."""
    source, trace = cut
    tokens = source.manifest.tokens
    injected = ours(tokens, "bfloat16", CUT, numerics=numerics).injected(trace, "taps")
    column = against(trace, injected)
    assert len(column.taps) == tap_count(CUT, whole=False)
    different = {
        tap.tap: tap.metrics.mismatched / tap.metrics.size for tap in column.taps if tap.metrics
    }
    assert max(different.values()) < 2e-3


def test_taps_change_nothing(cut: tuple[HfSide, Trace]) -> None:
    metrics = cut[0].certify()
    assert (metrics.mismatched, metrics.size) == (0, 2 * 20 * SMALL.width)


def test_without_padding_it_makes_its_own_masks(cut: tuple[HfSide, Trace]) -> None:
    assert cut[0].notes == []


def test_the_manifest_says_what_ran(cut: tuple[HfSide, Trace]) -> None:
    manifest = cut[1].manifest
    version = importlib.metadata.version("transformers")
    assert manifest.source == f"transformers {version}"
    assert manifest.versions["transformers"] == version
    assert manifest.versions["torch"] == importlib.metadata.version("torch")
    assert (manifest.backend, manifest.numerics) == ("cpu", "default")


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"window": 7}, "blocks.0.attn.probs"),
        ({"local_rope": Rope(11_000)}, "blocks.0.attn.query_rope"),
        ({"global_rope": Rope(1_000_000, 8.0)}, "blocks.2.attn.query_rope"),
    ],
)
def test_a_fault_shows_first_where_it_is(
    padded: tuple[HfSide, Trace], change: dict[str, Any], first: str
) -> None:
    config = dataclasses.replace(OURS, **change)
    found = errors(against(padded[1], ours(PADDED, "float32", ALL, config)))
    assert next(name for name, error in found.items() if error > 1e-5) == first


def test_folders_that_are_not_the_model_are_refused(tmp_path: Path) -> None:
    """One process for all of them: importing torch takes seconds."""
    config = json.loads(json.dumps(SMALL.to_hf()))
    params = synthetic_params(SMALL, 0, "float32")
    for name in ("missing", "short", "other", "pickle", "rows", "fewer"):
        save_safetensors(params, SMALL, tmp_path / name)
    file = tmp_path / "missing" / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    del tensors["model.layers.2.mlp.up_proj.weight"]
    safetensors.numpy.save_file(tensors, file, {"format": "pt"})
    (tmp_path / "other/config.json").write_text(json.dumps(config | {"model_type": "gemma2"}))
    os.replace(tmp_path / "pickle/model.safetensors", tmp_path / "pickle/pytorch_model.bin")
    code = f"""
import sys, torch, transformers
from parity.errors import RequestError
from parity.subjects.gemma import hf_process
for name, blocks, rows in {
        [
            ("missing", 4, 512),
            ("short", 9, 512),
            ("other", 4, 512),
            ("pickle", 4, 512),
            ("rows", 4, 600),
            ("absent", 4, 512),
            ("fewer", 3, 512),
        ]
    }:
    request = dict(folder={str(tmp_path)!r} + "/" + name, blocks=blocks, vocab_size=rows)
    try:
        model = hf_process._load(transformers, torch.float32, request)
        print(name, len(model.model.layers), len(model.config.layer_types))
    except RequestError as error:
        print(name, " ".join(str(error).split()))
print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [line.partition(" ") for line in done.stdout.splitlines()]
    refusals = {name: reason for name, _, reason in found}
    assert "1 are missing or of another shape, model.layers.2.mlp.up_proj" in refusals["missing"]
    assert "has 4 blocks, 9 are asked for" in refusals["short"]
    assert "of type 'gemma2', expected Gemma 3" in refusals["other"]
    assert "transformers can't load" in refusals["pickle"]
    assert "a vocabulary of 512, the model 600" in refusals["rows"]
    assert "transformers can't read" in refusals["absent"]
    assert refusals["fewer"] == "3 3"
    assert refusals["False"] == ""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def process_that(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfSide:
    """A source whose process is a shell script."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    return hf_side(tmp_path, [[2]], Manifest("t"), blocks=1, dtype="float32", vocab_size=9)


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("kill -9 $$", "most likely for want of memory.*--dtype bfloat16"),
        ("kill -11 $$", "ended by signal 11"),
        ("echo one >&2; echo two >&2; exit 3", "^transformers failed: two$"),
        ("exit 3", "failed: exit status 3"),
        ("""echo '{"error": "no such thing"}'; exit 2""", "--reference hf: no such thing"),
        (
            """echo '{"missing": "No module named torch"}'; exit 2""",
            r"No module named torch\); install .*pip install -c constraints.txt -e '\.\[hf\]'",
        ),
    ],
)
def test_a_process_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, does: str, message: str
) -> None:
    source = process_that(does, tmp_path, monkeypatch)
    with pytest.raises(RequestError, match=message) as caught:
        source.prepare()
    assert "\n" not in str(caught.value)
    assert list(temporary.iterdir()) == []


def test_an_interrupt_ends_the_process(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = process_that(f"echo $$ > {tmp_path}/pid; exec sleep 60", tmp_path, monkeypatch)
    main = threading.main_thread().ident
    # A shell's background jobs start with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            source.prepare()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert list(temporary.iterdir()) == []


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """Its end of stdin closes when the parent is gone."""
    command = [sys.executable, "-m", "parity.subjects.gemma.hf_process", str(tmp_path / "request")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b""


def test_release_leaves_nothing(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = hf_side(temporary, [[2]], Manifest("t"), blocks=1, dtype="float32", vocab_size=9)

    def record(folder: Path) -> Trace:
        return Trace(Manifest("t"), [], lambda spec: np.zeros(1))

    monkeypatch.setattr(source, "_record", record)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always", ResourceWarning)  # of a folder that Python had to remove
        source.prepare()
        assert len(list(temporary.iterdir())) == 1
        source.release()
        source.prepare()
        source.run(MemorySink())
    assert complaints == []
    assert list(temporary.iterdir()) == []


def test_packages_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(RequestError, match=r"torch is not there\); install .*\[hf\]"):
        hf_side(Path(), [[2]], Manifest("t"), blocks=1, dtype="float32", vocab_size=9)


class Config7:
    hidden_size, intermediate_size, head_dim = 8, 16, 4
    num_attention_heads, num_key_value_heads, num_hidden_layers = 2, 1, 2


def frames(select: str) -> list[FrameSpec]:
    return expected_frames(Config7, (1, 3), 9, "float32", whole=True, select=select)


def test_taps_are_selected_by_patterns() -> None:
    chosen = frames("blocks.*.attn.probs, logits")
    assert [(spec.index, spec.name, spec.shape) for spec in chosen] == [
        (0, "blocks.0.attn.probs", (1, 3, 2, 3)),
        (1, "blocks.1.attn.probs", (1, 3, 2, 3)),
        (2, "logits", (1, 3, 9)),
    ]
    with pytest.raises(RequestError, match="no tap is selected by 'nothing'"):
        frames("nothing")


def test_a_frame_out_of_place_of_another_shape_or_missing_is_an_error() -> None:
    ledger = FrameLedger(frames("embed,logits"), MemorySink())
    ledger.put("final_norm", None)
    with pytest.raises(RequestError, match="'logits' came as frame 0"):
        ledger.put("logits", np.zeros((1, 3, 9)))
    with pytest.raises(
        RequestError, match=r"of shape \[1, 2, 8\], expected frame 0 of \[1, 3, 8\]"
    ):
        ledger.put("embed", np.zeros((1, 2, 8)))
    with pytest.raises(RequestError, match="'embed' never came"):
        ledger.settle()


def test_a_checkpoint_that_cannot_be_written_is_one_line(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(SMALL, width=32)
    with (
        pytest.raises(RequestError, match=r"the reference's checkpoint: .*not those of the config"),
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(hf_folder(synthetic_params(SMALL, 0, blocks=1), wrong))
    assert list(temporary.iterdir()) == []


@pytest.mark.matrix
@pytest.mark.parametrize("length", [16, 700])
@pytest.mark.parametrize("profile", ["hf", "official"])
def test_the_1b_model_is_transformers_in_float32(length: int, profile: str) -> None:
    """At full depth: logits within 3e-6, the same token at every position. Takes 10 GB."""
    config = PRESETS["gemma3-1b"]
    params = synthetic_params(config, 0, "float32")
    tokens = synthetic_tokens(config, 1, length, 0)
    only = "final_norm,logits"
    with hf_folder(params, config) as folder:
        trace = recorded(
            hf_side(
                folder,
                tokens.tolist(),
                Manifest("test"),
                blocks=config.num_blocks,
                dtype="float32",
                vocab_size=config.vocab_size,
                select=only,
            )
        )
    source = jaxformer_side(
        params,
        jnp.asarray(tokens),
        dataclasses.replace(config, numerics=NUMERICS_PROFILES[profile]),
        Manifest("test"),
        blocks=config.num_blocks,
        select=only,
    )
    column = against(trace, source)
    assert max(errors(column).values()) < 3e-6
    assert column.impact is not None
    assert column.impact.top1_agreement == 1
