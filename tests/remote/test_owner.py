"""Whose remote it is: one job's at a time, the latest start's; never two different jobs'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from support.remotes import Machine, failure, is_done, moved
from support.s3 import Request
from support.stores import commit

VERBS: tuple[Literal["push", "pull"], ...] = ("push", "pull")


def other(machine: Machine, tmp_path: Path, name: str = "gpt") -> Machine:
    """Another machine, with another job on the same URL."""
    return Machine(tmp_path / "other", machine.bucket, machine.proxy, job="second", name=name)


def owner(machine: Machine) -> str:
    found = json.loads(machine.bucket.get("OWNER"))
    assert found["host"]
    return str(found["job"])


def test_the_first_job_makes_it_its_own(machine: Machine) -> None:
    commit(machine.root, 10)
    machine.run_here("push")
    assert owner(machine) == "job"


def test_a_job_of_another_name_is_refused(machine: Machine, tmp_path: Path) -> None:
    """Neither fetches nor sends it anything: it would resume from another model's state."""
    commit(machine.root, 10)
    machine.run_here("push")
    bert = other(machine, tmp_path, name="bert")
    commit(bert.root, 20)
    for verb in VERBS:
        refused = failure(bert.run_here(verb))
        assert 'holds the checkpoints of "gpt"' in refused.what
        assert refused.nature == "foreign"
    assert machine.on_remote() == [10]
    assert owner(machine) == "job"


def test_a_new_machine_takes_it_over_and_the_one_before_is_told(machine: Machine, tmp_path: Path) -> None:
    """It may be gone, so its word is not needed; should it live, it sends nothing any more, and does not start."""
    commit(machine.root, 10)
    machine.run_here("push")
    new = other(machine, tmp_path)
    assert moved(new.run_here("pull")) == [10]
    assert owner(machine) == "second"
    commit(machine.root, 20)
    for verb in VERBS:
        refused = failure(machine.run_here(verb))
        assert "was taken over by job second" in refused.what
        assert "perdure resume job" in refused.todo
    assert machine.on_remote() == [10]
    commit(new.root, 30)
    assert moved(new.run_here("push")) == [30]


def test_a_person_may_take_it_back(machine: Machine, tmp_path: Path) -> None:
    """By asking for the job again."""
    commit(machine.root, 10)
    machine.run_here("push")
    other(machine, tmp_path).run_here("pull")
    machine.takes_over = True
    assert is_done(machine.run_here("pull"))
    assert owner(machine) == "job"


def test_one_that_is_taken_over_in_the_middle_commits_nothing(machine: Machine, tmp_path: Path) -> None:
    """It is looked at again right before COMMIT."""
    commit(machine.root, 10)
    new = other(machine, tmp_path)

    def overtake(request: Request) -> None:
        if request.method == "PUT" and request.file == "b.bin":
            machine.proxy.before = lambda request: None
            assert is_done(new.run_here("pull"))

    machine.proxy.before = overtake
    assert "was taken over" in failure(machine.run_here("push")).what
    assert machine.on_remote() == []


def test_an_owner_that_nobody_can_read_is_not_overwritten(machine: Machine) -> None:
    """Something else may lie there."""
    machine.bucket.put("OWNER", b"mine\n")
    commit(machine.root, 10)
    assert "does not say whose it is" in failure(machine.run_here("push")).what
    assert machine.bucket.get("OWNER") == b"mine\n"
