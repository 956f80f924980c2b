"""How much memory there is, and what a process has loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdured.processes import has_loaded, observe_available, observe_cpus, room


def test_there_is_some_memory_and_not_more_than_the_machine_has() -> None:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert 0 < observe_available() <= int(total.split()[1]) << 10


def test_the_limit_of_a_cgroup_above_counts_and_cache_that_would_be_given_back_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "cgroup" / "outer" / "inner"
    inner.mkdir(parents=True)
    for place, limit, used, cache in ((inner, "max", 1, 0), (inner.parent, 1000, 900, 300)):
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")
    mount = str(tmp_path / "cgroup")
    monkeypatch.setattr(room, "_LIMITS", [(mount, "", "memory.max", "memory.current", "inactive_file")])
    monkeypatch.setattr(room, "parse_cgroups", lambda _text: {"": "outer/inner"})
    assert observe_available() == 400


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
