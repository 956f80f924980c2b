"""`python -I -S …/perdured/keeper/scrub.py CHECKPOINT`: reads every byte of it, and prints the verdict as JSON.

In a process of its own, so that a disk that hangs holds up nobody, and with the lowest claim on disk and processor.
What it has read it lets go of again, so that nothing of the training's is pushed out of the page cache. One that is
broken is read a second time, from the disk: memory and cables err as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pathlib import Path
from typing import TYPE_CHECKING

from perdured.keeper.priority import Priority, set_priority

if TYPE_CHECKING:
    from perdured.contract.checkpoint import Verdict


def main(path: Path) -> str:
    from perdured.contract.checkpoint import verify_checkpoint

    began = time.monotonic()
    verdict = verify_checkpoint(path)
    forget_pages(path)
    if not verdict.is_valid and not verdict.is_unknown:
        verdict = verify_checkpoint(path)
        forget_pages(path)
    return format_verdict(verdict, time.monotonic() - began)


def format_verdict(verdict: Verdict, seconds: float) -> str:
    told = {"valid": verdict.is_valid, "unknown": verdict.is_unknown, "why": verdict.summarize()}
    return json.dumps({**told, "seconds": seconds})


def forget_pages(path: Path) -> None:
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                _forget(os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))


def _forget(descriptor: int) -> None:
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    os.nice(19)
    set_priority(os.getpid(), Priority.IDLE)
    sys.stdout.write(main(Path(sys.argv[1])) + "\n")
