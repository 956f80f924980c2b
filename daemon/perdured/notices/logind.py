"""The shutdown of the operating system, as logind announces it, and the lock that makes it wait for the jobs.

logind tells everybody on the bus that it prepares for a shutdown, and waits for those who hold a *delay* lock, all of
them together for InhibitDelayMaxSec (five seconds, unless somebody raised it). Only then are services told to stop. So
the lock is taken at once, closed when the jobs are safe, and taken anew when the shutdown was called off. A forced
shutdown asks nobody.

A call waits at most `WITHIN`, in a thread; what comes by itself is read where the
event loop says that there is something to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from perdured.core.notices.notice import Notice, SourceName, make_notice_id
from perdured.core.notices.status import SourceStatus
from perdured.dbus import Connection, open_system_bus
from perdured.tasks import wait_at_most

from .eyes import Eyes, Report, Tell

RUNNING = Path("/run/systemd/system")
"""There while systemd is the init, see sd_booted(3)."""
WITHIN = 5.0
LOOK_EVERY = 0.2
"""Seconds between two questions whether the jobs are safe."""
AGAIN = 30.0
_PATH, _MANAGER = "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
_WORD = "PrepareForShutdown"


class _Hold(NamedTuple):
    """A connection, and the lock on it."""

    bus: Connection
    lock: Any
    longest: float
    """Seconds that a shutdown waits for locks."""
    is_preparing: bool

    def release(self) -> None:
        self.lock.close()

    def close(self) -> None:
        self.lock.close()
        self.bus.close()


class Logind:
    name: SourceName = "systemd"

    def __init__(self, eyes: Eyes, is_safe: Callable[[], bool]) -> None:
        """`is_safe`: whether every job has saved what it could, so that the shutdown may go on."""
        self._eyes = eyes
        self._is_safe = is_safe
        self._standing: tuple[Notice, ...] = ()

    async def watch(self, tell: Tell) -> None:
        while True:
            why = await self._hold_and_listen(tell)
            if why is not None:
                tell(Report(SourceStatus(self.name, "blind", why), self._standing))
                await asyncio.sleep(AGAIN / self._eyes.haste)

    async def _hold_and_listen(self, tell: Tell) -> str | None:
        """Until a shutdown was called off, or why the lock is not held."""
        try:
            hold = await asyncio.to_thread(_take_hold)
        except Exception as error:  # noqa: BLE001 - no bus, no logind, no permission, no jeepney
            return f"logind cannot be asked to wait for saves: {str(error) or type(error).__name__}"
        try:
            self._report(hold, tell, is_preparing=hold.is_preparing)
            await self._listen(hold, tell)
        except (OSError, ValueError) as error:
            return f"logind is gone: {error}"
        else:
            return None
        finally:
            hold.close()

    async def _listen(self, hold: _Hold, tell: Tell) -> None:
        """Until a shutdown was called off: the lock was closed for it."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        readable.set()  # it may have spoken while the lock was taken
        loop.add_reader(hold.bus, readable.set)
        try:
            is_preparing = hold.is_preparing
            while True:
                await wait_at_most(readable, LOOK_EVERY if is_preparing else None)
                readable.clear()
                for is_preparing in _read_words(hold.bus):
                    self._report(hold, tell, is_preparing=is_preparing)
                    if not is_preparing:
                        return
                if is_preparing and self._is_safe():
                    hold.release()
        finally:
            loop.remove_reader(hold.bus)

    def _report(self, hold: _Hold, tell: Tell, *, is_preparing: bool) -> None:
        look = self._eyes.look()
        if is_preparing and not self._standing:
            notice = Notice(
                id=make_notice_id("systemd", f"{look.at:.3f}"),
                kind="shutdown",
                source="systemd",
                why="this machine is shut down",
                deadline=look.at + hold.longest,
                sureness="not_before",
                follows="power_off",
                disk="kept",
                received_at=look.at,
                boot_id=look.boot_id,
                raw=_WORD,
            )
            self._standing = (notice,)
        elif not is_preparing:
            self._standing = ()
        says = f"a shutdown of this machine, which waits {hold.longest:g} s for saves (InhibitDelayMaxSec)"
        tell(Report(SourceStatus(self.name, "works", says), self._standing, is_whole=True))


def _take_hold() -> _Hold:
    from jeepney import DBusAddress, Properties, message_bus, new_method_call

    bus = open_system_bus(WITHIN)
    try:
        manager = DBusAddress(_PATH, bus_name="org.freedesktop.login1", interface=_MANAGER)
        bus.call(message_bus.AddMatch(_make_rule()))
        properties = Properties(manager)
        (longest,) = bus.call(properties.get("InhibitDelayMaxUSec"))
        who = ("shutdown", "Perdure", "training jobs save their state", "delay")
        (lock,) = bus.call(new_method_call(manager, "Inhibit", "ssss", who))
        (is_preparing,) = bus.call(properties.get("PreparingForShutdown"))
        return _Hold(bus, lock, _read_variant(longest) / 1e6, bool(_read_variant(is_preparing)))
    except BaseException:
        bus.close()
        raise


def _read_variant(value: Any) -> Any:
    """D-Bus says of what type it is."""
    _type, told = value
    return told


def _make_rule() -> Any:
    from jeepney import MatchRule

    return MatchRule(type="signal", interface=_MANAGER, member=_WORD, path=_PATH)


def _read_words(bus: Connection) -> list[bool]:
    """What logind has said since the last look: whether it prepares for a shutdown."""
    from jeepney import HeaderFields

    messages = bus.take_messages()
    return [bool(message.body[0]) for message in messages if message.header.fields.get(HeaderFields.member) == _WORD]
