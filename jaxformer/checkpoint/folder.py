"""A checkpoint folder: what it holds, by its metadata alone, and its parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jaxformer.checkpoint import loading, orbax, safetensors
from jaxformer.checkpoint.json_files import CONFIG, read_json_object
from jaxformer.checkpoint.messages import folded, shown_name
from jaxformer.checkpoint.orbax_store import MARKERS, METADATA
from jaxformer.checkpoint.schema import letters
from jaxformer.checkpoint.shards import INDEX, SINGLE
from jaxformer.config import PRESETS, Config
from jaxformer.errors import UsageError
from jaxformer.hf_config import parse_hf_config
from jaxformer.params import Params

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds; nothing big has been read yet.

    Attributes:
      layout: `single` or `sharded` safetensors; `nested`, `flat` or `stacked` Orbax.
      preset: the key of PRESETS that has these shapes, None if none has.
      dtype: of the stored weights: bfloat16, float32 or float16.
      vocab_rows: rows of the stored embedding; the config's vocabulary may be smaller.
    """

    folder: Path
    format: Literal["safetensors", "orbax"]
    layout: str
    config: Config
    preset: str | None
    dtype: str
    vocab_rows: int
    _source: loading.Source = field(repr=False, compare=False)
    _files: int = field(default=1, repr=False)
    _skipped: int = field(default=0, repr=False)

    def describe(self) -> str:
        """One line: format, model, dtype."""
        kind = f"official Orbax, {self.layout}"
        if self.format == "safetensors":
            kind = f"Hugging Face safetensors, {self._files} shard{'s' * (self._files != 1)}"
        model = self.preset or f"{self.config.num_blocks} blocks of width {self.config.width}"
        part = " (text part of a multimodal checkpoint)" if self._skipped else ""
        return f"{kind}, {model}{part}, {self.dtype}"

    def load(
        self,
        dtype: str | None = None,
        *,
        blocks: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Params:
        """The parameters.

        Args:
          dtype: bfloat16 or float32; None for the stored one. To bfloat16 from float32 rounds.
          blocks: only the first so many.
          progress: told what is read, and every two seconds which share of it has been.

        Raises:
          UsageError: a dtype or depth that can't be had; a damaged file; weights that are no
            numbers; an output matrix that isn't the embedding.
        """
        told = progress or _silent
        if self._skipped:
            told(f"{self._skipped} tensors of the vision and audio parts are left out")
        return loading.load(
            self._source,
            self.config,
            label=str(self.folder),
            stored=self.dtype,
            dtype=dtype,
            blocks=blocks,
            progress=told,
        )


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """What a folder holds, checked: every tensor there, none unknown, names, shapes and dtypes.

    Raises:
      UsageError: it can't be loaded as it is; everything that is wrong, at once.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {what}: name the folder of a checkpoint")
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"{folder} can't be read: {error.strerror or error}") from error
    is_orbax, is_hf = bool(names & set(MARKERS)), bool(names & {SINGLE, INDEX})
    if is_orbax and is_hf:
        raise UsageError(f"{folder} has an Orbax checkpoint and safetensors: part them")
    if is_orbax:
        return _open_orbax(folder)
    if not is_hf:
        raise UsageError(f"{folder} {_no_weights(sorted(names))}")
    if CONFIG not in names:
        raise UsageError(f"{folder} has weights but no {CONFIG}, which tells their sizes: fetch it")
    return _open_safetensors(folder)


def _open_safetensors(folder: Path) -> Checkpoint:
    config, rows = _config(folder)
    source = safetensors.inspect(folder, config, rows)
    return Checkpoint(
        folder,
        "safetensors",
        "single" if source.files == 1 else "sharded",
        config,
        preset_of(config),
        source.text.dtype,
        rows,
        source,
        source.files,
        source.text.skipped,
    )


def _open_orbax(folder: Path) -> Checkpoint:
    # Our own writer leaves one there; the official package looks past it.
    told = _config(folder)[0] if (folder / CONFIG).exists() else None
    source, config = orbax.inspect(folder, told)
    return Checkpoint(
        folder,
        "orbax",
        source.layout,
        config,
        preset_of(config),
        source.dtype,
        config.vocab_size,
        source,
        _skipped=source.skipped,
    )


def _config(folder: Path) -> tuple[Config, int]:
    """The config, and the rows that the stored embedding must have."""
    mapping = read_json_object(folder / CONFIG)
    try:
        return Config.from_hf(mapping), parse_hf_config(mapping).vocab_rows
    except UsageError as error:
        raise UsageError(f"{folder / CONFIG}: {error}") from error


def preset_of(config: Config) -> str | None:
    """The preset of the same shapes, if there is one."""
    wanted = (config.num_blocks, letters(config))
    return next((n for n, p in PRESETS.items() if (p.num_blocks, letters(p)) == wanted), None)


def _no_weights(names: list[str]) -> str:
    """Why a folder of these files can't be loaded."""
    if not names:
        return "is empty: name the folder of a checkpoint"
    pickled = [name for name in names if name.endswith(_PICKLED)]
    if pickled:
        return (
            f"has pickled weights ({shown_name(pickled[0])}), which run code when they are read: "
            f"it needs safetensors ({SINGLE}, or shards and {INDEX}); fetch a copy that has them, "
            "or save it again with transformers"
        )
    shards = [name for name in names if name.endswith(".safetensors")]
    if shards:
        return f"has {shown_name(shards[0])}, but neither {SINGLE} nor {INDEX}: fetch the index"
    return (
        f"has no weights, neither safetensors ({SINGLE} or {INDEX}) nor Orbax ({METADATA}); "
        f"it has {folded([shown_name(name) for name in names], 5, ', ')}"
    )


def _silent(message: str) -> None:
    del message
