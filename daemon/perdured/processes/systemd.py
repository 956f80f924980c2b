"""One call to a service manager over its own socket: no message bus has to be there."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from perdured.dbus import PATIENCE, CallRefused, Connection

if TYPE_CHECKING:
    from jeepney import Message

__all__ = ["CallRefused", "Unanswered", "call_manager", "find_manager_socket"]


class Unanswered(Exception):
    """Why no service manager answers."""


def find_manager_socket(runtime: str | None, uid: int) -> Path:
    """The user's own manager where there is a session of it (`XDG_RUNTIME_DIR`), the system's for root, and for any
    other account, such as a system service's, the manager that lingers for it."""
    if runtime:
        return Path(runtime, "systemd", "private")
    return Path("/run/systemd/private") if uid == 0 else Path(f"/run/user/{uid}/systemd/private")


def call_manager(path: Path, message: Message) -> tuple[object, ...]:
    """What the manager answers. The message may carry descriptors. Raises Unanswered, CallRefused."""
    try:
        with closing(Connection(path)) as connection:
            return connection.call(message)
    except (OSError, ValueError) as error:  # ValueError: what it says cannot be understood
        raise Unanswered(f"No service manager answers on {path}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"not within {PATIENCE:g} s"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
