"""A logind for one test, on a bus of its own: grants delay locks and announces shutdowns."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, FileDescriptor, Message, message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType
from jeepney.wrappers import new_error, new_method_return, new_signal, unwrap_msg

from .daemons import wait_for

CAN_RUN = shutil.which("dbus-daemon") is not None
_MANAGER = DBusAddress(
    "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
)
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


class FakeLogind:
    def __init__(self, longest: float = 5.0) -> None:
        self.longest = longest
        self.is_preparing = False
        self.held: list[int] = []
        """The ends that we hold of the locks that were granted."""
        self.refuses = False
        self._bus = open_dbus_connection("SYSTEM", enable_fds=True)
        unwrap_msg(self._bus.send_and_get_reply(message_bus.RequestName(_MANAGER.bus_name)))
        self._granted: list[FileDescriptor] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def prepare(self, *, shutdown: bool) -> None:
        """Announces a shutdown, or that it was called off."""
        self.is_preparing = shutdown
        self._bus.send(new_signal(_MANAGER, "PrepareForShutdown", "b", (shutdown,)))

    @property
    def locks(self) -> int:
        """How many are held by somebody."""
        poll = select.poll()
        for end in self.held:
            poll.register(end, 0)
        return len(self.held) - sum(bool(event & select.POLLHUP) for _, event in poll.poll(0))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._bus.close()
        for end in self.held:
            os.close(end)

    def _serve(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                message = self._bus.receive(timeout=0.05)
                if message.header.message_type is MessageType.method_call:
                    self._bus.send(self._answer(message))
                    while self._granted:
                        self._granted.pop().close()

    def _answer(self, message: Message) -> Message:
        asked: dict[str, Callable[[], tuple[str, tuple[Any, ...]]]] = {
            "Inhibit": lambda: ("h", (self._grant(),)),
            "Get": lambda: ("v", (self._property(message.body[1]),)),
        }
        member = message.header.fields[HeaderFields.member]
        if self.refuses or member not in asked:
            return new_error(message, "org.freedesktop.DBus.Error.AccessDenied", "s", ("not for you",))
        signature, body = asked[member]()
        return new_method_return(message, signature, body)

    def _grant(self) -> FileDescriptor:
        ours, theirs = os.pipe()
        self.held.append(ours)
        self._granted.append(FileDescriptor(theirs))
        return self._granted[-1]

    def _property(self, name: str) -> tuple[str, object]:
        if name == "InhibitDelayMaxUSec":
            return ("t", round(self.longest * 1e6))
        return ("b", self.is_preparing)


def _answers(path: Path) -> bool:
    """Its socket is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@contextmanager
def run_bus(folder: Path) -> Iterator[str]:
    """Its address."""
    config, path = folder / "bus.conf", folder / "bus"
    config.write_text(_CONFIG.format(path=path))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"]
    with subprocess.Popen(command) as bus:
        try:
            wait_for(lambda: _answers(path), "the bus")
            yield f"unix:path={path}"
        finally:
            bus.terminate()
