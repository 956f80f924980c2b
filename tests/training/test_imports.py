"""What an attempt writes down for the standby of the next."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract import durable
from perdured.contract.imports import MAX_BYTES, Imports, find_path, format_imports, parse_imports
from perdured.contract.strictjson import parse_json

PROGRAM = """
import decimal, os
import own
from perdure.imports import record_imports
os.environ["SET"] = "here"
record_imports()
print(os.getpid())
"""


def record(tmp_path: Path, **env: str) -> Path:
    """The file that a program would leave in its attempt's directory."""
    (tmp_path / "own.py").touch()
    (tmp_path / "program.py").write_text(PROGRAM)
    channel = {"PERDURE_CHANNEL": str(tmp_path / "keeper.sock")}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, **channel, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return find_path(tmp_path, int(done.stdout))


def test_it_names_what_is_installed_and_nothing_of_the_programs_own(tmp_path: Path) -> None:
    path = record(tmp_path)
    imports = parse_imports(durable.load_json(path, MAX_BYTES))
    assert {"decimal", "perdure", "perdure.imports", "perdured.contract"} <= set(imports.modules)
    assert not {"own", "__main__", "sitecustomize", "os.path"} & set(imports.modules)
    assert imports.environ["SET"] == "here"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # an environment holds keys
    assert not list(tmp_path.glob("*.tmp"))


def test_a_rank_of_torchrun_writes_nothing(tmp_path: Path) -> None:
    """The standby is for torchrun, which has not imported that."""
    assert not record(tmp_path, TORCHELASTIC_RUN_ID="x").exists()


def test_a_directory_that_takes_no_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert not record(tmp_path, PERDURE_CHANNEL=str(tmp_path / "gone" / "keeper.sock")).exists()


def test_it_comes_back_as_it_was_written() -> None:
    imports = Imports(("a", "a.b"), {"HOME": "/home/ü"})
    assert parse_imports(parse_json(format_imports(imports))) == imports


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"modules": "a", "environ": {}},
        {"modules": [1], "environ": {}},
        {"modules": ["a\0b"], "environ": {}},
        {"modules": [], "environ": []},
        {"modules": [], "environ": {"A": 1}},
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a record of imports"):
        parse_imports(value)
