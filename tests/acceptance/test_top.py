"""`perdure top` on a terminal, which is given back as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess

from support.daemons import BIN, Daemon


def test_it_is_drawn_over_itself_until_it_is_interrupted(daemon: Daemon) -> None:
    ours, theirs = pty.openpty()
    command = [str(BIN / "perdure"), "--socket", str(daemon.socket), "top"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while seen.count(b"no jobs") < 2:
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    while not seen.endswith(b"\033[?1049l"):
        seen += os.read(ours, 4096)
    assert process.wait(timeout=20) == 0
    assert seen.startswith(b"\033[?1049h")
    os.close(ours)


def test_where_nobody_looks_at_a_terminal_it_is_told_once(daemon: Daemon) -> None:
    done = daemon.run("top", "--json")
    assert done.returncode == 0
    assert '"jobs": []' in done.stdout
