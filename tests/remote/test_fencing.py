"""The fencing token: a host that has lost its lease, and does not know it yet, commits nothing that counts."""

from __future__ import annotations

import json
from pathlib import Path

from perdured.contract.checkpoint import parse_name
from perdured.core.fencing import SEQ_GAP
from perdured.remote.orders import Term
from support.remotes import Machine, failure, is_done, moved, notes
from support.s3 import Request
from support.stores import commit


def take_lease(machine: Machine, token: int, first: int | None = None) -> None:
    """The machine's host has it from now on."""
    place = f"s3://{machine.bucket.name}/fleet"
    machine.term = Term(url=place, job="job", token=token, first=first or token)
    machine.bucket.server.client().put_object(
        Bucket=machine.bucket.name, Key=f"fleet/jobs/job/lease/{token:08d}", Body=b"{}"
    )


def second_host(machine: Machine, tmp_path: Path) -> Machine:
    """The same job, under its own id, on another machine."""
    return Machine(tmp_path / "other", machine.bucket, machine.proxy)


def counting(machine: Machine) -> list[int]:
    """The steps that are committed there."""
    names = [parse_name(key.partition("/")[0]) for key in machine.bucket.objects() if key.endswith("/COMMIT")]
    return sorted(name.step for name in names if name is not None)


def test_commit_names_the_token_of_the_lease(machine: Machine) -> None:
    commit(machine.root, 10)
    take_lease(machine, 3)
    assert moved(machine.run_here("push")) == [10]
    sealed = [data for key, data in machine.bucket.objects().items() if key.endswith("COMMIT")]
    assert json.loads(sealed[0])["token"] == 3


def test_a_host_without_the_newest_lease_sends_and_fetches_nothing(machine: Machine, tmp_path: Path) -> None:
    commit(machine.root, 10)
    take_lease(machine, 1)
    machine.run_here("push")
    take_lease(second_host(machine, tmp_path), 2)
    commit(machine.root, 20)
    for verb in ("push", "pull"):
        refused = failure(machine.run_here(verb))
        assert "lease of job job is not this host's any more" in refused.what
        assert refused.nature == "unleased"
    assert counting(machine) == [10]


def test_a_lease_that_is_lost_while_it_sends_is_noticed_right_before_commit(machine: Machine, tmp_path: Path) -> None:
    commit(machine.root, 10)
    take_lease(machine, 1)

    def overtake(request: Request) -> None:
        if request.method == "PUT" and request.file == "b.bin":
            take_lease(second_host(machine, tmp_path), 2)

    machine.proxy.before = overtake
    assert failure(machine.run_here("push")).nature == "unleased"
    assert counting(machine) == []


def test_a_commit_that_is_held_up_behind_its_last_look_counts_for_nobody(machine: Machine, tmp_path: Path) -> None:
    """The other host has begun meanwhile, from what there was, and goes on as if it had never come."""
    commit(machine.root, 10)
    take_lease(machine, 1)
    machine.run_here("push")
    commit(machine.root, 200)
    second = second_host(machine, tmp_path)

    def overtake(request: Request) -> None:
        if request.method == "PUT" and request.file == "COMMIT":
            machine.proxy.before = lambda request: None
            take_lease(second, 2)
            assert moved(second.run_here("pull")) == [10]

    machine.proxy.before = overtake
    machine.run_here("push")
    assert 200 in counting(machine), "it is there"
    commit(second.root, 20)
    reports = second.run_here("push")
    assert moved(reports) == [20]
    assert "without a valid lease" in notes(reports)
    assert counting(machine) == [10, 20]
    third = Machine(tmp_path / "third", machine.bucket, machine.proxy)
    take_lease(third, 3)
    assert moved(third.run_here("pull")) == [20]


def test_a_late_commit_is_passed_over_also_before_it_is_set_aside(machine: Machine, tmp_path: Path) -> None:
    """By a third host, where the second is gone before it could tidy up."""
    commit(machine.root, 10)
    take_lease(machine, 1)
    machine.run_here("push")
    second = second_host(machine, tmp_path)
    take_lease(second, 2)
    second.run_here("pull")
    early = next(key for key in machine.bucket.objects() if key.endswith("/COMMIT"))
    commit(machine.root, 200)
    take_lease(machine, 3)
    machine.run_here("push")
    client, name = machine.bucket.server.client(), machine.bucket.name
    client.delete_object(Bucket=name, Key="fleet/jobs/job/base/00000003")
    client.delete_object(Bucket=name, Key="fleet/jobs/job/lease/00000003")
    sealed = next(key for key in machine.bucket.objects() if key.endswith("/COMMIT") and key != early)
    machine.bucket.put(sealed, machine.bucket.get(sealed).replace(b'"token":3', b'"token":1'))
    third = Machine(tmp_path / "third", machine.bucket, machine.proxy)
    take_lease(third, 3)
    assert moved(third.run_here("pull")) == [10]


def test_a_host_that_comes_back_sets_aside_what_it_could_not_send(machine: Machine, tmp_path: Path) -> None:
    """The run went on from an older checkpoint elsewhere; and the numbers of both are far from each other."""
    commit(machine.root, 10)
    take_lease(machine, 1)
    machine.run_here("push")
    commit(machine.root, 200)
    second = second_host(machine, tmp_path)
    take_lease(second, 2)
    second.run_here("pull")
    made = commit(second.root, 15)
    name = parse_name(made.path.name)
    assert name is not None
    assert name.seq > SEQ_GAP
    second.run_here("push")
    take_lease(machine, 3)
    reports = machine.run_here("pull")
    assert moved(reports) == [15]
    assert "the job went on elsewhere" in notes(reports)
    assert sorted(int(path.name[5:17]) for path in machine.root.glob("step-*")) == [10, 15]
    assert len(list((machine.root / "quarantine").glob("step-000000000200-*/MANIFEST.json"))) == 1


def test_a_row_of_leases_of_one_host_sets_nothing_aside(machine: Machine) -> None:
    """Its daemon was started again: what it has not sent yet is the run's."""
    commit(machine.root, 10)
    take_lease(machine, 1)
    machine.run_here("push")
    commit(machine.root, 200)
    take_lease(machine, 2, first=1)
    assert is_done(machine.run_here("pull"))
    assert moved(machine.run_here("push")) == [200]
    assert counting(machine) == [10, 200]
