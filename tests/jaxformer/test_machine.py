"""Where things are kept, and what compiled programs are kept for."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from jaxformer.machine import cache_folder, cpuinfo, machine


def test_the_folder_is_the_named_one_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXFORMER_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.setenv("JAXFORMER_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "jaxformer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "jaxformer"


def test_the_machine_is_told_by_what_decides_speed() -> None:
    found = machine()
    assert found["backend"] == "cpu"
    assert int(found["cores"]) >= 1
    assert found["processor"]
    assert found == machine()


def test_a_processor_is_told_by_its_model_and_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "cpuinfo"
    monkeypatch.setattr("jaxformer.machine._CPUINFO", said)
    assert cpuinfo() == {}
    assert machine()["processor"] == (platform.processor() or platform.machine())
    said.write_text("model name\t: Some CPU\nflags\t\t: sse avx2 avx\n\nmodel name\t: Another\n")
    assert machine()["processor"] == "Some CPU avx avx2"
    assert cpuinfo()["model name"] == "Some CPU"
    said.write_text("Features\t: fp asimd sve\n")
    assert cpuinfo() == {"features": "fp asimd sve"}


PROGRAM = """
import jax, sys
from jaxformer.machine import keep_compiled
if sys.argv[1:]:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
keep_compiled()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x * 3)(1.0).block_until_ready()
"""


@pytest.mark.parametrize("told", [False, True])
def test_compiled_programs_are_kept_where_nobody_said_otherwise(tmp_path: Path, told: bool) -> None:
    theirs = tmp_path / "theirs"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *([str(theirs)] if told else [])],
        env={**os.environ, "JAXFORMER_CACHE": str(tmp_path / "ours")},
        check=True,
    )
    assert (tmp_path / "ours" / "compiled").exists() != told
    assert theirs.exists() == told


RESTARTED = """
import os, sys
from jaxformer.machine import with_huge_pages
with_huge_pages()
print(os.environ["GLIBC_TUNABLES"], *sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
@pytest.mark.parametrize("set_before", [None, "glibc.malloc.check=0"])
def test_a_command_starts_anew_with_huge_pages_unless_told(
    tmp_path: Path, set_before: str | None
) -> None:
    (tmp_path / "command.py").write_text(RESTARTED)
    given = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "command.py"), "a b", "--c"],
        env=given | ({"GLIBC_TUNABLES": set_before} if set_before else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{set_before or 'glibc.malloc.hugetlb=1'} a b --c\n"
