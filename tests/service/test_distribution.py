"""What `pip install perdure` brings: two packages, their types, two commands, and nothing that is only for us."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.sources import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=60, capture_output=True)
    (path,) = Path(folder).glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_two_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Examples and tests stay in the repository."""
    assert {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name} == {"perdured", "perdure"}


def test_it_brings_what_the_service_is_installed_from(wheel: zipfile.ZipFile) -> None:
    """The same files that the folder `systemd` of the repository shows."""
    shown = {path.relative_to(ROOT / "systemd") for path in (ROOT / "systemd").rglob("*") if path.is_symlink()}
    assert len(shown) == 4
    for name in shown:
        assert wheel.read(f"perdured/systemd/{name}") == (ROOT / "systemd" / name).read_bytes()


@pytest.mark.parametrize("package", ["perdured", "perdure"])
def test_its_types_are_for_everybody(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_it_installs_the_two_commands(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    commands = wheel.read(name).decode()
    assert "perdure = " in commands
    assert "perdured = " in commands


def test_torch_comes_only_when_asked_for(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    needs = [line for line in wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist: torch")]
    assert needs
    assert all("extra == " in line for line in needs)
