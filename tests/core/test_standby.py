"""When a job has a standby, and which commands can have one."""

from __future__ import annotations

from typing import Any

import pytest

from perdured.core.spec import Spec
from perdured.core.standby import (
    LEAST_ROOM,
    PATIENCE,
    ROOM,
    SIZE,
    STEADY,
    STEADY_UNTOLD,
    Program,
    StandbyDecision,
    StandbySeen,
    decide_standby,
    find_program,
)

NOW = 1000.0
READY = StandbySeen(
    phase="running",
    state="none",
    failed=None,
    started_at=NOW - 60,
    has_stepped=True,
    is_useful=True,
    is_as_asked=True,
    is_launcher=False,
    others_prepare=False,
    available=8 << 30,
    unpromised=8 << 30,
    is_quiet=True,
)
"""An attempt that is to have one now."""


def decide(spec: Spec | None = None, **changes: Any) -> StandbyDecision:
    return decide_standby(spec or Spec(command=("python", "train.py")), READY._replace(**changes), NOW)


def test_an_attempt_that_runs_steadily_gets_a_standby() -> None:
    assert decide().do == "start"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"phase": "saving"}, "no attempt runs"),
        ({"phase": "waiting", "started_at": None}, "no attempt runs"),
        ({"phase": "succeeded"}, "the job is succeeded"),
        ({"failed": "torch is not there"}, "torch is not there"),
        ({"is_useful": False}, "the attempt has nothing loaded of what standby.preload names"),
        ({"available": ROOM - 1}, "memory is short"),
        ({"unpromised": SIZE - 1}, "the memory is promised to jobs (resources.memory)"),
        ({"others_prepare": True}, "another job's is being prepared"),
    ],
)
def test_it_says_why_there_is_none(changes: dict[str, Any], why: str) -> None:
    decision = decide(**changes)
    assert (decision.do, decision.why) == ("nothing", why)


@pytest.mark.parametrize(("has_stepped", "steady"), [(True, STEADY), (False, STEADY_UNTOLD)])
def test_it_waits_until_the_attempt_has_run_for_a_while(has_stepped: bool, steady: float) -> None:
    """A standby must not take from a start what it is to save from the next one."""
    early = decide(has_stepped=has_stepped, started_at=NOW - steady + 1)
    assert (early.do, early.look_at) == ("nothing", NOW + 1)
    assert decide(has_stepped=has_stepped, started_at=NOW - steady).do == "start"


def test_on_a_busy_machine_it_waits_for_a_while_and_comes_all_the_same() -> None:
    steady_at = NOW - PATIENCE + 3
    busy = decide(is_quiet=False, started_at=steady_at - STEADY)
    assert (busy.do, busy.why) == ("nothing", "the machine is busy")
    assert busy.look_at is not None
    assert NOW < busy.look_at <= NOW + 3
    assert decide(is_quiet=True, started_at=steady_at - STEADY).do == "start"
    assert decide(is_quiet=False, started_at=NOW - PATIENCE - STEADY).do == "start"


@pytest.mark.parametrize("state", ["preparing", "ready"])
def test_its_memory_is_a_jobs_as_soon_as_one_is_promised_it(state: str) -> None:
    assert decide(state=state, unpromised=SIZE).do == "nothing"
    assert decide(state=state, unpromised=SIZE - 1).do == "end"


def test_it_is_looked_once_whether_it_is_of_use() -> None:
    assert decide(is_useful=None).do == "look"


@pytest.mark.parametrize("state", ["preparing", "ready"])
@pytest.mark.parametrize(
    "changes",
    [
        {"phase": "stopped"},
        {"phase": "parked"},
        {"phase": "failed"},
        {"available": LEAST_ROOM - 1},
        {"is_as_asked": False},
    ],
)
def test_one_that_is_not_wanted_any_more_is_ended(state: str, changes: dict[str, Any]) -> None:
    assert decide(state=state).do == "nothing"
    assert decide(state=state, **changes).do == "end"


def test_one_that_stands_ready_is_kept_while_the_next_attempt_is_waited_for() -> None:
    for phase in ("starting", "running", "saving", "waiting"):
        assert decide(state="ready", phase=phase, started_at=None).do == "nothing"


def test_of_a_launcher_it_is_said_that_its_processes_gain_nothing() -> None:
    assert "import as ever" in decide(state="ready", is_launcher=True).why
    assert "import as ever" not in decide(state="ready").why


def test_memory_that_comes_and_goes_a_little_does_not_start_and_end_it_again_and_again() -> None:
    between = (ROOM + LEAST_ROOM) // 2
    assert decide(available=between).do == "nothing"
    assert decide(available=between, state="ready").do == "nothing"


def test_a_job_that_wants_none_has_none() -> None:
    spec = Spec.model_validate({"command": ["python", "train.py"], "standby": {"enabled": False}})
    assert decide(spec).do == "nothing"
    assert decide(spec, state="ready").do == "end"


@pytest.mark.parametrize(
    ("command", "interpreter"),
    [
        ("python train.py --fast", "python"),
        ("python3.11 train.py", "python3.11"),
        ("/opt/venv/bin/python3 -u train.py", "/opt/venv/bin/python3 -u"),
        ("python -m train --fast", "python"),
        ("python -um train", "python -u"),
        ("python -c pass", "python"),
        ("python -X dev -W error -Wignore -Xutf8 train.py -m x", "python -X dev -W error -Wignore -Xutf8"),
        ("python -uB train.py -I", "python -uB"),
        ("python3.14t train.py", "python3.14t"),
    ],
)
def test_a_command_of_python_is_taken_apart_as_python_does(command: str, interpreter: str) -> None:
    assert find_program(command.split()) == Program(tuple(interpreter.split()), is_launcher=False)


@pytest.mark.parametrize("command", ["python -m torch.distributed.run x.py", "python /opt/venv/bin/torchrun x.py"])
def test_a_launcher_is_known_as_one(command: str) -> None:
    program = find_program(command.split())
    assert isinstance(program, Program)
    assert program.is_launcher


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("./train.sh", "not one of Python"),
        ("pythonic train.py", "not one of Python"),
        ("python", "standard input"),
        ("python -", "standard input"),
        ("python -u", "standard input"),
        ("python -I train.py", "isolated"),
        ("python -uE train.py", "PYTHONPATH"),
        ("python -S -m train", "without site"),
        ("python -i train.py", "option"),
        ("python --version", "option"),
    ],
)
def test_a_command_that_can_have_none_says_why(command: str, why: str) -> None:
    found = find_program(command.split())
    assert isinstance(found, str)
    assert why in found
