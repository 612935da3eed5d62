"""What a command line names is found, or the mistake is one clear line."""

from pathlib import Path

import numpy as np
import pytest

from parity.errors import RequestError
from parity.subjects.loading import load_function, load_inputs, load_named, names_a_function

FILE = """
import numpy as np
from beside import NUMBER

PAIR = (np.ones(2), np.zeros(3))

def ours(x):
    return x * NUMBER

def inputs():
    return np.ones(4)

def needy(size):
    return np.ones(size)

def broken():
    raise ValueError("no data here\\nsecond line")
"""


@pytest.fixture
def port(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("NUMBER = 3")
    path = tmp_path / "port.py"
    path.write_text(FILE)
    return path


def test_a_function_of_a_file_may_import_what_lies_beside_it(port: Path) -> None:
    assert load_function(f"{port}:ours", "it")(2) == 6


def test_a_function_of_a_module() -> None:
    assert load_named("numpy:linalg.norm", "it") is np.linalg.norm


def test_inputs_are_made_or_given(port: Path) -> None:
    (made,) = load_inputs(f"{port}:inputs")
    assert made.shape == (4,)
    assert [value.shape for value in load_inputs(f"{port}:PAIR")] == [(2,), (3,)]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{folder}/none.py:f", "no file"),
        ("{port}:nothing", "has no 'nothing'; it defines ours, inputs, needy, broken"),
        ("no_such_module:f", "a file is named as no_such_module.py:function"),
        ("{port}", "must read file.py:function or module:function"),
        ("{port}:PAIR", "is a tuple, expected a function"),
    ],
)
def test_a_wrong_name_is_one_clear_line(port: Path, word: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        load_function(word.format(folder=port.parent, port=port), "--reference")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needy", "must give the inputs when it is called without arguments; TypeError"),
        ("broken", r"ValueError: no data here \(port.py:17\)"),
    ],
)
def test_inputs_that_can_not_be_made_say_why(port: Path, name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load_inputs(f"{port}:{name}")


def test_a_file_that_fails_says_where(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("x = 1\nraise KeyError('k')")
    with pytest.raises(RequestError, match=r"running .*bad.py failed: KeyError: 'k' \(bad.py:2\)"):
        load_named(f"{path}:f", "it")


def test_words_without_a_name_are_no_function() -> None:
    found = [names_a_function(word) for word in ("a.py:f", "m:f", "gemma", ":f", "a:")]
    assert found == [True, True, False, False, False]
