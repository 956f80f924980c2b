"""The shutdown of the operating system, as logind announces it, and the lock that makes it wait for the jobs.

logind tells everybody on the bus that it prepares for a shutdown, and waits for those who hold a *delay* lock, all of
them together for InhibitDelayMaxSec (five seconds, unless somebody raised it). Only then are services told to stop. So
the lock is taken at once, closed when the jobs are safe, and taken anew when the shutdown was called off. A forced
shutdown asks nobody.

jeepney speaks the bus's protocol. A call waits at most `WITHIN`, in a thread; what comes by itself is read where the
event loop says that there is something to read.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from perdured.core.notices.notice import Notice, SourceName, make_notice_id
from perdured.core.notices.status import SourceStatus
from perdured.tasks import wait_at_most

from .eyes import Eyes, Report, Tell

RUNNING = Path("/run/systemd/system")
"""There while systemd is the init, see sd_booted(3)."""
WITHIN = 5.0
LOOK_EVERY = 0.2
"""Seconds between two questions whether the jobs are safe."""
AGAIN = 30.0
_BUS = "org.freedesktop.DBus.Properties"


class _Lost(Exception):
    """The bus or logind went away."""


class _Hold(NamedTuple):
    """A connection, and the lock on it."""

    bus: Any
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
        except Exception as error:  # noqa: BLE001 - jeepney raises what it likes: no bus, no logind, no permission
            return f"logind cannot be asked to wait for saves: {str(error) or type(error).__name__}"
        try:
            self._report(hold, tell, is_preparing=hold.is_preparing)
            await self._listen(hold, tell)
        except (OSError, _Lost) as error:
            return f"logind is gone: {error}"
        else:
            return None
        finally:
            hold.close()

    async def _listen(self, hold: _Hold, tell: Tell) -> None:
        """Until a shutdown was called off: the lock was closed for it."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        readable.set()  # it may have spoken while the lock was taken
        loop.add_reader(hold.bus.sock, readable.set)
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
            loop.remove_reader(hold.bus.sock)

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
                raw="PrepareForShutdown",
            )
            self._standing = (notice,)
        elif not is_preparing:
            self._standing = ()
        says = f"a shutdown of this machine, which waits {hold.longest:g} s for saves (InhibitDelayMaxSec)"
        tell(Report(SourceStatus(self.name, "works", says), self._standing, is_whole=True))


def _take_hold() -> _Hold:
    jeepney = importlib.import_module("jeepney")
    blocking = importlib.import_module("jeepney.io.blocking")
    bus = blocking.open_dbus_connection("SYSTEM", enable_fds=True, auth_timeout=WITHIN)
    try:
        manager = jeepney.DBusAddress(
            "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
        )
        _call(jeepney, bus, jeepney.message_bus.AddMatch(_make_rule(jeepney)))
        properties = jeepney.Properties(manager)
        (_, longest) = _call(jeepney, bus, properties.get("InhibitDelayMaxUSec"))[0]
        who = ("shutdown", "Perdure", "training jobs save their state", "delay")
        (lock,) = _call(jeepney, bus, jeepney.new_method_call(manager, "Inhibit", "ssss", who))
        (_, is_preparing) = _call(jeepney, bus, properties.get("PreparingForShutdown"))[0]
        return _Hold(bus, lock, longest / 1e6, bool(is_preparing))
    except BaseException:
        bus.close()
        raise


def _call(jeepney: Any, bus: Any, message: Any) -> Any:
    """Whatever comes besides is kept for `_read_words`."""
    return jeepney.wrappers.unwrap_msg(bus.send_and_get_reply(message, timeout=WITHIN))


def _make_rule(jeepney: Any) -> Any:
    return jeepney.MatchRule(
        type="signal", interface="org.freedesktop.login1.Manager", member="PrepareForShutdown",
        path="/org/freedesktop/login1",
    )  # fmt: skip


def _read_words(bus: Any) -> list[bool]:
    """What logind has said since the last look: whether it prepares for a shutdown."""
    words: list[bool] = []
    while True:
        try:
            message = bus.receive(timeout=0)
        except TimeoutError:
            return words
        except OSError as error:
            raise _Lost(error) from error
        fields = {field.name: value for field, value in message.header.fields.items()}
        if fields.get("member") == "PrepareForShutdown":
            words.append(bool(message.body[0]))
