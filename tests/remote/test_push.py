"""Copying to the remote: the commit protocol where nothing can be renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from perdured.contract.checkpoint import commit_checkpoint, retain
from perdured.remote.orders import Moved
from support.remotes import Machine, failure, is_done, moved, notes
from support.s3 import Bad, Request
from support.stores import commit, facts_of, payload_of

REQUESTS = 17
"""Of a push of one checkpoint into an empty bucket: OWNER looked for twice, made, and read back twice; uploads,
listing, a, b, manifest, listing, OWNER, COMMIT and COMMIT read back, listing, and the manifest and COMMIT read."""


def once(machine: Machine, number: int, bad: Bad) -> None:
    """The request of this number, from now on, goes wrong."""
    at = len(machine.proxy.seen) + number
    machine.proxy.script = lambda request: bad if request.number == at else None


def test_the_remote_holds_the_same_names_and_bytes(machine: Machine) -> None:
    """One layout in every tier: what is there can be copied back with any tool and verified."""
    path = commit(machine.root, 10).path
    assert moved(machine.push()) == [10]
    local = {f"{path.name}/{file.relative_to(path)}": file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert machine.bucket.objects() == local


def test_commit_comes_last_and_only_if_absent(machine: Machine) -> None:
    """It alone decides; the manifest is the last before it."""
    commit(machine.root, 10)
    machine.run_here("push")
    assert machine.proxy.sent() == ["a.bin", "b.bin", "MANIFEST.json", "COMMIT"]
    assert len(machine.proxy.seen) == REQUESTS


def test_what_is_there_is_not_sent_again(machine: Machine) -> None:
    """Nor by another machine, which has no record of it."""
    commit(machine.root, 10)
    machine.run_here("push")
    machine.record.unlink()
    machine.proxy.seen.clear()
    assert moved(machine.run_here("push")) == []
    assert machine.proxy.sent() == []


def test_the_newest_goes_up_and_older_ones_are_passed_over(machine: Machine) -> None:
    """A remote that cannot keep pace skips steps."""
    for step in (10, 20, 30):
        commit(machine.root, step)
    assert moved(machine.run_here("push")) == [30]
    assert machine.on_remote() == [30]
    assert moved(machine.run_here("push")) == []


def test_an_unhealthy_one_stays_on_the_disk(machine: Machine) -> None:
    """Nobody resumes from it."""
    commit(machine.root, 10)
    commit(machine.root, 20, healthy=False)
    assert moved(machine.run_here("push")) == [10]


def test_each_series_goes_up(machine: Machine) -> None:
    """`perdure.save` of two files is two series."""
    commit(machine.root, 20, series="a")
    commit(machine.root, 10, series="b")
    assert moved(machine.run_here("push") + machine.run_here("push")) == [20, 10]


def test_one_that_is_damaged_on_the_disk_does_not_go_up(machine: Machine) -> None:
    """It is seen while it is read for sending; the next older one goes instead."""
    commit(machine.root, 10)
    path = commit(machine.root, 20).path
    (path / "sub" / "b.bin").write_bytes(b"X" + payload_of(20)["sub/b.bin"][1:])
    reports = machine.run_here("push")
    assert moved(reports) == [10]
    assert "step-000000000020-000002 is damaged on the disk" in notes(reports)
    assert machine.on_remote() == [10]


def test_a_large_file_goes_up_in_parts_and_is_proven_by_its_etag(machine: Machine) -> None:
    """Nothing is read back: the ETag is the MD5 of the MD5s of the parts."""
    data = os.urandom(1 << 20) * 37
    path = commit_checkpoint(machine.root, 10, {"big.bin": [data], "empty": []}, facts_of()).path
    assert moved(machine.run_here("push")) == [10]
    assert machine.bucket.get(f"{path.name}/big.bin") == data
    assert len([request for request in machine.proxy.seen if "partNumber" in request.path]) == 3
    assert not [request for request in machine.proxy.seen if request.method == "GET" and "big.bin" in request.path]


def test_retention_on_the_disk_does_not_take_an_upload_away(machine: Machine) -> None:
    """Its files were opened before the first was sent."""
    commit(machine.root, 10)

    def save_more(request: Request) -> None:
        if request.file == "a.bin" and request.method == "PUT":
            for step in (20, 30, 40):
                commit(machine.root, step)
            assert retain(machine.root, 2)

    machine.proxy.before = save_more
    assert moved(machine.run_here("push")) == [10]
    assert machine.on_remote() == [10]


# Faults ----------------------------------------------------------------------------------------------------------

FAULTS = {
    "500": Bad(status=500),
    "lose": Bad("lose"),
    "cut": Bad("cut"),
    "damage up": Bad("damage up"),
    "damage down": Bad("damage down"),
}


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_is_survived(fault: str, number: int, machine: Machine) -> None:
    """At once or by the next run; and at no moment is something committed that is not whole."""
    commit(machine.root, 10)
    once(machine, number, FAULTS[fault])
    machine.run_here("push")
    assert machine.on_remote() in ([], [10])
    reports = machine.run_here("push")
    assert is_done(reports), reports
    assert machine.on_remote() == [10]


def test_a_store_that_answers_every_other_request_with_503_is_survived(machine: Machine) -> None:
    """SlowDown is asked again, a little later."""
    commit(machine.root, 10)
    machine.proxy.script = lambda request: Bad(status=503, code="SlowDown") if request.number % 2 else None
    assert moved(machine.run_here("push")) == [10]
    assert machine.on_remote() == [10]


def test_a_slow_store_is_waited_for(machine: Machine) -> None:
    """Every request takes long."""
    commit(machine.root, 10)
    machine.proxy.script = lambda request: Bad("slow")
    assert moved(machine.run_here("push")) == [10]
    assert machine.on_remote() == [10]


def test_wrong_bytes_are_never_committed(machine: Machine) -> None:
    """However often they arrive damaged; and once the line is sound, only what is wrong is sent again."""
    commit(machine.root, 10)
    machine.proxy.script = lambda request: (
        Bad("damage up") if (request.method, request.file) == ("PUT", "b.bin") else None
    )
    for _ in range(2):
        assert "holds other bytes than were sent" in failure(machine.run_here("push")).what
        assert machine.on_remote() == []
    machine.proxy.script = lambda request: None
    machine.proxy.seen.clear()
    assert moved(machine.run_here("push")) == [10]
    assert machine.proxy.sent() == ["b.bin", "MANIFEST.json", "COMMIT"]


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (400, "ExpiredToken", "have expired"),
        (403, "InvalidAccessKeyId", "are not accepted"),
        (403, "AccessDenied", "is denied"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (301, "PermanentRedirect", "another region"),
        (404, "NoSuchBucket", "does not exist"),
        (503, "SlowDown", "too busy"),
        (500, "InternalError", "failed"),
    ],
)
def test_a_refusal_is_told_in_three_lines(status: int, code: str, what: str, machine: Machine) -> None:
    """What, why, and what to do."""
    commit(machine.root, 10)
    machine.proxy.script = lambda request: Bad(status=status, code=code)
    failed = failure(machine.run_here("push"))
    assert what in failed.what
    assert failed.why.endswith(".")
    assert failed.todo.endswith(".")


def test_a_bucket_that_does_not_exist_is_told(machine: Machine) -> None:
    """As the real server says it."""
    commit(machine.root, 10)
    machine.bucket.server.client().delete_bucket(Bucket=machine.bucket.name)
    assert "does not exist" in failure(machine.run_here("push")).what


def test_a_server_that_is_not_there_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on port 9."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    commit(machine.root, 10)
    assert "cannot be reached" in failure(machine.run_here("push")).what


# Kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_request_leaves_nothing_half_and_nothing_is_sent_twice(
    when: Literal["before", "after"], number: int, machine: Machine
) -> None:
    """SIGKILL of the real process. The next run sends what is not there yet."""
    commit(machine.root, 10)
    assert machine.run_killed("push", number, when)
    there = {key.rpartition("/")[2] for key in machine.bucket.objects()}
    assert machine.on_remote() in ([], [10])
    machine.proxy.seen.clear()
    assert is_done(machine.run_here("push"))
    assert machine.on_remote() == [10]
    again = set(machine.proxy.sent()) & there
    assert not again - {"MANIFEST.json"}


BIG = "step-000000000010-000001/big.bin"


def commit_big(machine: Machine, parts: int = 4) -> bytes:
    """One file of so many parts, the last of which is short."""
    data = os.urandom(1 << 20) * (16 * parts - 8)
    commit_checkpoint(machine.root, 10, {"big.bin": [data]}, facts_of())
    return data


def count_parts(machine: Machine) -> int:
    """How many went over the line."""
    return len([r for r in machine.proxy.seen if r.method == "PUT" and "partNumber" in r.path])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(9, 16))
def test_a_large_file_that_was_cut_short_by_a_kill_is_gone_on_with(number: int, machine: Machine) -> None:
    """The parts that arrived are not sent again, and no upload stays behind: it would be invisible, and paid for."""
    data = commit_big(machine)
    assert machine.run_killed("push", number, "after")  # OWNER five times, the uploads, a listing, the beginning, parts
    arrived = machine.bucket.parts(BIG)
    was_done = BIG in machine.bucket.objects()
    machine.proxy.seen.clear()
    assert moved(machine.run_here("push")) == [10]
    assert machine.bucket.get(BIG) == data
    assert count_parts(machine) <= (0 if was_done else 4 - arrived)  # less: some arrived after the kill
    assert machine.bucket.uploads() == []


def test_a_large_file_that_was_cut_short_by_the_line_is_gone_on_with(machine: Machine) -> None:
    """Not only a kill: the store may be away for longer than is waited."""
    data = commit_big(machine, parts=6)
    machine.proxy.script = lambda request: (
        Bad(status=403, code="ExpiredToken") if "partNumber=6" in request.path else None
    )
    assert "have expired" in failure(machine.run_here("push")).what
    arrived = machine.bucket.parts(BIG)
    assert arrived
    machine.proxy.script = lambda request: None
    machine.proxy.seen.clear()
    reports = machine.run_here("push")
    assert moved(reports) == [10]
    assert count_parts(machine) == 6 - arrived
    assert [r.sent for r in reports if isinstance(r, Moved)] == [len(data) - arrived * (16 << 20)]
    assert machine.bucket.get(BIG) == data


def test_parts_of_other_bytes_are_sent_again(machine: Machine) -> None:
    """What arrived is compared, part by part."""
    data = commit_big(machine)
    upload = machine.bucket.begin_upload(BIG)
    machine.bucket.put_part(BIG, upload, 1, data[: 16 << 20])
    machine.bucket.put_part(BIG, upload, 2, bytes(16 << 20))
    assert moved(machine.run_here("push")) == [10]
    assert count_parts(machine) == 3
    assert machine.bucket.get(BIG) == data


@pytest.mark.parametrize("way", ["ListParts", "UploadPart", "CompleteMultipartUpload"])
def test_a_store_that_refuses_to_go_on_gets_the_whole_file(way: str, machine: Machine) -> None:
    """Not all that speaks S3 speaks all of it."""
    data = commit_big(machine)
    machine.bucket.put_part(BIG, machine.bucket.begin_upload(BIG), 1, data[: 16 << 20])
    machine.proxy.script = lambda request: (
        Bad(status=403, code="AccessDenied") if request.path.partition("&X-Amz")[0].endswith(way) else None
    )
    assert moved(machine.run_here("push")) == [10]
    assert machine.bucket.get(BIG) == data
    assert machine.bucket.uploads() == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "lose", "cut", "damage up"])
@pytest.mark.parametrize("number", range(6, 15))
def test_a_fault_while_going_on_is_survived(fault: str, number: int, machine: Machine) -> None:
    """As anywhere."""
    data = commit_big(machine)
    machine.bucket.put_part(BIG, machine.bucket.begin_upload(BIG), 1, data[: 16 << 20])
    once(machine, number, FAULTS[fault])
    machine.run_here("push")
    assert is_done(machine.run_here("push"))
    assert machine.bucket.get(BIG) == data
    assert f"{BIG.partition('/')[0]}/COMMIT" in machine.bucket.objects()


def test_an_upload_of_a_checkpoint_that_is_not_wanted_any_more_is_ended(machine: Machine) -> None:
    """A newer one goes up instead."""
    machine.bucket.begin_upload(BIG)
    commit(machine.root, 20)
    assert moved(machine.run_here("push")) == [20]
    assert machine.bucket.uploads() == []


def test_uploads_of_others_are_left_alone(machine: Machine) -> None:
    """Only what lies below the URL and has a checkpoint's name is ours."""
    machine.bucket.server.client().create_multipart_upload(Bucket=machine.bucket.name, Key="run2/step-1/x")
    machine.bucket.begin_upload("notes/x")
    machine.bucket.begin_upload("step-000000000010-000001/x y")
    commit(machine.root, 10)
    machine.run_here("push")
    assert sorted(machine.bucket.uploads()) == ["run/notes/x", "run2/step-1/x"]


