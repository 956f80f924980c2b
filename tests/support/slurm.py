"""A real Slurm of one node for one test: munged, slurmctld and slurmd in mount and PID namespaces of its own, so that
nothing of the machine's is touched, and all that it started dies with it. Needs root and Debian's packages."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .daemons import BIN, wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "unshare", "nsenter")
_LACKS = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")]
WHY_NOT = (
    "needs root"
    if os.geteuid() != 0
    else f"no {', '.join(_LACKS)}: apt-get install slurmctld slurmd slurm-client munge"
    if _LACKS
    else ""
)
"""Empty where it can run."""
GRACE_TIME = 20
"""Seconds between a preemption and the end of what it takes away."""
KILL_WAIT = 5
"""Seconds more, until what is still there is killed."""

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={home}/controller
SlurmdSpoolDir={home}/node
SlurmctldPidFile={home}/controller.pid
SlurmdPidFile={home}/node.pid
SlurmctldLogFile={home}/controller.log
SlurmdLogFile={home}/node.log
ReturnToService=2
MpiDefault=none
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait={kill_wait}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000
PartitionName=spot Nodes={host} Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes={host} State=UP PriorityTier=10 PreemptMode=OFF
"""
_BOOT = """
set -eu
exec unshare --mount --propagation private --pid --fork --mount-proc --kill-child sh -euc '
    mount -t tmpfs tmpfs /run
    install -d -o munge -g munge /run/munge
    head -c 1024 /dev/urandom > /run/munge/key
    chown munge: /run/munge/key
    chmod 400 /run/munge/key
    runuser -u munge -- munged --key-file=/run/munge/key --log-file=/run/munge/log --seed-file=/run/munge/seed
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    exec sleep infinity'
"""


class Slurm:
    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("controller", "node"):
            (home / name).mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        first, second = _find_free_ports()
        ports = {"controller_port": first, "node_port": second}
        config = _CONFIG.format(host=host, home=home, grace=GRACE_TIME, kill_wait=KILL_WAIT, **ports)
        (home / "slurm.conf").write_text(config)
        self._outer = subprocess.Popen(["sh", "-c", _BOOT], env=self.env)

    @property
    def env(self) -> dict[str, str]:
        path = f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin"
        places = {"PATH": path, "HOME": str(self.home), "SLURM_CONF": str(self.home / "slurm.conf")}
        # Sums differ in their last bits with the number of threads, which the tests' own processes have set.
        return {**places, "NO_COLOR": "1", "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}

    def run(self, *command: str) -> str:
        """What a command prints that is run beside the controller."""
        enter = ["nsenter", "--target", self._find_inner(), "--mount", "--pid", "--"]
        done = subprocess.run(
            [*enter, *command], env=self.env, cwd=self.home, capture_output=True, text=True, timeout=50, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submit(self, *arguments: str) -> str:
        return self.run("sbatch", "--parsable", *arguments)

    def show(self, job: str) -> dict[str, str]:
        return dict(re.findall(r"(\S+?)=(\S*)", self.run("scontrol", "show", "job", job)))

    def wait_for_state(self, job: str, *states: str, ceiling: float = 60.0) -> dict[str, str]:
        def reached() -> dict[str, str] | None:
            shown = self.show(job)
            return shown if shown["JobState"] in states else None

        return wait_for(reached, f"job {job} to be {' or '.join(states)}", ceiling)

    def finish(self, job: str, ceiling: float) -> dict[str, str]:
        """Until it is done. A requeued job is held back for two minutes, unless somebody says otherwise."""

        def is_done() -> dict[str, str] | None:
            shown = self.show(job)
            if shown["JobState"] == "PENDING" and shown["Reason"] == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now")
            return shown if shown["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT") else None

        return wait_for(is_done, f"job {job} to end", ceiling)

    def wait_until_up(self) -> None:
        wait_for(self._is_idle, "the node to be idle", 60)

    def close(self) -> None:
        self._outer.kill()
        self._outer.wait(timeout=20)

    def _is_idle(self) -> bool:
        with contextlib.suppress(AssertionError, OSError):
            return self.run("sinfo", "-h", "-p", "spot", "-o", "%t") == "idle"
        return False

    def _find_inner(self) -> str:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        return children.read_text().strip()


@contextlib.contextmanager
def run_slurm(home: Path) -> Iterator[Slurm]:
    slurm = Slurm(home)
    try:
        slurm.wait_until_up()
        yield slurm
    except BaseException:
        for log in ("controller.log", "node.log"):
            with contextlib.suppress(OSError):
                sys.stderr.write(f"--- {log}\n{(home / log).read_text()[-4000:]}\n")
        raise
    finally:
        slurm.close()


def _find_free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
