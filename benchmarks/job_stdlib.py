"""A job with the least start of its own: notes when its first line ran, then waits and ends well.

    python -I -S job_stdlib.py STAMPS [SECONDS]

Under Perdure it commits one checkpoint first, which is what a job must do to be started again without delay. The line
with its pid and time is written last, so who reads it finds a job that is settled; the time in it was taken first.
"""

import time

STARTED = time.clock_gettime(time.CLOCK_BOOTTIME)

import os  # noqa: E402
import sys  # noqa: E402


def commit_progress() -> None:
    """One step more than the attempt before, by the real protocol."""
    root = os.environ.get("PERDURE_CHECKPOINT_DIR")
    if root is None:
        return
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "daemon"))
    from pathlib import Path

    from perdured.contract.checkpoint.commit import commit_checkpoint
    from perdured.contract.checkpoint.manifest import Facts

    step = int(os.environ.get("PERDURE_RESUME_STEP", "0")) + 1
    facts = Facts(job=os.environ["PERDURE_JOB_ID"], attempt=int(os.environ["PERDURE_ATTEMPT"]), series="run")
    commit_checkpoint(Path(root), step, {"state.json": [b"{}"]}, facts)


commit_progress()
with open(sys.argv[1], "a") as stamps:
    stamps.write(f"{os.getpid()} {STARTED}\n")
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0)
