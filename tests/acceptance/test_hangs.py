"""Jobs that stop getting on, through a real daemon: noticed, told with their stacks, ended, and resumed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Daemon, wait_for
from support.examples import FOLDER

MISBEHAVE = (sys.executable, str(FOLDER / "misbehave.py"))
LIMIT = '[health]\nhang_after = "2s"\n[restart]\nbackoff = "10ms..50ms"\n[stop]\ngrace = "1s"\n'
AT_STEP = 30
QUICK = ("--at-step", str(AT_STEP), "--steps", "36", "--every", "100 steps", "--step-seconds", "0.1")


def misbehave(daemon: Daemon, work: Path, way: str, *options: str, extra: str = LIMIT) -> str:
    return daemon.submit(work, *MISBEHAVE, "--do", way, *QUICK, *options, "--dir", "checkpoints", extra=extra)


def log_of(daemon: Daemon, job: str, attempt: int = 1) -> str:
    return (daemon.state / "jobs" / job / "attempts" / str(attempt) / "output.log").read_text()


def end_of_first(shown: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = shown["attempts"][0]
    return first


@pytest.mark.slow
@pytest.mark.parametrize("way", ["hang", "hang_in_c", "deadlock", "spin", "deaf_hang", "stuck_worker"])
def test_a_hang_is_ended_with_its_stacks_in_the_log_and_loses_no_step(way: str, daemon: Daemon, tmp_path: Path) -> None:
    """It had saved nothing: what brings it back is the last snapshot in memory."""
    job = misbehave(daemon, tmp_path / "work", way, "--only-attempt", "1")
    assert daemon.run("wait", job, "--timeout", "50").returncode == 0, daemon.show(job)
    shown = daemon.show(job)
    first = end_of_first(shown)
    assert first["cause"] == "hang"
    assert first["why"].startswith("no step for ")
    assert len(shown["attempts"]) == 2
    assert shown["attempts"][1]["resumed_from_step"] >= AT_STEP - 1
    log = log_of(daemon, job)
    assert "what its processes are doing:" in log
    place = "hang" if way == "deaf_hang" else way
    assert f"in {place}" in log or f"{place} (" in log, "its Python stack, by itself or by py-spy"
    assert any("misbehave.py" in line for line in first["traceback"]), "and in what `show` tells"
    if way == "stuck_worker":
        assert log.count("process ") >= 2
        assert "__getitem__" in log, "the worker's stack too, by which one knows what is stuck"


@pytest.mark.slow
@pytest.mark.parametrize("by", ["a stopped process", "a stalled keeper", "a stalled daemon"])
def test_a_pause_is_no_hang(by: str, daemon: Daemon, tmp_path: Path) -> None:
    """Three times the limit, of the job, its keeper, or who watches them."""
    job = misbehave(daemon, tmp_path / "work", "nothing", "--steps", "400")
    daemon.wait_for_step(job, 35)
    run = json.loads((daemon.state / "jobs" / job / "attempts" / "1" / "run.json").read_text())
    assert daemon.process is not None
    who = {"a stopped process": run["leader"]["pid"], "a stalled keeper": run["keeper"]["pid"]}
    pid = who.get(by, daemon.process.pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        _pass_time(6.0)
        if by != "a stalled daemon":
            assert daemon.show(job)["state"] == "running"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert daemon.run("wait", job, "--timeout", "50").returncode == 0
    shown = daemon.show(job)
    assert [attempt["cause"] for attempt in shown["attempts"]] == ["done"], shown["attempts"]


@pytest.mark.slow
def test_an_evaluation_in_the_middle_of_a_step_is_no_hang(daemon: Daemon, tmp_path: Path) -> None:
    """Nobody has announced it, and it takes twice the limit; but its stack is another each time."""
    job = misbehave(daemon, tmp_path / "work", "evaluate", "--seconds", "4")
    assert daemon.run("wait", job, "--timeout", "50").returncode == 0
    assert [attempt["cause"] for attempt in daemon.show(job)["attempts"]] == ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["output", "file"])
def test_a_program_that_tells_no_steps_may_have_a_limit_on_its_output_or_on_a_file(
    sign: str, daemon: Daemon, tmp_path: Path
) -> None:
    code = (
        "import os, sys, time\n"
        "time.sleep(0.8)\n"
        "for n in range(60 if os.environ['PERDURE_ATTEMPT'] == '1' else 3):\n"
        "    print(n, flush=True)\n"
        "    open('train.log', 'a').write('x') if n < 5 else None\n"
        "    time.sleep(0.1)\n"
        "    if n == 5 and sys.argv[1] == 'output': time.sleep(60)\n"
    )
    limit = {"output": 'output_after = "2s"', "file": 'file = "train.log"\nfile_after = "2s"'}[sign]
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(code)
    extra = f'[health]\n{limit}\n[restart]\nbackoff = "10ms..50ms"\n[stop]\ngrace = "1s"\n'
    job = daemon.submit(work, sys.executable, "train.py", sign, extra=extra)
    assert daemon.run("wait", job, "--timeout", "50").returncode == 0
    first, second = daemon.show(job)["attempts"]
    assert (first["cause"], second["cause"]) == ("hang", "done"), "the second is judged by its own silence"
    assert first["why"].startswith({"output": "nothing printed", "file": "no growth of the file"}[sign])


@pytest.mark.slow
@pytest.mark.parametrize("skips", [False, True])
def test_a_loss_that_is_not_finite_goes_back_to_the_last_healthy_checkpoint(
    skips: bool, daemon: Daemon, tmp_path: Path
) -> None:
    """The same batches would do the same again: with `skip_batches` they are passed over, and it ends well."""
    code = (
        "import math, time, perdure\n"
        "loss = 1.0\n"
        "with perdure.Run(data=range(40), every='5 steps') as run:\n"
        "    for batch in run.batches(range(40)):\n"
        "        time.sleep(0.12)\n"
        "        print('batch', batch, flush=True)\n"
        "        loss = math.nan if batch == 12 else loss\n"
        "        run.report(loss=loss)\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(code)
    extra = f'[health]\nskip_batches = {str(skips).lower()}\n[restart]\nbackoff = "10ms..50ms"\n'
    job = daemon.submit(work, sys.executable, "train.py", extra=extra)
    done = daemon.run("wait", job, "--timeout", "50")
    shown = daemon.show(job)
    first = end_of_first(shown)
    assert (first["cause"], first["why"]) == ("non_finite", "the loss is not finite since step 13")
    assert shown["attempts"][1]["resumed_from_step"] <= 12
    if skips:
        assert (done.returncode, len(shown["attempts"])) == (0, 2)
        assert "batch 12" not in log_of(daemon, job, 2)
        assert "batch 39" in log_of(daemon, job, 2)
    else:
        assert done.returncode != 0
        assert {attempt["cause"] for attempt in shown["attempts"]} == {"non_finite"}


def _pass_time(seconds: float) -> None:
    """What is waited for here is that nothing happens meanwhile."""
    import time

    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until, "time to pass", seconds + 5)
