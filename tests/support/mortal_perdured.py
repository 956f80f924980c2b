"""A `perdured` that is killed after its Nth effect: whatever it saves, and whatever it does to a job.

    mortal_perdured.py N COUNT_FILE [options of perdured]

COUNT_FILE is told of each effect, so that whoever walks the points knows when there are no more.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perdured import spool
from perdured.__main__ import main
from perdured.processes import launch
from perdured.state import beside, registry
from perdured.supervise import effects, loop, service

_dies_after, _count_file = int(sys.argv.pop(1)), Path(sys.argv.pop(1))
_reached: list[str] = []


def reach(name: str) -> None:
    _reached.append(name)
    with _count_file.open("a") as file:
        file.write(f"{name}\n")
    if len(_reached) == _dies_after:
        os.kill(os.getpid(), signal.SIGKILL)


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, of which each return is a point."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def later(*arguments: Any, **named: Any) -> Any:
            result = await function(*arguments, **named)
            reach(function.__qualname__)
            return result

        return later

    @functools.wraps(function)
    def now(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        reach(function.__qualname__)
        return result

    return now


def count(owner: Any, *names: str) -> None:
    for name in names:
        setattr(owner, name, counted(getattr(owner, name)))


count(registry.Registry, "save_submission", "save_record", "save_events", "mark_complete", "forget")
count(effects.Effects, "perform")
count(launch, "clear_earlier", "_save_want", "_expect_ready", "_expect")
count(beside, "save_submission", "save_rest")
count(loop, "save_rest")
count(service, "save_beside")
count(spool, "rename_noreplace")
sys.exit(main())
