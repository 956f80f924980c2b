"""The fence: nothing is started on a machine that is about to be taken away, not even by a daemon that was just started
itself and knows of no notice yet.

It holds for the boot that it names and for no other. It says when the machine was last seen alive, so that the next
boot can tell whether the time was there that the notice had promised.
"""

from __future__ import annotations

from perdured.contract.durable import load_json, write_file
from perdured.core.notices.notice import Notice
from perdured.core.value import Value
from perdured.core.windows import Window

from .paths import StateDir


class Fence(Value):
    boot_id: str
    alive_at: float
    """Seconds since the epoch."""
    notices: tuple[Notice, ...]


class _Windows(Value):
    windows: tuple[Window, ...] = ()


def load_fence(state: StateDir) -> Fence | None:
    """One that cannot be understood keeps nobody off: a machine that does not train for ever would be worse."""
    try:
        return Fence.model_validate(load_json(state.fence))
    except (OSError, ValueError):
        return None


def save_fence(state: StateDir, fence: Fence) -> None:
    write_file(state.fence, fence.model_dump_json().encode(), mode=0o600)


def remove_fence(state: StateDir) -> None:
    state.fence.unlink(missing_ok=True)


def load_windows(state: StateDir) -> tuple[Window, ...]:
    """What cannot be understood has taught nothing."""
    try:
        return _Windows.model_validate(load_json(state.windows)).windows
    except (OSError, ValueError):
        return ()


def save_windows(state: StateDir, windows: tuple[Window, ...]) -> None:
    write_file(state.windows, _Windows(windows=windows).model_dump_json().encode(), mode=0o600)
