"""What this machine is part of is read from files, variables and the answers of tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.core.doctor.systemd import parse_delay
from perdured.doctor import surroundings
from perdured.doctor.commands import ask
from perdured.doctor.surroundings import observe_container, observe_slurm, read_logind


def write(root: Path, name: str, seconds: int) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Login]\nInhibitDelayMaxSec={seconds}\n")


def test_files_of_logind_are_read_in_their_order(tmp_path: Path) -> None:
    assert parse_delay(read_logind(tmp_path)) == 5.0
    write(tmp_path, "usr/lib/systemd/logind.conf", 1)
    write(tmp_path, "etc/systemd/logind.conf", 2)
    assert parse_delay(read_logind(tmp_path)) == 2.0
    write(tmp_path, "etc/systemd/logind.conf.d/10-a.conf", 3)
    write(tmp_path, "usr/lib/systemd/logind.conf.d/90-z.conf", 4)
    assert parse_delay(read_logind(tmp_path)) == 4.0
    write(tmp_path, "etc/systemd/logind.conf.d/90-z.conf", 5)
    assert parse_delay(read_logind(tmp_path)) == 5.0


def test_outside_of_an_allocation_there_is_no_slurm() -> None:
    assert observe_slurm({}) is None


@pytest.mark.parametrize(("step", "is_step"), [("0", True), (None, False), ("4294967291", False)])
def test_a_step_is_told_from_the_batch_script(step: str | None, is_step: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch script counts as a step too, of a number that no other has."""
    monkeypatch.setattr(surroundings, "ask", lambda *_: "")
    seen = observe_slurm({"SLURM_JOB_ID": "7"} | ({"SLURM_STEP_ID": step} if step else {}))
    assert seen is not None
    assert seen.is_step is is_step


def test_a_pod_is_known_by_what_kubernetes_puts_into_its_environment() -> None:
    seen = observe_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "PERDURE_NOTICES_GRACE": "90s"})
    assert seen is not None
    assert (seen.kind, seen.grace) == ("pod", 90.0)
    assert seen.first_process


def test_a_tool_that_is_not_there_or_fails_has_said_nothing() -> None:
    assert ask("no-such-tool-anywhere") == ""
    assert ask("false") == ""
    assert ask("echo", "word") == "word\n"
