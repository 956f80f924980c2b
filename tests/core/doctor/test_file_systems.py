"""Can a directory hold what must not be lost?"""

from __future__ import annotations

import pytest

from perdured.core.doctor.file_systems import LEAST_ROOM, Place, Probe, Room, judge_place, judge_room
from perdured.core.mounts import FileSystem, find_file_system, parse_mounts

MOUNTS = r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
35 21 0:30 / /home/my\040runs rw,nosuid - nfs4 server:/home rw,vers=4.2,local_lock=none
36 21 0:31 / /scratch rw - tmpfs tmpfs rw,size=1g
37 21 8:1 / /scratch rw - xfs /dev/sda1 rw
"""


def place(kind: str, *options: str) -> Place:
    return Place("checkpoints of gpt", "/data/gpt", FileSystem("/data", kind, frozenset(options)))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/perdure", "ext4"),
        ("/home/my runs/gpt", "nfs4"),
        ("/home/my runsomewhere", "ext4"),
        ("/scratch/x", "xfs"),
    ],
)
def test_a_path_belongs_to_the_deepest_mount_above_it_and_of_several_to_the_last(path: str, kind: str) -> None:
    found = find_file_system(parse_mounts(MOUNTS), path)
    assert found is not None
    assert found.kind == kind


def test_the_options_are_those_of_the_mount_and_of_the_file_system() -> None:
    found = find_file_system(parse_mounts(MOUNTS), "/home/my runs")
    assert found is not None
    assert {"nosuid", "vers=4.2", "local_lock=none"} <= found.options


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", "ok"), ("xfs", "ok"), ("tmpfs", "problem"), ("overlay", "warning"), ("nfs4", "warning")],
)
def test_what_works_today_is_judged_by_what_may_take_it_away(kind: str, level: str) -> None:
    assert judge_place(place(kind), Probe()).level == level


@pytest.mark.parametrize(
    "probe", [Probe(error="Permission denied."), Probe(locks=False), Probe(syncs=False), Probe(renames=False)]
)
def test_a_disk_that_lacks_what_a_commit_needs_is_a_problem(probe: Probe) -> None:
    found = judge_place(place("ext4"), probe)
    assert found.level == "problem"
    assert found.why
    assert found.todo


@pytest.mark.parametrize("option", ["nolock", "local_lock=all", "localflock"])
def test_locks_that_stop_nobody_elsewhere_are_a_problem_although_a_trial_succeeds(option: str) -> None:
    found = judge_place(place("nfs", option), Probe())
    assert found.level == "problem"
    assert option in found.why


def test_a_bucket_that_looks_like_a_disk_is_a_problem() -> None:
    assert judge_place(place("fuse.s3fs"), Probe()).level == "problem"


def test_there_has_to_be_room_for_all_checkpoints_that_come_before_the_oldest_goes() -> None:
    size = 100 << 20
    assert judge_room(place("ext4"), Room(4 * size), size, 4).level == "ok"
    assert judge_room(place("ext4"), Room(4 * size - 1), size, 4).level == "problem"


def test_without_a_checkpoint_there_has_to_be_what_an_attempt_needs_to_start() -> None:
    assert judge_room(place("ext4"), Room(LEAST_ROOM), None, 4).level == "ok"
    assert judge_room(place("ext4"), Room(LEAST_ROOM - 1), None, 4).level == "problem"


def test_a_disk_without_inodes_is_full_too() -> None:
    assert judge_room(place("ext4"), Room(1 << 40, inodes=10), None, 1).level == "problem"
    assert judge_room(place("btrfs"), Room(1 << 40, inodes=None), None, 1).level == "ok"
