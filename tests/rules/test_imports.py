"""Who may import whom, checked on the import graph, on the syntax, and in a fresh interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from support.sources import DAEMON, JOBS, ROOT, Source, find_imports, is_within, load_sources, parse_source

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print("\\n".join(sys.modules))
"""


def _modules_after(code: str, *arguments: str, options: tuple[str, ...] = ()) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    run = subprocess.run(
        [sys.executable, *options, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_import_contracts_hold() -> None:
    """Layers and forbidden imports, as pyproject.toml states them."""
    lint_imports = shutil.which("lint-imports", path=sysconfig.get_path("scripts"))
    assert lint_imports, "import-linter is not installed"
    run = subprocess.run(
        [lint_imports, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_module_of_the_daemon_loads_torch_or_the_training_side() -> None:
    loaded = _modules_after(IMPORT_ALL, "perdured")
    assert "perdured.contract" in loaded
    assert not loaded & {"torch", "numpy", "perdure", "pickle5", "cloudpickle", "joblib"}


def test_the_daemon_does_not_load_the_library_of_the_remote_tier() -> None:
    """It is an extra, and a carrier's alone."""
    names = ("__main__", "api.server", "foreground", "remote.tier", "cli.main")
    code = "import " + ", ".join(f"perdured.{name}" for name in names) + ", sys; print('\\n'.join(sys.modules))"
    loaded = _modules_after(code)
    assert "perdured.remote.tier" in loaded
    assert not {"obstore", "boto3", "perdured.remote.store"} & loaded


def test_the_daemon_does_not_load_the_library_for_systemd_before_it_asks_for_a_unit() -> None:
    """A daemon whose keepers are its children has no use for it."""
    loaded = _modules_after("import perdured.__main__, perdured.api.server, sys; print('\\n'.join(sys.modules))")
    assert "perdured.processes.units" in loaded
    assert not [name for name in loaded if is_within(name, "jeepney")]


def test_importing_perdure_loads_neither_torch_nor_numpy() -> None:
    loaded = _modules_after("import perdure, sys; print('\\n'.join(sys.modules))")
    assert "perdure" in loaded
    assert not loaded & {"torch", "numpy", "pydantic", "click", "psutil"}


@pytest.mark.parametrize("package", ["perdured.contract", "perdured.keeper", "perdure"])
def test_it_imports_where_nothing_is_installed(package: str) -> None:
    """`-S -I` leaves out site-packages: what a job's own environment, or a rescue shell, may look like."""
    paths = f"import sys; sys.path[:0] = [{str(DAEMON)!r}, {str(JOBS)!r}]\n"
    code = IMPORT_ALL if package != "perdure" else f"import {package}, sys; print('\\n'.join(sys.modules))"
    assert package in _modules_after(paths + code, package, options=("-S", "-I"))


def _foreign_imports(source: Source, *allowed: str) -> list[str]:
    """What a module imports that is neither the standard library's nor `allowed`."""
    return [
        f"{source.path.name}:{line}: {name}"
        for line, name in find_imports(source)
        if name.partition(".")[0] not in sys.stdlib_module_names and not is_within(name, *allowed)
    ]


RESTING_ON = {
    "perdured.contract": ("perdured.contract",),
    "perdured.keeper": ("perdured.keeper", "perdured.contract"),
    "perdure": ("perdure", "perdured.contract", "torch", "numpy"),
}


@pytest.mark.parametrize("package", RESTING_ON)
def test_it_rests_on_the_standard_library_alone(package: str) -> None:
    """The contract and the keeper run where nothing is installed, the training side on the job's own torch."""
    root = JOBS if package == "perdure" else DAEMON
    sources = [s for s in load_sources(root, package.partition(".")[0]) if is_within(s.name, package)]
    assert sources
    assert not [found for source in sources for found in _foreign_imports(source, *RESTING_ON[package])]


@pytest.mark.parametrize(
    "line", ["import pydantic", "from pydantic import BaseModel", "def f():\n    from ..core import spec"]
)
def test_the_rule_sees_a_foreign_import(line: str) -> None:
    source = parse_source(line, "perdured.keeper.example", Path("example.py"))
    assert _foreign_imports(source, "perdured.keeper", "perdured.contract")
