"""What the daemon asks about the machine it runs on."""

from __future__ import annotations

import subprocess


def is_machine_going_down() -> bool:
    """Whether a stop of the daemon means the end of everything around it: a shutdown, or the end of the user's own
    service manager, which kills all that it ever started."""
    return any(_is_stopping(manager) for manager in ("--system", "--user"))


def _is_stopping(manager: str) -> bool:
    try:
        said = subprocess.run(
            ["systemctl", manager, "is-system-running"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.stdout.strip() == "stopping"
