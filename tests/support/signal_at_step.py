"""`signal_at_step.py STEP SIGNAL SCRIPT …` runs the script, which gets the signal as soon as it has made the step."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

import perdure

at, number = int(sys.argv[1]), signal.Signals[sys.argv[2]]
report = perdure.Run.report


def report_and_signal(run: perdure.Run, *args: Any, **kwargs: Any) -> None:
    report(run, *args, **kwargs)
    if run.step == at:
        os.kill(os.getpid(), number)


perdure.Run.report = report_and_signal  # type: ignore[method-assign, assignment]
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
