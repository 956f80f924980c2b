"""How busy the CPUs are, and what a process has loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdured.processes import has_loaded, observe_cpus, room


def test_a_library_of_a_package_is_seen_where_it_is_loaded() -> None:
    import pydantic_core

    assert has_loaded(os.getpid(), ["torch_of_nobody", pydantic_core.__name__])
    assert not has_loaded(os.getpid(), ["torch_of_nobody"])
    assert not has_loaded(2**22 + 1, [pydantic_core.__name__])


def test_where_the_kernel_counts_no_pressure_the_load_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu").write_text("some avg10=99.00 avg60=1.00 avg300=1.00 total=1\n")
    monkeypatch.setattr(room, "_PRESSURE", tmp_path / "cpu")
    assert observe_cpus().pressure == 99.0
    monkeypatch.setattr(room, "_PRESSURE", tmp_path / "none")
    seen = observe_cpus()
    assert seen.pressure is None
    assert seen.load >= 0