# Two writers -----------------------------------------------------------------------------------------------------


def test_a_commit_of_another_writer_holds(machine: Machine, tmp_path: Path) -> None:
    """The first one decides; the second is told, and replaces it never."""
    commit(machine.root, 10)
    theirs = (commit_checkpoint(tmp_path / "other", 10, {"a": [b"x"]}, facts_of()).path / "COMMIT").read_bytes()

    def overtake(request: Request) -> None:
        if request.file == "COMMIT" and request.method == "PUT":
            machine.proxy.before = lambda request: None
            machine.bucket.put("step-000000000010-000001/COMMIT", theirs)

    machine.proxy.before = overtake
    assert "Another job writes" in failure(machine.run_here("push")).what
    assert machine.bucket.get("step-000000000010-000001/COMMIT") == theirs


def test_what_changed_between_sending_and_committing_is_not_committed(machine: Machine) -> None:
    """Somebody else removes a file just before COMMIT."""
    commit(machine.root, 10)

    def remove(request: Request) -> None:
        if request.file == "MANIFEST.json" and request.method == "PUT":
            machine.bucket.delete("step-000000000010-000001/a.bin")

    machine.proxy.after = remove
    assert "has changed meanwhile" in failure(machine.run_here("push")).what
    assert machine.on_remote() == []


# Pace ------------------------------------------------------------------------------------------------------------


def test_it_can_be_told_to_go_slowly(machine: Machine) -> None:
    """Three files of one chunk at 4 MiB/s: the first is free, the others wait."""
    files = {name: [bytes(1 << 20)] for name in ("a", "b", "c")}
    commit_checkpoint(machine.root, 10, files, facts_of())
    machine.limit = 4 << 20
    started = os.times().elapsed
    assert moved(machine.run_here("push")) == [10]
    assert os.times().elapsed - started >= 0.5
