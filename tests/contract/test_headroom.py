"""How much memory there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.contract import headroom
from perdured.contract.headroom import observe_headroom, parse_available, parse_room


def test_the_room_of_the_machine_is_what_the_kernel_calls_available() -> None:
    assert parse_available("MemTotal:  10 kB\nMemAvailable:    7 kB\n") == 7168
    assert parse_available("MemTotal:  10 kB\n") is None


def test_the_room_of_a_cgroup_is_its_limit_less_what_cannot_give_way() -> None:
    assert parse_room("1000\n", "700\n", "anon 600\ninactive_file 50\n") == 350
    assert parse_room("1000\n", "700\n", "inactive_file 1\ntotal_inactive_file 50\n", "total_inactive_file") == 350
    assert parse_room("1000\n", "1200\n", "") == 0
    assert parse_room("max\n", "700\n", "") is None


def test_there_is_some_here_and_not_more_than_the_machine_has() -> None:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    found = observe_headroom()
    assert found is not None
    assert 1 << 20 < found <= int(total.split()[1]) << 10


def test_the_limit_of_a_cgroup_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "cgroup" / "outer" / "inner"
    inner.mkdir(parents=True)
    for place, limit, used, cache in ((inner, "max", 1, 0), (inner.parent, 1000, 900, 300)):
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")
    (tmp_path / "own").write_text("0::/outer/inner\n")
    monkeypatch.setattr(headroom, "_OWN_CGROUPS", tmp_path / "own")
    mount = str(tmp_path / "cgroup")
    monkeypatch.setattr(headroom, "_LIMITS", [(mount, "", "memory.max", "memory.current", "inactive_file")])
    assert observe_headroom() == 400


def test_where_nobody_says_it_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MEMINFO", "_OWN_CGROUPS"):
        monkeypatch.setattr(headroom, name, tmp_path / "none")
    monkeypatch.setattr(headroom, "_LIMITS", ())
    assert observe_headroom() is None
