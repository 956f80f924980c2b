"""What the machine's daemon and a deputy say to each other: one JSON object a packet, on a socket pair that keeps
packets apart.

    root → deputy   begin      the settings; the first word
                    connected  with a descriptor: a client
                    granted    with `amounts` and `gpus`: so much more of the machine
                    all        of what is wanted there is no more for now
                    notices    with `reports`: all that stand
                    end        with `park`: why the jobs are to save first, or null; then the deputy ends
    deputy → root   ready      it serves
                    safe       with `is_safe`: whether its jobs have saved what they could, while a notice stands
                    stand      what its jobs keep and want of the machine (`core/queue/shares.py`)
                    failed     it could not become that user, or what it was to execute: why

The end of the channel is a word too. For the deputy: root's daemon is gone; it ends as well, and leaves its jobs to
their keepers. For root: the deputy is gone; another is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

BEGIN = "begin"
CONNECTED = "connected"
GRANTED = "granted"
ALL = "all"
NOTICES = "notices"
END = "end"
READY = "ready"
STAND = "stand"
SAFE = "safe"
FAILED = "failed"

LONGEST = 1 << 16
"""Bytes of a packet."""


def say(
    channel: socket.socket, word: str, more: Mapping[str, object] = MappingProxyType({}), descriptor: int | None = None
) -> bool:
    """False where the other side is gone, or has not read for so long that nothing more fits: nobody is waited for."""
    packet = json.dumps({"type": word, **more}).encode()
    try:
        if descriptor is None:
            channel.send(packet)
        else:
            socket.send_fds(channel, [packet], [descriptor])
    except OSError:
        return False
    return True


def hear(channel: socket.socket) -> Mapping[str, Any] | None:
    """What a stranger says; descriptors that come along are dropped by the kernel. None at the end of the channel.

    Raises BlockingIOError, and ValueError for what makes no sense.
    """
    return _parse(_receive(channel))


def hear_with_descriptor(channel: socket.socket) -> tuple[Mapping[str, Any] | None, int | None]:
    """The same of somebody who is trusted, with the descriptor that came along."""
    try:
        packet, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 1)
    except ConnectionError:
        return None, None
    try:
        return _parse(packet), descriptors[0] if descriptors else None
    except ValueError:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        raise


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(LONGEST)
    except ConnectionError:
        return b""


def _parse(packet: bytes) -> Mapping[str, Any] | None:
    if not packet:
        return None
    try:
        message = json.loads(packet)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("no object with a type")
    return message
