"""The rooms of parity and the folders of jaxformer, drawn from their imports.

Their order is that of the contracts in pyproject.toml, to which import-linter holds the code.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
# Where the drawing stands on a page.
DRAWN = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- end of rooms -->)", re.DOTALL)
_HEAD = """\
| {} | what it is | files | lines, about | imports from |
|---|---|---:|---:|---|
"""
# Beside Python, what a report's page is made of.
_PAGE = {".js", ".css", ".html"}


@dataclass(frozen=True)
class Room:
    """One row of a drawing.

    Attributes:
      names: of the folder, or of files, within the package.
      files: all of them.
      imports: rooms from which its modules import, those for type checkers alone left out.
    """

    names: Sequence[str]
    words: str
    files: Sequence[Path]
    imports: Sequence[str]

    def __str__(self) -> str:
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in self.files)
        step = 50 if lines > 100 else 10  # lengths change every day
        about = max(round(lines / step), 1) * step
        names = " ".join(f"`{name}`" for name in self.names)
        imports = ", ".join(self.imports)
        words = self.words.replace("|", "\\|")
        return f"| {names} | {words} | {len(self.files)} | {about:,} | {imports} |\n"


def drawing() -> str:
    """Both packages as tables in Markdown, whose rows import from rows below them."""
    rooms, parts = rooms_of_parity(), parts_of_jaxformer()
    tables = [
        _HEAD.format(f"`{package}/`") + "".join(map(str, rows))
        for package, rows in (("parity", rooms), ("jaxformer", parts))
    ]
    return "\n".join(tables)


def rooms_of_parity() -> list[Room]:
    """From the commands' doors down to the errors; a room is followed by the rooms in it."""
    package = _Package("parity")
    doors, *rooms = package.layers
    words = "The public names, and what `python -m` runs; nothing imports them"
    found = [package.room([f"{door}.py" for door in doors], words, ["", *doors])]
    for name in (name for layer in rooms for name in layer):
        found += [package.folder(each) for each in (name, *package.inside(name))]
    return found


def parts_of_jaxformer() -> list[Room]:
    """Its folders, and the files beside them in one row, in the order of the contract."""
    package = _Package("jaxformer")
    folders = package.inside("")
    files = [name for name in package.order if name not in folders]
    words = "The model and the files around it; each imports only from those named after it"
    return [
        *(package.folder(name) for name in folders),
        package.room([f"{name}.py" for name in files], words, ["", *files]),
    ]


class _Package:
    """A package's modules by name, without the package's own, and what they import.

    Attributes:
      layers: names of rooms, from the top, as the contract has them.
      order: their first components, each once.
    """

    def __init__(self, name: str) -> None:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
        (contract,) = (each for each in contracts if each.get("containers") == [name])
        graph = grimp.build_graph(name, exclude_type_checking_imports=True, cache_dir=None)
        for line in contract.get("ignore_imports", ()):
            importer, imported = line.split(" -> ")
            graph.remove_import(importer=importer, imported=imported)
        self._root = ROOT / name
        self._imports = {
            self._inner(module): {
                *map(self._inner, graph.find_modules_directly_imported_by(module))
            }
            for module in graph.modules
        }
        self.layers = [layer.split(" | ") for layer in contract["layers"]]
        self.order = list(
            dict.fromkeys(room.split(".")[0] for layer in self.layers for room in layer)
        )

    def inside(self, name: str) -> list[str]:
        """The folders in one, at any depth."""
        return sorted(
            module
            for module in self._imports
            if _is_in(module, name) and module != name and self._path(module).name == "__init__.py"
        )

    def folder(self, name: str) -> Room:
        """A folder without those in it, or a single file."""
        inner = self.inside(name)
        modules = [
            module
            for module in self._imports
            if _is_in(module, name) and not any(_is_in(module, other) for other in inner)
        ]
        path = self._path(name)
        is_folder = path.name == "__init__.py"
        shown = name.replace(".", "/") + ("/" if is_folder else ".py")
        beside = [p for p in path.parent.iterdir() if p.suffix in _PAGE] if is_folder else []
        return self.room([shown], _first_words(path), modules, beside)

    def room(
        self, names: Sequence[str], words: str, modules: Sequence[str], beside: Sequence[Path] = ()
    ) -> Room:
        own = {module.split(".")[0] for module in modules}
        used = {name.split(".")[0] for module in modules for name in self._imports[module]}
        imports = [name for name in self.order if name in used - own]
        return Room(names, words, [*map(self._path, modules), *beside], imports)

    def _inner(self, module: str) -> str:
        return module.removeprefix(self._root.name).removeprefix(".")

    def _path(self, module: str) -> Path:
        place = self._root / module.replace(".", "/")
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _is_in(module: str, folder: str) -> bool:
    return not folder or module == folder or module.startswith(f"{folder}.")


def _first_words(path: Path) -> str:
    """A docstring's first paragraph, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).removesuffix(".")
