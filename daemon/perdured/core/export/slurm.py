"""A spec as a batch script for Slurm.

Measured with Slurm 22.05, and the reason for each line:

- What `srun` starts hears of a preemption at once, what the script starts itself only when the grace is over. So the
  job is a step, and the signal before the time limit goes to the steps too (`--signal` without `B:`).
- Slurm requeues a preempted job by itself only if its grace runs out. One that saves and ends within it counts as
  failed, as at its time limit. So the script has to ask, and that ends it, so it asks last. It does not ask for a job
  that was cancelled, which would bring it back to life. A job that was preempted before it could save ends with 143.
- bash that gets SIGTERM with a trap waits for the step to end before it runs the trap; without one it would die first,
  and the step with it.
"""

from __future__ import annotations

import math
import shlex
from typing import NamedTuple

from .source import Source

EARLIER = 30.0
"""Seconds. The end of a job, its record and the requeue come after its grace; and Slurm looks for jobs that are due
only every 30 seconds, so the signal may come that much earlier or later."""


class SlurmWishes(NamedTuple):
    time: float = 24 * 3600.0
    """Seconds until the time limit."""
    partition: str | None = None
    account: str | None = None


def format_slurm(source: Source, wishes: SlurmWishes) -> str:
    spec = source.spec
    early = math.ceil(spec.stop.grace + EARLIER)
    name = spec.job_name
    lines = [
        "#!/bin/bash",
        f"# Written by `perdure export slurm {source.shown_name}`; hand it in with sbatch.",
        f"#SBATCH --job-name={name}",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        f"#SBATCH --time={format_time_limit(wishes.time)}",
        *([f"#SBATCH --partition={wishes.partition}"] if wishes.partition else []),
        *([f"#SBATCH --account={wishes.account}"] if wishes.account else []),
        *([f"#SBATCH --gres=gpu:{spec.resources.gpus}"] if spec.resources.gpus else []),
        *([f"#SBATCH --mem={math.ceil(spec.resources.memory / (1 << 20))}M"] if spec.resources.memory else []),
        f"# SIGTERM comes this many seconds before the time limit: the grace of the job, and {EARLIER:g} more.",
        f"#SBATCH --signal=TERM@{early}",
        "# After a preemption, or the loss of its node, the job is put into the queue again under the same number.",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output={name}-%j.out",
        "",
        "# Checkpoints, and Perdure's own state in .perdure/ among them, must lie on storage that every node sees.",
        f"checkpoints={shlex.quote(source.checkpoint_dir)}",
        'mkdir -p "$checkpoints" || exit 78',
        f"cd {shlex.quote(source.workdir)} || exit 78",
        'echo "start $((${SLURM_RESTART_COUNT:-0} + 1)) of Slurm job $SLURM_JOB_ID on $(hostname)"',
        "",
        "# Under srun a preemption is heard of when its grace begins; with the trap this script waits for the save.",
        "trap : TERM",
        f"srun --ntasks=1 perdure run {shlex.quote(source.file)}",
        "status=$?",
        "",
        "# 75: saved, run me again. 143: preempted before it could save. Slurm queues a job again by itself only if",
        "# its grace runs out, so it is asked to; that ends this script, and comes last. Not after scancel.",
        'case "$status $(scontrol show job "$SLURM_JOB_ID")" in',
        "    75\\ *JobState=RUNNING* | 143\\ *JobState=RUNNING*PreemptTime=[0-9]*)",
        '        scontrol requeue "$SLURM_JOB_ID" ;;',
        "esac",
        "exit $status",
    ]
    return "\n".join(lines) + "\n"


def format_time_limit(seconds: float) -> str:
    """Days-hours:minutes:seconds; Slurm counts in minutes, and rounds up."""
    minutes = max(math.ceil(seconds / 60), 1)
    days, rest = divmod(minutes, 24 * 60)
    return f"{days}-{rest // 60:02d}:{rest % 60:02d}:00"
