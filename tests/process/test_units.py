"""A keeper as a unit of systemd: what is asked for, and what is said where nobody answers. The real thing is in
`tests/service/test_under_systemd.py`."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from perdured.contract.sockets import bind_unix
from perdured.core.observation import Absent
from perdured.processes import NoUnit, observe_attempt, start_keeper
from perdured.processes.systemd import find_manager_socket
from perdured.processes.units import AFTER_THE_GRACE, BESIDE_THE_JOB, Execution, Unit, list_properties, name_unit
from support.daemons import Daemon, wait_for
from support.processes import make_script, run
from support.sources import ROOT

UNIT = Unit("k.service", "a keeper", 120.0)
EXECUTION = Execution(("/usr/bin/python3", "-I"), Path("/keeper.log"), (1024, -1))


def test_the_unit_is_named_after_the_attempt() -> None:
    assert name_unit("k7mq2xwp", 3) == "perdure-keeper-k7mq2xwp-3.service"


@pytest.mark.parametrize(
    ("runtime", "uid", "expected"),
    [
        ("/run/user/1000", 1000, "/run/user/1000/systemd/private"),
        ("/run/user/0", 0, "/run/user/0/systemd/private"),
        (None, 0, "/run/systemd/private"),
        (None, 998, "/run/user/998/systemd/private"),
        ("", 998, "/run/user/998/systemd/private"),
    ],
)
def test_a_session_has_its_manager_root_the_systems_and_an_account_its_own(
    runtime: str | None, uid: int, expected: str
) -> None:
    assert find_manager_socket(runtime, uid) == Path(expected)


def test_systemd_waits_for_longer_than_the_keeper_does() -> None:
    properties = dict(list_properties(UNIT, EXECUTION, 3, 4))
    assert properties["TimeoutStopUSec"] == ("t", round((UNIT.grace + AFTER_THE_GRACE) * 1e6))
    assert AFTER_THE_GRACE >= 30


def test_the_job_has_the_limits_that_the_daemon_was_started_with() -> None:
    properties = dict(list_properties(UNIT, EXECUTION, 3, 4))
    assert (properties["LimitNOFILESoft"], properties["LimitNOFILE"]) == (("t", 1024), ("t", 2**64 - 1))


def test_memory_is_limited_for_the_job_and_its_keeper_and_only_where_that_was_asked() -> None:
    assert "MemoryMax" not in dict(list_properties(UNIT, EXECUTION, 3, 4))
    limited = dict(list_properties(UNIT._replace(memory=1 << 30), EXECUTION, 3, 4))
    assert limited["MemoryMax"] == ("t", (1 << 30) + BESIDE_THE_JOB)


def test_every_property_has_its_reason() -> None:
    """In the names that a unit file has."""
    names = [re.sub("USec$", "Sec", name) for name, _ in list_properties(UNIT._replace(memory=1), EXECUTION, 3, 4)]
    reasons = (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}=" not in reasons]


def test_without_a_manager_nothing_is_started_and_three_lines_say_why(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(NoUnit) as caught:
        run(start_keeper(replace(make_script(directory, "say('ran')"), in_unit=True)))
    assert caught.value.what == "The unit perdure-keeper-job-1.service could not be started."
    assert caught.value.why == f"No service manager answers on {tmp_path}/systemd/private: No such file or directory."
    assert caught.value.todo
    assert observe_attempt(directory) == Absent()


def test_a_manager_that_hangs_up_is_none(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "systemd").mkdir()
    with bind_unix(tmp_path / "systemd" / "private") as listener:
        threading.Thread(target=_hang_up_once, args=(listener,), daemon=True).start()
        with pytest.raises(NoUnit, match="could not be started"):
            run(start_keeper(replace(make_script(directory, "say('ran')"), in_unit=True)))
    assert observe_attempt(directory) == Absent()


def _hang_up_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.close()


def test_a_job_whose_keeper_cannot_be_started_is_held_and_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    daemon = Daemon(tmp_path)
    try:
        daemon.start("--keepers", "units")
        job = daemon.submit(tmp_path / "job", "true")
        shown = wait_for(lambda: (seen := daemon.show(job))["state"] == "waiting" and seen, "the job to wait")
        assert shown["waiting_for"] == "systemd to start its keeper"
        assert f"perdure-keeper-{job}-1.service could not be started" in shown["reason"]
    finally:
        daemon.close()
