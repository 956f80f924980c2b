"""Which GPUs there are, by the driver's word; a fake one here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perdured.gpus import Gpu, observe_gpus, select_visible
from perdured.state.paths import StateDir
from perdured.state.quarantine import Quarantined, load_quarantine, save_quarantine
from support.nvml import pynvml

THREE = tuple(Gpu(uuid) for uuid in ("GPU-aa", "GPU-ab", "GPU-b"))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    monkeypatch.setenv("FAKE_GPUS", "GPU-a@00000000:65:00.0,GPU-b@00000000:CA:00.0")


def test_the_driver_tells_of_each_gpu(driver: None) -> None:
    found = observe_gpus()
    assert found is not None
    assert found[1] == Gpu("GPU-b", "Fake GPU", 80 << 30, "00000000:CA:00.0")


def test_without_a_driver_or_a_library_nothing_is_known(driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_GPUS")
    assert observe_gpus() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert observe_gpus() is None


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["GPU-aa", "GPU-ab", "GPU-b"]),
        ("", []),
        ("2,0", ["GPU-b", "GPU-aa"]),
        ("GPU-b, GPU-aa", ["GPU-b", "GPU-aa"]),
        ("GPU-a", []),
        ("1,-1,0", ["GPU-ab"]),
        ("1,1", ["GPU-ab"]),
        ("NoDevFiles", []),
    ],
)
def test_a_daemon_that_was_given_some_has_no_others(visible: str | None, uuids: list[str]) -> None:
    assert [gpu.uuid for gpu in select_visible(THREE, visible)] == uuids


def test_what_is_in_quarantine_is_found_again(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert load_quarantine(state) == {}
    quarantine = {"GPU-a": Quarantined("Xid 79", "k7mq2xwp", 12.5)}
    save_quarantine(state, quarantine)
    assert load_quarantine(state) == quarantine
    assert state.gpus.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"quarantined": 3}', '{"quarantined": {"GPU-a": {}}}'])
def test_a_broken_file_is_told_and_keeps_no_gpu_back(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateDir(tmp_path)
    state.gpus.write_text(content)
    assert load_quarantine(state) == {}
    assert "no GPU is in quarantine" in caplog.text
