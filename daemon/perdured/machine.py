"""What the daemon asks about the machine it runs on."""

from __future__ import annotations

import os
import subprocess


def is_machine_going_down() -> bool:
    """Whether a stop of the daemon means the end of everything on the machine: a shutdown, or a container's stop."""
    if os.getpid() == 1:
        return True
    try:
        said = subprocess.run(
            ["systemctl", "is-system-running"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.stdout.strip() == "stopping"
