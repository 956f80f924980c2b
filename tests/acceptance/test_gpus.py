"""GPUs are given by their UUID, one to one job, and one that failed is given to nobody until somebody says otherwise.
The driver is a fake; the daemon, its keepers and the jobs are real."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for
from support.nvml import pynvml

ONE_GPU = "[resources]\ngpus = 1\n"
SHOW = "import os, pathlib, time; pathlib.Path('seen').write_text(os.environ['CUDA_VISIBLE_DEVICES'])"
FAIL_ONCE = f"""{SHOW}
if os.environ['PERDURE_ATTEMPT'] == '1':
    raise RuntimeError('CUDA error: uncorrectable ECC error encountered')
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """It has two GPUs."""
    monkeypatch.setenv("PYTHONPATH", str(Path(pynvml.__file__).parent))
    monkeypatch.setenv("FAKE_GPUS", "GPU-a@00000000:65:00.0,GPU-b@00000000:CA:00.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    daemon = Daemon(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()


def seen(folder: Path) -> str:
    path = folder / "seen"
    return str(wait_for(lambda: path.exists() and path.read_text(), f"{folder} to see its GPUs"))


def states(daemon: Daemon) -> dict[str, str]:
    return {gpu["uuid"]: gpu["state"] for gpu in daemon.client.list_gpus()}


def test_each_job_has_gpus_of_its_own_over_the_death_of_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    hold = f"{SHOW}; time.sleep(1000)"
    first = daemon.submit(tmp_path / "a", sys.executable, "-c", hold, extra=ONE_GPU)
    second = daemon.submit(tmp_path / "b", sys.executable, "-c", hold, extra=ONE_GPU)
    assert (seen(tmp_path / "a"), seen(tmp_path / "b")) == ("GPU-a", "GPU-b")
    third = daemon.submit(tmp_path / "c", sys.executable, "-c", SHOW, extra=ONE_GPU)
    assert daemon.show(third)["reason"] == "queued: needs 1 GPU, 0 free"
    daemon.kill()
    daemon.start()
    assert daemon.show(third)["state"] == "queued"
    assert [daemon.show(job)["queue"]["gpus"] for job in (first, second)] == [["GPU-a"], ["GPU-b"]]
    assert daemon.run("stop", second).returncode == 0
    assert daemon.run("wait", third, "--timeout", "30").returncode == 0
    assert seen(tmp_path / "c") == "GPU-b"
    assert states(daemon) == {"GPU-a": "used", "GPU-b": "free"}


def test_a_gpu_that_failed_a_job_is_given_to_nobody_until_it_is_cleared(daemon: Daemon, tmp_path: Path) -> None:
    job = daemon.submit(
        tmp_path / "a", sys.executable, "-c", FAIL_ONCE, extra=f'[restart]\nbackoff = "10ms..50ms"\n{ONE_GPU}'
    )
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert daemon.show(job)["attempts"][0]["cause"] == "gpu_fault"
    assert seen(tmp_path / "a") == "GPU-b"
    daemon.kill()
    daemon.start()
    assert states(daemon) == {"GPU-a": "quarantined", "GPU-b": "free"}
    listed = daemon.run("gpus").stdout
    assert "ECC" in listed
    both = daemon.submit(tmp_path / "b", sys.executable, "-c", SHOW, extra="[resources]\ngpus = 2\n")
    assert "1 more is in quarantine" in daemon.show(both)["reason"]
    assert daemon.run("gpus", "clear", "GPU-a").returncode == 0
    assert daemon.run("wait", both, "--timeout", "30").returncode == 0
    assert seen(tmp_path / "b") == "GPU-a,GPU-b"


def test_who_asks_for_more_gpus_than_there_are_is_told_at_once(daemon: Daemon, tmp_path: Path) -> None:
    refused = daemon.run("submit", "--gpus", "3", "--", "true")
    assert refused.returncode == 2
    assert "needs 3 GPUs, and there is no more than 2 GPUs" in refused.stderr
