"""Asks other programs a question. One that is not there, fails or hangs has said nothing."""

from __future__ import annotations

import subprocess

_WITHIN = 5.0
"""Seconds. A controller that is away keeps its own tools waiting for minutes."""


def ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
