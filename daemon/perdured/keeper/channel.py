"""The start channel: a socket pair between the daemon that starts a keeper and that keeper, in lines.

    keeper → daemon   ready                 the lock is held, the socket is bound, everything is imported
    daemon → keeper   go                    without it the keeper ends and has started nothing
    keeper → daemon   started               the command runs; run.json is durable
                      not_started           it could not be executed; exit.json says why
                      taken <text>          another keeper holds the checkpoint directory; nothing was started
                      failed <text>         nothing was started; the keeper ends

One that stands by has a word or two before these (`standby.py`).

The end of the channel is a word too: the other side is dead. For the keeper, before `go`, that is the end.
"""

from __future__ import annotations

import os
import select
import socket

READY = "ready"
GO = "go"
STARTED = "started"
NOT_STARTED = "not_started"
TAKEN = "taken"
FAILED = "failed"
STANDING = "standing"
TAKE = "take"

_LONGEST_WORD = 8192


class Channel:
    """The keeper's end: it was given as descriptor 0, which is /dev/null from now on."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(0))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)

    def tell(self, word: str, text: str = "") -> None:
        """A daemon that is gone needs no telling."""
        try:
            self._socket.sendall(f"{word} {text}".strip().replace("\n", " ").encode() + b"\n")
        except OSError:
            return

    def wait_for_go(self, wakeup: int) -> bool:
        """False when the daemon has gone, or a signal has come, first."""
        ready, _, _ = select.select([self._socket.fileno(), wakeup], [], [])
        try:
            return wakeup not in ready and self._socket.recv(len(GO)) == GO.encode()
        except OSError:
            return False

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear(self) -> str:
        """The next word of the daemon, which says one at a time; empty when it has gone."""
        try:
            return self._socket.recv(_LONGEST_WORD).decode(errors="surrogateescape").strip()
        except OSError:
            return ""

    def close(self) -> None:
        self._socket.close()
