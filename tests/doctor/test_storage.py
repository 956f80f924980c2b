"""A directory is tried out, and left as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured import disks
from perdured.core.doctor.file_systems import Probe
from perdured.doctor import storage


def test_a_good_disk_passes_and_nothing_is_left_there(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("stays")
    assert storage.probe(tmp_path) == Probe()
    speed = storage.measure_speed(tmp_path)
    assert speed is not None
    assert speed > 0
    assert os.listdir(tmp_path) == ["theirs"]


def test_what_refuses_a_file_is_told_with_the_reason() -> None:
    found = storage.probe(Path("/proc"))
    assert found.error
    assert storage.measure_speed(Path("/proc")) is None


def test_of_a_directory_that_is_not_there_yet_the_nearest_one_above_is_tried(tmp_path: Path) -> None:
    assert storage.find_existing(tmp_path / "a" / "b") == tmp_path
    assert storage.find_existing(tmp_path) == tmp_path
    file_system = disks.observe_file_system(tmp_path / "a")
    assert file_system is not None
    assert str(tmp_path).startswith(file_system.point.rstrip("/"))


def test_the_room_is_what_this_user_may_still_write(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert 0 <= storage.observe_room(tmp_path).free <= usage.total


def test_a_disk_that_never_answers_does_not_hold_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "WITHIN", 0.05)
    answered = threading.Event()
    try:
        assert storage.with_patience(answered.wait, False) is False
    finally:
        answered.set()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    try:
        (place / "filler").write_bytes(bytes(60 << 10))
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
def test_the_trial_of_a_nearly_full_disk_leaves_its_room_as_it_was(full_disk: Path) -> None:
    before = storage.observe_room(full_disk)
    assert storage.measure_speed(full_disk) is None
    assert storage.observe_room(full_disk) == before
    file_system = disks.observe_file_system(full_disk)
    assert file_system is not None
    assert file_system.kind == "tmpfs"
