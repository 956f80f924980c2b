"""The examples as a set: each has a spec that is right, and none is in another's way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from perdured.core.spec import list_unserved
from perdured.state.submission import Submission, parse_submission
from support.examples import FOLDER, SCRIPTS, SPECS


def load_submission(path: Path) -> Submission:
    return parse_submission(path.read_text(), workdir=path.parent, env={})


def list_imports(script: Path) -> set[str]:
    """The top-level packages that a script imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_each_script_has_its_spec_beside_it() -> None:
    assert [path.stem for path in SCRIPTS] == [path.stem for path in SPECS]
    assert {"linear_by_hand", "linear", "gpt", "digits", "misbehave"} <= {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_parses_runs_its_own_script_and_asks_for_nothing_unserved(path: Path) -> None:
    submission = load_submission(path)
    assert submission.spec.command[:2] == ("python", f"{path.stem}.py")
    assert submission.workdir == str(FOLDER)
    assert list_unserved(submission.spec) == []


def test_no_two_jobs_share_a_checkpoint_directory() -> None:
    directories = [load_submission(path).checkpoint_dir for path in SPECS]
    assert len(set(directories)) == len(directories)


def test_the_script_by_hand_knows_nothing_of_perdure() -> None:
    assert list_imports(FOLDER / "linear_by_hand.py") - set(sys.stdlib_module_names) == {"torch"}


def test_the_misbehaving_script_needs_no_torch() -> None:
    assert list_imports(FOLDER / "misbehave.py") - set(sys.stdlib_module_names) == {"perdure"}


def test_the_table_of_the_readme_has_every_script() -> None:
    text = (FOLDER / "README.md").read_text()
    assert all(f"({path.name})" in text for path in SCRIPTS)
