"""Tells systemd how the daemon is: one datagram to the socket named in NOTIFY_SOCKET for each thing there is to say.

Where no service manager listens, every call does nothing. None raises: a daemon that cannot be heard goes on.

A watchdog ping says "the loop goes round". It is sent by the supervising loop after a round, never by a timer or a
thread of its own, which would go on pinging for a loop that hangs.
"""

from __future__ import annotations

import logging
import os
import socket

_log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds to wait for a manager whose queue is full, which happens for an instant while it reloads."""


def notify_ready(status: str) -> None:
    """Start-up is over: `systemctl start` returns. `status` is shown by `systemctl status`."""
    _send({"READY": "1", "STATUS": status})


def notify_status(text: str) -> None:
    _send({"STATUS": text})


def notify_watchdog() -> None:
    _send({"WATCHDOG": "1"})


def notify_stopping(status: str, within: float | None = None) -> None:
    """The daemon is on its way out. `within` seconds from now it will be gone: this lifts the unit's TimeoutStopSec
    where a job has a longer grace than that, and may be repeated."""
    extension = {} if within is None else {"EXTEND_TIMEOUT_USEC": str(round(within * 1e6))}
    _send({"STOPPING": "1", "STATUS": status} | extension)


def watchdog_interval() -> float | None:
    """Seconds between two pings, half of what the manager allows; None where it watches nobody, or not us."""
    return parse_watchdog(os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID"), os.getpid())


def parse_watchdog(microseconds: str | None, watched_pid: str | None, own_pid: int) -> float | None:
    """WATCHDOG_USEC and WATCHDOG_PID, as sd_watchdog_enabled(3) reads them."""
    if microseconds is None or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if watched_pid is not None and watched_pid != str(own_pid):
        return None
    return int(microseconds) / 1e6 / 2


def parse_address(text: str | None) -> str | None:
    """NOTIFY_SOCKET as an address for `sendto`: a path, or with a leading @ a name in the abstract namespace."""
    if text is None or len(text) < 2:
        return None
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def format_message(fields: dict[str, str]) -> bytes:
    """One KEY=value a line, so a line break in a value would begin a key of its own."""
    return "\n".join(f"{key}={' '.join(value.splitlines())}" for key, value in fields.items()).encode()


def _send(fields: dict[str, str]) -> None:
    address = parse_address(os.environ.get("NOTIFY_SOCKET"))
    if address is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.sendto(format_message(fields), address)
    except OSError as error:
        _log.warning("systemd could not be told %s: %s", ", ".join(fields), error)
