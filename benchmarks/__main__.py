"""`python -m benchmarks [NAME…]`: runs all of them, or those named, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "imports",
    "restart",
    "submit",
    "idle",
    "commit",
    "checkpoint",
    "restore",
    "hang",
    "remote",
    "queued",
    "preemption",
    "supervision",
)


def main(names: list[str]) -> int:
    """The worst exit status."""
    wrong = [name for name in names if name not in NAMES]
    if wrong:
        print(f"There is no benchmark {wrong[0]!r}. There are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    worst = 0
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        worst = max(worst, abs(subprocess.run(command, check=False).returncode))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
