"""What is installed: the core without Gemma in it, and a wheel that is not this checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A part of the core's tests that takes seconds; .ci/run runs all of them, on the newest JAX.
QUICK = ["tests/parity/arrays", "tests/parity/verdict", "tests/parity/sides/test_naming.py"]
IMPORT_ALL = """
import importlib, pkgutil, parity
for module in pkgutil.walk_packages(parity.__path__, "parity."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(parity.__file__)
"""


def run(*arguments: str, at: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder that it imports from first."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=at,
        env={**os.environ, "PYTHONPATH": str(at), **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without jaxformer and the subject that needs it."""
    copy = tmp_path_factory.mktemp("core")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name.startswith(("parity/", "tests/", "pyproject.toml")) and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for gone in ("parity/subjects/gemma", "parity/studies"):
        shutil.rmtree(copy / gone)
    return copy


def test_without_gemma_every_module_of_the_core_can_be_imported(core: Path) -> None:
    code = "import sys; sys.modules['jaxformer'] = sys.modules['gemma'] = None" + IMPORT_ALL
    done = run("-c", code, at=core)
    assert done.stderr == ""
    assert done.stdout.strip() == str(core / "parity/__init__.py")


def test_without_gemma_the_tests_of_the_core_are_green(core: Path) -> None:
    done = run("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *QUICK, at=core)
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout


def test_without_gemma_the_command_says_what_is_missing(core: Path) -> None:
    done = run("-m", "parity.compare", "--blocks", "2", at=core)
    assert done.returncode == 2
    assert done.stderr.startswith("parity.compare: error: the subject 'gemma' can't be loaded")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.matrix
def test_a_wheel_works_where_no_checkout_is(tmp_path: Path) -> None:
    site, wheels = tmp_path / "site", tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "*.egg-info", "build"))
    subprocess.run([*pip, "wheel", *offline, str(source), "-w", str(wheels)], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(site), str(wheel)], check=True)
    assert {path.parent.name for path in site.glob("*/py.typed")} >= {"jaxformer", "parity"}
    shutil.rmtree(source)
    found = run("-c", IMPORT_ALL, at=site)
    assert found.stdout.strip() == str(site / "parity/__init__.py"), found.stderr
    # A report with its page, and lines of jaxformer, which lies in site-packages then.
    request = ["--model", "tiny", "--blocks", "2", "--variant", "x:gating=stacked"]
    compared = run("-m", "parity.compare", *request, "--out", "report", at=site)
    assert compared.returncode == 0, compared.stderr
    assert (site / "report/report.html").stat().st_size > 1_000_000
    explained = run("-m", "parity.explain", *request[:4], "--variant", "x:rms_norm_eps=1", at=site)
    assert explained.returncode == 1, explained.stderr
    assert "jaxformer/layers.py:" in explained.stdout
